//! A summary's payload: what is taken is written and taken again, and its intervals can be read.

use wanproof::evidence::summary;

/// The property.
pub fn holds(data: &[u8]) {
    let Ok(mut taken) = summary::read(data) else { return };
    for probe in &taken.probes {
        for interval in probe.intervals() {
            let interval = interval.expect("it was checked");
            assert!(interval.outcomes.len() <= 60_001);
        }
    }
    let again = serde_json_of(&taken);
    assert_eq!(summary::read(&again).as_ref(), Ok(&taken));
    let cuts = summary::Cuts::of(&mut taken).expect("it was one summary");
    let of = |summary: &summary::Summary| summary.probes.iter().map(|probe| probe.intervals.len()).sum::<usize>();
    let all = of(&taken);
    assert_eq!(cuts.cut(taken).map(|part| of(&part)).sum::<usize>(), all);
}

fn serde_json_of(summary: &summary::Summary) -> Vec<u8> {
    serde_json::to_vec(summary).expect("a summary can be written")
}
