//! One probe, as the prober keeps it.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::time::Wall;
use crate::measure::probe::Probe;
use crate::net::requests::Requester;
use crate::net::resolve::Watch;

use super::hops::Stamped;
use super::interfaces::Way;

/// The places that a packet can name; see [`Lane::wire`].
pub(super) const PLACES: u32 = 0x00ff_ffff;

/// One probe.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) probe: Arc<Probe>,
    /// What its packets call it: its place, and a count that keeps it from being taken for another
    /// that had the place.
    pub(super) wire: u32,
    pub(super) kind: Kind,
    /// The address that was told last; the outer [`None`] until the first was.
    pub(super) address: Option<Option<IpAddr>>,
    pub(super) ttl: Option<u8>,
    /// The way out that it last took.
    pub(super) outlet: Option<u32>,
    /// The interface that it leaves by.
    pub(super) way: Option<Way>,
    /// Whether what left by it was stamped.
    pub(super) stamped: Stamped,
    /// Which of its circuit's identifiers it sends with.
    pub(super) ident: u8,
    /// How many sends in a row were lost.
    pub(super) silent: u32,
    /// Whether the last one was not answered: then its link is looked at before the next.
    pub(super) trouble: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Echo { watch: Watch, size: u16, seq_base: u16 },
    Request(Box<Request>),
}

/// What an http, tcp or dns probe asks with.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) requester: Arc<Requester>,
    pub(super) watch: Watch,
    /// Until when its server's certificate was valid, when it was last seen.
    pub(super) certificate: Option<Wall>,
}

impl Kind {
    /// What is known of the target's name.
    pub(super) const fn watch(&self) -> &Watch {
        match self {
            Self::Echo { watch, .. } => watch,
            Self::Request(request) => &request.watch,
        }
    }
}
