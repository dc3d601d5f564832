//! A line that shows how far something is: rewritten in place on a terminal, plain lines elsewhere.

use core::time::Duration;
use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

/// A progress line on standard output.
#[derive(Debug)]
pub struct Progress {
    is_terminal: bool,
    shown: Option<Instant>,
    is_open: bool,
}

impl Progress {
    /// Nothing shown yet.
    #[must_use]
    pub fn new() -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let mut progress = Self { is_terminal, shown: None, is_open: false };
        progress.clear();
        progress
    }

    /// Shows `line`, unless the last one was shown just now.
    pub fn show(&mut self, line: impl FnOnce() -> String) {
        let every = if self.is_terminal { LIVE_EVERY } else { PLAIN_EVERY };
        if self.shown.is_some_and(|shown| shown.elapsed() < every) {
            return;
        }
        self.shown = Some(Instant::now());
        // A reader that went away must not end a run that it only watched.
        let mut out = std::io::stdout().lock();
        if self.is_terminal {
            // Back to the start of the line, and clear what stands there.
            let _ = write!(out, "\r\x1B[2K  {}", line());
            let _ = out.flush();
            self.is_open = true;
        } else {
            let _ = writeln!(out, "  {}", line());
        }
    }

    /// Removes a line that is still shown, so that others can follow.
    pub fn clear(&mut self) {
        if core::mem::take(&mut self.is_open) {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\r\x1B[2K");
            let _ = out.flush();
        }
        // A line of its own is worth writing only when there is something to tell.
        self.shown = (!self.is_terminal).then(Instant::now);
    }

    /// Writes a line that stays.
    pub fn say(&mut self, line: &str) {
        self.clear();
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A bar of `width` places for a share of something.
#[must_use]
pub fn bar(share: f64, width: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("[{}{}]", "#".repeat(full), ".".repeat(width - full))
}

/// A rate in at most five places.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second >= 10_000.0 {
        format!("{:.1} k/s", per_second / 1000.0)
    } else {
        format!("{per_second:.0} /s")
    }
}

/// Microseconds in the unit that reads best.
#[must_use]
pub fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.2} ms", micros as f64 / 1e3),
        1_000_000.. => format!("{:.2} s", micros as f64 / 1e6),
    }
}

const LIVE_EVERY: Duration = Duration::from_millis(100);
const PLAIN_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(bar(0.5, 4), "[##..]");
        assert_eq!(bar(7.0, 2), "[##]");
        assert_eq!((rate(12.3), rate(12_340.0)), ("12 /s".to_owned(), "12.3 k/s".to_owned()));
        assert_eq!([time(999), time(1_500), time(2_000_000)], ["999 us", "1.50 ms", "2.00 s"]);
    }
}
