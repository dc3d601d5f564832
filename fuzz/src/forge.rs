//! Damage: what becomes of sound bytes on a bad day, or in bad hands.

use arbitrary::Arbitrary;
use synod_core::checksum::crc32c;

/// A change to encoded bytes.
#[derive(Clone, Debug, Arbitrary)]
pub(crate) struct Damage {
    /// Bytes are cut off at the end, or added.
    cut: Cut,
    /// Where bits are flipped, and which.
    flips: Vec<(u16, u8)>,
    /// Whether the length is set right afterwards.
    measure: bool,
    /// Whether the checksum is set right afterwards, as a hostile sender would.
    seal: bool,
}

#[derive(Clone, Debug, Arbitrary)]
enum Cut {
    Nothing,
    Short(u16),
    Long(Vec<u8>),
}

/// Where length and checksum stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) length_at: usize,
    pub(crate) checksum_at: usize,
}

impl Damage {
    /// `bytes` with the damage done.
    pub(crate) fn done_to(&self, bytes: &[u8], layout: Layout) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        match &self.cut {
            Cut::Nothing => {}
            Cut::Short(cut) => bytes.truncate(bytes.len().saturating_sub(usize::from(*cut))),
            Cut::Long(more) => bytes.extend_from_slice(more),
        }
        for (at, bits) in &self.flips {
            let len = bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(usize::from(*at) % len) {
                *byte ^= bits;
            }
        }
        if self.measure {
            measure(&mut bytes, layout);
        }
        if self.seal {
            seal(&mut bytes, layout);
        }
        bytes
    }
}

/// Sets the length of `bytes` right, if they reach that far.
pub(crate) fn measure(bytes: &mut [u8], layout: Layout) {
    let len = bytes.len() as u32;
    put(bytes, layout.length_at, len);
}

/// Sets the checksum of `bytes` right, if they reach that far.
pub(crate) fn seal(bytes: &mut [u8], layout: Layout) {
    let at = layout.checksum_at;
    if let (Some(before), Some(behind)) = (bytes.get(..at), bytes.get(at + 4..)) {
        let sum = crc32c(crc32c(0, before), behind);
        put(bytes, at, sum);
    }
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}
