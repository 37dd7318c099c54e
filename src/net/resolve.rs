//! From names to addresses, off the hot path: each name has a task that looks it up, and again when
//! its TTL has run out.
//!
//! # The rules
//!
//! - A literal address needs no look-up. Then `/etc/hosts` is asked, then `localhost` is this host
//!   (RFC 6761), then the name servers of `/etc/resolv.conf`, with its search list; both files are
//!   read again when they change. Without a name server there, the one on this host is asked
//!   (resolv.conf(5)). Look-ups leave by the system's routes, whatever circuit the probe has.
//! - Of several addresses the present one is kept for as long as it is among the answers. Else it
//!   is the first of the wanted family in the order of the answer; with any family IPv4 comes
//!   before IPv6. An address that no route leads to is passed over while another has one, and what
//!   was chosen without a route is chosen anew at the next look-up.
//! - What is no other host is no answer: 0.0.0.0 and `::`, which the kernel takes for this host,
//!   multicast and broadcast addresses, this host's own, and loopback ones, but for `localhost`. A
//!   name that has no other address has none.
//! - A name is looked up again when its TTL has run out, but not within [`SHORTEST`] and not later
//!   than [`LONGEST`]; after a failure sooner: after one second, then twice as long each time, up
//!   to [`RETRY`].
//! - While look-ups fail, the last address is kept: for [`STALE`] when no server answers (when the
//!   line is down its name servers are mostly gone too, and the outage has still to be measured;
//!   RFC 8767 suggests one to three days), for [`DENIED`] when a server says that there is no such
//!   name or address (a CPE that has lost its line may say so). Only then the name counts as not
//!   resolved, and a probe of it as not sent.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::base::time::{Clock, Mono, SystemClock};
use crate::measure::address_kind::AddressKind;
use crate::measure::probe::Family;
use crate::net::hop;
use crate::net::socket::source_towards;

mod hosts;
mod lookup;
pub(in crate::net) mod name;
mod resolution;
mod resolv_conf;
mod rule;
mod servers;

pub use resolution::{Failure, Resolution};

use lookup::Source;
use rule::NameState;

/// A name is not looked up again sooner, however short its TTL.
pub const SHORTEST: Duration = Duration::from_secs(5);
/// A name is looked up again at the latest after this, however long its TTL.
pub const LONGEST: Duration = Duration::from_secs(3600);
/// The longest pause between look-ups that fail.
pub const RETRY: Duration = Duration::from_secs(30);
/// How long the last address is kept while no server answers.
pub const STALE: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long the last address is kept while servers deny that the name has one.
pub const DENIED: Duration = Duration::from_secs(10 * 60);
/// A name that nobody has asked for or watched for so long is forgotten.
const IDLE: Duration = Duration::from_secs(24 * 3600);

/// What a name's task says.
#[derive(Clone, Copy, Debug)]
struct State {
    resolution: Resolution,
    /// How many look-ups have ended.
    lookups: u64,
    /// How long the last one took.
    took: Duration,
}

/// Resolves names; a clone shares the same tasks. They end with the last clone.
#[derive(Clone)]
pub struct Resolver(Arc<Shared>);

struct Shared {
    source: Arc<Source>,
    runtime: Handle,
    names: Mutex<HashMap<String, [Option<Entry>; 3]>>,
}

