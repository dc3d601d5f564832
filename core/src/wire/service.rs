//! The bodies of the messages between services.

use core::ops::RangeInclusive;

use bytes::{BufMut, Bytes};

use super::WireError;
use super::field::{BALLOT_BYTES, Fields, narrow, put_ballot};
use crate::service::ServiceMessage;

/// The kinds set aside for the service.
pub(super) const KINDS: RangeInclusive<u8> = 16..=31;

const KIND_FORWARD: u8 = 16;
const KIND_TAKEN: u8 = 17;

const FORWARD_BYTES: usize = BALLOT_BYTES + 2 * size_of::<u64>() + size_of::<u32>();
const TAKEN_BYTES: usize = BALLOT_BYTES + 2 * size_of::<u64>();

/// The byte that names the kind of `message`.
pub(super) const fn kind(message: &ServiceMessage) -> u8 {
    match message {
        ServiceMessage::Forward { .. } => KIND_FORWARD,
        ServiceMessage::Taken { .. } => KIND_TAKEN,
    }
}

/// The size of the body of `message`.
pub(super) const fn encoded_len(message: &ServiceMessage) -> usize {
    match message {
        ServiceMessage::Forward { requests, .. } => FORWARD_BYTES + requests.len(),
        ServiceMessage::Taken { .. } => TAKEN_BYTES,
    }
}

/// Appends the body of `message`.
pub(super) fn put(message: &ServiceMessage, out: &mut impl BufMut) {
    match message {
        ServiceMessage::Forward { ballot, number, after, requests } => {
            put_ballot(*ballot, out);
            out.put_u64_le(*number);
            out.put_u64_le(*after);
            out.put_u32_le(narrow(requests.len()));
            out.put_slice(requests);
        }
        ServiceMessage::Taken { ballot, number, last } => {
            put_ballot(*ballot, out);
            out.put_u64_le(*number);
            out.put_u64_le(*last);
        }
    }
}

/// Reads the body of a message of `kind`.
pub(super) fn read(kind: u8, mut fields: Fields<'_>) -> Result<ServiceMessage, WireError> {
    let message = match kind {
        KIND_FORWARD => ServiceMessage::Forward {
            ballot: fields.ballot()?,
            number: fields.u64()?,
            after: fields.u64()?,
            requests: read_requests(&mut fields)?,
        },
        KIND_TAKEN => ServiceMessage::Taken {
            ballot: fields.ballot()?,
            number: fields.u64()?,
            last: fields.u64()?,
        },
        unknown => return Err(WireError::Kind(unknown)),
    };
    fields.finish()?;
    Ok(message)
}

fn read_requests(fields: &mut Fields<'_>) -> Result<Bytes, WireError> {
    let len = fields.u32()?;
    Ok(fields.handle(len)?)
}
