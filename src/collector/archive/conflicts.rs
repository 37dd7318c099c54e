//! What did not fit into its chain, kept aside: evidence of a fault, for the operator.

use crate::base::time::Wall;
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError, packed};
use crate::evidence::receipt::Subject;

/// A summary that was refused as `chain-conflict`, though the agent's key signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Whose, which chain, which number, which digest.
    pub subject: Subject,
    /// When it came.
    pub received: Wall,
    /// Why it did not fit.
    pub why: String,
    /// The compact JWS.
    pub jws: String,
}

impl Archive {
    /// What was kept aside, by agent, chain, number and time.
    ///
    /// # Errors
    /// When the database fails.
    pub fn kept_aside(&self) -> Result<Vec<Conflict>, ArchiveError> {
        let sql = "SELECT agent, chain, seq, digest, received_ns, why, jws FROM conflict
                   ORDER BY agent, chain, seq, received_ns, digest";
        let mut all = Vec::new();
        self.db.each(sql, args![], |row| {
            let subject = Subject {
                agent: row.get(0)?,
                chain: row.get(1)?,
                seq: row.get(2)?,
                digest: row.get(3)?,
            };
            let (received, why) = (row.get(4)?, row.get(5)?);
            all.push(Conflict { subject, received, why, jws: packed::unpack(row.get(6)?)? });
            Ok::<(), ArchiveError>(())
        })?;
        Ok(all)
    }
}
