//! `wanproof collector claims`: claims and what belongs to them, rights, duties, invoices.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::base::json::unmarked;
use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::collector::listing::{Listing, actor};
use crate::cli::collector::step::{StepArgs, read};
use crate::cli::given::{TIME, instant};
use crate::cli::{Failure, print};
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::marks;
use crate::collector::operations::claims::attachments::{self, Attach, AttachmentKind};
use crate::collector::operations::claims::{self, ClaimView};
use crate::collector::operations::duties::{self, DutyView};
use crate::collector::operations::invoices::{self, Invoice, Reconciled};
use crate::collector::operations::rights::{self, RightView};
use crate::collector::verdicts::Judgement;

/// `collector claims`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Claims {
    #[command(subcommand)]
    command: Option<ClaimsCommand>,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Clone, Debug, Subcommand)]
enum ClaimsCommand {
    /// Move a claim: submit, acknowledge, accept, accept_partly, reject, credit, reconcile,
    /// dispute, lapse, waive
    Move(MoveArgs),
    /// Attach the provider's answer or a note to a claim; a ticket, with --ticket, goes into the
    /// verdict too
    Attach(AttachArgs),
    /// Lay an invoice's credits (JSON: contract, number, currency, lines of service, period,
    /// credit) beside the claims
    Invoice {
        /// The file
        file: PathBuf,
    },
    /// The rights to terminate that accrued
    Rights,
    /// What the parties had to do, and by when
    Duties,
}

