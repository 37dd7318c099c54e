//! Who may ship: agents, their keys, their tokens.

use rusqlite::{OptionalExtension, params};

use crate::base::time::Wall;
use crate::collector::archive::{Archive, ArchiveError, bytes, number, unsigned};
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::evidence::key::{Kid, PublicKey};

/// Whether an agent may ship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An operator has to approve it first.
    Pending,
    /// It may.
    Approved,
    /// It may not any more, and never again.
    Revoked,
}

impl Standing {
    /// Its word in JSON and in the database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Revoked => "revoked",
        }
    }

    fn of(word: &str) -> Result<Self, ArchiveError> {
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
    pub standing: Standing,
    /// The agent's site.
    pub site: String,
    /// The last summary that it may sign: that which named its successor.
    pub last: Option<(ChainId, u64)>,
}

impl Archive {
    /// The key of an identifier, and whose it is.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn key(&self, kid: Kid) -> Result<Option<KnownKey>, ArchiveError> {
        type Row = (Vec<u8>, Vec<u8>, String, String, Option<Vec<u8>>, Option<u64>);
        let sql = "SELECT k.x, k.agent, a.state, a.site, k.last_chain, k.last_seq
                   FROM agent_key k JOIN agent a ON a.agent = k.agent WHERE k.kid = ?1";
        let row: Option<Row> = self
            .db
            .prepare_cached(sql)?
            .query_row(params![kid.bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, unsigned(row, 5).ok()))
            })
            .optional()?;
        let Some((x, agent, state, site, last_chain, last_seq)) = row else { return Ok(None) };
        let key = PublicKey::from_bytes(bytes(&x)?).map_err(|fault| ArchiveError::Damaged(fault.to_string()))?;
        let last = match (last_chain, last_seq) {
            (Some(chain), Some(seq)) => Some((ChainId::from_bytes(bytes(&chain)?), seq)),
            _ => None,
        };
        Ok(Some(KnownKey { key, agent: Kid::from_bytes(bytes(&agent)?), standing: Standing::of(&state)?, site, last }))
    }

    /// The public keys of an agent, the first one first.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn keys_of(&self, agent: Kid) -> Result<Vec<PublicKey>, ArchiveError> {
        let mut statement = self.db.prepare("SELECT x FROM agent_key WHERE agent = ?1 ORDER BY kid <> agent, place")?;
        let rows = statement.query_map(params![agent.bytes()], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|x| PublicKey::from_bytes(bytes(&x?)?).map_err(|fault| ArchiveError::Damaged(fault.to_string())))
            .collect()
    }

    /// Enters an agent with its first key.
    ///
    /// # Errors
    /// When SQLite fails; when it is there already.
    pub fn add_agent(&self, key: &PublicKey, site: &str, standing: Standing, now: Wall) -> Result<(), ArchiveError> {
        let agent = key.kid();
        self.db.execute(
            "INSERT INTO agent (agent, site, state, enrolled_ns) VALUES (?1, ?2, ?3, ?4)",
            params![agent.bytes(), site, standing.word(), now.nanos()],
        )?;
        self.add_key(agent, key)
    }

    fn add_key(&self, agent: Kid, key: &PublicKey) -> Result<(), ArchiveError> {
        self.db.execute(
            "INSERT INTO agent_key (kid, agent, x, place)
             VALUES (?1, ?2, ?3, (SELECT count(*) FROM agent_key WHERE agent = ?2))",
            params![key.kid().bytes(), agent.bytes(), key.bytes()],
        )?;
        Ok(())
    }

    /// An agent's next key signs from now on; the present one signs nothing after this summary.
    ///
    /// # Errors
    /// When SQLite fails; when the next key is known already.
    pub fn rotate(&self, agent: Kid, present: Kid, next: &PublicKey, at: (ChainId, u64)) -> Result<(), ArchiveError> {
        self.db.execute(
            "UPDATE agent_key SET last_chain = ?2, last_seq = ?3 WHERE kid = ?1",
            params![present.bytes(), at.0.bytes(), number(at.1)],
        )?;
        self.add_key(agent, next)
    }

    /// How many agents wait to be approved.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn pending(&self) -> Result<u64, ArchiveError> {
        Ok(self.db.query_row("SELECT count(*) FROM agent WHERE state = 'pending'", [], |row| unsigned(row, 0))?)
    }

    /// Changes whether an agent may ship; false when there is no such agent, or it was revoked, which is for good.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn set_standing(&self, agent: Kid, standing: Standing) -> Result<bool, ArchiveError> {
        let sql = "UPDATE agent SET state = ?2 WHERE agent = ?1 AND (state <> 'revoked' OR ?2 = 'revoked')";
        Ok(self.db.execute(sql, params![agent.bytes(), standing.word()])? > 0)
    }

    /// Who used a token, if anybody did.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn token_user(&self, token: &Digest) -> Result<Option<Kid>, ArchiveError> {
        let sql = "SELECT agent FROM token WHERE digest = ?1";
        let agent: Option<Vec<u8>> = self.db.query_row(sql, params![token.bytes()], |row| row.get(0)).optional()?;
        agent.map(|agent| Ok(Kid::from_bytes(bytes(&agent)?))).transpose()
    }

    /// Enters that a token was used.
    ///
    /// # Errors
    /// When SQLite fails; when it was used before.
    pub fn use_token(&self, token: &Digest, agent: Kid, now: Wall) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO token (digest, agent, used_ns) VALUES (?1, ?2, ?3)";
        self.db.execute(sql, params![token.bytes(), agent.bytes(), now.nanos()])?;
        Ok(())
    }
}
