//! A replicated key-value server that speaks the Redis protocol.
//!
//! Each replica is a process with a *replica port*, where the replicas talk to each other, and a
//! *client port*, where any Redis client works: `redis-cli`, `redis-benchmark`, client libraries.
//! Every command goes through consensus, also a read, on whichever replica it arrives: what was
//! answered with success is applied in one order on all replicas and survives the loss of any
//! minority of them.
//!
//! # What an error means
//!
//! An error that starts with `UNCERTAIN` means that the command may or may not have been applied:
//! its leader was lost while it was in flight. Every other error means that it was not applied and
//! will not be. Nothing is acknowledged that is not decided.
//!
//! # The parts
//!
//! * [`resp`] reads and writes the protocol of the clients;
//! * [`command`] is the table of commands: what to check, what to answer at once, what to submit;
//! * [`store`] is the replicated state and the bytes of the requests that change it;
//! * [`integer`] and [`chance`] serve them all.

pub mod chance;
pub mod command;
pub mod integer;
pub mod resp;
pub mod store;
