//! A deterministic simulator for Synod: the production core, service, codecs and log on a seeded
//! network, disk and clock, with checkers that watch from outside.
//!
//! # What it is
//!
//! One seed is one run: it draws the kind of the run ([`Options`]) and every fault in it. Faults
//! come first; then the cluster is healed, and with no further client traffic it must converge.
//! The same seed is the same run, bit for bit, on every machine.
//!
//! ```
//! use synod_sim::{Options, swarm, trace::Lines};
//!
//! let report = swarm::run(Options::draw(7, Some(3), Some(synod_sim::ms(500))), Lines::None);
//! assert_eq!(report.violation, None);
//! assert_eq!(report.hash, swarm::run(report.options.clone(), Lines::None).hash);
//! ```
//!
//! On the command line: `cargo run --release -p synod-sim -- run --seeds 0..1000`, and
//! `replay --seed N --trace` for one of them; `shrink` makes a failing one small, and `picture`
//! draws it.
//!
//! # What it is not
//!
//! It does not simulate sockets, threads or a file system: the runtimes have tests of their own.
//! It proves nothing; it looks for counterexamples, very often.

#![forbid(unsafe_code)]

pub mod app;
pub mod atlas;
mod audit;
pub mod checkers;
pub mod clock;
pub mod coverage;
pub mod disk;
mod faults;
mod frames;
mod garbled;
pub mod kinds;
pub mod machine;
pub mod meter;
pub mod mischief;
pub mod near;
pub mod nemesis;
pub mod network;
pub mod nightly;
pub mod node;
pub mod options;
pub mod panics;
pub mod picture;
pub mod plan;
pub mod prng;
pub mod scenario;
pub mod shrink;
pub mod simulation;
pub mod starting;
pub mod steps;
pub mod story;
mod strangers;
pub mod swarm;
pub mod sweep;
pub mod trace;
mod turn;
pub mod violation;
pub mod world;

pub use clock::ms;
pub use options::Options;
pub use prng::Prng;
pub use simulation::{Client, Simulation, Told};
pub use violation::{Property, Violation};
pub use world::World;
