//! Chance: a small generator of our own, so that a seed means the same run for ever.
//!
//! The algorithm is xoshiro256++ (Blackman and Vigna), seeded by splitmix64. Nothing here uses
//! floating point: logarithms differ between machines, and a seed must not.

/// A seeded generator. Each concern of a run (network, disks, faults, clients) has one of its own,
/// so that a change in one does not shift the others.
#[derive(Clone, Debug)]
pub struct Prng {
    state: [u64; 4],
}

/// A million: the denominator of every probability in this crate.
pub const PPM: u32 = 1_000_000;

impl Prng {
    /// The generator of `concern` in the run of `seed`.
    #[must_use]
    pub fn new(seed: u64, concern: &str) -> Self {
        let mut mixed = concern.bytes().fold(seed ^ 0x5157_4F44, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23)
        });
        let state = [(); 4].map(|()| split_mix(&mut mixed));
        Self { state }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let shifted = b << 17;
        let c = c ^ a;
        let d = d ^ b;
        self.state = [a ^ d, b ^ c, c ^ shifted, d.rotate_left(45)];
        result
    }

    /// What it draws next, without drawing it: tells two generators apart.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.clone().bits()
    }

    /// Below `limit`, each equally likely; 0 when `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The bias is below limit / 2^64: nothing in a simulation can see it.
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// Within `from..=to`.
    pub fn within(&mut self, from: u64, to: u64) -> u64 {
        debug_assert!(from <= to);
        from + self.below(to - from + 1)
    }

    /// True `ppm` times in a million.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(u64::from(PPM)) < u64::from(ppm)
    }

    /// One of `choices`; the first when there is only one.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Exponentially distributed with the given mean.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        // -ln(u) = -log2(u) * ln 2, where -log2 is the number of leading zeros minus a fraction
        // that a table of none interpolates linearly: within 9 % of the true one, and exact to
        // repeat.
        let bits = self.bits() | 1;
        let zeros = bits.leading_zeros();
        let mantissa = (bits << zeros) >> 32 & 0x7FFF_FFFF;
        let log2 = (u64::from(zeros) + 1) * (1 << 31) - mantissa;
        let scaled = u128::from(mean) * u128::from(log2) * 693_147;
        (scaled / (1_000_000u128 << 31)) as u64
    }

    /// Shuffles in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            items.swap(place, self.below(place as u64 + 1) as usize);
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_run_for_ever() {
        // Golden numbers: a change here makes every kept seed another run.
        let mut prng = Prng::new(1, "network");
        let drawn = [(); 3].map(|()| prng.bits());
        assert_eq!(drawn, GOLDEN);
        assert_ne!(Prng::new(1, "disk").bits(), GOLDEN[0]);
        assert_ne!(Prng::new(2, "network").bits(), GOLDEN[0]);
    }

    const GOLDEN: [u64; 3] =
        [2_117_523_618_902_913_989, 12_586_066_067_773_326_773, 1_397_430_958_963_256_628];

    #[test]
    fn draws_stay_in_range_and_near_their_mean() {
        let mut prng = Prng::new(7, "test");
        let mut sum = 0;
        for _ in 0..100_000 {
            assert!(prng.below(10) < 10);
            assert!((3..=5).contains(&prng.within(3, 5)));
            sum += prng.exponential(1_000);
        }
        let mean = sum / 100_000;
        assert!((950..=1_050).contains(&mean), "mean {mean}");
        assert_eq!(prng.below(0), 0);
        assert!(!prng.chance(0));
        assert!(prng.chance(PPM));
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut items: Vec<u32> = (0..50).collect();
        Prng::new(3, "test").shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
