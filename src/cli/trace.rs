//! `wanproof trace`: the path to a host, round by round, with loss and percentiles of each hop.

use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cli::ping::{code_point, period};
use crate::cli::{Exit, Failure, print};
use crate::measure::probe::{Circuit, Family};
use crate::measure::target;
use crate::net::resolve::{Resolution, Resolver};
use crate::net::trace::MOST_HOPS;
use crate::net::trace::walk::{Walker, Way};

mod course;
mod shown;

use course::Course;
use shown::Names;

/// A name is waited for no longer than this.
const LOOK_UP: Duration = Duration::from_secs(10);
/// Hops that are asked together while it is not known how many there are.
const WINDOW: u8 = 6;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A name or an address
    #[arg(value_name = "HOST")]
    host: String,
    /// So many rounds, each of which asks every hop once
    #[arg(short, long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// From one round to the next: 1s, 200ms
    #[arg(short, long, value_name = "PERIOD", default_value = "1s", value_parser = period)]
    interval: Duration,
    /// By UDP datagrams instead of ICMP echo requests
    #[arg(short, long, conflicts_with = "tcp")]
    udp: bool,
    /// By TCP connections, which are reset at once
    #[arg(short = 'T', long)]
    tcp: bool,
    /// The port of UDP [default: 33434] or TCP [default: 443]
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Leave by this interface
    #[arg(short = 'I', long, value_name = "NAME")]
    interface: Option<String>,
    /// Send from this address
    #[arg(short = 'S', long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// The DSCP, by name or number: ef, af41, 46
    #[arg(short = 'Q', long, value_name = "DSCP", value_parser = code_point)]
    dscp: Option<u8>,
    /// The firewall mark; needs CAP_NET_ADMIN
    #[arg(short, long, value_name = "MARK")]
    mark: Option<u32>,
    /// IPv4 only
    #[arg(short = '4', conflicts_with = "v6")]
    v4: bool,
    /// IPv6 only
    #[arg(short = '6')]
    v6: bool,
    /// Ask the name servers what the hops are called
    #[arg(long)]
    names: bool,
    /// A line of JSON for each hop, then one that says whether the host was reached
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// When the name has no address, or this host does not send.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if args.port.is_some() && !args.udp && !args.tcp {
        let what = "--port: ICMP has no ports: say --udp or --tcp too, or leave it out";
        return Err(Failure::Usage(what.to_owned()));
    }
    let runtime = super::runtime()?;
    let resolver = runtime.block_on(async { Resolver::system() });
    let target = runtime.block_on(address(args, &resolver))?;
    let way = args.way();
    let mut walker = Walker::open(way, target, &args.circuit()).map_err(could)?;
    let ended = interrupt()?;
    let mut course = Course::default();
    let mut drawn = None;
    let live = !args.json && std::io::stdout().is_terminal();
    let head = shown::head(&args.host, target, way);
    if !args.json {
        print::line(&head)?;
    }
    for round in 0..args.count {
        let begun = Instant::now();
        match round {
            0 => discover(&mut walker, &mut course)?,
            _ => {
                let heard = walker.ask(&course.ttls()).map_err(|fault| could(fault.into()))?;
                course.round(&course.ttls(), heard);
            }
        }
        if live {
            let text = shown::table(&course, &Names::default());
            let lines = text.lines().count();
            match drawn.replace(lines) {
                Some(before) => print::again(before, &text)?,
                None => print::line(&text)?,
            }
        }
        let left = args.interval.saturating_sub(begun.elapsed());
        if round + 1 < args.count && !pause(left, &ended) {
            break;
        }
    }
    let mut names = Names::default();
    if args.names {
        for address in course.addresses() {
            let name = resolver.name_of(address);
            if let Ok(Some(name)) =
                runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), name).await })
            {
                names.insert(address, name);
            }
        }
    }
    runtime.shutdown_background();
    if args.json {
        shown::json(&course, &names, target, way).iter().try_for_each(print::json)?;
    } else {
        let text = shown::table(&course, &names);
        match drawn {
            Some(before) => print::again(before, &text)?,
            None => print::line(&text)?,
        }
        print::line(shown::ending(&course, &args.host))?;
    }
    Ok(if course.reached() { Exit::Done } else { Exit::Bad })
}

fn could(error: crate::net::icmp::OpenError) -> Failure {
    Failure::Could(error.to_string())
}

/// Asks outwards until the end of the way answers, or two windows are silent.
fn discover(walker: &mut Walker, course: &mut Course) -> Result<(), Failure> {
    let (mut next, mut silent) = (1, 0);
    while next <= MOST_HOPS && silent < 2 && course.end().is_none() {
        let last = (next + WINDOW - 1).min(MOST_HOPS);
        let ttls: Vec<u8> = (next..=last).collect();
        let heard = walker.ask(&ttls).map_err(|fault| could(fault.into()))?;
        silent = if heard.is_empty() { silent + 1 } else { 0 };
        course.round(&ttls, heard);
        next = last + 1;
    }
    course.settle();
    Ok(())
}

/// Waits; whether nobody has ended it meanwhile.
fn pause(length: Duration, ended: &AtomicBool) -> bool {
    let until = Instant::now() + length;
    loop {
        if ended.load(Ordering::Relaxed) {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// Becomes true with SIGINT or SIGTERM: what is known by then is told.
fn interrupt() -> Result<Arc<AtomicBool>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let ended = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ended);
    let runtime = super::runtime()?;
    let listen = move || {
        let _ = runtime.block_on(async {
            let (mut int, mut term) =
                (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
            told.store(true, Ordering::Relaxed);
            std::io::Result::Ok(())
        });
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(listen);
    thread.map_err(|error| Failure::Could(format!("the system gives no thread: {error}")))?;
    Ok(ended)
}

async fn address(args: &Args, resolver: &Resolver) -> Result<IpAddr, Failure> {
    let family = match (args.v4, args.v6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        (false, false) => Family::Any,
    };
    let host = target::without_scope(&args.host);
    let found = tokio::time::timeout(LOOK_UP, resolver.once(host, family)).await;
    match found.unwrap_or(Resolution::Pending) {
        Resolution::Known(address) => Ok(address),
        Resolution::Failed(why) => Err(Failure::Could(format!("{}: {why}", args.host))),
        Resolution::Pending => Err(Failure::Could(format!(
            "{}: no name server answered within {} s",
            args.host,
            LOOK_UP.as_secs()
        ))),
    }
}

impl Args {
    fn way(&self) -> Way {
        match (self.udp, self.tcp) {
            (true, _) => Way::Udp(self.port.unwrap_or(33_434)),
            (_, true) => Way::Tcp(self.port.unwrap_or(443)),
            _ => Way::Icmp,
        }
    }

    fn circuit(&self) -> Circuit {
        Circuit {
            interface: self
                .interface
                .clone()
                .or_else(|| target::scope(&self.host).map(str::to_owned)),
            source: self.source,
            mark: self.mark,
            dscp: self.dscp,
            ..Circuit::default()
        }
    }
}
