//! `wanproof ping`: the agent's engine at once, without configuration.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::prober::{Pace, Prober, World};
use crate::base::time::{Clock, SystemClock, parse_duration};
use crate::cli::{Exit, Failure, print};
use crate::config::probe::dscp;
use crate::measure::event::{Event, Settled};
use crate::measure::outcome::Outcome;
use crate::measure::probe::{Circuit, Family, Fragment, Probe, Role, Test};
use crate::measure::target;
use crate::net::icmp::portable::Portable;
use crate::net::resolve::{Resolution, Resolver};

mod live;
mod tally;
mod targets;

use live::Live;
use tally::Tally;

/// A name is waited for no longer than this.
const LOOK_UP: Duration = Duration::from_secs(10);

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names, addresses, or ranges of IPv4 addresses such as 10.0.0.0/28
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,
    /// Stop after so many to each target, and once they are settled; else at Ctrl-C
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// From one to the next to the same target: 1s, 200ms
    #[arg(short, long, value_name = "PERIOD", default_value = "1s", value_parser = period)]
    interval: Duration,
    /// How long an answer is waited for; at most 60s
    #[arg(short = 'W', long, value_name = "TIME", default_value = "2s", value_parser = timeout)]
    timeout: Duration,
    /// Payload bytes, the cookie included
    #[arg(
        short,
        long,
        value_name = "BYTES",
        default_value_t = 56,
        value_parser = clap::value_parser!(u16).range(24..=65_000)
    )]
    size: u16,
    /// Leave by this interface
    #[arg(short = 'I', long, value_name = "NAME")]
    interface: Option<String>,
    /// Send from this address
    #[arg(short = 'S', long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// The DSCP, by name or number: ef, af41, 46
    #[arg(short = 'Q', long, value_name = "DSCP", value_parser = code_point)]
    dscp: Option<u8>,
    /// The TTL or hop limit
    #[arg(short, long, value_name = "HOPS", value_parser = clap::value_parser!(u8).range(1..))]
    ttl: Option<u8>,
    /// The firewall mark; needs CAP_NET_ADMIN
    #[arg(short, long, value_name = "MARK")]
    mark: Option<u32>,
    /// Never fragment; what is too large is refused
    #[arg(short = 'M', long)]
    dont_fragment: bool,
    /// IPv4 only
    #[arg(short = '4', conflicts_with = "v6")]
    v4: bool,
    /// IPv6 only
    #[arg(short = '6')]
    v6: bool,
    /// How packets are stamped: by the kernel where it can, or by this program on any system
    #[arg(long, value_enum, default_value_t = EngineKind::Best)]
    engine: EngineKind,
    /// No line for each reply, only the figures at the end
    #[arg(short, long)]
    quiet: bool,
    /// A line for each reply to several hosts on a terminal, too, not one for each host
    #[arg(short, long)]
    lines: bool,
    /// One line of JSON for each settled probe, then one for each target
    #[arg(long)]
    json: bool,
}

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum EngineKind {
    /// Kernel stamps where the kernel gives them, else the portable engine
    Best,
    /// surge-ping, stamped by this program
    Portable,
}

/// A period as it is given: with a unit, or as seconds.
///
/// # Errors
/// When it is none, or shorter than a millisecond.
pub fn period(text: &str) -> Result<Duration, String> {
    let length = seconds(text)
        .map_or_else(|| parse_duration(text).map_err(|error| error.to_string()), Ok)?;
    if length < Duration::from_millis(1) || length.subsec_nanos() % 1_000_000 != 0 {
        return Err("a period is a whole number of milliseconds, 1ms at least".to_owned());
    }
    Ok(length)
}

fn timeout(text: &str) -> Result<Duration, String> {
    let length = seconds(text)
        .map_or_else(|| parse_duration(text).map_err(|error| error.to_string()), Ok)?;
    let allowed = Duration::from_millis(1)..=Duration::from_secs(60);
    if allowed.contains(&length) {
        Ok(length)
    } else {
        Err("an answer is waited for 1ms to 60s".to_owned())
    }
}

/// A bare number of seconds, as other pings take it.
fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(number).ok().map(|length| {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros)
    })
}

/// A DSCP by name or number.
///
/// # Errors
/// When it is none.
pub fn code_point(text: &str) -> Result<u8, String> {
    let written = text.parse::<i64>().map_or(Ok(text), Err);
    dscp(written)
        .ok_or_else(|| "expected a name such as ef or af41, or a number from 0 to 63".to_owned())
}

