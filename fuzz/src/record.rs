//! Targets: records.

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use synod_core::Boot;
use synod_core::record::{self, Decoded, Decoder, MAGIC, RecordError, Stamp, VERSION, claimed_len};

use crate::forge::{Damage, Layout, measure, seal};
use crate::plan::{HeaderPlan, RecordPlan};

const LAYOUT: Layout = Layout { length_at: 4, checksum_at: 8 };

/// Any bytes from a disk: as they are, and behind a magic, length and checksum that are right.
/// Returns how many of the two were taken for a record.
///
/// # Panics
/// When a record that was taken is not the one encoding of what it says.
pub fn bytes(bytes: &[u8]) -> usize {
    let as_they_are = decode(bytes).is_ok();
    let Some((kind, rest)) = bytes.split_first() else { return 0 };
    let mut forged = [&MAGIC[..], &[0; 8], &[VERSION, kind % 5], rest].concat();
    forged.resize(forged.len().next_multiple_of(record::ALIGNMENT), 0);
    measure(&mut forged, LAYOUT);
    seal(&mut forged, LAYOUT);
    let forged = decode(&forged);
    if let Err(error) = forged {
        assert!(error.is_sealed(), "length and checksum are right: {error}");
    }
    usize::from(as_they_are) + usize::from(forged.is_ok())
}

/// A record, and what happens to it on the disk.
#[derive(Clone, Debug, Arbitrary)]
pub struct Case {
    header: HeaderPlan,
    stamp: [u64; 3],
    record: RecordPlan,
    behind: Vec<u8>,
    damage: Damage,
}

impl Case {
    /// The bytes of the record, without the damage.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        let loan = self.record.loan();
        let mut out = BytesMut::new();
        record::encode(&self.header.header(), &self.stamp(), &self.record.record(&loan), &mut out);
        out.freeze()
    }

    const fn stamp(&self) -> Stamp {
        let [generation, position, durable_upto] = self.stamp;
        Stamp { generation: Boot(generation), position, durable_upto }
    }
}

/// A record comes back, whatever follows it; a damaged one is refused or says something else.
/// Returns whether the damaged one was taken.
///
/// # Panics
/// When a record does not come back, or a damaged one passes for a sound one.
pub fn record(case: &Case) -> bool {
    let (header, loan) = (case.header.header(), case.record.loan());
    let (record, stamp, sound) = (case.record.record(&loan), case.stamp(), case.bytes());
    let len = sound.len();
    assert_eq!(len, record::encoded_len(&record));
    let found = Bytes::from([&sound[..], &case.behind].concat());
    let mut decoder = Decoder::new();
    let decoded = decoder.decode(&found);
    assert_eq!(decoded, Ok(Decoded { header, stamp, record, len }));
    let damaged = case.damage.done_to(&sound, LAYOUT);
    decode(&damaged).is_ok() && !damaged.starts_with(&sound)
}

/// Decodes what stands at the start of `bytes`. What is taken encodes to the same bytes again.
fn decode(bytes: &[u8]) -> Result<(), RecordError> {
    let found = Bytes::copy_from_slice(bytes);
    let mut decoder = Decoder::new();
    let decoded = decoder.decode(&found)?;
    assert_eq!(claimed_len(bytes), Ok(Some(decoded.len)));
    let mut again = BytesMut::new();
    record::encode(&decoded.header, &decoded.stamp, &decoded.record, &mut again);
    assert_eq!(again, bytes[..decoded.len], "there is one encoding");
    Ok(())
}
