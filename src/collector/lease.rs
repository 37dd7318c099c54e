//! Leases: which of several replicas goes round, or tells a receiver.

use std::time::Duration;

use crate::base::time::{Now, Wall, format_duration};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::fault::Fault;
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::lease::watch::{LEASE, LeaseRecord, Watch, was_ahead};
use crate::collector::{Collector, troubles};
use crate::evidence::base64url;

pub(super) mod watch;

/// A name by which a replica holds a lease.
pub(super) fn holder() -> String {
    let mut bytes = [0; 12];
    // Where the system gives no random numbers there is nothing to tell replicas apart by but the
    // process.
    if getrandom::fill(&mut bytes).is_err() {
        bytes[..4].copy_from_slice(&std::process::id().to_be_bytes());
    }
    base64url::encode(&bytes)
}

/// Lets go of a lease at the end, so that whoever comes next need not wait for it to expire.
pub(super) async fn release(collector: &Collector, name: &str, holder: &str) {
    let (name, holder) = (name.to_owned(), holder.to_owned());
    if let Err(fault) = collector.change(move |archive| archive.release(&name, &holder)).await {
        tracing::warn!("a lease was not let go, and will expire: {}", fault.detail());
    }
}

/// Takes or holds a lease; from a holder who does not renew it, it is taken over, and where a clock
/// was wrong, that is said.
pub(super) async fn hold(
    collector: &Collector,
    name: &str,
    holder: &str,
    watch: &mut Watch,
    now: Now,
) -> Result<bool, Fault> {
    let (name, holder, wall) = (name.to_owned(), holder.to_owned(), now.wall);
    let (own, by) = (name.clone(), holder.clone());
    let asked = move |archive: &Archive| {
        let leased = archive.lease(&own, &by, wall + LEASE, wall)?;
        Ok((leased, if leased { None } else { archive.leased(&own)? }))
    };
    let (leased, other) = collector.change(asked).await?;
    let Some((other, until)) = other else { return Ok(leased) };
    let held = LeaseRecord { holder: other, until };
    if !watch.is_over(held.clone(), now.mono) {
        return Ok(false);
    }
    collector
        .change(move |archive| {
            let taken =
                archive.take_lease(&name, &holder, wall + LEASE, (&held.holder, held.until))?;
            if let Some(ahead) = was_ahead(&held, wall).filter(|_| taken) {
                told_of_clock(archive, ahead, wall)?;
            }
            Ok(taken)
        })
        .await
}

/// Says that the collector's clock, or another replica's, was ahead when the lease was written.
fn told_of_clock(archive: &Archive, ahead: Duration, now: Wall) -> Result<(), ArchiveError> {
    let detail = format!(
        "the collector's clock, or another replica's, was {} ahead of what it says here now, and \
         nothing was judged until this was seen; see that the clocks are synchronised",
        format_duration(Duration::from_secs(ahead.as_secs()))
    );
    let subject = "collector".to_owned();
    troubles::put_past(
        archive,
        Finding { kind: FindingKind::ClockAhead, subject, site: None, detail },
        now,
    )
}
