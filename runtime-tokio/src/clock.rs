//! The clock of a node: it counts the time that the machine was suspended, too.

use std::time::Duration;

use synod_core::Instant;

/// Samples the clock of this machine, on which requests name their deadlines.
///
/// `CLOCK_BOOTTIME` on Linux. Elsewhere the monotonic clock of the system, which on Apple's systems
/// counts suspension as well. Rust's own `std::time::Instant` does not count it on Linux: a leader
/// that wakes from a suspended machine would believe that no time had passed.
#[cfg(unix)]
pub fn now() -> Instant {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let sample = rustix::time::clock_gettime(CLOCK);
    // Seconds since the machine started fit 34 bits for centuries, and are never negative.
    Instant(sample.tv_sec as u64 * 1_000_000_000 + sample.tv_nsec as u64)
}

/// Samples the clock of this machine, counted from the first call of this process.
#[cfg(not(unix))]
pub fn now() -> Instant {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    Instant::ZERO.after(start.elapsed() + Duration::from_nanos(1))
}

/// When the timer of the runtime has to fire so that `deadline` is reached, and when that is on
/// this clock.
///
/// The timer does not count suspension and may so fire late. That is harmless: the replica judges
/// by [`now`], and its peers' beats wake it.
pub(crate) fn timer_for(deadline: Instant, now: Instant) -> (tokio::time::Instant, Instant) {
    let wait = deadline.since(now).min(WAIT_MAX);
    (tokio::time::Instant::now() + wait, now.after(wait))
}

/// A node looks at its clock at least this often. Keeps timers far from overflow.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back() {
        let mut last = now();
        for _ in 0..1_000 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
        assert!(last > Instant::ZERO);
    }

    #[test]
    fn no_deadline_is_a_bounded_wait() {
        let now = now();
        let (at, armed) = timer_for(Instant::NEVER, now);
        assert!(at - tokio::time::Instant::now() <= WAIT_MAX);
        assert_eq!(armed, now.after(WAIT_MAX));
        let (at, armed) = timer_for(Instant::ZERO, now);
        assert!(at <= tokio::time::Instant::now());
        assert_eq!(armed, now);
    }
}
