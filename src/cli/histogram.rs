//! `wanproof histogram`: the percentiles of a probe's RTT, and their picture.

use serde::Serialize;

use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::given::since;
use crate::cli::source::{Source, known_probe};
use crate::cli::{Exit, Failure, print};
use crate::measure::histogram::{Histogram, Packed};
use crate::measure::interval::Interval;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The probe's name
    #[arg(allow_hyphen_values = true)]
    probe: String,
    #[command(flatten)]
    source: Source,
    /// How far back to look: how long ago, such as 24h or 30d, or since a time or a day in UTC,
    /// such as 2026-06-03
    #[arg(long, default_value = "24h", value_name = "WHEN", value_parser = since)]
    since: Wall,
    /// HdrHistogram's percentile distribution, in milliseconds, for its plotters
    #[arg(long, conflicts_with = "json")]
    hgrm: bool,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Figures of a histogram, in microseconds.
#[derive(Debug, Serialize)]
pub struct Figures {
    min: u64,
    /// By the exact sum, not rounded.
    mean: f64,
    p50: u64,
    p90: u64,
    p95: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

#[derive(Serialize)]
struct Shown<'a> {
    probe: &'a str,
    from: Wall,
    to: Wall,
    count: u64,
    rtt_us: Option<Figures>,
    hdr: Option<Packed>,
}

/// The percentiles that are shown.
const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0), ("p99.9", 99.9)];

/// Runs it.
///
/// # Errors
/// When the data cannot be read or the probe is unknown.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let from = args.since;
    let to = SystemClock.now().wall;
    let store = args.source.store()?;
    known_probe(&store, &args.probe)?;
    let intervals = store.intervals(&args.probe, from, to)?;
    let (all, sum_ns) = merged(&intervals)?;
    let figures = figures(&all, sum_ns);
    if args.json {
        let shown = Shown {
            probe: &args.probe,
            from,
            to,
            count: all.count(),
            rtt_us: figures,
            hdr: all.pack(),
        };
        print::json(&shown)?;
        return Ok(Exit::Done);
    }
    let Some(figures) = figures else {
        print::line(format_args!(
            "{}: nothing was answered since {}",
            args.probe,
            print::instant(from)
        ))?;
        return Ok(Exit::Done);
    };
    if args.hgrm {
        print::line(hgrm(&all, figures.mean))?;
        return Ok(Exit::Done);
    }
    let since = print::instant(from);
    print::line(format_args!("{}: RTT of {} answers since {since}", args.probe, all.count()))?;
    for (name, us, share) in rows(&all, &figures) {
        print::line(format_args!("{name:>6}  {:>9}  {}", print::micros(us), bar(share)))?;
    }
    Ok(Exit::Done)
}

/// The RTTs of intervals as one histogram, and their exact sum in nanoseconds.
///
/// # Errors
/// When a histogram cannot be read.
pub fn merged(intervals: &[Interval]) -> Result<(Histogram, u64), Failure> {
    let mut all = Histogram::new();
    let mut sum_ns = 0u64;
    for spread in intervals.iter().filter_map(|interval| interval.rtt.as_ref()) {
        let one = spread.histogram.unpack();
        all.merge(&one.map_err(|error| {
            Failure::Could(format!("the database holds what cannot be read: {error}"))
        })?);
        sum_ns = sum_ns.saturating_add(spread.sum_ns);
    }
    Ok((all, sum_ns))
}

/// The figures of a histogram; [`None`] when it is empty.
#[must_use]
pub fn figures(all: &Histogram, sum_ns: u64) -> Option<Figures> {
    #[expect(clippy::cast_precision_loss, reason = "fifteen digits are enough for a mean")]
    let mean = (all.count() > 0).then(|| sum_ns as f64 / (all.count() as f64 * 1000.0))?;
    let at = |percentile| all.percentile_us(percentile);
    Some(Figures {
        min: all.min_us(),
        mean,
        p50: at(50.0),
        p90: at(90.0),
        p95: at(95.0),
        p99: at(99.0),
        p999: at(99.9),
        max: all.max_us(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "figures for the eye")]
fn rows(all: &Histogram, figures: &Figures) -> Vec<(&'static str, f64, f64)> {
    let mut rows = vec![("min", figures.min as f64), ("mean", figures.mean)];
    rows.extend(
        PERCENTILES.iter().map(|&(name, percentile)| (name, all.percentile_us(percentile) as f64)),
    );
    rows.push(("max", figures.max as f64));
    rows.into_iter().map(|(name, us)| (name, us, us / (figures.max.max(1) as f64))).collect()
}

/// How many columns a bar may take on a terminal of 80.
const WIDEST: f64 = 56.0;

fn bar(share: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 56 columns"
    )]
    let columns = (share.clamp(0.0, 1.0) * WIDEST).round() as usize;
    "▇".repeat(columns.max(1))
}

/// HdrHistogram's own percentile distribution, as its plotters read it; values in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "figures for a plot")]
fn hgrm(all: &Histogram, mean_us: f64) -> String {
    let total = all.count() as f64;
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let (mut seen, mut squares) = (0u64, 0f64);
    for (us, count) in all.recorded() {
        seen += count;
        squares += count as f64 * (us as f64 - mean_us).powi(2);
        let share = seen as f64 / total;
        let ms = us as f64 / 1000.0;
        if seen < all.count() {
            text.push_str(&format!(
                "{ms:12.3} {share:2.12} {seen:10} {:14.2}\n",
                1.0 / (1.0 - share)
            ));
        } else {
            text.push_str(&format!("{ms:12.3} {share:2.12} {seen:10}\n"));
        }
    }
    let deviation = (squares / total).sqrt() / 1000.0;
    text.push_str(&format!(
        "#[Mean    = {:12.3}, StdDeviation   = {deviation:12.3}]\n",
        mean_us / 1000.0
    ));
    text.push_str(&format!(
        "#[Max     = {:12.3}, Total count    = {:12}]",
        all.max_us() as f64 / 1000.0,
        all.count()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_rounded_once_where_it_is_shown_and_not_at_all_in_json() {
        let mut all = Histogram::new();
        [24_049, 24_050].into_iter().for_each(|us| _ = all.record_us(us));
        // 24.04996 ms: by way of 24,050.0 µs it would be 24.1 ms.
        let figures = figures(&all, 2 * 24_049_960).unwrap();
        assert_eq!(serde_json::to_value(&figures).unwrap()["mean"], 24_049.96);
        let mean = rows(&all, &figures)[1];
        assert_eq!((mean.0, print::micros(mean.1).as_str()), ("mean", "24.0 ms"));
        assert!(
            hgrm(&all, figures.mean).contains("#[Mean    =       24.050, "),
            "{}",
            hgrm(&all, figures.mean)
        );
    }
}
