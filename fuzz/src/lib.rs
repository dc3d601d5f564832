//! What must hold for every input, whoever made it up.
//!
//! One function per target. Each takes an input, does with it what a replica would, and panics
//! when something that must hold does not. Two kinds of callers make inputs up:
//!
//! - `cargo test -p synod-fuzz` runs every target for a bounded number of random inputs, with
//!   bolero and a stable toolchain. `BOLERO_RANDOM_ITERATIONS` and `BOLERO_RANDOM_TEST_TIME_MS` set
//!   the bound, `BOLERO_RANDOM_SEED` repeats a run that failed.
//! - `cargo +nightly fuzz run <target>`, in this folder, lets libFuzzer look for inputs that reach
//!   new code, for as long as you like. It needs `cargo install cargo-fuzz` and a C++ compiler.
//!
//! The README of this folder says how to replay a find and how to add a target.
//!
//! # What it is not
//!
//! It looks for no vulnerabilities of the machine: what runs here has no `unsafe`. And it measures
//! nothing.

#![forbid(unsafe_code)]

pub mod cluster;
mod forge;
pub mod log;
pub mod plan;
pub mod record;
pub mod replay;
pub mod replica;
pub mod resp;
pub mod service;
pub mod shorten;
pub mod target;
pub mod wire;
