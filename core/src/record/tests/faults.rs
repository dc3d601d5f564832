//! Every fault of a record is refused, each by its own name.

use super::*;

/// The sample records as bytes.
fn samples() -> Vec<Bytes> {
    records(&run()).iter().map(bytes_of).collect()
}

/// The first sample with a body of `kind`.
fn sample(kind: u8) -> Bytes {
    samples().into_iter().find(|bytes| bytes[13] == kind).expect("a sample of each kind")
}

/// `record` with its length and its checksum set right.
fn resealed(mut record: Vec<u8>) -> Bytes {
    let len = record.len() as u32;
    record[4..8].copy_from_slice(&len.to_le_bytes());
    seal(crc32c, &mut record, PREFIX_BYTES);
    record.into()
}

/// `record` with `bytes` in place of what stands at `at`, under a checksum that is right again.
fn forged(record: &[u8], at: usize, bytes: &[u8]) -> Bytes {
    let mut record = record.to_vec();
    record[at..at + bytes.len()].copy_from_slice(bytes);
    resealed(record)
}

/// Why `bytes` are refused.
fn refusal(bytes: &Bytes) -> RecordError {
    Decoder::new().decode(bytes).expect_err("the record must be refused")
}

#[test]
fn every_flipped_bit_is_noticed_as_damage() {
    for record in samples() {
        for bit in 0..record.len() * 8 {
            let mut flipped = record.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refusal = refusal(&flipped.into());
            assert!(!refusal.is_sealed(), "bit {bit}: {refusal}");
        }
    }
}

#[test]
fn every_truncation_is_noticed_as_damage() {
    for record in samples() {
        for end in 0..record.len() {
            let needed = if end < PREFIX_BYTES { PREFIX_BYTES } else { record.len() };
            assert_eq!(refusal(&record.slice(..end)), RecordError::Incomplete { needed });
        }
        // A tail that was never written reads as zeros.
        for end in 0..record.len() {
            let mut torn = record.to_vec();
            torn[end..].fill(0);
            if torn != record {
                assert!(!refusal(&torn.into()).is_sealed(), "torn at {end}");
            }
        }
    }
    assert_eq!(refusal(&Bytes::from_static(&[0; 512])), RecordError::Magic);
}

#[test]
fn every_truncation_under_a_right_checksum_is_noticed() {
    for record in samples() {
        for end in (SHORTEST..record.len()).step_by(ALIGNMENT) {
            let refusal = refusal(&resealed(record[..end].to_vec()));
            assert!(
                matches!(refusal, RecordError::Field(FieldError::Short | FieldError::Count(_))),
                "{end}: {refusal}"
            );
        }
        let longer = resealed([&record[..], &[0; 8]].concat());
        assert!(matches!(refusal(&longer), RecordError::Field(FieldError::Excess(8..16))));
    }
}

/// No record of any version is shorter.
const SHORTEST: usize = 16;

/// A record is refused, or it is the one encoding of what it says.
#[test]
fn every_flipped_bit_under_a_right_checksum_is_refused_or_another_record() {
    let mut taken = 0;
    for record in samples() {
        for bit in 0..record.len() * 8 {
            let mut flipped = record.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            seal(crc32c, &mut flipped, PREFIX_BYTES);
            let mut decoder = Decoder::new();
            if let Ok(decoded) = decoder.decode(&Bytes::from(flipped.clone())) {
                let mut out = BytesMut::new();
                encode(&decoded.header, &decoded.stamp, &decoded.record, &mut out);
                assert_eq!(out[..], flipped[..], "bit {bit}: {decoded:?}");
                taken += 1;
            }
        }
    }
    assert!(taken > 1000, "most bits of a record have a meaning: {taken}");
}

#[test]
fn lengths_that_no_record_has_are_refused() {
    let record = sample(0);
    for claimed in [0u32, 8, 15, 137, u32::MAX] {
        let bytes = [&record[..4], &claimed.to_le_bytes()[..], &record[8..]].concat();
        assert_eq!(claimed_len(&bytes), Err(RecordError::Length { claimed }));
        assert_eq!(refusal(&bytes.into()), RecordError::Length { claimed });
    }
    assert_eq!(claimed_len(&record[..3]), Ok(None));
    assert_eq!(claimed_len(&record[..7]), Ok(None));
    assert_eq!(claimed_len(&record[..8]), Ok(Some(record.len())));
    assert_eq!(claimed_len(b"SyRx"), Err(RecordError::Magic));
}

#[test]
fn a_newer_version_is_sealed_whatever_else_it_holds() {
    // The first thirteen bytes are fixed for ever; the rest may be of any shape.
    for len in [16, 24, 200] {
        let mut newer = vec![0x5A; len];
        newer[..4].copy_from_slice(&MAGIC);
        newer[12] = 2;
        let error = refusal(&resealed(newer.clone()));
        assert_eq!(error, RecordError::Version { found: 2 });
        assert!(error.is_sealed());
        assert!(format!("{error}").contains("start a newer program"), "{error}");
        // With a wrong checksum it is no record, of whatever version.
        let mut torn = resealed(newer).to_vec();
        torn[14] ^= 1;
        assert!(matches!(refusal(&torn.into()), RecordError::Checksum { .. }));
    }
}

#[test]
fn unknown_kinds_are_sealed() {
    let record = sample(1);
    for kind in 4..=255 {
        let refusal = refusal(&forged(&record, 13, &[kind]));
        assert_eq!(refusal, RecordError::Kind(kind));
        assert!(refusal.is_sealed());
    }
}

