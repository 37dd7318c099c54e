//! Who is let in: by a one-time token, by an operator, or anybody.

use std::path::Path;

use crate::base::time::Wall;
use crate::collector::archive::agents::Standing;
use crate::collector::archive::{Archive, ArchiveError};
use crate::config::collector::Enrolment as Mode;
use crate::evidence::digest::Digest;
use crate::evidence::enrol::{Enrolment, State};
use crate::evidence::problem::{Kind, Problem};

/// So many may wait for an operator; then nobody else is taken until some are approved or revoked.
const PENDING: u64 = 10_000;

/// A token that may be used once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its digest, by which it is compared and remembered.
    pub digest: Digest,
    /// The only site that it is good for.
    pub site: Option<String>,
}

/// The tokens of a file: one a line, and after a space the site that it is good for; `#` begins a comment.
///
/// # Errors
/// When the file cannot be read.
pub fn tokens(path: &Path) -> std::io::Result<Vec<Token>> {
    let text = std::fs::read_to_string(path)?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    Ok(lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let digest = Digest::of(words.next()?.as_bytes());
            Some(Token { digest, site: words.next().map(str::to_owned) })
        })
        .collect())
}

/// Lets an agent in or not. The same agent gets the same answer again, whatever token it brings then.
///
/// # Errors
/// When the database fails.
pub fn enrol(
    archive: &Archive,
    said: &Enrolment,
    mode: &Mode,
    tokens: &[Token],
    now: Wall,
) -> Result<Result<State, Problem>, ArchiveError> {
    let kid = said.jwk.kid();
    archive.lock(kid.bytes())?;
    let known = archive.key(kid)?;
    match &known {
        Some(known) if known.standing == Standing::Revoked || known.last.is_some() => {
            return Ok(Err(Problem::new(
                Kind::Revoked,
                "this key was revoked or replaced, and is never enrolled again",
            )));
        }
        Some(known) if known.standing == Standing::Approved => return Ok(Ok(State::Approved)),
        _ => {}
    }
    let standing = match mode {
        Mode::Open => Standing::Approved,
        Mode::Operator => Standing::Pending,
        Mode::Token(_) => {
            let bad = |detail: &str| Ok(Err(Problem::new(Kind::BadToken, detail)));
            let Some(token) = &said.token else { return bad("a token is needed here") };
            let digest = Digest::of(token.as_bytes());
            let Some(found) = tokens.iter().find(|token| token.digest == digest) else {
                return bad("this is none of the tokens");
            };
            if found.site.as_ref().is_some_and(|site| *site != said.site) {
                return bad("this token is for another site");
            }
            archive.lock(digest.bytes())?;
            match archive.token_user(&digest)? {
                Some(user) if user != kid => return bad("this token was used by another agent"),
                Some(_) => {}
                None => archive.use_token(&digest, kid, now)?,
            }
            Standing::Approved
        }
    };
    match known {
        Some(known) => {
            if standing == Standing::Approved {
                archive.set_standing(known.agent, standing)?;
            }
        }
        None => {
            if standing == Standing::Pending && archive.pending()? >= PENDING {
                return Ok(Err(Problem::new(Kind::Busy, "too many agents wait to be approved")));
            }
            archive.add_agent(&said.jwk, &said.site, standing, now)?;
        }
    }
    Ok(Ok(if standing == Standing::Approved { State::Approved } else { State::Pending }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::collector::Database;
    use crate::evidence::enrol;
    use crate::evidence::key::SecretKey;

    fn said(seed: u8, site: &str, token: Option<&str>) -> Enrolment {
        enrol::verify(enrol::sign(site, token, &SecretKey::from_seed(&[seed; 32])).as_bytes()).unwrap()
    }

    struct Desk {
        archive: Archive,
        mode: Mode,
        tokens: Vec<Token>,
        _at: tempfile::TempDir,
    }

    impl Desk {
        fn new(mode: Mode) -> Self {
            let at = tempfile::tempdir().unwrap();
            let path = at.path().join("tokens");
            std::fs::write(&path, "# lines\n\n first  leeds-01\nsecond # anybody\n").unwrap();
            let tokens = tokens(&path).unwrap();
            assert_eq!(tokens.len(), 2);
            Self { archive: Archive::open(&Database::Sqlite(at.path().join("c.db"))).unwrap(), mode, tokens, _at: at }
        }

        fn enrol(&self, said: &Enrolment) -> Result<State, Option<Kind>> {
            let answer = enrol(&self.archive, said, &self.mode, &self.tokens, Wall::from_secs(1)).unwrap();
            answer.map_err(|problem| problem.kind())
        }
    }

    #[test]
    fn a_token_lets_one_agent_in_and_that_one_again() {
        let desk = Desk::new(Mode::Token("tokens".into()));
        assert_eq!(desk.enrol(&said(1, "x", None)), Err(Some(Kind::BadToken)));
        assert_eq!(desk.enrol(&said(1, "x", Some("third"))), Err(Some(Kind::BadToken)));
        assert_eq!(desk.enrol(&said(1, "x", Some("first"))), Err(Some(Kind::BadToken)), "for another site");
        assert_eq!(desk.enrol(&said(1, "x", Some("second"))), Ok(State::Approved));
        for token in [Some("second"), None, Some("third")] {
            assert_eq!(desk.enrol(&said(1, "x", token)), Ok(State::Approved), "the same agent again");
        }
        assert_eq!(desk.enrol(&said(2, "x", Some("second"))), Err(Some(Kind::BadToken)), "it was used");
        assert_eq!(desk.enrol(&said(2, "leeds-01", Some("first"))), Ok(State::Approved));
    }

    #[test]
    fn an_operator_approves_and_a_revoked_key_stays_out() {
        let mut desk = Desk::new(Mode::Operator);
        let agent = said(1, "x", None).jwk.kid();
        assert_eq!(desk.enrol(&said(1, "x", None)), Ok(State::Pending));
        assert_eq!(desk.enrol(&said(1, "x", None)), Ok(State::Pending));
        assert!(desk.archive.set_standing(agent, Standing::Approved).unwrap());
        assert_eq!(desk.enrol(&said(1, "x", None)), Ok(State::Approved));
        assert!(desk.archive.set_standing(agent, Standing::Revoked).unwrap());
        for mode in [Mode::Operator, Mode::Open, Mode::Token("tokens".into())] {
            desk.mode = mode;
            assert_eq!(desk.enrol(&said(1, "x", Some("second"))), Err(Some(Kind::Revoked)));
        }
        assert!(!desk.archive.set_standing(agent, Standing::Approved).unwrap(), "revoked is for good");
        assert!(!desk.archive.set_standing(said(9, "x", None).jwk.kid(), Standing::Approved).unwrap());
    }

    #[test]
    fn a_laboratory_is_open() {
        assert_eq!(Desk::new(Mode::Open).enrol(&said(1, "x", None)), Ok(State::Approved));
    }
}
