//! Tokens of the API: each has a name, may read or change, and is kept as its digest only.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::{Actor, DeskError, key};
use crate::evidence::base64url;
use crate::evidence::digest::Digest;

/// A token that changes ends after so long, where nothing else is said.
const USUAL: Duration = Duration::from_secs(365 * 86_400);

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To read.
    Read,
    /// To read and to change.
    Admin,
}

impl std::str::FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Self::Read),
            "admin" => Ok(Self::Admin),
            other => Err(format!("{other:?} is not right: expected read or admin")),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredToken {
    name: String,
    scope: Scope,
    digest: Digest,
    made: Wall,
    by: String,
    /// When it ends.
    #[serde(default)]
    until: Option<Wall>,
}

/// A token as it is shown: never itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// What it is good for.
    pub scope: Scope,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub made: Wall,
    /// Who made it.
    pub by: String,
    /// When it ends; absent where it does not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Wall>,
}

/// A token that is to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenWanted {
    /// Its name.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What it is good for.
    pub scope: Scope,
    /// When it ends. Where it is absent, one that changes ends after a year, and one that reads
    /// does not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Wall>,
}

/// A token that was made: shown once.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TokenMade {
    /// Its name.
    pub name: String,
    /// The token.
    pub token: String,
    /// When it ends; absent where it does not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Wall>,
}

/// Makes a token; only its digest is kept.
///
/// # Errors
/// When its name is taken or none.
pub fn make(
    archive: &Archive,
    wanted: &TokenWanted,
    actor: &Actor,
) -> Result<TokenMade, DeskError> {
    let TokenWanted { name, scope, until } = wanted;
    if !(1..=100).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(DeskError::Invalid(vec!["name: expected 1 to 100 characters".to_owned()]));
    }
    if until.is_some_and(|until| until <= actor.now) {
        return Err(DeskError::Invalid(vec!["until: it is over already".to_owned()]));
    }
    let until = until.or_else(|| (*scope == Scope::Admin).then(|| actor.now + USUAL));
    if archive.record::<StoredToken>(Kind::Token, &key(&[name]))?.is_some() {
        return Err(DeskError::Conflict(format!(
            "there is a token {name:?} already: revoke it first"
        )));
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        ArchiveError::Damaged(format!("the system gives no random numbers: {error}"))
    })?;
    let token = base64url::encode(&bytes);
    let digest = Digest::of(token.as_bytes());
    let kept = StoredToken {
        name: name.clone(),
        scope: *scope,
        digest,
        made: actor.now,
        by: actor.who.clone(),
        until,
    };
    archive.put_record(Kind::Token, &key(&[name]), &kept, actor.now)?;
    actor.did(archive, "token.make", name, json!({"scope": scope, "until": until}))?;
    Ok(TokenMade { name: name.clone(), token, until })
}

/// Takes a token away.
///
/// # Errors
/// When there is none of this name.
pub fn revoke(archive: &Archive, name: &str, actor: &Actor) -> Result<(), DeskError> {
    if !archive.drop_record(Kind::Token, &key(&[name]))? {
        return Err(DeskError::NotFound(format!("there is no token {name:?}")));
    }
    actor.did(archive, "token.revoke", name, Value::Null)?;
    Ok(())
}

/// Every token, by name.
///
/// # Errors
/// When the database fails.
pub fn all(archive: &Archive) -> Result<Vec<TokenView>, ArchiveError> {
    let view = |StoredToken { name, scope, made, by, until, .. }: StoredToken| TokenView {
        name,
        scope,
        made,
        by,
        until,
    };
    Ok(archive
        .records::<StoredToken>(Kind::Token, Page::default())?
        .into_iter()
        .map(|record| view(record.body))
        .collect())
}

/// Whose a token is, and what it is good for; one that has ended is none. Digests are compared, so
/// the time it takes tells nothing of any token.
///
/// # Errors
/// When the database fails.
pub fn find(
    archive: &Archive,
    given: &Digest,
    now: Wall,
) -> Result<Option<(String, Scope)>, ArchiveError> {
    let all = archive.records::<StoredToken>(Kind::Token, Page::default())?;
    let good =
        |kept: &StoredToken| kept.digest == *given && kept.until.is_none_or(|until| now < until);
    Ok(all.into_iter().map(|record| record.body).find(good).map(|kept| (kept.name, kept.scope)))
}
