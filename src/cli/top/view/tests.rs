use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::base::time::Wall;
use crate::cli::top::history::Loss;
use crate::cli::top::model::Budget;
use crate::cli::top::screen::{Asked, Key, Sort};

const MEANS: Means = Means { paint: Paint::Colours, glyphs: Glyphs::Unicode };

fn row(name: &str, state: &str, recent: &str) -> Row {
    Row {
        name: name.to_owned(),
        kind: "icmp".to_owned(),
        service: Some("ckt-0042".to_owned()),
        state: state.to_owned(),
        last_us: Some(24_049.96),
        recent: recent.parse().unwrap(),
        p50_us: Some(24_010),
        p95_us: Some(31_500),
        minute: Loss { lost: 0, known: 60 },
        hour: Loss { lost: 3, known: 3600 },
        jitter_us: Some(310.0),
        budget: Some(Budget { words: "42m 30s".to_owned(), seconds: 2550 }),
        ..Row::default()
    }
}

fn frame(rows: Vec<Row>) -> Frame {
    Frame {
        now: Wall::from_secs(1_700_000_000),
        site: "leeds-01".to_owned(),
        software: "wanproof 0.2.0".to_owned(),
        running: true,
        observed_until: None,
        clock: "synchronised".to_owned(),
        rows,
        outages: Vec::new(),
        deadlines: vec!["ckt-0042: claim 60.00 EUR (in 12 days)".to_owned()],
        outbox: "0 waiting (0 B)".to_owned(),
        notes: Vec::new(),
        detail: None,
    }
}

/// The screen's lines as they are on a terminal of this size, without spaces at their ends.
fn drawn(screen: &mut Screen, frame: &Frame, (columns, rows): (u16, u16)) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|buffer| draw(screen, frame, MEANS, buffer)).unwrap();
    let text = terminal.backend().buffer();
    let line = |y: u16| (0..columns).map(|x| text[(x, y)].symbol()).collect::<String>();
    (0..rows).map(|y| line(y).trim_end().to_owned()).collect()
}

#[test]
fn a_probe_is_one_row_of_eighty_columns() {
    let frame = frame(vec![row("hq-icmp", "up", "20a"), row("dc", "down", "5a1t2l2u1n1x3l")]);
    let lines = drawn(&mut Screen::default(), &frame, (80, 24));
    let expected = [
        "leeds-01  wanproof 0.2.0  running  clock synchronised       2023-11-14 22:13:20Z",
        "PROBE      STATE    LAST     P50     P95  1m%  1h%  JITTER    LEFT    LAST SENDS",
        "hq-icmp    up    24.0 ms 24.0 ms 31.5 ms    0 <0.1  310 µs 42m 30s .............",
        "dc         DOWN  24.0 ms 24.0 ms 31.5 ms    0 <0.1  310 µs 42m 30s ...tlluunxlll",
        "",
    ];
    assert_eq!(lines[..5], expected);
    assert_eq!(
        lines[20..],
        [
            "outages   none under way",
            "deadlines ckt-0042: claim 60.00 EUR (in 12 days)",
            "outbox    0 waiting (0 B)",
            "q leave  ? help  Enter open  / filter  s sort: configuration",
        ]
    );
}

#[test]
fn without_colours_it_says_the_same() {
    let frame = frame(vec![row("dc", "down", "3l")]);
    let text = |paint| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal
            .draw(|buffer| draw(&mut Screen::default(), &frame, Means { paint, ..MEANS }, buffer))
            .unwrap();
        terminal.backend().buffer().clone()
    };
    let (with, without) = (text(Paint::Colours), text(Paint::None));
    let symbols = |of: &ratatui::buffer::Buffer| -> Vec<String> {
        of.content.iter().map(|cell| cell.symbol().to_owned()).collect()
    };
    assert_eq!(symbols(&with), symbols(&without));
    assert!(without.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(with.content.iter().any(|cell| cell.fg == Color::Red));
}

#[test]
fn a_thousand_probes_scroll_and_the_chosen_one_stays_in_sight() {
    let rows = (0..1000).map(|n| row(&format!("site-{n:04}"), "up", "9a")).collect();
    let frame = frame(rows);
    let mut screen = Screen::default();
    let lines = drawn(&mut screen, &frame, (80, 24));
    assert!(lines[2].starts_with("site-0000") && lines[19].starts_with("site-0017"), "{lines:?}");
    (0..18).for_each(|_| _ = screen.key(Key::Down, &frame));
    let lines = drawn(&mut screen, &frame, (80, 24));
    assert!(lines[2].starts_with("site-0001") && lines[19].starts_with("site-0018"), "{lines:?}");
    screen.key(Key::End, &frame);
    assert!(drawn(&mut screen, &frame, (80, 24))[19].starts_with("site-0999"));
    screen.key(Key::PageUp, &frame);
    let lines = drawn(&mut screen, &frame, (80, 24));
    assert!(lines[2].starts_with("site-0981"), "{lines:?}");
    // A smaller window keeps it in sight.
    let lines = drawn(&mut screen, &frame, (60, 10));
    assert!(lines.iter().any(|line| line.starts_with("site-0981")), "{lines:?}");
}

