//! The bodies of the messages of the protocol, one function per message and direction.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes};

use super::WireError;
use super::field::{BALLOT_BYTES, FieldError, Fields, SLOT_BYTES, narrow, put_ballot, put_slot};
use super::parts::Sink;
use super::run::{self, Expected, PROPOSAL_BYTES_MIN};
use crate::{Ballot, Beat, Incarnation, MEMBERS_MAX, Message, Proposal, Slot};

const KIND_BEAT: u8 = 1;
const KIND_PREPARE: u8 = 2;
const KIND_PROMISE: u8 = 3;
const KIND_ACCEPT: u8 = 4;
const KIND_ACCEPTED: u8 = 5;
const KIND_NACK: u8 = 6;
const KIND_LEARN: u8 = 7;
const KIND_LEARNED: u8 = 8;

const COUNT_BYTES: usize = 4;
const BEAT_BYTES: usize = 2 * BALLOT_BYTES + 8 + SLOT_BYTES + 8 * MEMBERS_MAX + 2;
const PREPARE_BYTES: usize = BALLOT_BYTES + SLOT_BYTES;
const PROMISE_BYTES: usize = BALLOT_BYTES + 5 * SLOT_BYTES + COUNT_BYTES;
const ACCEPT_BYTES: usize = BALLOT_BYTES + 2 * SLOT_BYTES + COUNT_BYTES;
const ACCEPTED_BYTES: usize = BALLOT_BYTES + SLOT_BYTES + 1;
const NACK_BYTES: usize = 2 * BALLOT_BYTES;
const LEARN_BYTES: usize = SLOT_BYTES;
const LEARNED_BYTES: usize = 2 * SLOT_BYTES + COUNT_BYTES;

/// The most that stands in a body before its run, and the most of a body without one.
pub(super) const FIXED_BYTES_MAX: usize =
    if BEAT_BYTES > PROMISE_BYTES { BEAT_BYTES } else { PROMISE_BYTES };

/// The byte that names the kind of `message`.
pub(super) const fn kind(message: &Message<'_, Bytes>) -> u8 {
    match message {
        Message::Beat(_) => KIND_BEAT,
        Message::Prepare { .. } => KIND_PREPARE,
        Message::Promise { .. } => KIND_PROMISE,
        Message::Accept { .. } => KIND_ACCEPT,
        Message::Accepted { .. } => KIND_ACCEPTED,
        Message::Nack { .. } => KIND_NACK,
        Message::Learn { .. } => KIND_LEARN,
        Message::Learned { .. } => KIND_LEARNED,
    }
}

/// The size of the body of `message`.
pub(super) fn encoded_len(message: &Message<'_, Bytes>) -> usize {
    match message {
        Message::Beat(_) => BEAT_BYTES,
        Message::Prepare { .. } => PREPARE_BYTES,
        Message::Promise { ballot, from, proposals, .. } => {
            PROMISE_BYTES + run::encoded_len(expected(*from, *ballot), proposals)
        }
        Message::Accept { ballot, from, proposals, .. } => {
            ACCEPT_BYTES + run::encoded_len(expected(*from, *ballot), proposals)
        }
        Message::Accepted { .. } => ACCEPTED_BYTES,
        Message::Nack { .. } => NACK_BYTES,
        Message::Learn { .. } => LEARN_BYTES,
        Message::Learned { from, proposals, .. } => {
            LEARNED_BYTES + run::encoded_len(expected(*from, Ballot::ZERO), proposals)
        }
    }
}

/// Appends the body of `message`.
pub(super) fn put(message: &Message<'_, Bytes>, out: &mut impl Sink) {
    let own = out.own();
    match message {
        Message::Beat(beat) => put_beat(beat, own),
        Message::Prepare { ballot, from } => {
            put_ballot(*ballot, own);
            put_slot(*from, own);
        }
        Message::Promise { ballot, from, end, limit, decided, retained, proposals } => {
            put_ballot(*ballot, own);
            for slot in [from, end, limit, decided, retained] {
                put_slot(*slot, own);
            }
            put_run(expected(*from, *ballot), proposals, out);
        }
        Message::Accept { ballot, from, proposals, decided } => {
            put_ballot(*ballot, own);
            put_slot(*from, own);
            put_slot(*decided, own);
            put_run(expected(*from, *ballot), proposals, out);
        }
        Message::Accepted { ballot, end, resend } => {
            put_ballot(*ballot, own);
            put_slot(*end, own);
            own.put_u8(u8::from(*resend));
        }
        Message::Nack { refused, promised } => {
            put_ballot(*refused, own);
            put_ballot(*promised, own);
        }
        Message::Learn { from } => put_slot(*from, own),
        Message::Learned { from, proposals, decided } => {
            put_slot(*from, own);
            put_slot(*decided, own);
            put_run(expected(*from, Ballot::ZERO), proposals, out);
        }
    }
}

