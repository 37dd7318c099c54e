//! Who is let in: by a one-time token, by an operator, or anybody.

use std::path::Path;
use std::sync::Arc;

use crate::base::time::{Clock, SystemClock, Wall};
use crate::collector::archive::agents::{AgentStatus, KnownKey};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::body::{self, Encoding, Plan};
use crate::collector::caller::Caller;
use crate::collector::concurrency::Work;
use crate::collector::connections::{Repute, Source};
use crate::collector::fault::Fault;
use crate::collector::ingest::PARSED;
use crate::collector::memory_budget::Reservation;
use crate::collector::operators::too_many_guesses;
use crate::collector::{Collector, json};
use crate::config::collector::tokens::{self, Token};
use crate::config::collector::{Enrolment as Mode, Waiting};
use crate::config::secret;
use crate::evidence::digest::Digest;
use crate::evidence::enrol::{self, Enrolled, Enrolment, State};
use crate::evidence::problem::{Kind, Problem};

/// By what it is decided who is let in, and where whoever asks is.
#[derive(Clone, Debug)]
pub struct Asking<'a> {
    /// Who is let in.
    pub mode: &'a Mode,
    /// The tokens that let in.
    pub tokens: &'a [Token],
    /// How many may wait.
    pub waiting: Waiting,
    /// From where it is asked.
    pub from: Source,
    /// When.
    pub now: Wall,
}

/// Why an agent is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It brought what is no token at all.
    Guess(Problem),
    /// For another reason.
    Other(Problem),
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Guess(problem) | Refused::Other(problem) => problem,
        }
    }
}

/// The tokens of a file, as [`tokens::enrolment`] reads them. What cannot be read, or is exposed,
/// lets nobody in, and is told in the log.
fn tokens_of(path: &Path) -> Vec<Token> {
    let text = secret::read(path).unwrap_or_else(|why| {
        tracing::error!("no token lets anybody in: {why}");
        String::new()
    });
    let (tokens, faults) = tokens::enrolment(&text);
    for fault in faults {
        tracing::error!(file = %path.display(), "a token lets nobody in: {fault}");
    }
    tokens
}

fn is_settled(known: &KnownKey) -> bool {
    known.standing != AgentStatus::Pending || known.last.is_some()
}

impl Collector {
    /// Lets an agent in or not. Whoever brings wrong tokens, or makes up agents that wait, has to
    /// wait; an agent that is known is answered at once.
    pub(super) async fn enrol(
        self: &Arc<Self>,
        body: Vec<u8>,
        encoding: Encoding,
        caller: &Caller,
        mut memory: Reservation,
    ) -> Result<String, Fault> {
        let (config, from) = (self.config(), caller.peer.source());
        let (work, beside) = match Plan::of(&body, encoding) {
            Plan::AtOnce(_) => (Work::Short, 0),
            Plan::ByPieces(beside) => (Work::Long, beside),
        };
        memory.take(beside + (1 + PARSED) * enrol::LIMIT).await?;
        let mode = config.enrolment.clone();
        let (said, tokens, known) = self
            .read_for(caller.repute(), work, move |archive| {
                let _memory = memory;
                let body = body::expand(body, encoding, enrol::LIMIT)?;
                let said = enrol::verify(body.strip_suffix(b"\n").unwrap_or(&body))?;
                let tokens = match &mode {
                    Mode::Token(path) => tokens_of(path),
                    Mode::Operator | Mode::Open => Vec::new(),
                };
                let known = archive.key(said.jwk.kid())?;
                Ok((said, tokens, known))
            })
            .await?;
        let now = SystemClock.now();
        let is_new = known.is_none();
        let limited = match &config.enrolment {
            Mode::Token(_) if said.token.is_some() => Some(&self.guesses.enrolment),
            Mode::Operator if is_new => Some(&self.guesses.waiting),
            _ => None,
        };
        let limited = limited.filter(|_| !known.as_ref().is_some_and(is_settled));
        if let Some(Err(wait)) = limited.map(|guesses| guesses.count(from, now.mono)) {
            return Err(too_many_guesses(wait));
        }
        let (kid, site) = (said.jwk.kid(), said.site.clone());
        let waiting = config.waiting;
        let turn = match caller.repute() {
            Repute::Known => None,
            Repute::Stranger => Some(
                self.processors
                    .change()
                    .await
                    .ok_or_else(|| Fault::busy("too many ask to be enrolled at once"))?,
            ),
        };
        let answered = self
            .writer()?
            .write(move |archive| {
                let mode = &config.enrolment;
                enrol(
                    archive,
                    &said,
                    &Asking { mode, tokens: &tokens, waiting, from, now: now.wall },
                )
            })
            .await?;
        drop(turn);
        match (&answered, limited) {
            (Err(Refused::Guess(_)), _) => {
                tracing::warn!(
                    %from, agent = %kid, site, "an agent asked to enrol with an unknown token"
                );
            }
            // One more that waits counts as that.
            (Ok(State::Pending), _) | (_, None) => {}
            (Ok(_) | Err(Refused::Other(_)), Some(guesses)) => guesses.give_back(from, now.mono),
        }
        let state = answered.map_err(Problem::from)?;
        tracing::info!(agent = %kid, site, %from, ?state, "an agent asked to be enrolled");
        Ok(json(&Enrolled { state, jwk: *self.key() }))
    }
}

