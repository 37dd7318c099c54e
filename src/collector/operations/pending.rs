//! Agents that wait, turned away many at a time: by a pattern of the site that they say, or of the
//! address that they ask from.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::collector::archive::Archive;
use crate::collector::archive::pending::Pending;
use crate::collector::operations::{Actor, DeskError};
use crate::evidence::key::Kid;

/// A pattern is at most so long, in characters.
const LONGEST: usize = 200;
/// So many of those who were turned away are named in the audit.
const NAMED: usize = 100;

/// Who is to be turned away: those that wait and fit every pattern that is given. In a pattern `*`
/// stands for anything, `?` for one character.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectWanted {
    /// Of the site that they say.
    #[schema(min_length = 1, max_length = 200)]
    pub site: Option<String>,
    /// Of where they asked from: an address of IPv4, or a network of IPv6 (`2001:db8::/64`), as
    /// `GET /v1/agents` shows it.
    #[schema(min_length = 1, max_length = 200)]
    pub from: Option<String>,
    /// Only say who it would be.
    pub dry_run: Option<bool>,
}

/// Who was turned away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rejected {
    /// The agents. One that asks again waits again; `revoke` is for good.
    #[schema(value_type = Vec<String>)]
    pub agents: Vec<Kid>,
}

/// Turns agents away that wait.
///
/// # Errors
/// When no pattern is given, or one is too long.
pub fn reject(
    archive: &Archive,
    wanted: &RejectWanted,
    actor: &Actor,
) -> Result<Rejected, DeskError> {
    let RejectWanted { site, from, dry_run } = wanted;
    let given = [("site", site), ("from", from)];
    let mut faults = Vec::new();
    for (name, pattern) in given {
        if pattern.as_ref().is_some_and(|text| text.is_empty() || text.chars().count() > LONGEST) {
            faults.push(format!("{name}: a pattern has 1 to {LONGEST} characters"));
        }
    }
    if site.is_none() && from.is_none() {
        faults.push("say whom: a pattern of site or from; * is everybody".to_owned());
    }
    if !faults.is_empty() {
        return Err(DeskError::Invalid(faults));
    }
    let fits = |each: &Pending| {
        site.as_ref().is_none_or(|pattern| matches(pattern, &each.site))
            && from
                .as_ref()
                .is_none_or(|pattern| matches(pattern, each.from.as_deref().unwrap_or_default()))
    };
    let mut agents: Vec<Kid> =
        archive.waiting()?.iter().filter(|each| fits(each)).map(|each| each.agent).collect();
    if *dry_run == Some(true) {
        return Ok(Rejected { agents });
    }
    let mut gone = Vec::new();
    for agent in agents {
        if archive.forget_pending(agent)? {
            gone.push(agent);
        }
    }
    agents = gone;
    let first: Vec<&Kid> = agents.iter().take(NAMED).collect();
    let detail = json!({"site": site, "from": from, "count": agents.len(), "agents": first});
    actor.did(archive, "agent.reject", "pending", detail)?;
    Ok(Rejected { agents })
}

/// Whether a text fits a pattern, in time that grows with the product of their lengths at most.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut of, mut star) = (0, 0, None);
    while at < text.len() {
        match pattern.get(of) {
            Some('*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(c) if *c == '?' || *c == text[at] => (at, of) = (at + 1, of + 1),
            _ => {
                // The last star takes one character more.
                let Some((was, taken)) = star else { return false };
                star = Some((was, taken + 1));
                (at, of) = (taken + 1, was + 1);
            }
        }
    }
    pattern[of..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_anything_and_a_question_mark_one_character() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "leeds"),
            ("leeds-??", "leeds-01"),
            ("*-01", "leeds-01-01"),
            ("a*b*c", "axxbyybzc"),
            ("2001:db8:*", "2001:db8:1:2::/64"),
            ("k\u{f6}ln", "köln"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "x"), ("leeds-??", "leeds-1"), ("a*b", "ab "), ("?", ""), ("LEEDS", "leeds")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
    }
}