#[test]
fn rows_are_sorted_and_filtered_and_the_choice_goes_with_its_row() {
    let frame = frame(vec![row("a", "up", "1a"), row("b", "down", "1l"), row("c", "up", "1a")]);
    let mut screen = Screen::default();
    screen.key(Key::Down, &frame);
    screen.key(Key::Down, &frame);
    let names = |screen: &Screen| -> String {
        screen.rows(&frame).iter().map(|row| row.name.as_str()).collect()
    };
    screen.key(Key::Char('s'), &frame);
    screen.key(Key::Char('s'), &frame);
    assert_eq!((screen.sort, names(&screen)), (Sort::State, "bac".to_owned()));
    assert_eq!(screen.place(&screen.rows(&frame)), 2, "c is chosen still");
    screen.key(Key::Char('r'), &frame);
    assert_eq!((names(&screen), screen.place(&screen.rows(&frame))), ("cab".to_owned(), 0));
    "/DOWN".chars().for_each(|letter| _ = screen.key(Key::Char(letter), &frame));
    assert_eq!((screen.page, names(&screen)), (Page::Filter, "b".to_owned()));
    screen.key(Key::Enter, &frame);
    assert_eq!((screen.page, screen.key(Key::Char('q'), &frame)), (Page::Table, Asked::Leave));
    screen.key(Key::Escape, &frame);
    assert_eq!(names(&screen), "cab");
}

#[test]
fn a_probe_is_opened_and_left_and_keys_are_explained() {
    let mut frame = frame(vec![row("a", "up", "1a"), row("b", "down", "1l")]);
    let mut screen = Screen::default();
    screen.key(Key::Down, &frame);
    screen.key(Key::Enter, &frame);
    assert_eq!(screen.open(), Some("b"));
    frame.detail = Some(Detail {
        name: "b".to_owned(),
        target: "icmp 192.0.2.1, ckt-0042".to_owned(),
        buckets: Vec::new(),
        bands: Vec::new(),
        until: Wall::from_secs(1_700_000_000),
        minutes: Vec::new(),
        outages: vec!["2023-11-14 22:00:00Z  12s, side provider, by builtin".to_owned()],
    });
    let lines = drawn(&mut screen, &frame, (80, 24));
    assert_eq!(lines[1..3], ["b", "icmp 192.0.2.1, ckt-0042"]);
    assert!(lines[5].starts_with("2023-11-14 22:00:00Z  12s, side provider"), "{lines:?}");
    assert_eq!(screen.key(Key::Char('q'), &frame), Asked::Draw);
    assert_eq!((screen.page, screen.place(&screen.rows(&frame))), (Page::Table, 1));
    screen.key(Key::Char('?'), &frame);
    let lines = drawn(&mut screen, &frame, (80, 24));
    assert!(lines.iter().any(|line| line.contains("Ctrl-Z  stop until fg")), "{lines:?}");
    assert!(HELP.lines().count() <= 22 && HELP.lines().all(|line| line.chars().count() <= 80));
    assert_eq!(screen.key(Key::Char('x'), &frame), Asked::Draw);
    assert_eq!(screen.key(Key::Interrupt, &frame), Asked::Leave);
}

#[test]
fn a_dead_agent_an_empty_database_and_a_tiny_window_are_said_and_draw() {
    let mut frame = frame(Vec::new());
    (frame.running, frame.observed_until) = (false, Some(Wall::from_secs(1_699_999_000)));
    let lines = drawn(&mut Screen::default(), &frame, (80, 24));
    assert!(
        lines[0].starts_with("NOT RUNNING, recorded until 2023-11-14 21:56:40Z  leeds-01"),
        "{lines:?}"
    );
    assert_eq!(lines[2], "nothing was measured yet");
    frame.rows = vec![row(&"long-name-".repeat(9), "up", "99a"); 40];
    for size in [(1, 1), (10, 3), (40, 8), (200, 60)] {
        drawn(&mut Screen::default(), &frame, size);
    }
}

#[test]
fn a_name_steers_no_terminal() {
    let frame = frame(vec![row("\u{1b}[2Jx\n", "up", "1a")]);
    let lines = drawn(&mut Screen::default(), &frame, (80, 24));
    assert!(lines[2].starts_with("\\u{1b}[2Jx\\n"), "{lines:?}");
}
