//! What an earlier version of this program left out by a clock that was behind, taken back: the
//! days that hold some of it are folded anew without it, and then it is folded as what came late
//! is.

use std::sync::Arc;

use crate::base::time::Wall;
use crate::collector::Collector;
use crate::collector::agent_state::refold;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::fault::Fault;
use crate::collector::scheduler::{Rounds, repair};
use crate::evidence::key::Kid;

impl Rounds {
    /// Takes back what there is. Each step is a transaction, and done again it does the same.
    pub(super) async fn take_back(
        &self,
        collector: &Arc<Collector>,
        now: Wall,
    ) -> Result<(), Fault> {
        let mut count = 0;
        for agent in collector.read(|archive| Ok(archive.left_out_by_mistake()?)).await? {
            match self.take_back_of(collector, agent).await? {
                Ok(taken) => count += taken,
                Err(what) => {
                    tracing::error!(%agent, "what was left out of it could not be taken back: \
                        {what}")
                }
            }
        }
        if count > 0 {
            collector.change(move |archive| repair::told_of_evidence(archive, count, now)).await?;
        }
        Ok(())
    }

    async fn take_back_of(
        &self,
        collector: &Arc<Collector>,
        agent: Kid,
    ) -> Result<Result<u64, String>, Fault> {
        let days =
            collector.read(move |archive| Ok(archive.days_left_out_by_mistake(agent)?)).await?;
        for day in days {
            // Much may be to do, and the lease be near its end.
            self.lease_on(collector).await?;
            match collector.try_read(move |archive| refold::day(archive, agent, day)).await? {
                Ok(folded) => collector.change(move |archive| folded.write(archive)).await?,
                Err(what) => return Ok(Err(what)),
            }
        }
        collector
            .try_change(move |archive: &Archive| -> Result<u64, ArchiveError> {
                archive.take_back(agent)
            })
            .await
    }
}
