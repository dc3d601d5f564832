//! The shortest story that still ends badly.

use std::panic::catch_unwind;

use super::{Case, Reached, replica};

/// Runs `case`; a panic comes back as its message.
///
/// # Errors
/// When the replica panics or breaks its word.
pub fn attempt(case: &Case) -> Result<Reached, String> {
    catch_unwind(|| replica(case)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

/// Takes operations out of a case that fails for as long as it goes on failing: half of them at
/// once, then ever smaller parts, down to single ones.
#[must_use]
pub fn shortest(case: &Case) -> Case {
    let mut shortest = case.clone();
    let mut part = shortest.ops.0.len();
    while part > 0 {
        let mut at = 0;
        while at < shortest.ops.0.len() {
            let mut shorter = shortest.clone();
            let end = (at + part).min(shorter.ops.0.len());
            shorter.ops.0.drain(at..end);
            if attempt(&shorter).is_err() {
                shortest = shorter;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    shortest
}
