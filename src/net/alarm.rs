//! A wake-up at an instant of the monotonic clock, one for each that was asked for: tokio's own
//! timers, made for many timeouts of which few run out, wake a process twice when they are longer
//! than 64 ms, and know no suspend.

use crate::base::time::Mono;

#[cfg(any(target_os = "linux", target_os = "android"))]
use linux::Timer;

/// An alarm clock.
#[derive(Debug)]
pub struct Alarm {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    timer: Option<Timer>,
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new()
    }
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        Self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            timer: Timer::new(),
        }
    }

    /// Waits until `at`, the present being `now`. To be dropped at will.
    pub async fn ring(&self, at: Mono, now: Mono) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(timer) = self.timer.as_ref().filter(|timer| at > now && timer.set(at))
            && timer.rings().await
        {
            return;
        }
        tokio::time::sleep(at.since(now)).await;
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use crate::base::time::Mono;

    /// A timer of the clock that [`Mono`] is read from.
    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        /// [`None`] where the system has none to give.
        pub(super) fn new() -> Option<Self> {
            let timer = timerfd_create(
                TimerfdClockId::Boottime,
                TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
            )
            .ok()?;
            #[expect(
                deprecated,
                reason = "its successor is unsafe; an OwnedFd keeps one descriptor open, as that \
                    demands"
            )]
            let timer = AsyncFd::with_interest(timer, Interest::READABLE).ok()?;
            Some(Self(timer))
        }

        /// Sets it; what it was set to before is forgotten.
        pub(super) fn set(&self, at: Mono) -> bool {
            let Ok(at) = Timespec::try_from(Duration::from_nanos(at.nanos())) else { return false };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &once).is_ok()
        }

        /// Waits until it has run out; not so when it cannot be waited on.
        pub(super) async fn rings(&self) -> bool {
            while let Ok(mut ready) = self.0.readable().await {
                let mut count = [0; 8];
                // One reading empties it; an earlier setting's readiness ends likewise. What makes
                // it ready after the reading is another event, and stays.
                match rustix::io::read(self.0.get_ref(), &mut count) {
                    Ok(_) => {
                        ready.clear_ready();
                        return true;
                    }
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Err(Errno::INTR) => {}
                    Err(_) => return false,
                }
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::time::{Clock, SystemClock};

    #[tokio::test]
    async fn an_alarm_rings_at_its_instant_and_not_before_however_often_it_is_set() {
        let alarm = Alarm::new();
        let begun = SystemClock.now().mono;
        let dropped = tokio::time::timeout(
            Duration::from_millis(1),
            alarm.ring(begun + Duration::from_secs(600), begun),
        );
        assert!(dropped.await.is_err());
        for wait in [3, 0, 70] {
            let now = SystemClock.now().mono;
            let at = now + Duration::from_millis(wait);
            alarm.ring(at, now).await;
            assert!(SystemClock.now().mono >= at, "{wait} ms");
        }
    }
}
