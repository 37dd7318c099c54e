//! How what is held is written, and read again.

use std::time::Duration;

use crate::base::time::Mono;
use crate::measure::event::Stamp;
use crate::measure::interval::Phase;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::provisional::{Provisional, Sent};
use crate::store::bytes::{self, Reader, Unreadable, Writer};
use crate::store::intervals::SeriesId;

/// The version of a body's form.
pub(super) const VERSION: u8 = 1;

const KERNEL: u64 = 1;

const REASON: u64 = 2;

const PHASES: u64 = 4;

const AGAIN: u64 = 8;

/// Whether such a body can be read.
pub(in crate::store) fn check(body: &[u8]) -> Result<(), Unreadable> {
    read(body).map(drop)
}

pub(super) fn write(to: &mut Writer, one: &Provisional) {
    let nanos = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    to.number(one.begun.nanos());
    to.number(nanos(one.ended - one.begun));
    to.number(nanos(one.first_due - one.begun));
    to.number(nanos(one.period));
    to.number(nanos(one.late));
    to.number(one.sends.len() as u64);
    for sent in &one.sends {
        let flags = [
            (KERNEL, sent.stamp == Stamp::Kernel),
            (REASON, sent.reason.is_some()),
            (PHASES, !sent.phases.is_empty()),
            (AGAIN, sent.duplicates != 0 || sent.reordered != 0),
        ];
        let flags: u64 = flags.iter().filter(|(_, set)| *set).map(|(flag, _)| flag).sum();
        to.number(place(sent.outcome) * 16 + flags);
        if let Some(nanos) = sent.rtt_ns {
            to.number(nanos);
        }
        if let Some(reason) = &sent.reason {
            to.number(place(reason.outcome));
            to.bytes(reason.kind.as_bytes());
        }
        if !sent.phases.is_empty() {
            to.number(sent.phases.len() as u64);
            for (phase, nanos) in &sent.phases {
                to.bytes(phase.word().as_bytes());
                to.number(*nanos);
            }
        }
        if flags & AGAIN != 0 {
            to.number(sent.duplicates.into());
            to.number(sent.reordered.into());
        }
    }
}

pub(super) fn read(body: &[u8]) -> Result<Vec<(SeriesId, Provisional)>, Unreadable> {
    let (version, plain) = bytes::open(body, &[])?;
    if version != VERSION {
        return Err(Unreadable("version"));
    }
    let mut reader = Reader::new(&plain);
    let mut set = Vec::new();
    while !reader.is_empty() {
        let series = SeriesId::new(reader.signed()?);
        set.push((series, back(&mut Reader::new(reader.bytes()?))?));
    }
    Ok(set)
}

fn back(from: &mut Reader<'_>) -> Result<Provisional, Unreadable> {
    let begun = Mono::from_nanos(from.number()?);
    let mut length = || from.number().map(Duration::from_nanos);
    let (ended, first_due) = (begun + length()?, begun + length()?);
    let (period, late) = (length()?, length()?);
    // What is this far apart was never measured here, and would be labelled a minute at a time.
    if ended - begun > Duration::from_secs(3600)
        || first_due - begun > Duration::from_secs(3600)
        || period.is_zero()
    {
        return Err(Unreadable("span"));
    }
    let mut sends = Vec::new();
    for _ in 0..from.number()? {
        let head = from.number()?;
        let outcome = outcome(head / 16)?;
        let mut sent = Sent::new(outcome, None);
        if outcome.has_rtt() {
            sent.rtt_ns = Some(from.number()?);
        }
        if head & KERNEL != 0 {
            sent.stamp = Stamp::Kernel;
        }
        if head & REASON != 0 {
            let of = self::outcome(from.number()?)?;
            sent.reason = Some(Reason { outcome: of, kind: from.text()?.to_owned().into() });
        }
        if head & PHASES != 0 {
            for _ in 0..from.number()? {
                let word = from.text()?;
                let phase = Phase::ALL
                    .into_iter()
                    .find(|phase| phase.word() == word)
                    .ok_or(Unreadable("phase"))?;
                sent.phases.push((phase, from.number()?));
            }
        }
        if head & AGAIN != 0 {
            (sent.duplicates, sent.reordered) = (from.narrow()?, from.narrow()?);
        }
        sends.push(sent);
    }
    Ok(Provisional { begun, ended, first_due, period, late, sends })
}

pub(super) fn place(outcome: Outcome) -> u64 {
    Outcome::ALL.iter().position(|&each| each == outcome).expect("ALL has every outcome") as u64
}

pub(super) fn outcome(place: u64) -> Result<Outcome, Unreadable> {
    let place = usize::try_from(place).map_err(|_| Unreadable("outcome"))?;
    Outcome::ALL.get(place).copied().ok_or(Unreadable("outcome"))
}
