//! What a hand changed of what an agent may speak for, carried out: what is left out is folded anew
//! without it, and all that the change touches is judged again.

use std::sync::Arc;

use crate::base::time::Wall;
use crate::collector::Collector;
use crate::collector::agent_state::refold;
use crate::collector::amend::{self, Amendment, LeavesOut};
use crate::collector::archive::Archive;
use crate::collector::archive::ledger::{Kind, Record};
use crate::collector::fault::Fault;
use crate::collector::marks::mark_because;
use crate::collector::scheduler::Rounds;
use crate::collector::scheduler::did::Did;

impl Rounds {
    /// Carries out what waits. Each step is a transaction, and done again it does the same.
    pub(super) async fn amend(
        &self,
        collector: &Arc<Collector>,
        now: Wall,
        did: &mut Did,
    ) -> Result<(), Fault> {
        let waiting = collector.read(|archive| Ok(amend::waiting(archive)?)).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let book = collector.book().await?;
        for Record { id, body: amendment } in waiting {
            let mut from = amendment.from;
            if amendment.leaves_out == LeavesOut::WhatCame {
                let Some(first) = self.fold_anew(collector, &amendment, now).await? else {
                    did.more = true;
                    continue;
                };
                from = from.min(first);
            }
            let (book, change) = (Arc::clone(&book), amendment.clone());
            let touched = collector
                .read(move |archive| Ok(amend::touched(archive, &book, &change, from, now)?))
                .await?;
            let write = move |archive: &Archive| {
                for (contract, service, month) in &touched {
                    mark_because(archive, (contract, service, month), &amendment.why, now)?;
                }
                archive.drop_record_as(Kind::Amendment, &id, &amendment)
            };
            collector.change(write).await?;
        }
        Ok(())
    }

    /// Folds anew what came since; gives the beginning of what that touches, or nothing while not
    /// all that came is folded.
    async fn fold_anew(
        &self,
        collector: &Arc<Collector>,
        amendment: &Amendment,
        now: Wall,
    ) -> Result<Option<Wall>, Fault> {
        let (agent, since) = (amendment.agent, amendment.from);
        let Some(days) =
            collector.read(move |archive| Ok(refold::days(archive, agent, since)?)).await?
        else {
            return Ok(None);
        };
        let first = days.first().map_or(since, |day| Wall::from_secs(day * 86_400).min(since));
        for day in days {
            // Much may be to do, and the lease be near its end.
            self.lease_on(collector).await?;
            let folded =
                collector.read(move |archive| Ok(refold::day(archive, agent, day)?)).await?;
            collector.change(move |archive| folded.write(archive)).await?;
        }
        let outages =
            collector.read(move |archive| Ok(refold::outages(archive, agent, first)?)).await?;
        collector
            .change(move |archive| refold::write_outages(archive, agent, &outages, now))
            .await?;
        Ok(Some(first))
    }
}
