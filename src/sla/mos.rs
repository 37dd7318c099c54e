//! Jitter of single samples, and the mean opinion score, exactly.
//!
//! The score is the **simplified E-model** that network tools use, from round-trip latency, jitter
//! and loss; it is not ITU-T G.107.

use crate::base::decimal::Exact;

/// The score from latency and jitter in milliseconds and loss in percent: L = latency + 2·jitter +
/// 10; R = 93.2 − L/40 below 160, else 93.2 − (L − 120)/10; R −= 2.5 per percent lost, and counts
/// as 0 below it; MOS = 1 + 0.035 R + 7·10⁻⁶ R (R − 60)(100 − R), never below 1.
#[must_use]
pub fn score(latency_ms: &Exact, jitter_ms: &Exact, loss_percent: &Exact) -> Exact {
    let r = rating(latency_ms, jitter_ms, loss_percent);
    let of = |top: i64, bottom: i64| Exact::ratio(top, bottom).expect("no bottom is 0");
    let cubic = &(&r * &(&r - &Exact::from(60))) * &(&Exact::hundred() - &r);
    let score = &(&Exact::one() + &(&of(35, 1000) * &r)) + &(&of(7, 1_000_000) * &cubic);
    score.max(Exact::one())
}

/// The rating R behind the score.
#[must_use]
pub fn rating(latency_ms: &Exact, jitter_ms: &Exact, loss_percent: &Exact) -> Exact {
    let of = |top: i64, bottom: i64| Exact::ratio(top, bottom).expect("no bottom is 0");
    let l = &(latency_ms + &(&Exact::from(2) * jitter_ms)) + &Exact::from(10);
    let taken = match l < Exact::from(160) {
        true => &l * &of(1, 40),
        false => &(&l - &Exact::from(120)) * &of(1, 10),
    };
    let r = &(&of(932, 10) - &taken) - &(&of(5, 2) * loss_percent);
    r.max(Exact::zero())
}

/// The interarrival jitter after each sample but the first (RFC 3550, section 6.4.1): J += (|D| −
/// J) / 16, begun at zero; for equal spacing D is the difference of neighbouring round-trip times.
#[must_use]
pub fn rfc3550(rtts: &[Exact]) -> Vec<Exact> {
    let sixteenth = Exact::ratio(1, 16).expect("16 is not 0");
    let mut jitter = Exact::zero();
    ipdv(rtts)
        .into_iter()
        .map(|difference| {
            jitter = &jitter + &(&(&difference - &jitter) * &sixteenth);
            jitter.clone()
        })
        .collect()
}

/// The absolute differences of neighbouring samples (RFC 5481, IPDV).
#[must_use]
pub fn ipdv(rtts: &[Exact]) -> Vec<Exact> {
    rtts.windows(2).map(|pair| (&pair[1] - &pair[0]).abs()).collect()
}

/// How far each sample is above the lowest (RFC 5481, PDV).
#[must_use]
pub fn pdv(rtts: &[Exact]) -> Vec<Exact> {
    let lowest = rtts.iter().min().cloned().unwrap_or_default();
    rtts.iter().map(|rtt| rtt - &lowest).collect()
}