/// Lets an agent in or not. The same agent gets the same answer again, whatever token it brings
/// then.
///
/// # Errors
/// When the database fails.
pub fn enrol(
    archive: &Archive,
    said: &Enrolment,
    asking: &Asking<'_>,
) -> Result<Result<State, Refused>, ArchiveError> {
    let kid = said.jwk.kid();
    archive.lock(kid.bytes())?;
    let known = archive.key(kid)?;
    match &known {
        Some(known) if known.standing == AgentStatus::Revoked || known.last.is_some() => {
            return Ok(Err(Refused::Other(Problem::new(
                Kind::Revoked,
                "this key was revoked or replaced, and is never enrolled again",
            ))));
        }
        Some(known) if known.standing == AgentStatus::Approved => return Ok(Ok(State::Approved)),
        _ => {}
    }
    let standing = match asking.mode {
        Mode::Open => AgentStatus::Approved,
        Mode::Operator => AgentStatus::Pending,
        Mode::Token(_) => match by_token(archive, said, asking)? {
            Ok(()) => AgentStatus::Approved,
            Err(refused) => return Ok(Err(refused)),
        },
    };
    match known {
        Some(known) if standing == AgentStatus::Approved => {
            archive.set_standing(known.agent, standing)?;
        }
        Some(known) => archive.asked(known.agent, &asking.from.to_string(), asking.now)?,
        None => {
            if standing == AgentStatus::Pending {
                make_room(archive, asking)?;
            }
            archive.add_agent(&said.jwk, &said.site, standing, asking.now)?;
            archive.asked(kid, &asking.from.to_string(), asking.now)?;
        }
    }
    Ok(Ok(if standing == AgentStatus::Approved { State::Approved } else { State::Pending }))
}

/// Whether the token that an agent brings lets it in; then it is used.
fn by_token(
    archive: &Archive,
    said: &Enrolment,
    asking: &Asking<'_>,
) -> Result<Result<(), Refused>, ArchiveError> {
    let kid = said.jwk.kid();
    let bad = |detail: &str| Ok(Err(Refused::Other(Problem::new(Kind::BadToken, detail))));
    let Some(token) = &said.token else { return bad("a token is needed here") };
    let digest = Digest::of(token.as_bytes());
    let Some(found) = asking.tokens.iter().find(|token| token.digest == digest) else {
        return Ok(Err(Refused::Guess(Problem::new(Kind::BadToken, "this is none of the tokens"))));
    };
    if found.site.as_ref().is_some_and(|site| *site != said.site) {
        return bad("this token is for another site");
    }
    if found.until.is_some_and(|until| asking.now >= until) {
        return bad("this token's last day is over");
    }
    archive.lock(digest.bytes())?;
    match archive.token_user(&digest)? {
        Some(user) if user != kid => return bad("this token was used by another agent"),
        Some(_) => {}
        None => archive.use_token(&digest, kid, asking.now)?,
    }
    Ok(Ok(()))
}

