//! CRC-32C, the checksum of every frame and every log record.
//!
//! The polynomial of Castagnoli (0x1EDC6F41, reflected 0x82F63B78) finds every flip of up to three
//! bits in a record of up to 256 MiB and every burst of up to 32 bits. The code here is portable:
//! eight table look-ups for eight bytes at a time, tables built at compile time. A host whose
//! machine has an instruction for it hands in a function of its own, as a [`Crc`].

/// A function that computes CRC-32C as [`crc32c`] does.
pub type Crc = fn(seed: u32, bytes: &[u8]) -> u32;

/// The CRC-32C of `bytes`, continued from `seed`: 0 for a fresh start, or the result for the bytes
/// before these.
#[must_use]
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let crc = words.iter().fold(!seed, |crc, word| {
        let [a, b, c, d, e, f, g, h] = (u64::from_le_bytes(*word) ^ u64::from(crc)).to_le_bytes();
        look_up(7, a)
            ^ look_up(6, b)
            ^ look_up(5, c)
            ^ look_up(4, d)
            ^ look_up(3, e)
            ^ look_up(2, f)
            ^ look_up(1, g)
            ^ look_up(0, h)
    });
    !rest.iter().fold(crc, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        (crc >> 8) ^ look_up(0, low ^ byte)
    })
}

/// The CRC of the whole of `bytes` but for the four at `gap`, where the CRC itself stands.
pub(crate) fn around(crc: Crc, bytes: &[u8], gap: usize) -> u32 {
    let (before, rest) = bytes.split_at_checked(gap).unwrap_or((bytes, &[]));
    let behind = rest.get(size_of::<u32>()..).unwrap_or(&[]);
    crc(crc(0, before), behind)
}

/// What `byte`, with `behind` zero bytes behind it, adds to a CRC.
#[inline]
fn look_up(behind: usize, byte: u8) -> u32 {
    TABLES[behind][usize::from(byte)]
}

/// The polynomial, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// One table per number of zero bytes behind the byte looked up.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[behind - 1][byte];
            tables[behind][byte] = (crc >> 8) ^ tables[0][(crc & 0xFF) as usize];
            byte += 1;
        }
        behind += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// The definition, bit by bit.
    fn naive(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (POLYNOMIAL * (crc & 1)))
        })
    }

    #[test]
    fn published_vectors() {
        // RFC 3720, appendix B.4, and the customary check value.
        assert_eq!(crc32c(0, b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(0, &[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(0, &[0xFF; 32]), 0x62A8_AB43);
        assert_eq!(crc32c(0, &(0..32).collect::<Vec<u8>>()), 0x46DD_794E);
        assert_eq!(crc32c(0, &(0..32).rev().collect::<Vec<u8>>()), 0x113F_DB5C);
    }

    #[test]
    fn agrees_with_the_definition_at_every_length_and_split() {
        let bytes: Vec<u8> = (0..67u32).map(|place| (place * 151 + 43) as u8).collect();
        for len in 0..=bytes.len() {
            let whole = &bytes[..len];
            assert_eq!(crc32c(0, whole), naive(whole), "{len} bytes");
            for split in 0..=len {
                let (left, right) = whole.split_at(split);
                assert_eq!(crc32c(crc32c(0, left), right), naive(whole), "{split} of {len}");
            }
        }
    }

    #[test]
    fn the_gap_is_left_out() {
        let bytes: Vec<u8> = (0..40).collect();
        let cut: Vec<u8> = bytes.iter().copied().filter(|b| !(8..12).contains(b)).collect();
        assert_eq!(around(crc32c, &bytes, 8), crc32c(0, &cut));
        assert_eq!(around(crc32c, &bytes[..5], 8), crc32c(0, &bytes[..5]));
    }
}
