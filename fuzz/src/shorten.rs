//! The shortest story that still ends badly.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A case that is a list of things that happen, one after the other.
pub trait Story: Clone {
    /// Leaves out what happens from `from` to `end`.
    fn leave_out(&mut self, from: usize, end: usize);

    /// How many things happen.
    fn len(&self) -> usize;

    /// Whether nothing happens.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Runs `case`; a panic comes back as its message.
///
/// # Errors
/// When the target panics.
pub fn attempt<C, R>(case: &C, run: impl Fn(&C) -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(|| run(case))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

/// Takes things out of a case that fails for as long as it goes on failing: half of them at once,
/// then ever smaller parts, down to single ones.
#[must_use]
pub fn shortest<C: Story, R>(case: &C, run: impl Fn(&C) -> R) -> C {
    let mut shortest = case.clone();
    let mut part = shortest.len();
    while part > 0 {
        let mut at = 0;
        while at < shortest.len() {
            let mut shorter = shortest.clone();
            shorter.leave_out(at, (at + part).min(shorter.len()));
            if attempt(&shorter, &run).is_err() {
                shortest = shorter;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    shortest
}
