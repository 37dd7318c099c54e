//! What belongs to a claim: tickets, the provider's answers, notes.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::archive::Archive;
use crate::collector::archive::ledger::Kind;
use crate::collector::operations::agreements::Book;
use crate::collector::operations::claims::{ClaimView, StoredClaim, view};
use crate::collector::operations::{Actor, DeskError, check_texts, facts, rulings};
use crate::evidence::digest::Digest;

/// Something that belongs to a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attachment {
    /// `ticket`, `answer` or `note`.
    pub kind: AttachmentKind,
    /// When it was attached.
    #[schema(value_type = String, format = DateTime)]
    pub attached: Wall,
    /// Who attached it.
    pub who: String,
    /// What it says.
    pub text: String,
    /// The digest of the text.
    pub sha256: String,
    /// The ticket's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
}

/// What kind of thing belongs to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttachmentKind {
    /// A trouble ticket: it goes into the verdict too.
    Ticket,
    /// What the provider answered.
    Answer,
    /// Anything else.
    Note,
}

/// Something that is to be attached.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// What kind of thing.
    pub kind: AttachmentKind,
    /// What it says.
    #[schema(min_length = 1, max_length = 20000)]
    pub text: String,
    /// The ticket's number; with a ticket.
    #[schema(max_length = 200)]
    pub ticket: Option<String>,
    /// When the event began that the ticket is about; with a ticket.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Wall>,
    /// When it ended; with a ticket.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<Wall>,
    /// When the ticket was opened; with a ticket.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opened: Option<Wall>,
    /// When it was closed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed: Option<Wall>,
}

/// Attaches something to a claim. A ticket goes into the customer's facts too, so that the next
/// verdict knows of it.
///
/// # Errors
/// When there is no such claim, or something is missing.
pub fn attach(
    archive: &Archive,
    book: &Book,
    id: &str,
    what: &Attach,
    actor: &Actor,
) -> Result<ClaimView, DeskError> {
    let mut kept: StoredClaim = archive
        .record(Kind::Claim, id)?
        .ok_or_else(|| DeskError::NotFound(format!("there is no claim {id:?}")))?;
    check_texts(&[("ticket", what.ticket.as_deref(), 200)])?;
    if what.text.trim().is_empty() || what.text.chars().count() > 20_000 {
        return Err(DeskError::Invalid(vec!["text: expected 1 to 20000 characters".to_owned()]));
    }
    if what.kind == AttachmentKind::Ticket {
        // A ticket changes the verdict; a note or an answer may be attached all the same.
        rulings::check_whole(archive, &kept.period, &kept.contract, &kept.service)?;
        let (Some(from), Some(opened)) = (what.from, what.opened) else {
            let what = "a ticket needs from, when its event began, and opened, when it was opened";
            return Err(DeskError::Invalid(vec![what.to_owned()]));
        };
        let mut ticket = json!({"opened": opened});
        if let Some(number) = &what.ticket {
            ticket["id"] = json!(number);
        }
        if let Some(closed) = what.closed {
            ticket["closed"] = json!(closed);
        }
        let mut event = json!({"from": from, "ticket": ticket});
        if let Some(to) = what.to {
            event["to"] = json!(to);
        }
        facts::add(archive, book, (&kept.contract, &kept.service), "events", event, actor)?;
    }
    kept.attachments.push(Attachment {
        kind: what.kind,
        attached: actor.now,
        who: actor.who.clone(),
        sha256: Digest::of(what.text.as_bytes()).hex(),
        text: what.text.clone(),
        ticket: what.ticket.clone(),
    });
    archive.put_record(Kind::Claim, id, &kept, actor.now)?;
    let sha256 = Digest::of(what.text.as_bytes()).hex();
    actor.did(
        archive,
        "claim.attach",
        id,
        json!({"kind": what.kind, "sha256": sha256, "ticket": what.ticket}),
    )?;
    Ok(view(archive, id, kept, actor.now)?)
}
