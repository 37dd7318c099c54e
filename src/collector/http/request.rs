//! What handlers read of a request: headers that are there once, and the body, within its limit and
//! into memory that is reserved for it.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout_at};

use crate::collector::body::Encoding;
use crate::collector::caller::Caller;
use crate::collector::fault::Fault;
use crate::collector::memory_budget::Reservation;
use crate::evidence::problem::{Kind, Problem};

/// A body is given so long to arrive, …
const BODY_TIME: Duration = Duration::from_secs(120);
/// … and each part of it so long after the one before.
const PART_TIME: Duration = Duration::from_secs(30);
/// So much is made ready for a body before its bytes come.
const AT_FIRST: usize = 64 * 1024;

pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    Encoding::of(headers.get_all(CONTENT_ENCODING).iter())
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The value of a field that is there once at most: of two, whoever stands between could have
/// looked at the other.
pub(in crate::collector) fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut all = headers.get_all(name).iter();
    let first = all.next();
    match all.next() {
        None => Ok(first),
        Some(_) => {
            Err(Problem::new(Kind::Malformed, format_args!("there is more than one {name} header")))
        }
    }
}

/// The token of the Authorization header (RFC 6750).
pub(in crate::collector) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let value = only(headers, &AUTHORIZATION)?.and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    token.ok_or_else(|| Problem::new(Kind::Unauthorized, "an Authorization: Bearer is needed"))
}

/// Reads a body into memory that is reserved for it, as long as it is within its limit and comes in
/// time.
pub(in crate::collector) async fn read(
    mut body: Body,
    headers: &HeaderMap,
    limit: usize,
    caller: &Caller,
    memory: &mut Reservation,
) -> Result<Vec<u8>, Fault> {
    let large = || {
        Fault::from(Problem::new(Kind::TooLarge, format_args!("a body is at most {limit} bytes")))
    };
    let slow = || Fault::busy("the body came too slowly");
    let expected = length(headers).unwrap_or(0);
    if expected > limit {
        return Err(large());
    }
    let until = Instant::now() + BODY_TIME;
    let _arriving = caller.peer.arriving();
    memory.arrives();
    let mut bytes = Vec::with_capacity(expected.min(AT_FIRST));
    loop {
        let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let next = tokio::select! {
            next = timeout_at(until.min(Instant::now() + PART_TIME), next) => {
                next.map_err(|_| slow())?
            }
            () = memory.asked_to_leave() => return Err(slow()),
        };
        let Some(frame) = next else { break };
        let frame = frame.map_err(|error| {
            Fault::from(Problem::new(
                Kind::Malformed,
                format_args!("the body could not be read: {error}"),
            ))
        })?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(large());
            }
            memory.take(data.len()).await?;
            bytes.extend_from_slice(&data);
        }
    }
    memory.arrived();
    Ok(bytes)
}
