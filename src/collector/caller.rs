//! Who asks, as the connection tells it, and the answer that holds what was reserved for it until
//! it is sent.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::Extensions;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::collector::connections::{Peer, Repute};
use crate::collector::fault::Fault;
use crate::collector::memory_budget::{Holder, MemoryBudget, Reservation};
use crate::evidence::problem::{Kind, Problem};

/// What of an answer is given to the connection at a time: while it does not take that, the rest
/// stays reserved.
const PIECE: usize = 16 * 1024;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The connection.
    pub peer: Arc<Peer>,
    /// What is reserved until the request is answered.
    kept: Arc<Mutex<Vec<Reservation>>>,
}

impl Caller {
    /// The one whose connection a request came by.
    ///
    /// # Errors
    /// When it came by none, which is a bug.
    pub fn of(extensions: &Extensions) -> Result<Self, Fault> {
        let bug = || Problem::new(Kind::Internal, "a request came by no connection").into();
        extensions.get::<Self>().cloned().ok_or_else(bug)
    }

    /// Whoever is at the other end of a connection.
    #[must_use]
    pub fn new(peer: Arc<Peer>) -> Self {
        Self { peer, kept: Arc::default() }
    }

    /// Keeps a reservation until the request is answered.
    pub fn keep(&self, memory: Reservation) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }

    /// Whether he has shown who he is.
    #[must_use]
    pub fn repute(&self) -> Repute {
        self.peer.repute()
    }

    /// A reservation of nothing yet.
    #[must_use]
    pub fn reservation(&self, memory: &Arc<MemoryBudget>) -> Reservation {
        memory.reservation(Holder { source: self.peer.source(), repute: self.repute() })
    }
}

/// An answer's body that keeps something until it is sent.
#[derive(Debug)]
pub struct HeldBody<T> {
    body: Body,
    _held: T,
}

impl<T> HeldBody<T> {
    /// A body, and what is kept with it.
    pub const fn new(body: Body, held: T) -> Self {
        Self { body, _held: held }
    }
}

impl<T: Unpin> HttpBody for HeldBody<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that is given away piece by piece, and frees its memory with the last one.
#[derive(Debug)]
pub struct Answer {
    rest: Bytes,
    _memory: Reservation,
}

impl Answer {
    /// A text, and what was reserved for it.
    #[must_use]
    pub fn new(text: String, memory: Reservation) -> Self {
        Self { rest: text.into(), _memory: memory }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
