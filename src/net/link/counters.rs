//! What interfaces carried, and how busy the processors were.

use std::fs;

use super::NET;

/// What an interface has counted since it was made. An interface that was made anew counts from
/// zero again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets that were received damaged.
    pub rx_errors: u64,
    /// Packets that were received, and for which this host had no room.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets that were to be sent, and that this host dropped, as a full queue does.
    pub tx_dropped: u64,
}

impl Counters {
    /// Reads those of an interface of this thread's network namespace; [`None`] when there is none
    /// of that name, or the system does not tell.
    #[must_use]
    pub fn read(interface: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("{NET}/dev")).ok()?, interface)
    }

    /// From `/proc/net/dev`: two lines of headings; then of each interface eight figures of
    /// receiving and eight of sending, the first of each being bytes.
    pub(super) fn parse(text: &str, interface: &str) -> Option<Self> {
        let line = text
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
        // bytes packets errs drop fifo frame compressed multicast, then bytes packets errs drop …
        let figures: Vec<u64> =
            line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let figure = |at: usize| figures.get(at).copied();
        Some(Self {
            rx_bytes: figure(0)?,
            rx_errors: figure(2)?,
            rx_dropped: figure(3)?,
            tx_bytes: figure(8)?,
            tx_errors: figure(10)?,
            tx_dropped: figure(11)?,
        })
    }

    /// What was counted since an earlier reading; all of it where there was none, or the interface
    /// was made anew.
    #[must_use]
    pub fn since(self, before: Option<Self>) -> Self {
        let Some(before) = before else { return self };
        let moved = |of: fn(&Self) -> u64| of(&self).checked_sub(of(&before)).unwrap_or(of(&self));
        Self {
            rx_bytes: moved(|all| all.rx_bytes),
            rx_errors: moved(|all| all.rx_errors),
            rx_dropped: moved(|all| all.rx_dropped),
            tx_bytes: moved(|all| all.tx_bytes),
            tx_errors: moved(|all| all.tx_errors),
            tx_dropped: moved(|all| all.tx_dropped),
        }
    }
}

/// How the processors of this host have spent their time since its boot, in ticks (proc_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    total: u64,
    idle: u64,
}

impl Cpu {
    /// Reads it; [`None`] where the system does not tell.
    #[must_use]
    pub fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user nice system idle iowait irq softirq steal; guest time is within user's.
        let ticks: Vec<u64> =
            line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        let idle = ticks.get(3)?.checked_add(ticks.get(4).copied().unwrap_or(0))?;
        Some(Self { total: ticks.iter().try_fold(0u64, |sum, &each| sum.checked_add(each))?, idle })
    }

    /// How busy they were since an earlier reading, of 100, to a tenth; [`None`] when no time
    /// passed. What a hypervisor took away counts as busy: this host could not use it.
    #[must_use]
    pub fn busy_since(self, before: Self) -> Option<f64> {
        let total = self.total.checked_sub(before.total).filter(|&total| total > 0)?;
        let idle = self.idle.saturating_sub(before.idle).min(total);
        let tenths = u32::try_from(u128::from(total - idle) * 1000 / u128::from(total)).ok()?;
        Some(f64::from(tenths) / 10.0)
    }
}
