//! What does not come from measurement: the customer's tickets, exclusions and charges, and the
//! provider's own outage log. Each is a facts file without period and service, replaced whole by
//! the next; that it was replaced, and by whom, stays in its log.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::agreements::Book;
use crate::collector::operations::{Actor, DeskError, key};
use crate::evidence::digest::Digest;
use crate::sla::calendar::Period;
use crate::sla::evaluate::Earlier;
use crate::sla::facts::{self, Case};

/// Whose facts they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The customer's: they go into the verdict.
    Customer,
    /// The provider's own log: it is laid beside what was measured.
    Provider,
}

impl Source {
    const fn word(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Provider => "provider",
        }
    }
}

impl std::str::FromStr for Source {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "customer" => Ok(Self::Customer),
            "provider" => Ok(Self::Provider),
            other => Err(format!("{other:?} is not right: expected customer or provider")),
        }
    }
}

/// Facts as they are kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoredFacts {
    /// As they were written, without period and service.
    pub facts: Map<String, Value>,
    /// The digest of what was imported.
    pub digest: String,
    /// When.
    pub imported: Option<Wall>,
    /// By whom.
    pub by: String,
}

fn id_of(contract: &str, service: &str, source: Source) -> String {
    key(&[contract, service, source.word()])
}

/// The facts of a source, if any were imported.
///
/// # Errors
/// When the database fails.
pub fn kept(
    archive: &Archive,
    contract: &str,
    service: &str,
    source: Source,
) -> Result<StoredFacts, ArchiveError> {
    Ok(archive.record(Kind::Fact, &id_of(contract, service, source))?.unwrap_or_default())
}

/// Takes the facts of a source about a service, in the place of those that are there.
///
/// # Errors
/// When there is no such service, or they have faults: all of them.
pub fn import(
    archive: &Archive,
    book: &Book,
    of: (&str, &str, Source),
    written: Map<String, Value>,
    actor: &Actor,
) -> Result<StoredFacts, DeskError> {
    let (contract, service, source) = of;
    let known = book
        .all
        .iter()
        .filter(|agreed| agreed.kept.id == contract)
        .filter_map(|agreed| agreed.contract.as_ref().ok());
    if !known.into_iter().any(|terms| terms.service(service).is_some()) {
        return Err(DeskError::NotFound(format!(
            "no contract {contract:?} with a service {service:?} is here"
        )));
    }
    let mut written = written;
    written.remove("period");
    written.remove("as_of");
    match written.remove("service") {
        Some(Value::String(named)) if named != service => {
            return Err(DeskError::Invalid(vec![format!(
                "service: it is about {named:?}, not about {service:?}"
            )]));
        }
        _ => {}
    }
    if written.contains_key("previous") {
        let what =
            "previous: the collector knows earlier periods itself, and takes none from a file";
        return Err(DeskError::Invalid(vec![what.to_owned()]));
    }
    let text = Value::Object(written.clone()).to_string();
    // Any period will do to find the faults of its form.
    case(&whole(written.clone(), service, "2000-01", actor.now, &[]))
        .map_err(DeskError::Invalid)?;
    let kept = StoredFacts {
        facts: written,
        digest: Digest::of(text.as_bytes()).hex(),
        imported: Some(actor.now),
        by: actor.who.clone(),
    };
    let id = id_of(contract, service, source);
    archive.put_record(Kind::Fact, &id, &kept, actor.now)?;
    let entry = json!({"imported": actor.now, "by": actor.who, "sha256": kept.digest});
    archive.append(Kind::Fact, &id, &entry, actor.now)?;
    let detail = json!({"source": source.word(), "sha256": &kept.digest});
    actor.did(archive, "facts.import", &format!("{contract}/{service}"), detail)?;
    Ok(kept)
}

/// Adds an event or other fact of the customer's to those that are there.
///
/// # Errors
/// As [`import`].
pub fn add(
    archive: &Archive,
    book: &Book,
    of: (&str, &str),
    list: &'static str,
    fact: Value,
    actor: &Actor,
) -> Result<(), DeskError> {
    let mut facts = kept(archive, of.0, of.1, Source::Customer)?.facts;
    match facts.entry(list).or_insert_with(|| json!([])) {
        Value::Array(all) => all.push(fact),
        other => *other = json!([fact]),
    }
    import(archive, book, (of.0, of.1, Source::Customer), facts, actor).map(drop)
}

/// The facts that a service is judged with, as a facts file.
#[must_use]
pub fn text(
    kept: &StoredFacts,
    service: &str,
    period: Period,
    as_of: Wall,
    previous: &[Earlier],
) -> String {
    whole(kept.facts.clone(), service, &period.to_string(), as_of, previous)
}

fn whole(
    mut written: Map<String, Value>,
    service: &str,
    period: &str,
    as_of: Wall,
    previous: &[Earlier],
) -> String {
    written.insert("period".to_owned(), json!(period));
    written.insert("service".to_owned(), json!(service));
    written.insert("as_of".to_owned(), json!(as_of));
    if !previous.is_empty() {
        written.insert("previous".to_owned(), json!(previous));
    }
    Value::Object(written).to_string()
}

/// Reads the facts that a service is judged with.
///
/// # Errors
/// When they have faults, which were none when they were imported.
pub fn case(text: &str) -> Result<Case, Vec<String>> {
    facts::parse(text, "facts").map_err(|faults| faults.iter().map(ToString::to_string).collect())
}
