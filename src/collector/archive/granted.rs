//! The requests that were granted: each is good once, whichever replica it comes to.

use crate::base::time::Wall;
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::digest::Digest;
use crate::evidence::key::Kid;

/// What was granted is remembered for so long after it ends, in seconds: as far as replicas' clocks
/// may be apart.
const APART: i64 = 600;

impl Archive {
    /// Grants an agent's request, which ends at `exp` (seconds since the epoch), once: whether it
    /// is the first of its `jti`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn grant(&self, agent: Kid, jti: &str, exp: i64, now: Wall) -> Result<bool, ArchiveError> {
        self.db.execute("DELETE FROM granted WHERE exp < ?1", args![now.secs() - APART])?;
        let sql =
            "INSERT INTO granted (agent, jti, exp) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        let jti = Digest::of(jti.as_bytes());
        Ok(self.db.execute(sql, args![&agent, &jti, exp])? == 1)
    }
}
