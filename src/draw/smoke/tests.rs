use std::time::Duration;

use super::*;
use crate::measure::histogram::{Board, Histogram};

const BEGIN: Wall = Wall::from_secs(1_780_012_800);
const QUARTER: Duration = Duration::from_secs(900);

fn quarter(number: u32, us: &[u64], [late, lost, unsent, unseen]: [u64; 4]) -> Bucket {
    let mut all = Histogram::new();
    us.iter().for_each(|us| _ = all.record_us(*us));
    let mut board = Board::default();
    all.pack().iter().for_each(|packed| board.add(packed).unwrap());
    Bucket {
        from: BEGIN + QUARTER * number,
        length: QUARTER,
        covered: QUARTER,
        outcomes: [us.len() as u64 - late, late, lost, 0, unsent, unseen],
        rtt: board.take(),
        ..Bucket::default()
    }
}

fn hole(number: u32) -> Bucket {
    Bucket { from: BEGIN + QUARTER * number, length: QUARTER, ..Bucket::default() }
}

fn smoke<'a>(buckets: &'a [Bucket], outages: &'a [Band], excluded: &'a [Band]) -> Smoke<'a> {
    let to = buckets.last().unwrap().to();
    let until = to - QUARTER / 2;
    Smoke { name: "hq <1>", key: "s1", buckets, from: BEGIN, to, until, outages, excluded }
}

fn band(from: u32, to: u32, label: &str) -> Band {
    let (from, to) = (BEGIN + QUARTER * from, BEGIN + QUARTER * to);
    Band { from, to, label: label.to_owned() }
}

/// Good and slow quarters, every kind of trouble, a hole, an outage and an exclusion.
fn hours() -> Vec<Bucket> {
    let good: Vec<u64> = (0..200).map(|number| 20_000 + number * number / 10).collect();
    let slow: Vec<u64> = good.iter().map(|us| us * 3 / 2).collect();
    let mut all: Vec<Bucket> = (0..4).map(|number| quarter(number, &good, [0; 4])).collect();
    all.push(quarter(4, &good, [0, 1, 0, 0]));
    all.push(quarter(5, &slow, [2, 10, 0, 0]));
    all.push(quarter(6, &slow[..20], [0, 180, 0, 0]));
    all.push(quarter(7, &[], [0, 200, 0, 0]));
    all.extend([hole(8), hole(9)]);
    all.push(quarter(10, &slow, [0, 0, 30, 30]));
    all.push(quarter(11, &[&good[..], &[900_000]].concat(), [1, 0, 0, 0]));
    all
}

#[test]
fn the_text_of_a_picture_stays_as_it_is() {
    let (outages, excluded) = ([band(6, 8, "provider")], [band(1, 3, "maint")]);
    let buckets = hours();
    let drawn = file(&[smoke(&buckets, &outages, &excluded)]);
    let drawn = drawn.replace(STYLE, "");
    // Where it is to be another, what it is now is told here.
    assert!(drawn == include_str!("tests/hours.svg"), "{drawn}");
}

#[test]
fn it_needs_nothing_from_elsewhere_and_says_in_words_what_it_shows() {
    let buckets = hours();
    let all = [smoke(&buckets, &[], &[])];
    for drawn in [file(&all), figure(&all[0])] {
        assert!(drawn.contains("hq &lt;1&gt;") && !drawn.contains("<1>"), "{drawn}");
        let foreign = drawn.replace("http://www.w3.org/2000/svg", "");
        for word in ["http", "href", "<script", "<image", "@import"] {
            assert!(!foreign.contains(word), "{word}");
        }
        assert!(drawn.contains("Lost or refused were 391 of 2012, late 3."), "{drawn}");
        assert!(drawn.contains("2 of 12 steps were not observed."), "{drawn}");
    }
}

#[test]
fn one_answer_or_none_is_a_picture_too() {
    let one = [quarter(0, &[24_000], [0; 4])];
    let drawn = figure(&smoke(&one, &[], &[]));
    for part in [">24 ms<", ">median<", "class=\"smoke-m smoke-l0\""] {
        assert!(drawn.contains(part), "{part} in {drawn}");
    }
    let none = [quarter(0, &[], [0, 5, 0, 0]), hole(1)];
    assert!(figure(&smoke(&none, &[], &[])).contains("no answer in this time"));
}

#[test]
fn latencies_far_apart_are_drawn_by_their_logarithm_and_near_ones_are_not() {
    let near = [quarter(0, &[20_000, 23_000], [0; 4])];
    let far = [quarter(0, &[300; 50], [0; 4]), quarter(1, &[400_000; 50], [0; 4])];
    let ticks = |drawn: &str| -> Vec<String> {
        let labels =
            drawn.lines().filter(|line| line.starts_with("<path class=\"smoke-g\" d=\"M92"));
        let text = |line: &str| Some(line.rsplit_once("</text>")?.0.rsplit_once('>')?.1.to_owned());
        labels
            .filter_map(text)
            .filter(|label| label.ends_with("s") && label.contains(" "))
            .collect()
    };
    assert_eq!(
        ticks(&figure(&smoke(&near, &[], &[]))),
        ["20 ms", "21 ms", "22 ms", "23 ms", "24 ms"]
    );
    assert_eq!(
        ticks(&figure(&smoke(&far, &[], &[]))),
        [
            "200 µs", "500 µs", "1 ms", "2 ms", "5 ms", "10 ms", "20 ms", "50 ms", "100 ms",
            "200 ms", "500 ms"
        ]
    );
}
