//! Every fault of a frame is refused, each by its own name.

use super::*;

/// Where bodies start.
const BODY: usize = FRAME_BYTES_MIN;

/// The sample frame of a message of `kind`, the first of that kind.
fn sample(kind: u8) -> Bytes {
    frames().into_iter().find(|frame| frame[7] == kind).expect("a sample of each kind")
}

#[test]
fn every_flipped_bit_is_noticed() {
    for frame in frames() {
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = refusal(&flipped.into());
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    for frame in frames() {
        for end in 0..frame.len() {
            let _ = refusal(&frame.slice(..end));
        }
        let longer = [&frame[..], &[0]].concat();
        let claimed = frame.len() as u32;
        let present = longer.len();
        assert_eq!(refusal(&longer.into()), WireError::Length { claimed, present });
    }
}

/// The same under a length and a checksum that are right: what a hostile sender would send.
#[test]
fn every_truncation_under_a_right_checksum_is_noticed() {
    for frame in frames() {
        for end in BODY..frame.len() {
            let refusal = refusal(&resealed(frame[..end].to_vec()));
            assert!(matches!(refusal, WireError::Field(FieldError::Short | FieldError::Count(_))));
        }
        let longer = resealed([&frame[..], &[0]].concat());
        assert_eq!(refusal(&longer), WireError::Field(FieldError::Excess(1)));
    }
}

/// A frame is refused, or it is the one encoding of what it says.
#[test]
fn every_flipped_bit_under_a_right_checksum_is_refused_or_another_message() {
    let mut taken = 0;
    for frame in frames() {
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            seal(crc32c, &mut flipped, PREFIX_BYTES);
            let mut decoder = decoder();
            if let Ok((header, payload)) = decoder.decode(&Bytes::from(flipped.clone())) {
                let mut out = BytesMut::new();
                encode(&header, &payload, &mut out);
                assert_eq!(out[..], flipped[..], "{payload:?}");
                taken += 1;
            }
        }
    }
    assert!(taken > 1000, "most bits of a message have a meaning: {taken}");
}

#[test]
fn what_is_no_frame_is_told_at_the_prefix() {
    let frame = sample(1);
    let altered = |at: usize, byte: u8| {
        let mut frame = frame.to_vec();
        frame[at] = byte;
        Bytes::from(frame)
    };
    let claimed = FRAME_BYTES_MIN as u32 - 1;
    assert_eq!(refusal(&altered(0, claimed as u8)), WireError::Undersize { claimed });
    let claimed = u32::from_le_bytes([frame[0], 0, 0, 0x70]);
    let max = frame_bytes_max(&Limits::default());
    assert_eq!(refusal(&altered(3, 0x70)), WireError::Oversize { claimed, max });
    let claimed = frame.len() as u32 + 1;
    let present = frame.len();
    assert_eq!(refusal(&altered(0, claimed as u8)), WireError::Length { claimed, present });
    assert_eq!(refusal(&altered(4, b'G')), WireError::Magic { found: *b"Gy" });
    assert_eq!(refusal(&altered(6, 0)), WireError::Version { found: 0 });
    assert_eq!(refusal(&altered(6, 2)), WireError::Version { found: 2 });
    assert_eq!(refusal(&Bytes::new()), WireError::Length { claimed: 0, present: 0 });
    let claimed = present as u32;
    assert_eq!(refusal(&frame.slice(..7)), WireError::Length { claimed, present: 7 });
}

#[test]
fn other_protocols_are_told_at_the_prefix() {
    for stranger in [&b"GET / HTTP/1.1\r\n"[..], b"*1\r\n$4\r\nPING\r\n", b"\x16\x03\x01\x02\0\x01"]
    {
        assert!(frame_len(stranger, 1 << 20).is_err(), "{stranger:?}");
    }
}

#[test]
fn a_newer_version_is_named_whatever_else_it_holds() {
    // A header and a checksum of other shapes: the prefix alone is fixed for ever.
    let newer = [&80u32.to_le_bytes()[..], b"Sy", &[2, 200], &[0x5A; 72]].concat();
    let error = refusal(&newer.into());
    assert_eq!(error, WireError::Version { found: 2 });
    assert!(format!("{error}").contains("upgrade the older"), "the error names the mend: {error}");
}

#[test]
fn a_wrong_checksum_is_named() {
    let mut frame = sample(1).to_vec();
    let right = u32::from_le_bytes([frame[8], frame[9], frame[10], frame[11]]);
    frame[8] ^= 1;
    let error = WireError::Checksum { claimed: right ^ 1, computed: right };
    assert_eq!(refusal(&frame.into()), error);
}