/// Lets go those who wait and did not ask for long, and then whoever asked longest ago, of that
/// network and of all, until one more may wait.
fn make_room(archive: &Archive, asking: &Asking<'_>) -> Result<(), ArchiveError> {
    let Waiting { all, from_one, long } = asking.waiting;
    let mut gone = 0u64;
    for agent in archive.given_up(asking.now - long)? {
        gone += u64::from(archive.forget_pending(agent)?);
    }
    let network = asking.from.to_string();
    for (of, most) in [(Some(network.as_str()), from_one), (None, all)] {
        let over = (archive.pending(of)? + 1).saturating_sub(u64::from(most));
        for _ in 0..over {
            let Some(agent) = archive.longest_waiting(of)? else { break };
            gone += u64::from(archive.forget_pending(agent)?);
        }
    }
    if gone > 0 {
        tracing::warn!(
            from = network,
            gone,
            "agents that waited to be approved were let go, to make room or for their age"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::collector::Database;
    use crate::evidence::enrol;
    use crate::evidence::key::SecretKey;

    fn said(seed: u8, site: &str, token: Option<&str>) -> Enrolment {
        enrol::verify(enrol::sign(site, token, &SecretKey::from_seed(&[seed; 32])).as_bytes())
            .unwrap()
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
            let text =
                "# lines\n\n first  leeds-01\nsecond # anybody\nthird site=york until=2026-11-30";
            let (tokens, faults) = tokens::enrolment(text);
            assert_eq!((tokens.len(), faults.len()), (3, 0));
            Self {
                archive: Archive::open(&Database::Sqlite(at.path().join("c.db"))).unwrap(),
                mode,
                tokens,
                _at: at,
            }
        }

        fn enrol(&self, said: &Enrolment) -> Result<State, Option<Kind>> {
            self.enrol_at(said, "192.0.2.1", 1)
        }

        fn enrol_at(
            &self,
            said: &Enrolment,
            from: &str,
            second: i64,
        ) -> Result<State, Option<Kind>> {
            let asking = Asking {
                mode: &self.mode,
                tokens: &self.tokens,
                waiting: Waiting { all: 5, from_one: 3, long: Duration::from_secs(1000) },
                from: Source::of(from.parse().unwrap()),
                now: Wall::from_secs(second),
            };
            let answer = enrol(&self.archive, said, &asking).unwrap();
            answer.map_err(|refused| Problem::from(refused).kind())
        }

        fn waiting(&self) -> Vec<u8> {
            let of = |kid| {
                (0..=255).find(|seed| SecretKey::from_seed(&[*seed; 32]).kid() == kid).unwrap()
            };
            self.archive.waiting().unwrap().into_iter().map(|each| of(each.agent)).collect()
        }
    }

    #[test]
    fn a_token_lets_one_agent_in_and_that_one_again() {
        let desk = Desk::new(Mode::Token("tokens".into()));
        assert_eq!(desk.enrol(&said(1, "x", None)), Err(Some(Kind::BadToken)));
        assert_eq!(desk.enrol(&said(1, "x", Some("nope"))), Err(Some(Kind::BadToken)));
        assert_eq!(
            desk.enrol(&said(1, "x", Some("first"))),
            Err(Some(Kind::BadToken)),
            "for another site"
        );
        assert_eq!(desk.enrol(&said(1, "x", Some("second"))), Ok(State::Approved));
        for token in [Some("second"), None, Some("nope")] {
            assert_eq!(
                desk.enrol(&said(1, "x", token)),
                Ok(State::Approved),
                "the same agent again"
            );
        }
        assert_eq!(
            desk.enrol(&said(2, "x", Some("second"))),
            Err(Some(Kind::BadToken)),
            "it was used"
        );
        assert_eq!(desk.enrol(&said(2, "leeds-01", Some("first"))), Ok(State::Approved));
    }

    #[test]
    fn an_operator_approves_and_a_revoked_key_stays_out() {
        let mut desk = Desk::new(Mode::Operator);
        let agent = said(1, "x", None).jwk.kid();
        assert_eq!(desk.enrol(&said(1, "x", None)), Ok(State::Pending));
        assert_eq!(desk.enrol(&said(1, "x", None)), Ok(State::Pending));
        assert!(desk.archive.set_standing(agent, AgentStatus::Approved).unwrap());
        assert_eq!(desk.enrol(&said(1, "x", None)), Ok(State::Approved));
        assert!(desk.archive.set_standing(agent, AgentStatus::Revoked).unwrap());
        for mode in [Mode::Operator, Mode::Open, Mode::Token("tokens".into())] {
            desk.mode = mode;
            assert_eq!(desk.enrol(&said(1, "x", Some("second"))), Err(Some(Kind::Revoked)));
        }
        assert!(
            !desk.archive.set_standing(agent, AgentStatus::Approved).unwrap(),
            "revoked is for good"
        );
        assert!(
            !desk
                .archive
                .set_standing(said(9, "x", None).jwk.kid(), AgentStatus::Approved)
                .unwrap()
        );
    }

    #[test]
    fn a_token_is_good_for_its_site_until_the_end_of_its_last_day() {
        let desk = Desk::new(Mode::Token("tokens".into()));
        let ask = |seed, site, time: &str| {
            let second = time.parse::<Wall>().unwrap().secs();
            desk.enrol_at(&said(seed, site, Some("third")), "192.0.2.1", second)
        };
        assert_eq!(
            ask(1, "leeds", "2026-11-01T00:00:00Z"),
            Err(Some(Kind::BadToken)),
            "another site"
        );
        assert_eq!(
            ask(1, "york", "2026-12-01T00:00:00Z"),
            Err(Some(Kind::BadToken)),
            "its last day is over"
        );
        assert_eq!(ask(1, "york", "2026-11-30T23:59:59Z"), Ok(State::Approved));
        assert_eq!(
            ask(1, "york", "2027-12-01T00:00:00Z"),
            Ok(State::Approved),
            "the same agent again"
        );
    }

    #[test]
    fn so_many_wait_for_each_address_and_in_all_and_the_oldest_goes() {
        let desk = Desk::new(Mode::Operator);
        let ask = |seed: u8, from: &str, second| {
            assert_eq!(
                desk.enrol_at(&said(seed, "x", None), from, second),
                Ok(State::Pending),
                "{seed}"
            );
        };
        for seed in 1..=3 {
            ask(seed, "2001:db8::1", i64::from(seed));
        }
        ask(1, "2001:db8::1", 4);
        // The same network: its own oldest goes, not the one that asked again.
        ask(4, "2001:db8::ffff:2", 5);
        assert_eq!(desk.waiting(), [3, 1, 4]);
        ask(5, "192.0.2.1", 6);
        ask(6, "192.0.2.2", 7);
        assert_eq!(desk.waiting(), [3, 1, 4, 5, 6]);
        ask(7, "192.0.2.3", 8);
        assert_eq!(desk.waiting(), [1, 4, 5, 6, 7], "in all: whoever asked longest ago");
        ask(8, "192.0.2.4", 1006);
        assert_eq!(desk.waiting(), [5, 6, 7, 8], "who did not ask for so long is let go");
        // Who was let go and asks again waits again; who was approved stays whatever comes.
        ask(1, "2001:db8::1", 1007);
        let agent = said(1, "x", None).jwk.kid();
        assert!(desk.archive.set_standing(agent, AgentStatus::Approved).unwrap());
        for seed in 10..30 {
            ask(seed, "2001:db8::1", 1010 + i64::from(seed));
        }
        assert_eq!(desk.archive.key(agent).unwrap().unwrap().standing, AgentStatus::Approved);
        assert_eq!(
            desk.waiting(),
            [8, 27, 28, 29],
            "of one network, and none that it pushed out of another"
        );
    }

    #[test]
    fn a_laboratory_is_open() {
        assert_eq!(Desk::new(Mode::Open).enrol(&said(1, "x", None)), Ok(State::Approved));
    }
}
