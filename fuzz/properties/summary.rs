//! A summary's payload: what is taken is written and taken again, and its intervals can be read.

use wanproof::evidence::summary::{self, Layout, Lengths, ProbePart, Summary};

/// The property.
pub fn holds(data: &[u8]) {
    let Ok(taken) = summary::read(data) else { return };
    for probe in &taken.probes {
        for interval in probe.intervals() {
            let interval = interval.expect("it was checked");
            assert!(interval.outcomes.len() <= 60_001);
        }
    }
    let again = serde_json_of(&taken);
    assert_eq!(summary::read(&again).as_ref(), Ok(&taken));
    // Each of its intervals has a place where it is laid out anew, in order.
    let lengths = |probe: &ProbePart| Lengths {
        head: summary::length(&ProbePart { intervals: Vec::new(), ..probe.clone() }),
        intervals: probe.intervals.iter().map(summary::length).collect(),
    };
    let besides = Summary { probes: Vec::new(), ..taken.clone() };
    let layout =
        Layout::of(&besides, taken.probes.iter().map(lengths)).expect("it was one summary");
    assert_eq!(layout.left_out, []);
    let mut next = vec![0; taken.probes.len()];
    for piece in layout.parts.into_iter().flatten() {
        assert_eq!(piece.intervals.start, next[piece.probe]);
        next[piece.probe] = piece.intervals.end;
    }
    assert!(taken.probes.iter().map(|probe| probe.intervals.len()).eq(next));
}

fn serde_json_of(summary: &Summary) -> Vec<u8> {
    serde_json::to_vec(summary).expect("a summary can be written")
}