#[test]
fn unknown_and_reserved_kinds_are_refused() {
    let frame = sample(7);
    for kind in (0..=255).filter(|kind| !matches!(kind, 1..=8 | 16 | 17)) {
        assert_eq!(refusal(&forged(&frame, 7, &[kind])), WireError::Kind(kind));
    }
}

/// The offsets of the slots and of the rounds in the body of each kind.
const SLOTS: &[(u8, &[usize])] = &[
    (1, &[40]),
    (2, &[16]),
    (3, &[16, 24, 32, 40, 48]),
    (4, &[16, 24]),
    (5, &[16]),
    (7, &[0]),
    (8, &[0, 8]),
];
const ROUNDS: &[(u8, &[usize])] = &[
    (1, &[0, 24]),
    (2, &[0]),
    (3, &[0]),
    (4, &[0]),
    (5, &[0]),
    (6, &[0, 16]),
    (16, &[0]),
    (17, &[0]),
];

#[test]
fn slots_stay_below_their_limit() {
    let refused = FieldError::Slot(Slot::LIMIT.0);
    for (kind, offsets) in SLOTS {
        for offset in *offsets {
            let frame = sample(*kind);
            let at = |slot: u64| forged(&frame, BODY + offset, &slot.to_le_bytes());
            assert_eq!(refusal(&at(Slot::LIMIT.0)), WireError::Field(refused), "{kind} {offset}");
            assert_eq!(
                refusal(&at(u64::MAX)),
                WireError::Field(FieldError::Slot(u64::MAX)),
                "{kind} {offset}"
            );
        }
    }
    // The first slot of the epoch, in the header.
    let frame = forged(&sample(7), 32, &Slot::LIMIT.0.to_le_bytes());
    assert_eq!(refusal(&frame), WireError::Field(refused));
    // The last slot there is can be named; a run can not go beyond it.
    let last = Slot(Slot::LIMIT.0 - 1);
    let learn = frame_of(Message::Learn { from: last });
    assert!(decoder().decode(&learn).is_ok());
    let run = [app(last.0, ballot(4, 2), b"x"), app(last.0 + 1, ballot(4, 2), b"y")];
    let accept = |proposals| Message::Accept {
        ballot: ballot(4, 2),
        from: last,
        proposals,
        decided: Slot(6),
    };
    assert!(decoder().decode(&frame_of(accept(&run[..1]))).is_ok());
    assert_eq!(refusal(&frame_of(accept(&run))), WireError::Field(refused));
    let far = [app(u64::MAX, ballot(4, 2), b"x"), app(u64::MAX, ballot(4, 2), b"y")];
    let beyond = FieldError::Slot(u64::MAX);
    assert_eq!(refusal(&frame_of(accept(&far))), WireError::Field(beyond));
}

#[test]
fn rounds_stay_below_their_limit() {
    for (kind, offsets) in ROUNDS {
        for offset in *offsets {
            let frame = sample(*kind);
            let at = |round: u64| forged(&frame, BODY + offset, &round.to_le_bytes());
            let limit = Ballot::ROUND_LIMIT;
            let refused = WireError::Field(FieldError::Round(limit));
            assert_eq!(refusal(&at(limit)), refused, "{kind} {offset}");
        }
    }
    let run = [app(7, ballot(Ballot::ROUND_LIMIT, 2), b"x")];
    let learned = Message::Learned { from: Slot(7), proposals: &run, decided: Slot(6) };
    let refused = WireError::Field(FieldError::Round(Ballot::ROUND_LIMIT));
    assert_eq!(refusal(&frame_of(learned)), refused);
}

fn frame_of(message: Message<'_, Bytes>) -> Bytes {
    frame(&Payload::Replica(message))
}

#[test]
fn claimed_counts_reserve_nothing() {
    for (kind, at) in [(3, 56), (4, 32), (8, 16)] {
        let frame = sample(kind);
        let count = u32::from_le_bytes([frame[BODY + at], 0, 0, 0]);
        for claimed in [u32::MAX, 1 << 20, 1000] {
            let forged = forged(&frame, BODY + at, &claimed.to_le_bytes());
            let mut decoder = decoder();
            let before = decoder.capacity();
            let refused = WireError::Field(FieldError::Count(claimed));
            assert_eq!(decoder.decode(&forged), Err(refused));
            assert_eq!(decoder.capacity(), before, "a claim sets no memory aside");
        }
        // One more than there are: it fits the bytes present, and there it ends.
        let more = forged(&frame, BODY + at, &(count + 1).to_le_bytes());
        let refusal = refusal(&more);
        assert!(matches!(refusal, WireError::Field(FieldError::Short | FieldError::Count(_))));
    }
}

