//! The wire format: one frame per message, from replica to replica.
//!
//! All numbers are little endian. A ballot is its round and then its node, eight bytes each; a slot
//! is eight bytes. Slots at or above [`Slot::LIMIT`](crate::Slot::LIMIT) and rounds at or above
//! [`Ballot::ROUND_LIMIT`](crate::Ballot::ROUND_LIMIT) are refused.
//!
//! # Frame
//!
//! | offset | size | field |
//! |-------:|-----:|-------|
//! | 0 | 4 | length of the frame in bytes, these four included |
//! | 4 | 2 | magic: the letters `Sy` |
//! | 6 | 1 | version of the format: 1 |
//! | 7 | 1 | kind of message, see below |
//! | 8 | 4 | CRC-32C of the whole frame without these four bytes |
//! | 12 | 8 | cluster |
//! | 20 | 8 | group |
//! | 28 | 4 | epoch: number |
//! | 32 | 8 | epoch: first slot |
//! | 40 | 8 | epoch: digest |
//! | 48 | 8 | node |
//! | 56 | 8 | incarnation |
//! | 64 | 8 | boot |
//! | 72 |   | body |
//!
//! # Bodies
//!
//! | kind | message | fields, in order, with their sizes |
//! |-----:|---------|-------------------------------------|
//! | 0 | reserved | |
//! | 1 | beat | leader 16, round 8, promised 16, decided 8, roster 9 × 8, hears 2 |
//! | 2 | prepare | ballot 16, from 8 |
//! | 3 | promise | ballot 16, from 8, end 8, limit 8, decided 8, retained 8, count 4, run |
//! | 4 | accept | ballot 16, from 8, decided 8, count 4, run |
//! | 5 | accepted | ballot 16, end 8, resend 1 (0 or 1) |
//! | 6 | nack | refused 16, promised 16 |
//! | 7 | learn | from 8 |
//! | 8 | learned | from 8, decided 8, count 4, run |
//! | 9–15 | reserved | messages of the protocol |
//! | 16 | forward | ballot 16, number 8, after 8, length 4, requests |
//! | 17 | taken | ballot 16, number 8, last 8 |
//! | 18–31 | reserved | messages of the service |
//! | 32–255 | reserved | |
//!
//! `hears` is a set of members, one bit each from the lowest; bits from the tenth on are 0.
//! `count` is the number of proposals in the run. `length` is that of the requests, whose format
//! is the [service](crate::service)'s own.
//!
//! # Runs
//!
//! The reader of a run knows what slot and ballot to expect: for the first proposal `from` and the
//! ballot of the message (round 0 and node 0 for learned), then the slot behind and the ballot of
//! the proposal before. What is as expected is left out.
//!
//! | offset | size | field |
//! |-------:|-----:|-------|
//! | 0 | 4 | length of the decree in bytes; 0 for a no-op |
//! | 4 | 1 | kind of decree: 0 no-op, 1 application; 2 configuration and 3 faulty are reserved |
//! | 5 | 1 | flags: 1 the slot follows, 2 the ballot follows; the others are reserved, 0 |
//! | 6 | 2 | reserved, 0 |
//! | 8 | 0 or 8 | the slot, when it is not the expected one |
//! |   | 0 or 16 | the ballot, when it is not the expected one |
//! |   | length | the decree, as the application made it |
//!
//! # Versions
//!
//! The first eight bytes mean the same in every version. A reader that meets another version than
//! its own says so ([`WireError::Version`]) and takes nothing from the frame; reserved values are
//! refused too. There is exactly one encoding for each message.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, clippy::expect_used)
)]

mod body;
mod error;
pub(crate) mod field;
mod frame;
mod parts;
pub(crate) mod run;
mod service;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::assert_fits_exactly;

pub(crate) use frame::seal;

pub use error::WireError;
pub use field::FieldError;
pub use frame::{
    Decoder, FRAME_BYTES_MIN, MAGIC, PREFIX_BYTES, VERSION, encode, encode_into, encode_into_with,
    encode_with, encoded_len, frame_bytes_max, frame_len,
};
pub use parts::Parts;

use bytes::Bytes;

use crate::Message;
use crate::service::ServiceMessage;

/// What a frame carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload<'a> {
    /// A message of the protocol.
    Replica(Message<'a, Bytes>),
    /// A message of the service.
    Service(ServiceMessage),
}
