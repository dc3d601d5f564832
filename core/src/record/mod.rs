//! The record format: what the logs of replicas hold.
//!
//! All numbers are little endian; ballots, slots and runs are encoded as in [`wire`](crate::wire).
//! A record names what it belongs to, inside its checksum: cluster, group, epoch, node,
//! incarnation, the generation of the log and its own place in it. Bytes of another log, of an
//! earlier life of this one or written to the wrong place therefore never pass for a record of
//! this log, whatever their checksum.
//!
//! # Record
//!
//! | offset | size | field |
//! |-------:|-----:|-------|
//! | 0 | 4 | magic: the letters `SyRe` |
//! | 4 | 4 | length of the record in bytes, padding included: a multiple of 8 |
//! | 8 | 4 | CRC-32C of the whole record without these four bytes |
//! | 12 | 1 | version of the format: 1 |
//! | 13 | 1 | kind of body, see below |
//! | 14 | 1 | flags: 1 the replica votes (roster only); the others are reserved, 0 |
//! | 15 | 1 | reserved, 0 |
//! | 16 | 8 | cluster |
//! | 24 | 8 | group |
//! | 32 | 4 | epoch: number |
//! | 36 | 8 | epoch: first slot |
//! | 44 | 8 | epoch: digest |
//! | 52 | 8 | node |
//! | 60 | 8 | incarnation |
//! | 68 | 8 | boot |
//! | 76 | 4 | number of proposals or members in the body |
//! | 80 | 8 | generation of the log |
//! | 88 | 8 | position of this record in the endless stream of the log's bytes |
//! | 96 | 8 | `durable_upto`: the position known durable when this was written (R11) |
//! | 104 | 16 | promised: the highest ballot promised (round, node) |
//! | 120 | 8 | decided: everything below is chosen, and in the log at or before this record (R5) |
//! | 128 | 8 | slot of the first proposal; 0 without proposals |
//! | 136 |   | body |
//! |     | 0–7 | padding, 0 |
//!
//! # Bodies
//!
//! | kind | body | holds |
//! |-----:|------|-------|
//! | 0 | mark | nothing |
//! | 1 | accepted | a run of proposals |
//! | 2 | learned | a run of proposals |
//! | 3 | roster | per member node 8, incarnation 8 |
//! | 4–255 | reserved | configurations, faulty slots, snapshots |
//!
//! The run is that of [`wire`](crate::wire); the first proposal is expected at the slot that the
//! record names and in the ballot that it promises.
//!
//! # Versions
//!
//! The first thirteen bytes mean the same in every version, so a program tells a sound record of
//! a newer version ([`RecordError::Version`]) from damage. It must stop there: to take such a
//! record for the torn end of the log would destroy what a newer program wrote.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, clippy::expect_used)
)]

mod codec;
mod error;
mod replay;
#[cfg(test)]
mod tests;

pub use codec::{
    ALIGNMENT, Decoded, Decoder, MAGIC, PREFIX_BYTES, RECORD_BYTES_MIN, VERSION, claimed_len,
    encode, encode_into, encode_into_with, encode_with, encoded_len,
};
pub use error::RecordError;
pub use replay::{Replay, ReplayError};

use crate::Boot;

/// What a log adds to each of its records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    /// The generation of the log: one more after each recovery.
    pub generation: Boot,
    /// The position of this record in the endless stream of the log's bytes.
    pub position: u64,
    /// The position known durable when this record was written (R11).
    pub durable_upto: u64,
}
