use super::*;
use crate::measure::histogram::Board;
use crate::measure::histogram::Histogram;

const BEGIN: Wall = Wall::from_secs(1_780_012_800);
const HOUR: Duration = Duration::from_secs(3600);

/// An hour with answers of some microseconds, and other outcomes in the order of the letters.
fn hour(number: u32, us: &[u64], [late, lost, unsent, unseen]: [u64; 4]) -> Bucket {
    let mut all = Histogram::new();
    us.iter().for_each(|us| _ = all.record_us(*us));
    let mut board = Board::default();
    all.pack().iter().for_each(|packed| board.add(packed).unwrap());
    let answered = us.len() as u64 - late;
    Bucket {
        from: BEGIN + HOUR * number,
        length: HOUR,
        covered: HOUR,
        outcomes: [answered, late, lost, 0, unsent, unseen],
        rtt: board.take(),
        ..Bucket::default()
    }
}

fn hole(number: u32) -> Bucket {
    Bucket { from: BEGIN + HOUR * number, length: HOUR, ..Bucket::default() }
}

/// Twelve hours: four good ones, two with loss, an outage, a hole, slower ones, and one to come.
fn day() -> Vec<Bucket> {
    let good = [20_000, 21_000, 20_500, 20_200, 24_000, 20_300, 20_400, 20_100, 20_200, 20_600];
    let slow = [40_000, 41_000, 60_000, 44_000, 40_500, 80_000, 41_500, 42_000, 43_000, 900_000];
    let mut all: Vec<Bucket> = (0..4).map(|number| hour(number, &good, [0; 4])).collect();
    all.push(hour(4, &good, [0, 1, 0, 0]));
    all.push(hour(5, &good, [0, 10, 0, 0]));
    all.push(hour(6, &[], [0, 10, 0, 0]));
    all.push(hole(7));
    all.push(hour(8, &[], [0, 0, 0, 10]));
    all.push(hour(9, &slow, [1, 0, 0, 0]));
    all.push(hour(10, &slow, [0, 0, 5, 5]));
    all.push(hole(11));
    all
}

fn text(lines: &[Line]) -> String {
    let line = |line: &Line| line.iter().map(|piece| piece.text.as_str()).collect::<String>();
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn heat(buckets: &[Bucket], glyphs: Glyphs) -> String {
    let band = |from: u32, to: u32| Band {
        from: BEGIN + HOUR * from + HOUR / 2,
        to: BEGIN + HOUR * to,
        label: String::new(),
    };
    let (outages, excluded) = ([band(5, 7)], [band(2, 4)]);
    let heat = Heat {
        buckets,
        until: BEGIN + HOUR * 11,
        outages: &outages,
        excluded: &excluded,
        width: 80,
        rows: 5,
        glyphs,
    };
    text(&draw(&heat))
}

#[test]
fn each_kind_of_time_has_a_sign_of_its_own() {
    let drawn = heat(&day(), Glyphs::Unicode);
    assert_eq!(drawn, include_str!("tests/day.txt").trim_end(), "\n{drawn}");
}

#[test]
fn without_unicode_and_colours_it_says_the_same() {
    let drawn = heat(&day(), Glyphs::Ascii);
    assert!(drawn.is_ascii(), "{drawn}");
    let unicode = heat(&day(), Glyphs::Unicode);
    let signs = [
        ('░', '.'),
        ('▒', ':'),
        ('▓', '*'),
        ('█', '#'),
        ('╱', '/'),
        ('│', '|'),
        ('┤', '+'),
        ('└', '+'),
        ('─', '-'),
        ('┬', '+'),
    ];
    let ascii =
        unicode.chars().map(|c| signs.iter().find(|(of, _)| *of == c).map_or(c, |(_, to)| *to));
    assert_eq!(ascii.collect::<String>(), drawn);
}

#[test]
fn no_line_is_wider_than_the_terminal_whatever_the_time() {
    for (count, width) in [(1, 40), (3, 80), (59, 80), (60, 80), (200, 80), (200, 100), (3000, 80)]
    {
        let buckets: Vec<Bucket> =
            (0..count).map(|number| hour(number, &[20_000], [0, 1, 0, 0])).collect();
        let until = BEGIN + HOUR * count;
        let heat = Heat {
            buckets: &buckets,
            until,
            outages: &[],
            excluded: &[],
            width,
            rows: 5,
            glyphs: Glyphs::Unicode,
        };
        let drawn = text(&draw(&heat));
        let widest = drawn.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width && widest * 3 > width, "{count} in {width}: {widest}\n{drawn}");
    }
    assert!(legend(Glyphs::Unicode).iter().all(|line| line.chars().count() <= 80));
}

#[test]
fn what_was_never_answered_is_no_good_time_and_no_hole() {
    let buckets = [hour(0, &[], [0, 10, 0, 0]), hole(1)];
    let drawn = heat(&buckets, Glyphs::Ascii);
    let row = drawn.lines().find(|line| line.contains("no answer")).unwrap();
    assert!(row.ends_with("|      //////"), "{drawn}");
    let lost = drawn.lines().find(|line| line.contains("lost")).unwrap();
    assert!(lost.contains("lost ######//////"), "{drawn}");
}
