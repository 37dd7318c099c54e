//! Who may ship: agents, their keys, where each is and was, their tokens.

use std::collections::{BTreeMap, HashMap};

use crate::base::time::Wall;
use crate::collector::archive::db::Row;
use crate::collector::archive::query::{about, asking};
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::register::{Assignment, Enrolled, Register};

/// Whether an agent may ship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentStatus {
    /// An operator has to approve it first.
    Pending,
    /// It may.
    Approved,
    /// It may not any more, and never again.
    Revoked,
}

impl AgentStatus {
    /// Its word in JSON and in the database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Revoked => "revoked",
        }
    }

    pub(super) fn of(word: &str) -> Result<Self, ArchiveError> {
        match word {
            "pending" => Ok(Self::Pending),
            "approved" => Ok(Self::Approved),
            "revoked" => Ok(Self::Revoked),
            other => Err(ArchiveError::Damaged(format!("an agent's state is {other:?}"))),
        }
    }
}

/// A key that is known, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The key.
    pub key: PublicKey,
    /// Whose it is.
    pub agent: Kid,
    /// Whether that agent may ship.
    pub standing: AgentStatus,
    /// The site that it is at now.
    pub site: String,
    /// When the agent was enrolled.
    pub enrolled: Wall,
    /// The last summary that it may sign: that which named its successor.
    pub last: Option<(ChainId, u64)>,
}

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// Whose it is.
    pub agent: Kid,
    /// Whether that agent may ship.
    pub standing: AgentStatus,
    /// The last summary that it may sign: that which named its successor.
    pub last: Option<(ChainId, u64)>,
}

impl Right {
    /// Of the columns agent, state, last_chain and last_seq.
    pub(super) fn of(row: &Row<'_>) -> Result<Self, ArchiveError> {
        Ok(Self {
            agent: row.get(0)?,
            standing: AgentStatus::of(&row.get::<String>(1)?)?,
            last: row.get::<Option<ChainId>>(2)?.zip(row.get(3)?),
        })
    }
}

impl KnownKey {
    /// Of the columns x, agent, state, site, last_chain, last_seq and enrolled_ns.
    pub(super) fn of(row: &Row<'_>) -> Result<Self, ArchiveError> {
        Ok(Self {
            key: public_key(row.get(0)?)?,
            agent: row.get(1)?,
            standing: AgentStatus::of(&row.get::<String>(2)?)?,
            site: row.get(3)?,
            enrolled: row.get(6)?,
            last: row.get::<Option<ChainId>>(4)?.zip(row.get(5)?),
        })
    }
}

impl Archive {
    /// The key of an identifier, and whose it is.
    ///
    /// # Errors
    /// When the database fails.
    pub fn key(&self, kid: Kid) -> Result<Option<KnownKey>, ArchiveError> {
        let sql = "SELECT k.x, k.agent, a.state, a.site, k.last_chain, k.last_seq, a.enrolled_ns
                   FROM agent_key k JOIN agent a ON a.agent = k.agent WHERE k.kid = ?1";
        self.db.one(sql, args![&kid], KnownKey::of)
    }

    /// What a key may sign, the key itself being known: to read a point of the curve costs more
    /// than the row.
    ///
    /// # Errors
    /// When the database fails.
    pub fn right(&self, kid: Kid) -> Result<Option<Right>, ArchiveError> {
        let sql = "SELECT k.agent, a.state, k.last_chain, k.last_seq
                   FROM agent_key k JOIN agent a ON a.agent = k.agent WHERE k.kid = ?1";
        self.db.one(sql, args![&kid], Right::of)
    }

