//! `wanproof history`: time against latency, from the local database alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::time::{Clock, SystemClock, Wall, parse_duration};
use crate::cli::given::{When, instant, when};
use crate::cli::source::{Source, known_probe};
use crate::cli::{Exit, Failure, print, report};
use crate::measure::history::{Bucket, History, NotAStep, Part, Step};
use crate::store::outages::Outage;
use crate::store::{Grain, Store, StoreError};

mod figures;
mod picture;
mod words;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The probe's name
    #[arg(allow_hyphen_values = true)]
    probe: String,
    /// More of them, which are shown below it; one that begins with a hyphen stands after --
    #[arg(value_name = "PROBE")]
    more: Vec<String>,
    #[command(flatten)]
    source: Source,
    /// Where it begins: so long before its end, such as 24h or 30d, or a time or a day in UTC, such
    /// as 2026-06-03
    #[arg(long, default_value = "24h", value_name = "WHEN", value_parser = when)]
    since: When,
    /// Where it ends, a time or a day in UTC [default: now]
    #[arg(long, value_name = "TIME|DAY", value_parser = instant)]
    until: Option<Wall>,
    /// The step: 1m, 5m, 15m, 1h, 6h, 1d, or the finest that gives at most 200 buckets
    #[arg(long, default_value = "auto", value_name = "STEP", value_parser = by)]
    by: By,
    /// Against the same span so much earlier, such as 7d: what is slower than it was
    #[arg(long, value_name = "LENGTH", value_parser = parse_duration,
        conflicts_with_all = ["csv", "svg"])]
    against: Option<Duration>,
    /// One JSON object for each probe, a line each
    #[arg(long)]
    json: bool,
    /// Comma-separated values, a line for each bucket
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// The smoke graph as an SVG picture, into this file, or - for standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "csv"])]
    svg: Option<PathBuf>,
    /// A facts file, whose exclusions are shown on the time axis
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "csv"])]
    facts: Option<PathBuf>,
}

/// The step as it was asked for.
#[derive(Clone, Copy, Debug)]
enum By {
    Auto,
    Step(Step),
}

fn by(text: &str) -> Result<By, NotAStep> {
    if text == "auto" { Ok(By::Auto) } else { text.parse().map(By::Step) }
}

/// More buckets than anybody looks at, and than a router has memory for.
const MOST: u128 = 100_000;

/// What is shown of one probe.
pub(super) struct Shown {
    probe: String,
    step: Step,
    from: Wall,
    to: Wall,
    pub buckets: Vec<Bucket>,
    pub outages: Vec<Outage>,
}

/// Runs it.
///
/// # Errors
/// When the data cannot be read or a probe is unknown.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let store = args.source.store()?;
    let mut probes: Vec<&str> = Vec::new();
    for name in std::iter::once(&args.probe).chain(&args.more) {
        known_probe(&store, name)?;
        if !probes.contains(&name.as_str()) {
            probes.push(name);
        }
    }
    let now = SystemClock.now().wall;
    let until = args.until.unwrap_or(now);
    let from = args.since.before(until);
    if from >= until {
        return Err(Failure::Usage(format!(
            "--since {} is not before --until {}: there is no time between them",
            print::instant(from),
            print::instant(until)
        )));
    }
    let step = match args.by {
        By::Auto => Step::auto(from, until),
        By::Step(step) => step,
    };
    if step.buckets(from, until) > MOST {
        return Err(Failure::Usage(format!(
            "--by {} makes {} buckets of that time, and at most {MOST} are made: name a longer \
             step, or a shorter time with --since and --until",
            step.word(),
            step.buckets(from, until)
        )));
    }
    let all = read(&store, &probes, (from, until), step)?;
    let earlier = match args.against {
        Some(by) => Some(read(&store, &probes, (from - by, until - by), step)?),
        None => None,
    };
    tell_coarser(&all);
    if args.json {
        let pairs =
            all.iter().zip(earlier.iter().flatten().map(Some).chain(std::iter::repeat(None)));
        for (shown, then) in pairs {
            print::json(&figures::json(shown, then))?;
        }
    } else if args.csv {
        print::csv(&figures::csv(&all))?;
    } else {
        let excluded = match &args.facts {
            Some(path) => picture::excluded(&report::facts_of(path)?.facts),
            None => Vec::new(),
        };
        let screen = picture::Screen { until: until.min(now), by: args.against, excluded };
        if let Some(file) = &args.svg {
            screen.draw(&all, file)?;
            return Ok(Exit::Done);
        }
        for (at, shown) in all.iter().enumerate() {
            if at > 0 {
                print::line("")?;
            }
            screen.show(shown, earlier.as_ref().and_then(|then| then.get(at)), all.len())?;
        }
        picture::legend()?;
    }
    Ok(Exit::Done)
}

/// Reads some probes at once, which costs hardly more than one.
pub(super) fn read(
    store: &Store,
    probes: &[&str],
    (from, until): (Wall, Wall),
    step: Step,
) -> Result<Vec<Shown>, Failure> {
    let mut all: BTreeMap<&str, History> =
        probes.iter().map(|probe| (*probe, History::new(from, until, step))).collect();
    let span = History::new(from, until, step).span();
    let grain = if step >= Step::Hour { Grain::Hours } else { Grain::Stored };
    let mut unreadable = None;
    store.each_of(probes, span, grain, |probe, interval| {
        if let Some(history) = all.get_mut(probe)
            && let Err(error) = history.add(Part::from(&interval))
        {
            unreadable.get_or_insert(error);
        }
    })?;
    if let Some(error) = unreadable {
        return Err(Failure::Could(format!("the database holds what cannot be read: {error}")));
    }
    probes
        .iter()
        .map(|probe| {
            let buckets = all.remove(probe).map(History::buckets).unwrap_or_default();
            let from = buckets.first().map_or(span.0, |first| first.from);
            let to = buckets.last().map_or(span.1, Bucket::to);
            let outages = outages(store, probe, (from, to))?;
            Ok(Shown { probe: (*probe).to_owned(), step, from, to, buckets, outages })
        })
        .collect::<Result<_, StoreError>>()
        .map_err(Failure::from)
}

/// The outages that a probe showed, each once, whatever definitions say it.
fn outages(
    store: &Store,
    probe: &str,
    (from, to): (Wall, Wall),
) -> Result<Vec<Outage>, StoreError> {
    let all = store.outages(from, to)?.into_iter().map(|(_, outage)| outage);
    let mut own: Vec<Outage> = all.filter(|outage| outage.probe == probe).collect();
    own.dedup_by(|next, one| (next.from, next.to, &next.side) == (one.from, one.to, &one.side));
    Ok(own)
}

/// Says where the step could not be kept, since only hours or days are.
fn tell_coarser(all: &[Shown]) {
    for shown in all {
        let mut coarser = shown.buckets.iter().filter(|bucket| bucket.length > shown.step.length());
        if let Some(last) = coarser.next_back() {
            let until = print::instant(last.to());
            let kept = if last.length > Step::Hour.length() { "days" } else { "hours" };
            let step = shown.step.word();
            print::note(format_args!(
                "{}: up to {until} there are only {kept}, so it is no finer there than --by {step}",
                shown.probe
            ));
        }
    }
}
