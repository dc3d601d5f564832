//! Tests with real processes: replicas, the demo and the load generator, as people run them.
//!
//! They take turns, and every wait of theirs is bounded. Each stops the processes that it started,
//! by their ids, also when it fails.

mod bad_input;
mod clients;
mod failover;
mod linearizable;
mod pipelines;
mod programs;
mod support;
