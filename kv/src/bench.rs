//! `synod-kv bench`: load on running replicas, or on any server that speaks the Redis protocol.
//!
//! The load is closed: each connection sends a batch of `--pipeline` commands, waits for all of its
//! answers, and sends the next. A latency is the time from sending a batch to one of its answers.
//! When the server slows down so does the load, which makes high percentiles look better than a
//! load that keeps coming would see them.

mod report;
mod worker;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::Args;
use tokio::task::JoinSet;

use crate::client::{Client, ClientError};
use crate::progress::{Progress, bar, rate};
use crate::signals;
use report::Report;
use worker::{Plan, Shared, work};

/// The flags of the load generator.
#[derive(Clone, Debug, Args)]
pub struct BenchFlags {
    /// Where clients connect; connections are spread over all of them
    #[arg(
        long,
        value_name = "HOST:PORT,...",
        value_delimiter = ',',
        default_value = "127.0.0.1:6379"
    )]
    pub addr: Vec<String>,
    /// Connections
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 50,
        value_parser = clap::value_parser!(u64).range(1..=10_000)
    )]
    pub connections: u64,
    /// Commands in flight on each connection
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=10_000)
    )]
    pub pipeline: u64,
    /// How long to measure, in seconds
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub duration: u64,
    /// End after so many commands, if that comes before the time is over
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,
    /// Not measured at the start, in seconds
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(0..=3600)
    )]
    pub warm_up: u64,
    /// The size of a value, in bytes
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 64,
        value_parser = clap::value_parser!(u64).range(0..=1 << 26)
    )]
    pub value_size: u64,
    /// The share of reads, in percent; the rest are writes
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(0..=100)
    )]
    pub reads: u64,
    /// The number of keys
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1..=1 << 40)
    )]
    pub keys: u64,
    /// Makes the choice of keys and of reads; another seed, other choices
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

/// Why nothing was measured.
#[derive(Debug)]
pub enum BenchError {
    /// A server cannot be reached.
    Connect {
        /// Its address.
        address: String,
        /// Why.
        error: ClientError,
    },
    /// Not one command succeeded.
    NothingSucceeded(String),
}

/// Puts load on servers and prints what came of it.
///
/// # Errors
/// When a server cannot be reached at the start, or nothing succeeds.
pub async fn run(flags: BenchFlags) -> Result<(), BenchError> {
    let mut progress = Progress::new();
    for address in &flags.addr {
        let connected = Client::connect(address, CONNECT_PATIENCE).await;
        let mut client =
            connected.map_err(|error| BenchError::Connect { address: address.clone(), error })?;
        client
            .call(&[b"PING"])
            .await
            .map_err(|error| BenchError::Connect { address: address.clone(), error })?;
    }
    progress.say(&format!(
        "{} connections to {}, {} in flight on each, {} % reads, values of {} bytes, {} keys",
        flags.connections,
        flags.addr.join(", "),
        flags.pipeline,
        flags.reads,
        flags.value_size,
        flags.keys
    ));
    let report = measure(&flags, &mut progress).await;
    progress.clear();
    progress.say(&report.to_string());
    if report.succeeded() == 0 {
        return Err(BenchError::NothingSucceeded(report.errors()));
    }
    Ok(())
}

/// Warms up, measures, and collects what the workers have seen.
async fn measure(flags: &BenchFlags, progress: &mut Progress) -> Report {
    let shared = Arc::new(Shared::new(Plan {
        addresses: flags.addr.clone(),
        pipeline: flags.pipeline as usize,
        value_size: flags.value_size as usize,
        reads_percent: flags.reads as usize,
        keys: flags.keys as usize,
        commands_max: flags.requests.unwrap_or(u64::MAX),
    }));
    let mut workers = JoinSet::new();
    for number in 0..flags.connections {
        let seed = flags.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number;
        workers.spawn(work(Arc::clone(&shared), number as usize, seed));
    }
    let asked_to_end = signals::asked_to_end();
    tokio::pin!(asked_to_end);
    let warm_up = Duration::from_secs(flags.warm_up);
    let is_going_on = tokio::select! {
        () = &mut asked_to_end => false,
        () = follow(&shared, warm_up, "warming up", progress) => true,
    };
    let started = Instant::now();
    if is_going_on {
        shared.is_measuring.store(true, Ordering::Relaxed);
        // Asked to end is no error here: what was measured so far is shown.
        tokio::select! {
            () = &mut asked_to_end => {}
            () = follow(&shared, Duration::from_secs(flags.duration), "measuring", progress) => {}
        }
    }
    let mut took = started.elapsed();
    shared.stop.store(true, Ordering::Relaxed);
    // When a number of commands was asked for, the last of them still count.
    shared.is_measuring.store(shared.is_done(), Ordering::Relaxed);
    let mut all = Vec::new();
    while let Some(seen) = workers.join_next().await {
        // A worker that panicked has printed why; the others still count.
        all.extend(seen);
    }
    if shared.is_done() {
        took = started.elapsed();
    }
    let mut report = Report::new(took);
    all.iter().for_each(|seen| report.add(seen));
    report
}

/// Shows a bar until the time is over or all commands are sent.
async fn follow(shared: &Shared, length: Duration, what: &str, progress: &mut Progress) {
    let (started, mut last) = (Instant::now(), (Instant::now(), shared.answered()));
    while started.elapsed() < length && !shared.is_done() {
        tokio::time::sleep(FOLLOW_EVERY.min(length.saturating_sub(started.elapsed()))).await;
        progress.show(|| {
            let now = (Instant::now(), shared.answered());
            let per_second = (now.1 - last.1) as f64 / (now.0 - last.0).as_secs_f64();
            last = now;
            let share = started.elapsed().as_secs_f64() / length.as_secs_f64();
            let share = share.max(shared.share_done());
            format!(
                "{what:<10} {} {:3.0} %  {:>10}",
                bar(share, 30),
                share * 100.0,
                rate(per_second)
            )
        });
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { address, error } => write!(
                f,
                "cannot reach {address}: {error}; give --addr the client addresses of running \
                 replicas"
            ),
            Self::NothingSucceeded(errors) => write!(f, "not one command succeeded: {errors}"),
        }
    }
}

impl core::error::Error for BenchError {}

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const FOLLOW_EVERY: Duration = Duration::from_millis(50);
