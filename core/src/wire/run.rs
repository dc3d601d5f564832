//! A run of proposals, the same in frames and in records.
//!
//! [The module above](super) has the table. What the reader expects is left out, so a run of one
//! ballot costs eight bytes per proposal beside the decrees.
//!
//! There is one encoding for each run: what is spelled out without need is refused.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes};

use super::field::{BALLOT_BYTES, FieldError, Fields, SLOT_BYTES, narrow, put_ballot, put_slot};
use super::parts::Sink;
use crate::{Ballot, Kind, Proposal, Slot};

/// The least that one proposal takes.
pub(crate) const PROPOSAL_BYTES_MIN: usize = 8;

/// The most that one proposal takes beside its decree.
pub(crate) const PROPOSAL_BYTES_MAX: usize = PROPOSAL_BYTES_MIN + SLOT_BYTES + BALLOT_BYTES;

const KIND_NOOP: u8 = 0;
const KIND_APP: u8 = 1;

const FLAG_SLOT: u8 = 1;
const FLAG_BALLOT: u8 = 2;

/// What the next proposal of a run has unless it says otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) slot: Slot,
    pub(crate) ballot: Ballot,
}

impl Expected {
    const fn behind(proposal: &Proposal<Bytes>) -> Self {
        // Saturating: an encoder must survive what a decoder will refuse.
        Self { slot: Slot(proposal.slot.0.saturating_add(1)), ballot: proposal.ballot }
    }

    /// The flags for `proposal`, and how many bytes stand before its decree.
    fn flags(self, proposal: &Proposal<Bytes>) -> (u8, usize) {
        let slot = if proposal.slot == self.slot { (0, 0) } else { (FLAG_SLOT, SLOT_BYTES) };
        let same_ballot = proposal.ballot == self.ballot;
        let ballot = if same_ballot { (0, 0) } else { (FLAG_BALLOT, BALLOT_BYTES) };
        (slot.0 | ballot.0, PROPOSAL_BYTES_MIN + slot.1 + ballot.1)
    }
}

/// The size of `run` when encoded.
pub(crate) fn encoded_len(mut expected: Expected, run: &[Proposal<Bytes>]) -> usize {
    let mut len = 0;
    for proposal in run {
        len += expected.flags(proposal).1 + decree(proposal).1.len();
        expected = Expected::behind(proposal);
    }
    len
}

/// Appends `run`. If decrees are copied it is here, once, and nowhere else.
pub(crate) fn put(mut expected: Expected, run: &[Proposal<Bytes>], out: &mut impl Sink) {
    for proposal in run {
        let (flags, _) = expected.flags(proposal);
        let (kind, decree) = decree(proposal);
        let own = out.own();
        own.put_u32_le(narrow(decree.len()));
        own.put_u8(kind);
        own.put_u8(flags);
        own.put_u16_le(0);
        if flags & FLAG_SLOT != 0 {
            put_slot(proposal.slot, own);
        }
        if flags & FLAG_BALLOT != 0 {
            put_ballot(proposal.ballot, own);
        }
        out.put_decree(decree);
        expected = Expected::behind(proposal);
    }
}

/// Reads `count` proposals into `scratch`, in place of what it held.
pub(crate) fn read(
    mut expected: Expected,
    count: usize,
    fields: &mut Fields<'_>,
    scratch: &mut Vec<Proposal<Bytes>>,
) -> Result<(), FieldError> {
    scratch.clear();
    scratch.reserve(count);
    for _ in 0..count {
        let proposal = read_one(expected, fields)?;
        expected = Expected::behind(&proposal);
        scratch.push(proposal);
    }
    Ok(())
}

fn read_one(expected: Expected, fields: &mut Fields<'_>) -> Result<Proposal<Bytes>, FieldError> {
    let (len, kind, flags) = (fields.u32()?, fields.u8()?, fields.u8()?);
    if flags & !(FLAG_SLOT | FLAG_BALLOT) != 0 {
        return Err(FieldError::Flags(flags));
    }
    if fields.u16()? != 0 {
        return Err(FieldError::Reserved);
    }
    let slot = if flags & FLAG_SLOT == 0 { expected.slot } else { fields.slot()? };
    // The expected slot may lie at the limit, behind the last one there is.
    if slot >= Slot::LIMIT {
        return Err(FieldError::Slot(slot.0));
    }
    let ballot = if flags & FLAG_BALLOT == 0 { expected.ballot } else { fields.ballot()? };
    let spelled_out = (flags & FLAG_SLOT != 0, flags & FLAG_BALLOT != 0);
    if spelled_out != (slot != expected.slot, ballot != expected.ballot) {
        return Err(FieldError::Redundant);
    }
    let decree = match kind {
        KIND_NOOP if len == 0 => Kind::Noop,
        KIND_NOOP => return Err(FieldError::NoopLength(len)),
        KIND_APP => Kind::App(fields.handle(len)?),
        unknown => return Err(FieldError::DecreeKind(unknown)),
    };
    Ok(Proposal { slot, ballot, decree })
}

/// The kind and the bytes of a decree.
fn decree(proposal: &Proposal<Bytes>) -> (u8, &Bytes) {
    static NOTHING: Bytes = Bytes::new();
    match &proposal.decree {
        Kind::Noop => (KIND_NOOP, &NOTHING),
        Kind::App(bytes) => (KIND_APP, bytes),
    }
}
