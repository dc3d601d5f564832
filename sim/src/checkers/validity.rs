//! Validity: only what a client submitted is applied, in one place, out of the decree that was
//! chosen there, and never after its client was told that it will not be.

use synod_core::{Kind, MemberIndex};

use super::history::{Applied, Heard, History, Place};
use super::images::Images;
use crate::violation::{Checked, check};

/// A request is applied at `place` for the first time by any replica.
///
/// # Errors
/// Validity, Outcomes.
pub fn on_first_applied(
    history: &mut History,
    images: &Images,
    node: MemberIndex,
    place: Place,
    applied: &Applied,
) -> Checked {
    let key = applied.key;
    let request = history.get_mut(key);
    check!(
        Validity,
        request.is_some(),
        "member {} applies {key:?} at {place}, which no client submitted",
        node.0
    );
    let Some(request) = request else { return Ok(()) };
    check!(
        Validity,
        request.applied.is_none(),
        "member {} applies {key:?} at {place} and before at {:?}",
        node.0,
        request.applied
    );
    check!(
        Outcomes,
        request.heard != Some(Heard::Refused),
        "member {} applies {key:?} at {place} after its client heard that it will not be",
        node.0
    );
    let inside = match images.chosen(place.slot).map(|chosen| &chosen.bytes) {
        Some(Kind::App(decree)) => contains(decree, &request.body),
        Some(Kind::Noop) | None => false,
    };
    check!(
        Validity,
        inside,
        "member {} applies {key:?} at {place}, but the decree chosen there does not hold it",
        node.0
    );
    request.applied = Some((place, applied.reply));
    Ok(())
}

/// Whether `needle` occurs in `hay`.
fn contains(hay: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || hay.windows(needle.len()).any(|window| window == needle)
}