/// Runs it.
///
/// # Errors
/// When no host can be pinged: none resolves, or this user may not send ICMP; it says what to do.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Could(format!("no runtime could be started: {error}")))?;
    let result = runtime.block_on(ping(args));
    runtime.shutdown_background();
    result
}

async fn ping(args: &Args) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::new()?;
    let hosts = targets::expand(&args.hosts, args.interface.as_deref()).map_err(Failure::Usage)?;
    let resolver = Resolver::system();
    let resolved = tokio::select! {
        resolved = resolve(&hosts, args.family(), &resolver) => resolved,
        () = interrupt.wait() => return Ok(Exit::Done),
    };
    let (probes, missing) = probes(args, &hosts, resolved);
    if probes.is_empty() {
        return Err(Failure::Could("no host to ping is left".to_owned()));
    }
    let mut tallies: Vec<Tally> = probes.iter().map(|probe| Tally::new(probe.host())).collect();
    let mut world = World { resolver, ..World::system(Pace::Prompt) };
    if args.engine == EngineKind::Portable {
        world.engine = Box::new(Portable::default());
    }
    let mut prober = Prober::new(probes, world);
    if let Some(count) = args.count {
        prober.limit(count);
    }
    say_means(&prober, args)?;
    let mut live = if args.lines() { None } else { Live::on_terminal(tallies.len()) };
    let mut events = Vec::new();
    let mut stopped = false;
    while !prober.is_done() && !stopped {
        tokio::select! {
            _ = prober.next(&mut events) => {}
            () = interrupt.wait() => {
                prober.part(Duration::ZERO, &mut events).await;
                stopped = true;
            }
        }
        let show = if live.is_some() { Show::Nothing } else { args.show() };
        for event in events.drain(..) {
            take(&event, &mut tallies, show)?;
        }
        if let Some(live) = &mut live {
            live.draw(&tallies, SystemClock.now().mono)?;
        }
    }
    if let Some(live) = &mut live {
        live.draw_now(&tallies, SystemClock.now().mono)?;
    }
    for tally in &tallies {
        if args.json { print::json(&tally.summary())? } else { print::line(tally)? }
    }
    let silent = tallies.iter().any(|tally| tally.answered() == 0);
    Ok(if silent || missing > 0 { Exit::Bad } else { Exit::Done })
}

/// The probes of the hosts whose names are known, and how many are not: that is told.
fn probes(args: &Args, hosts: &[String], resolved: Vec<Resolution>) -> (Vec<Arc<Probe>>, usize) {
    let mut missing = 0;
    let mut probes = Vec::new();
    for (host, resolution) in hosts.iter().zip(resolved) {
        match resolution {
            Resolution::Known(_) => probes.push(Arc::new(args.probe(host))),
            Resolution::Failed(why) => {
                missing += 1;
                print::note(format_args!("{host}: {why}"));
            }
            Resolution::Pending => {
                missing += 1;
                print::note(format_args!(
                    "{host}: no name server answered within {} s",
                    LOOK_UP.as_secs()
                ));
            }
        }
    }
    (probes, missing)
}

/// SIGINT or SIGTERM.
struct Interrupt {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Interrupt {
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let could = |error: std::io::Error| {
            Failure::Could(format!("signals cannot be listened to: {error}"))
        };
        let terminate = signal(SignalKind::terminate()).map_err(could)?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt()).map_err(could)? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn resolve(hosts: &[String], family: Family, resolver: &Resolver) -> Vec<Resolution> {
    let mut watches: Vec<_> =
        hosts.iter().map(|host| resolver.watch(target::without_scope(host), family)).collect();
    let end = tokio::time::Instant::now() + LOOK_UP;
    let mut all = Vec::with_capacity(watches.len());
    for watch in &mut watches {
        all.push(
            tokio::time::timeout_at(end, watch.settled()).await.unwrap_or(Resolution::Pending),
        );
    }
    all
}

/// Says by what means it pings, to people only; fails when it cannot ping at all.
fn say_means(prober: &Prober, args: &Args) -> Result<(), Failure> {
    let ports = prober.ports();
    let works = ports.iter().any(|port| port.state.is_ok());
    for port in ports {
        match port.state {
            Ok(means) if !args.json => {
                print::line(format!("IP{}: {means}", format!("{:?}", port.family).to_lowercase()))?
            }
            Ok(_) => {}
            Err(shut) if !works && shut.reason.kind == "permission" => {
                return Err(Failure::Could(shut.why));
            }
            Err(shut) => print::note(&shut.why),
        }
    }
    Ok(())
}

/// What is shown of each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    Lines,
    Json,
    Nothing,
}

