//! A digest of the whole state that costs nothing to keep.

/// The digest of one pair, in a form that a value can grow from: an append costs what it appends.
///
/// The digest of a state is the wrapping sum of those of its pairs, so it follows each change in
/// the time that the change itself takes, and the order in which pairs came does not matter. It
/// finds replicas that drifted apart; it is no defence against forgery.
///
/// Bytes are taken in eight at a time, little endian. The state covers the key and the full words
/// of the value; [`Running::finish`] adds the last bytes, filled up with zeros, and the length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Running(u64);

impl Running {
    /// The state of a pair with this key and this value.
    pub(super) fn of(key: &[u8], value: &[u8]) -> Self {
        // The length of the key separates "ab" = "c" from "a" = "bc".
        let state = words(SEED ^ key.len() as u64, key);
        let state = mix(state ^ last_word(key), STEP);
        Self(words(state.rotate_left(32), value))
    }

    /// The state when a value of `len` bytes has grown to `value`.
    pub(super) fn grown(self, len: usize, value: &[u8]) -> Self {
        Self(words(self.0, &value[full_words(len)..]))
    }

    /// The digest of the pair, whose value this is.
    pub(super) fn finish(self, value: &[u8]) -> u64 {
        mix(mix(self.0 ^ last_word(value), STEP) ^ value.len() as u64 ^ FINAL, STEP)
    }
}

/// Takes in the full words of `bytes`.
fn words(state: u64, bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(state, |state, word| mix(state ^ u64::from_le_bytes(*word), STEP))
}

/// The bytes behind the full words, filled up with zeros. The length is taken in as well, so the
/// filling is not mistaken for bytes.
fn last_word(bytes: &[u8]) -> u64 {
    let rest = &bytes[full_words(bytes.len())..];
    rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// So many of `len` bytes are in full words.
const fn full_words(len: usize) -> usize {
    len / 8 * 8
}

/// Folds the 128-bit product onto itself: each bit of either factor reaches all of the result.
fn mix(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    // The sum with the left factor keeps a zero from wiping out all that came before.
    (product as u64 ^ (product >> 64) as u64).wrapping_add(left.rotate_left(23))
}

const SEED: u64 = 0x243F_6A88_85A3_08D3;
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
const FINAL: u64 = 0x1319_8A2E_0370_7344;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn of_pair(key: &[u8], value: &[u8]) -> u64 {
        Running::of(key, value).finish(value)
    }

    #[test]
    fn grown_in_any_steps_is_the_same() {
        let value: Vec<u8> = (0..40).collect();
        for first in 0..=40 {
            for second in first..=40 {
                let state = Running::of(b"key", &value[..first]);
                let state = state.grown(first, &value[..second]).grown(second, &value);
                assert_eq!(state.finish(&value), of_pair(b"key", &value), "{first}, {second}");
            }
        }
    }

    #[test]
    fn where_the_key_ends_matters() {
        let pairs = [("", ""), ("a", ""), ("", "a"), ("ab", "c"), ("a", "bc"), ("abc", "")];
        let zeros = [("\0", ""), ("\0\0", ""), ("", "\0"), ("", "\0\0"), ("\0", "\0")];
        let digests: HashSet<u64> = pairs
            .iter()
            .chain(&zeros)
            .map(|(key, value)| of_pair(key.as_bytes(), value.as_bytes()))
            .collect();
        assert_eq!(digests.len(), pairs.len() + zeros.len());
    }

    #[test]
    fn small_differences_spread() {
        let mut seen = HashSet::new();
        let mut counts = [0u32; 64];
        for number in 0..20_000u32 {
            let digest = of_pair(format!("key:{number}").as_bytes(), b"1");
            assert!(seen.insert(digest), "two keys with one digest");
            for (bit, count) in counts.iter_mut().enumerate() {
                *count += (digest >> bit & 1) as u32;
            }
        }
        for count in counts {
            assert!((9_400..10_600).contains(&count), "a bit is set in {count} of 20000");
        }
    }

    #[test]
    fn the_format_does_not_move() {
        // Replicas of two versions compare digests: a change here needs a plan.
        assert_eq!(of_pair(b"key", b"value"), 0x917D_C5B1_FE18_D77A);
    }
}
