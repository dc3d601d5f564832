//! Outcomes: each submit that was taken has exactly one outcome while its run lasts, and a true
//! one (A1). What a client heard applied is applied there, with that reply; what it heard refused
//! never is.

use super::history::{Heard, History, RequestKey};
use crate::violation::{Checked, check};

/// The client of `key` hears `heard`.
///
/// # Errors
/// Outcomes.
pub fn on_outcome(history: &mut History, key: RequestKey, heard: Heard) -> Checked {
    let applied = history.hear(key, heard)?.applied;
    match heard {
        Heard::Applied { slot, reply } => {
            check!(
                Outcomes,
                applied.is_some_and(|(place, known)| place.slot == slot && known == reply),
                "{key:?} is said to be applied in slot {slot} with reply {reply:x}; it is {:?}",
                applied
            );
            if let Some((place, _)) = applied {
                history.learn(place);
            }
        }
        Heard::Refused => check!(
            Outcomes,
            applied.is_none(),
            "{key:?} is refused for certain, and is applied at {applied:?}"
        ),
        Heard::Unknown => {}
    }
    Ok(())
}