fn take(event: &Event, tallies: &mut [Tally], show: Show) -> Result<(), Failure> {
    match event {
        Event::Settled(settled) => {
            let Some(tally) = tallies.get_mut(settled.probe.0 as usize) else { return Ok(()) };
            tally.settle(settled);
            match show {
                _ if settled.reason.as_ref().is_some_and(|reason| reason.kind == "stopped") => {
                    Ok(())
                }
                Show::Nothing => Ok(()),
                Show::Json => print::json(&tally.reply(settled)),
                Show::Lines => print::line(tally.told(settled)),
            }
        }
        Event::Duplicate { probe, send }
        | Event::Reordered { probe, send }
        | Event::Straggler { probe, send } => {
            let Some(tally) = tallies.get_mut(probe.0 as usize) else { return Ok(()) };
            let what = tally.count(event);
            if show == Show::Lines {
                print::line(format!("{}  send {send}  {what}", tally.target))
            } else {
                Ok(())
            }
        }
        Event::Address { probe, address } => {
            if let Some(tally) = tallies.get_mut(probe.0 as usize) {
                tally.address = *address;
            }
            Ok(())
        }
        Event::Hops { probe, before, now } => {
            let Some(tally) = tallies.get(probe.0 as usize) else { return Ok(()) };
            let line = || {
                print::line(format!(
                    "{}  replies come with TTL {now} now, {before} before",
                    tally.target
                ))
            };
            if show == Show::Lines { line() } else { Ok(()) }
        }
        Event::Due { .. } | Event::Lag { .. } | Event::Certificate { .. } => Ok(()),
    }
}

impl Args {
    /// Whether each reply has a line of its own even on a terminal.
    fn lines(&self) -> bool {
        self.json
            || self.quiet
            || self.lines
            || self.hosts.len() == 1 && !self.hosts[0].contains('/')
    }

    const fn show(&self) -> Show {
        match (self.quiet, self.json) {
            (true, _) => Show::Nothing,
            (false, true) => Show::Json,
            (false, false) => Show::Lines,
        }
    }

    const fn family(&self) -> Family {
        match (self.v4, self.v6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            (false, false) => Family::Any,
        }
    }

    fn probe(&self, host: &str) -> Probe {
        let circuit = Circuit {
            // A link-local address may name its link: fe80::1%wan0.
            interface: self.interface.clone().or_else(|| target::scope(host).map(str::to_owned)),
            source: self.source,
            mark: self.mark,
            dscp: self.dscp,
            ttl: self.ttl,
            fragment: if self.dont_fragment { Fragment::Never } else { Fragment::Allowed },
        };
        Probe {
            name: host.to_owned(),
            service: None,
            role: Role::Path,
            test: Test::Icmp { target: host.to_owned(), size: self.size },
            family: self.family(),
            period: self.interval,
            timeout: self.timeout,
            cutoff: self.timeout,
            circuit,
        }
    }
}

/// What a settled probe is called, for people.
fn word(settled: &Settled) -> String {
    match (&settled.reason, settled.outcome) {
        (Some(reason), Outcome::Lost) if reason.kind == "timeout" => "no answer".to_owned(),
        (Some(reason), outcome) => format!("{}: {}", outcome.word(), reason.kind),
        (None, outcome) => outcome.word().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_written_with_a_unit_or_as_seconds() {
        assert_eq!(period("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(period("0.2"), Ok(Duration::from_millis(200)));
        assert_eq!(period("3"), Ok(Duration::from_secs(3)));
        for text in ["0", "0.0005", "1500us", "-1", "x", ""] {
            assert!(period(text).is_err(), "{text}");
        }
        assert!(timeout("61s").is_err() && timeout("0").is_err());
        assert_eq!((code_point("ef"), code_point("46")), (Ok(46), Ok(46)));
        assert!(code_point("64").is_err() && code_point("").is_err());
    }
}