#[derive(Clone, Debug, clap::Args)]
struct MoveArgs {
    /// What is done
    action: String,
    /// The contract's id
    #[arg(allow_hyphen_values = true)]
    contract: String,
    /// The service
    #[arg(allow_hyphen_values = true)]
    service: String,
    /// The period
    period: String,
    #[command(flatten)]
    step: StepArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct AttachArgs {
    /// The contract's id
    #[arg(allow_hyphen_values = true)]
    contract: String,
    /// The service
    #[arg(allow_hyphen_values = true)]
    service: String,
    /// The period
    period: String,
    /// What it says
    #[arg(allow_hyphen_values = true)]
    text: String,
    /// It is the provider's answer
    #[arg(long)]
    answer: bool,
    /// It is a ticket of this number
    #[arg(long, allow_hyphen_values = true, requires_all = ["from", "opened"])]
    ticket: Option<String>,
    /// When the ticket's event began, in UTC
    #[arg(long, value_name = TIME, value_parser = instant)]
    from: Option<Wall>,
    /// When it ended
    #[arg(long, value_name = TIME, value_parser = instant)]
    to: Option<Wall>,
    /// When the ticket was opened
    #[arg(long, value_name = TIME, value_parser = instant)]
    opened: Option<Wall>,
    /// When it was closed
    #[arg(long, value_name = TIME, value_parser = instant)]
    closed: Option<Wall>,
}

pub(super) fn claims(args: &Claims) -> Result<(), Failure> {
    let listing = &args.listing;
    match &args.command {
        None => list(listing),
        Some(ClaimsCommand::Move(of)) => act(listing, of),
        Some(ClaimsCommand::Attach(of)) => attach(listing, of),
        Some(ClaimsCommand::Invoice { file }) => reconcile(listing, file),
        Some(ClaimsCommand::Rights) => rights(listing),
        Some(ClaimsCommand::Duties) => duties(listing),
    }
}

/// The days that are left, for people.
fn days(left: i64) -> String {
    format!("{left} days")
}

fn list(listing: &Listing) -> Result<(), Failure> {
    let all = claims::all(&listing.archive()?, Page::default(), SystemClock.now().wall)?;
    let row = |claim: &ClaimView| {
        let left = match claim.days_left {
            Some(0) => "today".to_owned(),
            Some(left) => days(left),
            None => "-".to_owned(),
        };
        vec![
            claim.contract.clone(),
            claim.service.clone(),
            claim.period.clone(),
            claim.state.clone(),
            format!("{} {}", claim.credit, claim.currency),
            claim.by.clone().unwrap_or_else(|| "-".to_owned()),
            left,
        ]
    };
    let heading = ["CONTRACT", "SERVICE", "PERIOD", "STATE", "CREDIT", "BY", "LEFT"];
    listing.show(&all, &heading, row, "no verdict earned a credit yet")
}

fn act(listing: &Listing, of: &MoveArgs) -> Result<(), Failure> {
    let id = claims::id_of(&of.contract, &of.service, &of.period);
    let claim = listing
        .change(|archive| claims::act(archive, &id, &of.action, &of.step.step(), &actor()))?;
    if listing.json {
        print::json(&claim)
    } else {
        print::line(format_args!("{id} is {}", claim.state))
    }
}

fn attach(listing: &Listing, of: &AttachArgs) -> Result<(), Failure> {
    let kind = match (of.ticket.is_some(), of.answer) {
        (true, _) => AttachmentKind::Ticket,
        (false, true) => AttachmentKind::Answer,
        (false, false) => AttachmentKind::Note,
    };
    let what = Attach {
        kind,
        text: of.text.clone(),
        ticket: of.ticket.clone(),
        from: of.from,
        to: of.to,
        opened: of.opened,
        closed: of.closed,
    };
    let (_, book) = listing.book()?;
    let id = claims::id_of(&of.contract, &of.service, &of.period);
    let claim = listing.change(|archive| {
        let actor = actor();
        let claim = attachments::attach(archive, &book, &id, &what, &actor)?;
        marks::mark(archive, &of.contract, &of.service, &of.period, actor.now)?;
        Ok(claim)
    })?;
    if listing.json {
        print::json(&claim)
    } else {
        print::line(format_args!("{id} has {} attachments", claim.attachments.len()))
    }
}

fn reconcile(listing: &Listing, file: &Path) -> Result<(), Failure> {
    let invoice: Invoice = serde_json::from_str(unmarked(&read(file)?))
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    let lines = listing.change(|archive| invoices::reconcile(archive, &invoice, &actor()))?;
    let row = |line: &Reconciled| {
        vec![
            line.service.clone(),
            line.period.clone(),
            line.due.clone().unwrap_or_else(|| "-".to_owned()),
            line.credited.clone(),
            line.difference.clone(),
            line.what.clone(),
        ]
    };
    let heading = ["SERVICE", "PERIOD", "DUE", "CREDITED", "DIFFERENCE", "WHAT"];
    listing.show(&lines, &heading, row, "the invoice has no lines")
}

fn rights(listing: &Listing) -> Result<(), Failure> {
    let all = rights::all(&listing.archive()?, Page::default(), SystemClock.now().wall)?;
    let row = |right: &RightView| {
        vec![
            right.contract.clone(),
            right.service.clone(),
            right.right.clone(),
            right.state.clone(),
            right.accrued.clone(),
            right.exercise_by.clone(),
            right.days_left.map_or_else(|| "-".to_owned(), days),
        ]
    };
    let heading = ["CONTRACT", "SERVICE", "RIGHT", "STATE", "ACCRUED", "EXERCISE BY", "LEFT"];
    listing.show(&all, &heading, row, "no right to terminate has accrued")
}

fn duties(listing: &Listing) -> Result<(), Failure> {
    let verdicts = listing.archive()?.records::<Judgement>(Kind::Verdict, Page::default())?;
    let of = verdicts.iter().map(|record| &record.body);
    let all = duties::of(of, SystemClock.now().wall);
    let row = |duty: &DutyView| {
        vec![
            duty.service.clone(),
            duty.duty.clone(),
            duty.party.clone(),
            print::instant(duty.due),
            duty.state.clone(),
        ]
    };
    let heading = ["SERVICE", "DUTY", "PARTY", "DUE", "STATE"];
    listing.show(&all, &heading, row, "no verdict names a duty")
}