struct Entry {
    sender: Arc<watch::Sender<State>>,
    asked: Mono,
    task: AbortHandle,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Resolver {
    /// By this host's files and name servers. Nothing is read or sent before a name is asked for.
    ///
    /// # Panics
    /// Outside of a tokio runtime, on which its tasks run.
    #[must_use]
    pub fn system() -> Self {
        Self::from(Source::system())
    }

    /// By one name server and nothing else but literal addresses and `localhost`.
    ///
    /// # Panics
    /// Outside of a tokio runtime, on which its tasks run.
    #[must_use]
    pub fn of_server(server: SocketAddr) -> Self {
        Self::from(Source::of_server(server))
    }

    fn from(source: Source) -> Self {
        let runtime = Handle::current();
        Self(Arc::new(Shared { source: Arc::new(source), runtime, names: Mutex::default() }))
    }

    /// What is known of a name now. It never waits; the first call begins the look-up.
    #[must_use]
    pub fn current(&self, name: &str, family: Family) -> Resolution {
        match literal(name, family) {
            Some(known) => known,
            None => self.entry(name, family, |entry| entry.sender.borrow().resolution),
        }
    }

    /// The same, to be held on to: it costs no search for the name, and can be waited on.
    #[must_use]
    pub fn watch(&self, name: &str, family: Family) -> Watch {
        if let Some(resolution) = literal(name, family) {
            return Watch(Sight::Literal(resolution));
        }
        Watch(Sight::Name {
            seen: self.entry(name, family, |entry| entry.sender.subscribe()),
            lookups: 0,
        })
    }

    /// What an address is called, as its name servers say it; [`None`] where they do not within a
    /// few seconds.
    pub async fn name_of(&self, address: IpAddr) -> Option<String> {
        self.0.source.name_of(address).await
    }

    /// Looks a name up once, without a task that does it again: for a redirect's target, which a
    /// foreign server names.
    pub async fn once(&self, name: &str, family: Family) -> Resolution {
        if let Some(known) = literal(name, family) {
            return known;
        }
        let answer =
            self.0.source.look_up(name, family).await.of_hosts(|address| led_to(name, address));
        let mut held = NameState::default();
        held.take(answer, SystemClock.now().mono, has_route);
        held.resolution()
    }

    fn entry<T>(&self, name: &str, family: Family, then: impl FnOnce(&Entry) -> T) -> T {
        let now = SystemClock.now().mono;
        // Nothing panics while this is held; a poisoned map would still be a whole one.
        let mut names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match family {
            Family::Any => 0,
            Family::V4 => 1,
            Family::V6 => 2,
        };
        if names.get(name).is_none_or(|slots| slots[slot].is_none()) {
            forget_idle(&mut names, now);
            names.entry(name.to_owned()).or_default()[slot] = Some(self.begin(name, family, now));
        }
        let entry = names
            .get_mut(name)
            .and_then(|slots| slots[slot].as_mut())
            .expect("it was put there above");
        entry.asked = now;
        then(entry)
    }

    fn begin(&self, name: &str, family: Family, now: Mono) -> Entry {
        let state = State { resolution: Resolution::Pending, lookups: 0, took: Duration::ZERO };
        let sender = Arc::new(watch::channel(state).0);
        let task = keep_looking_up(
            Arc::clone(&self.0.source),
            name.to_owned(),
            family,
            Arc::clone(&sender),
        );
        Entry { sender, asked: now, task: self.0.runtime.spawn(task).abort_handle() }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// One name, held on to.
#[derive(Clone, Debug)]
pub struct Watch(Sight);

#[derive(Clone, Debug)]
enum Sight {
    /// It is an address, of which nothing will ever change.
    Literal(Resolution),
    /// It is looked up.
    Name {
        /// What is known of it.
        seen: watch::Receiver<State>,
        /// How many look-ups were told of.
        lookups: u64,
    },
}

impl Watch {
    /// What is known of the name now. It never waits.
    #[must_use]
    pub fn current(&self) -> Resolution {
        match &self.0 {
            Sight::Literal(known) => *known,
            Sight::Name { seen, .. } => seen.borrow().resolution,
        }
    }

    /// Waits until something else is known of the name than when this was last called, and gives
    /// it.
    pub async fn changed(&mut self) -> Resolution {
        if let Sight::Name { seen, .. } = &mut self.0
            && seen.changed().await.is_ok()
        {
            return seen.borrow_and_update().resolution;
        }
        // A literal address, or a resolver that is gone: nothing will ever change.
        std::future::pending().await
    }

    /// Waits until the first look-up has ended; it never gives [`Resolution::Pending`].
    pub async fn settled(&mut self) -> Resolution {
        match &mut self.0 {
            Sight::Literal(known) => *known,
            Sight::Name { seen, .. } => {
                match seen.wait_for(|state| state.resolution != Resolution::Pending).await {
                    Ok(state) => state.resolution,
                    Err(_) => Resolution::Failed(Failure::NoAnswer),
                }
            }
        }
    }

    /// How long the last look-up took, in nanoseconds; told once for each look-up.
    pub fn lookup_ns(&mut self) -> Option<u64> {
        let Sight::Name { seen, lookups } = &mut self.0 else { return None };
        let state = *seen.borrow();
        if state.lookups == *lookups {
            return None;
        }
        *lookups = state.lookups;
        u64::try_from(state.took.as_nanos()).ok()
    }
}

/// The task of one name.
async fn keep_looking_up(
    source: Arc<Source>,
    name: String,
    family: Family,
    sender: Arc<watch::Sender<State>>,
) {
    let mut held = NameState::default();
    loop {
        let begun = SystemClock.now().mono;
        let answer = source.look_up(&name, family).await.of_hosts(|address| led_to(&name, address));
        let now = SystemClock.now().mono;
        let pause = held.take(answer, now, has_route);
        let resolution = held.resolution();
        sender.send_if_modified(|state| {
            let changed = state.resolution != resolution;
            if changed {
                tell(&name, resolution);
            }
            *state = State { resolution, lookups: state.lookups + 1, took: now - begun };
            changed
        });
        tokio::time::sleep(pause).await;
    }
}

fn tell(name: &str, resolution: Resolution) {
    match resolution {
        Resolution::Known(address) => tracing::info!(name, %address, "a name has an address"),
        Resolution::Failed(failure) => {
            tracing::warn!(name, %failure, "a name has no address: its probes are not sent")
        }
        Resolution::Pending => {}
    }
}

fn forget_idle(names: &mut HashMap<String, [Option<Entry>; 3]>, now: Mono) {
    names.retain(|_, slots| {
        for slot in slots.iter_mut() {
            if slot
                .as_ref()
                .is_some_and(|entry| now - entry.asked > IDLE && entry.sender.receiver_count() == 0)
            {
                *slot = None;
            }
        }
        slots.iter().any(Option::is_some)
    });
}

/// What an address is that a name led to: `localhost` is this host, whoever says so (RFC 6761
/// section 6.3).
fn led_to(name: &str, address: IpAddr) -> AddressKind {
    match hop::place(address) {
        AddressKind::Loopback if lookup::is_localhost(name) => AddressKind::Elsewhere,
        place => place,
    }
}

fn has_route(address: IpAddr) -> bool {
    source_towards(address).is_some()
}

fn literal(name: &str, family: Family) -> Option<Resolution> {
    let address: IpAddr = name.parse().ok()?;
    Some(if family.takes(address) {
        Resolution::Known(address)
    } else {
        Resolution::Failed(Failure::NoAddress)
    })
}