#[test]
fn a_wrong_checksum_is_named() {
    let mut record = sample(0).to_vec();
    let right = u32::from_le_bytes([record[8], record[9], record[10], record[11]]);
    record[8] ^= 1;
    let error = RecordError::Checksum { claimed: right ^ 1, computed: right };
    assert_eq!(refusal(&record.into()), error);
}

#[test]
fn faults_of_the_fixed_part_are_named() {
    let field = |kind: u8, at: usize, bytes: &[u8]| {
        let refusal = refusal(&forged(&sample(kind), at, bytes));
        assert!(refusal.is_sealed());
        match refusal {
            RecordError::Field(error) => error,
            other => panic!("{other:?}"),
        }
    };
    let limit = Slot::LIMIT.0.to_le_bytes();
    // Only a roster has a flag, and only one.
    assert_eq!(field(0, 14, &[1]), FieldError::Flags(1));
    assert_eq!(field(1, 14, &[1]), FieldError::Flags(1));
    assert_eq!(field(3, 14, &[2]), FieldError::Flags(2));
    assert_eq!(field(0, 15, &[1]), FieldError::Reserved);
    assert_eq!(field(0, 36, &limit), FieldError::Slot(Slot::LIMIT.0));
    assert_eq!(field(0, 104, &Ballot::ROUND_LIMIT.to_le_bytes()), FieldError::Round(1 << 62));
    assert_eq!(field(0, 120, &limit), FieldError::Slot(Slot::LIMIT.0));
    assert_eq!(field(1, 128, &limit), FieldError::Slot(Slot::LIMIT.0));
    // A mark holds nothing; what has no proposals names no slot.
    assert_eq!(field(0, 76, &[1]), FieldError::Count(1));
    assert_eq!(field(0, 128, &[1]), FieldError::Redundant);
    assert_eq!(field(3, 128, &[1]), FieldError::Redundant);
    let empty = resealed(forged(&sample(1)[..136], 76, &[0]).to_vec());
    assert_eq!(refusal(&empty), RecordError::Field(FieldError::Redundant));
}

#[test]
fn claimed_counts_reserve_nothing() {
    for kind in [1, 2, 3] {
        let record = sample(kind);
        for claimed in [u32::MAX, 1 << 20, 1000] {
            let forged = forged(&record, 76, &claimed.to_le_bytes());
            let mut decoder = Decoder::new();
            let refused = RecordError::Field(FieldError::Count(claimed));
            assert_eq!(decoder.decode(&forged), Err(refused));
            assert_eq!(decoder.capacity(), 0, "a claim sets no memory aside");
        }
    }
    // More members than a group has, all of them there.
    let many: Vec<_> = (1..=10).map(|id| (NodeId(id), Incarnation(id))).collect();
    let roster = |members| Record {
        promised: ballot(4, 2),
        decided: Slot(6),
        body: Body::Roster { votes: true, members },
    };
    assert!(Decoder::new().decode(&bytes_of(&roster(&many[..9]))).is_ok());
    let refused = RecordError::Field(FieldError::Count(10));
    assert_eq!(refusal(&bytes_of(&roster(&many))), refused);
}

#[test]
fn memory_is_bounded_by_the_length() {
    assert!(size_of::<Proposal<Bytes>>() <= 64, "the documentation of the decoder says so");
    let noops: Vec<_> = (0..1000)
        .map(|slot| Proposal { slot: Slot(slot), ballot: ballot(4, 2), decree: Kind::Noop })
        .collect();
    let body = Body::Accepted(&noops);
    let bytes = bytes_of(&Record { promised: ballot(4, 2), decided: Slot(0), body });
    let mut decoder = Decoder::new();
    assert!(decoder.decode(&bytes).is_ok());
    assert!(decoder.capacity() * size_of::<Proposal<Bytes>>() <= 8 * bytes.len());
}

#[test]
fn faults_of_a_proposal_are_named() {
    let record = sample(1);
    let refused = |at: usize, bytes: &[u8]| match refusal(&forged(&record, 136 + at, bytes)) {
        RecordError::Field(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(4, &[2]), FieldError::DecreeKind(2));
    assert_eq!(refused(4, &[3]), FieldError::DecreeKind(3));
    assert_eq!(refused(4, &[0]), FieldError::NoopLength(1));
    assert_eq!(refused(5, &[4]), FieldError::Flags(4));
    assert_eq!(refused(6, &[1]), FieldError::Reserved);
    assert_eq!(refused(0, &u32::MAX.to_le_bytes()), FieldError::Short);
    // The first proposal spells out another slot than the record names.
    let (head, rest) = record.split_at(136 + 8);
    let mut other = [head, &Slot(70).0.to_le_bytes(), rest].concat();
    other[136 + 5] = 1;
    assert_eq!(refusal(&resealed(other)), RecordError::Field(FieldError::First(7)));
}

#[test]
fn padding_is_zero() {
    let record = sample(2);
    let last = record.len() - 1;
    assert_eq!(refusal(&forged(&record, last, &[1])), RecordError::Field(FieldError::Reserved));
}

#[test]
fn every_error_reads_as_a_sentence() {
    let all = [
        RecordError::Magic,
        RecordError::Incomplete { needed: 8 },
        RecordError::Length { claimed: 9 },
        RecordError::Checksum { claimed: 1, computed: 2 },
        RecordError::Version { found: 2 },
        RecordError::Kind(9),
        RecordError::Field(FieldError::Short),
    ]
    .map(|error| format!("{error}"));
    for (place, text) in all.iter().enumerate() {
        assert!(text.len() > 20 && !text.ends_with('.'), "{text}");
        assert!(!all[..place].contains(text), "said twice: {text}");
    }
}
