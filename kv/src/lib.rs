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
//! * [`server`] is the client port: connections, pipelines, limits;
//! * [`config`] reads and checks the settings, [`cli`] the command line;
//! * [`serve`] puts these together with a node: one replica;
//! * [`demo`] shows a fail-over on [`local`] replicas: its [`writers`] keep a [`ledger`] of what
//!   they were told, which is compared with what is there in the end;
//! * [`bench`](mod@bench) puts load on running replicas;
//! * [`client`] is the small client that these use, [`progress`] their line of progress,
//!   [`signals`] what ends them; [`integer`] and [`chance`] serve them all.
#![forbid(unsafe_code)]

pub mod bench;
pub mod chance;
pub mod cli;
pub mod client;
pub mod command;
pub mod config;
pub mod demo;
pub mod integer;
pub mod ledger;
pub mod local;
pub mod progress;
pub mod resp;
pub mod serve;
pub mod server;
pub mod signals;
pub mod store;
pub mod writers;