#[test]
fn runs_longer_than_the_limits_allow_are_refused() {
    let limits = Limits { run_slots_max: 3, ..Limits::default() };
    let refused = WireError::Field(FieldError::Count(4));
    assert_eq!(Decoder::new(&limits).decode(&sample(4)), Err(refused));
    let limits = Limits { run_slots_max: 4, ..Limits::default() };
    assert!(Decoder::new(&limits).decode(&sample(4)).is_ok());
}

/// The first proposal of the sample run stands at the end of the fixed part of an accept.
const FIRST: usize = BODY + 36;

#[test]
fn faults_of_a_proposal_are_named() {
    let frame = sample(4);
    let refused = |at: usize, bytes: &[u8]| match refusal(&forged(&frame, FIRST + at, bytes)) {
        WireError::Field(error) => error,
        other => panic!("{other:?}"),
    };
    for kind in 2..=255 {
        assert_eq!(refused(4, &[kind]), FieldError::DecreeKind(kind));
    }
    assert_eq!(refused(4, &[0]), FieldError::NoopLength(1));
    assert_eq!(refused(5, &[4]), FieldError::Flags(4));
    assert_eq!(refused(5, &[0x80]), FieldError::Flags(0x80));
    assert_eq!(refused(6, &[1]), FieldError::Reserved);
    assert_eq!(refused(7, &[1]), FieldError::Reserved);
    assert_eq!(refused(0, &u32::MAX.to_le_bytes()), FieldError::Short);
}

#[test]
fn what_is_implied_may_not_be_spelled_out() {
    let run = [app(7, ballot(4, 2), b"x")];
    let accept =
        Message::Accept { ballot: ballot(4, 2), from: Slot(7), proposals: &run, decided: Slot(6) };
    let frame = frame_of(accept);
    let with = |flags: u8, fields: &[u64]| {
        let fields: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
        let (head, decree) = frame.split_at(FIRST + 8);
        let mut forged = [head, &fields, decree].concat();
        forged[FIRST + 5] = flags;
        decoder().decode(&resealed(forged)).map(|_| ())
    };
    let redundant = Err(WireError::Field(FieldError::Redundant));
    assert_eq!(with(0, &[]), Ok(()));
    assert_eq!(with(1, &[7]), redundant);
    assert_eq!(with(1, &[8]), Ok(()));
    assert_eq!(with(2, &[4, 2]), redundant);
    assert_eq!(with(2, &[4, 3]), Ok(()));
    assert_eq!(with(3, &[8, 4, 2]), redundant);
    assert_eq!(with(3, &[8, 4, 1]), Ok(()));
}

#[test]
fn a_flag_is_zero_or_one() {
    let frame = sample(5);
    for flag in 2..=255 {
        let forged = forged(&frame, BODY + 24, &[flag]);
        assert_eq!(refusal(&forged), WireError::Field(FieldError::Flags(flag)));
    }
}

#[test]
fn a_set_of_members_has_members_only() {
    let frame = sample(1);
    let hears = BODY + 120;
    assert!(decoder().decode(&forged(&frame, hears, &0x01FFu16.to_le_bytes())).is_ok());
    for bit in 9..16 {
        let set = 1u16 << bit | 1;
        let forged = forged(&frame, hears, &set.to_le_bytes());
        assert_eq!(refusal(&forged), WireError::Field(FieldError::Members(set)));
    }
}

#[test]
fn every_error_reads_as_a_sentence() {
    let fields = [
        FieldError::Short,
        FieldError::Excess(1),
        FieldError::Slot(1),
        FieldError::Round(1),
        FieldError::Count(1),
        FieldError::DecreeKind(2),
        FieldError::NoopLength(1),
        FieldError::Flags(4),
        FieldError::Redundant,
        FieldError::First(1),
        FieldError::Reserved,
        FieldError::Members(0x8000),
    ];
    let frames = [
        WireError::Undersize { claimed: 1 },
        WireError::Oversize { claimed: 9, max: 8 },
        WireError::Magic { found: *b"GE" },
        WireError::Version { found: 2 },
        WireError::Length { claimed: 9, present: 8 },
        WireError::Checksum { claimed: 1, computed: 2 },
        WireError::Kind(99),
    ];
    let all: Vec<String> = frames
        .into_iter()
        .chain(fields.map(WireError::Field))
        .map(|error| format!("{error}"))
        .collect();
    for (place, text) in all.iter().enumerate() {
        assert!(text.len() > 20 && !text.ends_with('.'), "{text}");
        assert!(!all[..place].contains(text), "said twice: {text}");
    }
}
