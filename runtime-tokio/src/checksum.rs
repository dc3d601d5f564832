//! CRC-32C with the machine's own instruction, where it has one.

/// As [`synod_core::checksum::crc32c`].
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(seed, bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn agrees_with_the_portable_one() {
        let bytes: Vec<u8> = (0..4_096_u32).map(|place| ((place * 31) >> 3) as u8).collect();
        for end in [0, 1, 7, 8, 63, 64, 1_000, 4_096] {
            for seed in [0, 1, u32::MAX, 0xE306_9283] {
                let portable = synod_core::checksum::crc32c(seed, &bytes[..end]);
                assert_eq!(super::crc32c(seed, &bytes[..end]), portable, "{end} from {seed}");
            }
        }
    }
}
