//! The agent holds no more memory after many minutes' traffic than after a few.

use crate::kit;

/// Seconds, each of a minute's traffic: until its buffers have grown to their size, and until its
/// memory is looked at again.
const SECONDS: [usize; 2] = [10, 30];
/// What its memory may have grown by in between, beside the pages of the database that it keeps:
/// some thirteen bytes for each probe. `benches/run soak` has the figure for an hour's traffic and
/// more.
const SLACK_KIB: u64 = 256;

#[test]
fn memory_stays_flat_whatever_the_network_does() {
    let soak = kit::soak::soak(20, SECONDS[1] as u64, |wan, config| {
        let mut command = wan.command(env!("CARGO_BIN_EXE_wanproof"));
        command.args(["run", "--config", config]);
        command
    });
    let Some(soak) = soak else { return };
    assert!(soak.probes > 10_000 && soak.intervals > 200, "it was busy: {soak:?}");
    let [before, after] = SECONDS.map(|second| soak.held[second - 1]);
    let pages = after.database.saturating_sub(before.database);
    assert!(after.memory <= before.memory + pages + SLACK_KIB, "{soak:?}");
}
