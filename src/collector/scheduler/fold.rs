//! What came is folded, of each agent some, in turn; and what it touches is marked to be judged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::collector::agent_state::gather;
use crate::collector::archive::Archive;
use crate::collector::fault::Fault;
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::marks::mark;
use crate::collector::operations::agreements::Book;
use crate::collector::periods::months_in;
use crate::collector::scheduler::Rounds;
use crate::collector::scheduler::did::Did;
use crate::collector::verdicts::Fleet;
use crate::collector::{Collector, troubles};
use crate::evidence::key::Kid;
use crate::sla::span::Span;

/// So many agents are looked at in a round, each once, …
const AGENTS: u32 = 128;
/// … in so many of its chains.
const CHAINS: u32 = 64;
/// While others wait for a processor, so much longer than it works it leaves it to them.
const YIELD: u32 = 4;
/// But no longer than this at once.
const LONGEST_YIELD: Duration = Duration::from_secs(1);

impl Rounds {
    /// Folds what came, and marks in the same transaction what has to be judged for it: of each
    /// agent some, in turn.
    pub(super) async fn fold(
        &mut self,
        collector: &Arc<Collector>,
        did: &mut Did,
    ) -> Result<(), Fault> {
        let after = self.after;
        let agents =
            collector.read(move |archive| Ok(archive.unfolded_agents(after, AGENTS)?)).await?;
        self.after = agents.last().copied().filter(|_| agents.len() >= AGENTS as usize);
        did.more = self.after.is_some() || (after.is_some() && !agents.is_empty());
        if agents.is_empty() {
            return Ok(());
        }
        let book = collector.book().await?;
        let troubles = collector.read(|archive| Ok(troubles::all(archive)?)).await?;
        for agent in agents {
            let now = self.clock.now().wall;
            if troubles.get(&troubles::of_agent(agent)).is_some_and(|trouble| trouble.waits(now)) {
                continue;
            }
            let began = Instant::now();
            let folded = self.fold_agent(collector, &book, agent).await?;
            (did.folded, did.more) = (did.folded + folded.count, did.more | folded.goes_on);
            if collector.is_busy() {
                // Who ships is answered first: what waits to be judged waits a little longer.
                tokio::time::sleep((began.elapsed() * YIELD).min(LONGEST_YIELD)).await;
            }
            if collector.is_stopping() || !self.holds_on(collector).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Folds what came of an agent. Where something of it cannot be folded, it is folded one by
    /// one, and that is left out.
    async fn fold_agent(
        &mut self,
        collector: &Arc<Collector>,
        book: &Arc<Book>,
        agent: Kid,
    ) -> Result<Folded, Fault> {
        let now = self.clock.now().wall;
        for at_most in [gather::AT_ONCE, 1] {
            match self.fold_some(collector, book, agent, at_most).await? {
                Ok(folded) => return Ok(folded),
                Err(why) => tracing::warn!(%agent, at_most, "what came cannot be folded: {why}"),
            }
        }
        let why = "it cannot be folded into what was measured";
        let left_out = move |archive: &Archive| {
            let chains = archive.unfolded_of(agent, CHAINS)?;
            let Some((chain, seq)) = gather::first(archive, &chains)? else {
                return Ok(false);
            };
            archive.quarantine((agent, chain), seq, why, now)?;
            Ok(true)
        };
        if collector.try_change(left_out).await? == Ok(true) {
            return Ok(Folded { count: 0, goes_on: true });
        }
        let detail = format!(
            "nothing of what agent {agent} measured can be taken in; it is tried again every hour"
        );
        let finding = Finding {
            kind: FindingKind::Quarantined,
            subject: agent.to_string(),
            site: None,
            detail,
        };
        collector
            .change(move |archive| troubles::put(archive, &troubles::of_agent(agent), finding, now))
            .await?;
        Ok(Folded::default())
    }

    async fn fold_some(
        &mut self,
        collector: &Arc<Collector>,
        book: &Arc<Book>,
        agent: Kid,
        at_most: u32,
    ) -> Result<Result<Folded, String>, Fault> {
        let now = self.clock.now().wall;
        // The only one that knows it: it is changed where it is, and comes back.
        drop(self.know(collector, now).await?);
        let (Some(mut fleet), book) = (self.fleet.take(), Arc::clone(book)) else {
            return Ok(Ok(Folded::default()));
        };
        let late_after = collector.config().evidence.late_after;
        let read = move |archive: &Archive| {
            let chains = archive.unfolded_of(agent, CHAINS)?;
            match gather::gather_some(archive, &chains, at_most, (now, late_after)) {
                Ok(news) => {
                    let news = news.map(|news| {
                        let touched = enter(&book, &mut fleet, &news);
                        (news, touched)
                    });
                    Ok((fleet, Ok(news)))
                }
                Err(error) if error.is_of_a_row() => Ok((fleet, Err(error.to_string()))),
                Err(error) => Err(error),
            }
        };
        let (fleet, news) = match collector.try_read(read).await? {
            Ok(read) => read,
            Err(why) => return Ok(Err(why)),
        };
        let (news, touched) = match news {
            Ok(Some(news)) => news,
            nothing => {
                self.fleet = Some(fleet);
                return Ok(nothing.map(|_| Folded::default()));
            }
        };
        let folded = Folded { count: news.count, goes_on: news.goes_on() };
        let write = move |archive: &Archive| {
            if gather::write(archive, &news, now)? {
                let mut all = touched.iter();
                all.try_for_each(|(contract, service, month)| {
                    mark(archive, contract, service, month, now)
                })?;
                troubles::clear(archive, &troubles::of_agent(agent))?;
            }
            Ok(())
        };
        Ok(match collector.try_change(write).await? {
            Ok(()) => {
                self.fleet = Some(fleet);
                Ok(folded)
            }
            // What was entered is not stored: it is read again.
            Err(why) => Err(why),
        })
    }
}

/// What was folded of an agent.
#[derive(Clone, Copy, Debug, Default)]
struct Folded {
    count: u64,
    goes_on: bool,
}

/// Enters what news of an agent say of it, and gives what they touch.
fn enter(
    book: &Book,
    fleet: &mut Arc<Fleet>,
    news: &gather::News,
) -> Vec<(String, String, String)> {
    if news.count == 0 {
        return Vec::new();
    }
    Arc::make_mut(fleet).put(news.agent, news.state.clone());
    touched(book, fleet, news)
}

/// What news of an agent touch: contract, service and month.
fn touched(book: &Book, fleet: &Fleet, news: &gather::News) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for contract in book.all.iter().filter_map(|agreed| agreed.contract.as_ref().ok()) {
        let months = months_in(contract, &news.spans);
        let all_spans = news.spans.iter().fold(None, |all: Option<Span>, span| {
            Some(all.map_or(*span, |all| Span::new(all.from.min(span.from), all.to.max(span.to))))
        });
        let Some(whole) = all_spans else { return Vec::new() };
        for service in fleet.services_of(news.agent, contract, whole) {
            let months = months.iter();
            all.extend(
                months
                    .map(|month| (contract.id().to_owned(), service.to_owned(), month.to_string())),
            );
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}
