//! Invoices: what one credits is laid beside what is due.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::base::decimal::{Exact, Rounding};
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::agreements::Step;
use crate::collector::operations::claims::{StoredClaim, amount_of, id_of, step_on};
use crate::collector::operations::logs::replay;
use crate::collector::operations::{Actor, DeskError, check_texts, key};
use crate::evidence::digest::Digest;
use crate::sla::lifecycle::{Claim, Log};
use crate::sla::reader::Word as _;

/// A line of an invoice: a credit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceLine {
    /// The service.
    #[schema(max_length = 200)]
    pub service: String,
    /// The period that it is for.
    #[schema(max_length = 20)]
    pub period: String,
    /// How much is credited.
    #[schema(max_length = 40)]
    pub credit: String,
}

/// An invoice, as far as it credits anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invoice {
    /// The contract.
    #[schema(min_length = 1, max_length = 200)]
    pub contract: String,
    /// The invoice's number.
    #[schema(min_length = 1, max_length = 200)]
    pub number: String,
    /// In which currency.
    #[schema(max_length = 10)]
    pub currency: String,
    /// Its credits.
    #[schema(max_items = 10000)]
    pub lines: Vec<InvoiceLine>,
}

/// A claim beside what an invoice credits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reconciled {
    /// The service.
    pub service: String,
    /// The period.
    pub period: String,
    /// What is due, or was granted; absent where there is no claim.
    pub due: Option<String>,
    /// What the invoice credits.
    pub credited: String,
    /// What is missing (positive) or too much (negative).
    pub difference: String,
    /// The claim's state now.
    pub state: Option<String>,
    /// `as-due`, `short`, `over`, `no-claim` or `other-currency`.
    pub what: String,
}

/// Lays an invoice beside the claims; a claim whose credit it gives in full is credited and
/// reconciled by it.
///
/// # Errors
/// When the invoice has faults, or was taken before.
pub fn reconcile(
    archive: &Archive,
    invoice: &Invoice,
    actor: &Actor,
) -> Result<Vec<Reconciled>, DeskError> {
    check_texts(&[
        ("contract", Some(&invoice.contract), 200),
        ("number", Some(&invoice.number), 200),
        ("currency", Some(&invoice.currency), 10),
    ])?;
    let mut faults = Vec::new();
    if invoice.lines.len() > 10_000 {
        faults.push("lines: an invoice has at most 10000".to_owned());
    }
    for (at, line) in invoice.lines.iter().enumerate() {
        check_texts(&[
            ("service", Some(&line.service), 200),
            ("period", Some(&line.period), 20),
            ("credit", Some(&line.credit), 40),
        ])?;
        if amount_of(&line.credit).is_none() {
            faults.push(format!("lines[{at}].credit: {:?} is no amount", line.credit));
        }
    }
    if invoice.number.trim().is_empty() || invoice.contract.trim().is_empty() {
        faults.push("contract and number must not be empty".to_owned());
    }
    if !faults.is_empty() {
        return Err(DeskError::Invalid(faults));
    }
    let id = key(&[&invoice.contract, &invoice.number]);
    if archive.record::<Invoice>(Kind::Invoice, &id)?.is_some() {
        return Err(DeskError::Conflict(format!(
            "invoice {} of {} was taken before",
            invoice.number, invoice.contract
        )));
    }
    let evidence = Digest::of(json!(invoice).to_string().as_bytes()).hex();
    let mut all = Vec::new();
    for line in &invoice.lines {
        all.push(reconcile_line(archive, invoice, line, &evidence, actor)?);
    }
    archive.put_record(Kind::Invoice, &id, invoice, actor.now)?;
    actor.did(
        archive,
        "invoice.reconcile",
        &id,
        json!({"sha256": evidence, "lines": invoice.lines.len()}),
    )?;
    Ok(all)
}

fn reconcile_line(
    archive: &Archive,
    invoice: &Invoice,
    line: &InvoiceLine,
    evidence: &str,
    actor: &Actor,
) -> Result<Reconciled, DeskError> {
    let credited = Exact::parse(&line.credit)
        .map_err(|_| DeskError::Invalid(vec![format!("credit: {:?} is no amount", line.credit)]))?;
    let id = id_of(&invoice.contract, &line.service, &line.period);
    let base = Reconciled {
        service: line.service.clone(),
        period: line.period.clone(),
        due: None,
        credited: credited.fixed(2, Rounding::HalfUp),
        difference: (&Exact::zero() - &credited).fixed(2, Rounding::HalfUp),
        state: None,
        what: "no-claim".to_owned(),
    };
    let Some(kept) = archive.record::<StoredClaim>(Kind::Claim, &id)? else { return Ok(base) };
    let due = kept.granted.clone().unwrap_or_else(|| kept.credit.clone());
    let asked = Exact::parse(&due)
        .map_err(|_| ArchiveError::Damaged(format!("the claim {id}: {due:?} is no amount")))?;
    let difference = &asked - &credited;
    let mut log: Log<Claim> = replay(archive, Kind::Claim, &id)?;
    let what = match () {
        () if kept.currency != invoice.currency => "other-currency",
        () if difference.is_positive() => "short",
        () if difference.is_negative() => "over",
        () => "as-due",
    };
    if what == "as-due" {
        for action in ["credit", "reconcile"] {
            let step = Step { evidence: Some(evidence.to_owned()), ..Step::now() };
            let entry = log.in_order(step.entry(action, actor)?);
            if log.append(entry.clone()).is_ok() {
                step_on(archive, &id, &log, &entry, actor.now)?;
            }
        }
    }
    Ok(Reconciled {
        due: Some(due),
        difference: difference.fixed(2, Rounding::HalfUp),
        state: Some(log.state().word().to_owned()),
        what: what.to_owned(),
        ..base
    })
}