    /// The public keys of an agent, the first one first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn keys_of(&self, agent: Kid) -> Result<Vec<PublicKey>, ArchiveError> {
        Ok(self.keys(Some(agent))?.remove(&agent).unwrap_or_default())
    }

    /// The public keys of one agent or of each, the first one first.
    pub(super) fn keys(
        &self,
        only: Option<Kid>,
    ) -> Result<HashMap<Kid, Vec<PublicKey>>, ArchiveError> {
        self.keys_if(only, |_| true)
    }

    /// As [`Self::keys`], of those agents that are wanted: to read a key costs more than to read
    /// its row.
    pub(super) fn keys_if(
        &self,
        only: Option<Kid>,
        wanted: impl Fn(&Kid) -> bool,
    ) -> Result<HashMap<Kid, Vec<PublicKey>>, ArchiveError> {
        // An agent's first key is never deleted while it is there, so what it enrolled with is
        // among them.
        let sql =
            asking(only, "SELECT agent, x FROM agent_key", "agent", "ORDER BY kid <> agent, place");
        let mut all: HashMap<Kid, Vec<PublicKey>> = HashMap::new();
        self.db.each(&sql, &about(&only), |row| {
            let agent: Kid = row.get(0)?;
            if wanted(&agent) {
                all.entry(agent).or_default().push(public_key(row.get(1)?)?);
            }
            Ok::<(), ArchiveError>(())
        })?;
        Ok(all)
    }

    /// Enters an agent with its first key.
    ///
    /// # Errors
    /// When the database fails; when it is there already.
    pub fn add_agent(
        &self,
        key: &PublicKey,
        site: &str,
        standing: AgentStatus,
        now: Wall,
    ) -> Result<(), ArchiveError> {
        let agent = key.kid();
        let sql = "INSERT INTO agent (agent, site, state, enrolled_ns, asked_ns, place)
                   VALUES (?1, ?2, ?3, ?4, ?4, (SELECT coalesce(max(place), -1) + 1 FROM agent))";
        self.db.execute(sql, args![&agent, site, standing.word(), now])?;
        self.add_site(agent, site, now, "enrolment", now)?;
        self.add_key(agent, key)
    }

    fn add_key(&self, agent: Kid, key: &PublicKey) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO agent_key (kid, agent, x, place)
                   VALUES (?1, ?2, ?3, (SELECT count(*) FROM agent_key WHERE agent = ?2))";
        self.db.execute(sql, args![&key.kid(), &agent, key.bytes()]).map(drop)
    }

    /// An agent's next key signs from now on; the present one signs nothing after this summary.
    ///
    /// # Errors
    /// When the database fails; when the next key is known already.
    pub fn rotate(
        &self,
        agent: Kid,
        present: Kid,
        next: &PublicKey,
        at: (ChainId, u64),
    ) -> Result<(), ArchiveError> {
        let sql = "UPDATE agent_key SET last_chain = ?2, last_seq = ?3 WHERE kid = ?1";
        self.db.execute(sql, args![&present, &at.0, at.1])?;
        self.add_key(agent, next)
    }

    /// Changes whether an agent may ship; false when there is no such agent, or it was revoked,
    /// which is for good.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_standing(&self, agent: Kid, standing: AgentStatus) -> Result<bool, ArchiveError> {
        self.lock(agent.bytes())?;
        let sql =
            "UPDATE agent SET state = ?2 WHERE agent = ?1 AND (state <> 'revoked' OR state = ?2)";
        Ok(self.db.execute(sql, args![&agent, standing.word()])? > 0)
    }

    /// Puts an agent to a site, from an instant on that is not ahead of now; where it was before
    /// that stays as it was.
    ///
    /// # Errors
    /// When the database fails.
    pub fn assign(
        &self,
        agent: Kid,
        site: &str,
        from: Wall,
        who: &str,
        now: Wall,
    ) -> Result<(), ArchiveError> {
        self.lock(agent.bytes())?;
        self.add_site(agent, site, from, who, now)?;
        self.db
            .execute("UPDATE agent SET site = ?2 WHERE agent = ?1", args![&agent, site])
            .map(drop)
    }

    fn add_site(
        &self,
        agent: Kid,
        site: &str,
        from: Wall,
        who: &str,
        now: Wall,
    ) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO agent_site (agent, n, site, from_ns, recorded_ns, who)
                   VALUES (?1, (SELECT count(*) FROM agent_site WHERE agent = ?1), ?2, ?3, ?4, ?5)";
        self.db.execute(sql, args![&agent, site, from, now, who]).map(drop)
    }

    /// Leaves out all that a revoked agent said from an instant on; false where it is not revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub fn leave_out(&self, agent: Kid, from: Wall) -> Result<bool, ArchiveError> {
        let sql = "UPDATE agent SET until_ns = ?2 WHERE agent = ?1 AND state = 'revoked'";
        Ok(self.db.execute(sql, args![&agent, from])? > 0)
    }

    /// From when on what a revoked agent said is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub fn until(&self, agent: Kid) -> Result<Option<Wall>, ArchiveError> {
        let found =
            self.db.one("SELECT until_ns FROM agent WHERE agent = ?1", args![&agent], |row| {
                row.get(0)
            })?;
        Ok(found.flatten())
    }

    /// What an agent may speak for, and when.
    ///
    /// # Errors
    /// When the database fails.
    pub fn enrolled(&self, agent: Kid) -> Result<Option<Enrolled>, ArchiveError> {
        let sql = "SELECT place, until_ns FROM agent WHERE agent = ?1";
        let found = self
            .db
            .one(sql, args![&agent], |row| Ok((row.get::<u64>(0)?, row.get::<Option<Wall>>(1)?)))?;
        let Some((place, until)) = found else { return Ok(None) };
        let sql = "SELECT site, from_ns, recorded_ns FROM agent_site WHERE agent = ?1 ORDER BY n";
        let all = self.db.all(sql, args![&agent], |row| assignment(row, 0))?;
        Ok(Some(Enrolled::new(place, &all, until)))
    }

    /// What every agent may speak for, and when.
    ///
    /// # Errors
    /// When the database fails.
    pub fn register(&self) -> Result<Register, ArchiveError> {
        let mut agents: BTreeMap<Kid, (u64, Option<Wall>, Vec<Assignment>)> = BTreeMap::new();
        let sql = "SELECT a.agent, a.place, a.until_ns, s.site, s.from_ns, s.recorded_ns
                   FROM agent a JOIN agent_site s ON s.agent = a.agent ORDER BY a.agent, s.n";
        self.db.each(sql, args![], |row| {
            let (place, until) = (row.get(1)?, row.get(2)?);
            let (_, _, own) = agents.entry(row.get(0)?).or_insert((place, until, Vec::new()));
            own.push(assignment(row, 3)?);
            Ok::<(), ArchiveError>(())
        })?;
        let mut register = Register::default();
        for (agent, (place, until, own)) in agents {
            register.put(agent, Enrolled::new(place, &own, until));
        }
        Ok(register)
    }

    /// Who used a token, if anybody did.
    ///
    /// # Errors
    /// When the database fails.
    pub fn token_user(&self, token: &Digest) -> Result<Option<Kid>, ArchiveError> {
        let sql = "SELECT agent FROM token WHERE digest = ?1";
        self.db.one(sql, args![token], |row| row.get(0))
    }

    /// Enters that a token was used.
    ///
    /// # Errors
    /// When the database fails; when it was used before.
    pub fn use_token(&self, token: &Digest, agent: Kid, now: Wall) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO token (digest, agent, used_ns) VALUES (?1, ?2, ?3)";
        self.db.execute(sql, args![token, &agent, now]).map(drop)
    }
}

/// Of the columns site, from_ns and recorded_ns, from a place on.
fn assignment(row: &Row<'_>, at: usize) -> Result<Assignment, ArchiveError> {
    Ok(Assignment { site: row.get(at)?, from: row.get(at + 1)?, recorded: row.get(at + 2)? })
}

fn public_key(x: [u8; 32]) -> Result<PublicKey, ArchiveError> {
    PublicKey::from_bytes(x).map_err(|fault| ArchiveError::Damaged(fault.to_string()))
}