/// Reads the body of a message of `kind`; its run, if it has one, goes to `scratch`.
pub(super) fn read<'s>(
    kind: u8,
    mut fields: Fields<'_>,
    slots_max: usize,
    scratch: &'s mut Vec<Proposal<Bytes>>,
) -> Result<Message<'s, Bytes>, WireError> {
    let fields = &mut fields;
    let runs = Runs { slots_max, scratch };
    let message = match kind {
        KIND_BEAT => Message::Beat(read_beat(fields)?),
        KIND_PREPARE => Message::Prepare { ballot: fields.ballot()?, from: fields.slot()? },
        KIND_PROMISE => read_promise(fields, runs)?,
        KIND_ACCEPT => read_accept(fields, runs)?,
        KIND_ACCEPTED => Message::Accepted {
            ballot: fields.ballot()?,
            end: fields.slot()?,
            resend: fields.flag()?,
        },
        KIND_NACK => Message::Nack { refused: fields.ballot()?, promised: fields.ballot()? },
        KIND_LEARN => Message::Learn { from: fields.slot()? },
        KIND_LEARNED => read_learned(fields, runs)?,
        unknown => return Err(WireError::Kind(unknown)),
    };
    fields.finish()?;
    Ok(message)
}

/// Where the run of a message goes, and how long it may be.
struct Runs<'s> {
    slots_max: usize,
    scratch: &'s mut Vec<Proposal<Bytes>>,
}

impl<'s> Runs<'s> {
    fn read(
        self,
        expected: Expected,
        fields: &mut Fields<'_>,
    ) -> Result<&'s [Proposal<Bytes>], FieldError> {
        let count = fields.count(PROPOSAL_BYTES_MIN)?;
        if count > self.slots_max {
            return Err(FieldError::Count(narrow(count)));
        }
        run::read(expected, count, fields, self.scratch)?;
        Ok(self.scratch)
    }
}

fn put_beat(beat: &Beat, out: &mut impl BufMut) {
    put_ballot(beat.leader, out);
    out.put_u64_le(beat.round);
    put_ballot(beat.promised, out);
    put_slot(beat.decided, out);
    for incarnation in beat.roster {
        out.put_u64_le(incarnation.0);
    }
    out.put_u16_le(beat.hears.0);
}

fn read_beat(fields: &mut Fields<'_>) -> Result<Beat, FieldError> {
    let mut beat = Beat {
        leader: fields.ballot()?,
        round: fields.u64()?,
        promised: fields.ballot()?,
        decided: fields.slot()?,
        ..Beat::default()
    };
    for incarnation in &mut beat.roster {
        *incarnation = Incarnation(fields.u64()?);
    }
    beat.hears = fields.members()?;
    Ok(beat)
}

fn read_promise<'s>(
    fields: &mut Fields<'_>,
    runs: Runs<'s>,
) -> Result<Message<'s, Bytes>, FieldError> {
    let ballot = fields.ballot()?;
    let [from, end, limit] = [fields.slot()?, fields.slot()?, fields.slot()?];
    let [decided, retained] = [fields.slot()?, fields.slot()?];
    let proposals = runs.read(expected(from, ballot), fields)?;
    Ok(Message::Promise { ballot, from, end, limit, decided, retained, proposals })
}

fn read_accept<'s>(
    fields: &mut Fields<'_>,
    runs: Runs<'s>,
) -> Result<Message<'s, Bytes>, FieldError> {
    let (ballot, from, decided) = (fields.ballot()?, fields.slot()?, fields.slot()?);
    let proposals = runs.read(expected(from, ballot), fields)?;
    Ok(Message::Accept { ballot, from, proposals, decided })
}

fn read_learned<'s>(
    fields: &mut Fields<'_>,
    runs: Runs<'s>,
) -> Result<Message<'s, Bytes>, FieldError> {
    let (from, decided) = (fields.slot()?, fields.slot()?);
    let proposals = runs.read(expected(from, Ballot::ZERO), fields)?;
    Ok(Message::Learned { from, proposals, decided })
}

fn put_run(expected: Expected, proposals: &[Proposal<Bytes>], out: &mut impl Sink) {
    out.own().put_u32_le(narrow(proposals.len()));
    run::put(expected, proposals, out);
}

const fn expected(slot: Slot, ballot: Ballot) -> Expected {
    Expected { slot, ballot }
}
