//! The table at the end.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::worker::Seen;
use crate::progress::{rate, time};
use crate::writers::latencies;

/// What all workers have seen together.
#[derive(Debug)]
pub(super) struct Report {
    took: Duration,
    reads: Histogram<u64>,
    writes: Histogram<u64>,
    errors: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn new(took: Duration) -> Self {
        Self { took, reads: latencies(), writes: latencies(), errors: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, seen: &Seen) {
        // All histograms have the same bounds, so nothing can fail to fit.
        let _ = self.reads.add(&seen.reads);
        let _ = self.writes.add(&seen.writes);
        for (kind, count) in &seen.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
    }

    /// Commands that succeeded.
    pub(super) fn succeeded(&self) -> u64 {
        self.reads.len() + self.writes.len()
    }

    /// Errors by their kind.
    pub(super) fn errors(&self) -> String {
        let errors: Vec<String> =
            self.errors.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        if errors.is_empty() { "none".to_owned() } else { errors.join(", ") }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<7}{:>11}{:>12}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "", "commands", "rate", "p50", "p90", "p99", "p99.9", "max"
        )?;
        let mut all = self.reads.clone();
        let _ = all.add(&self.writes);
        for (name, seen) in [("reads", &self.reads), ("writes", &self.writes), ("all", &all)] {
            if seen.is_empty() && name != "all" {
                continue;
            }
            let seconds = self.took.as_secs_f64().max(f64::MIN_POSITIVE);
            let per_second = rate(seen.len() as f64 / seconds);
            write!(f, "{name:<7}{:>11}{per_second:>12}", seen.len())?;
            for quantile in [0.5, 0.9, 0.99, 0.999] {
                write!(f, "{:>10}", time(seen.value_at_quantile(quantile)))?;
            }
            writeln!(f, "{:>10}", time(seen.max()))?;
        }
        write!(f, "errors: {}; measured for {:.1} s", self.errors(), self.took.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let mut seen = Seen { reads: latencies(), writes: latencies(), errors: BTreeMap::new() };
        for micros in 1..=100 {
            seen.writes.saturating_record(micros * 10);
        }
        seen.errors.insert("TRYAGAIN".to_owned(), 2);
        let mut report = Report::new(Duration::from_secs(2));
        report.add(&seen);
        report.add(&seen);
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        let words: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(words[..5], ["writes", "200", "100", "/s", "500"], "{text}");
        assert!(lines[3].starts_with("errors: TRYAGAIN 4; measured for 2.0 s"), "{text}");
    }
}
