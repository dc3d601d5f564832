//! One connection of the load.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::chance::Chance;
use crate::client::{Client, ClientError};
use crate::writers::latencies;

/// What the workers do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) addresses: Vec<String>,
    pub(super) pipeline: usize,
    pub(super) value_size: usize,
    pub(super) reads_percent: usize,
    pub(super) keys: usize,
    pub(super) commands_max: u64,
}

/// What the workers share.
#[derive(Debug)]
pub(super) struct Shared {
    plan: Plan,
    pub(super) stop: AtomicBool,
    pub(super) is_measuring: AtomicBool,
    answered: AtomicU64,
    /// Commands sent since measuring began.
    sent: AtomicU64,
}

/// What one worker has seen while measuring.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) reads: Histogram<u64>,
    pub(super) writes: Histogram<u64>,
    /// Errors by their first word.
    pub(super) errors: BTreeMap<String, u64>,
}

impl Shared {
    pub(super) fn new(plan: Plan) -> Self {
        let (stop, is_measuring) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { plan, stop, is_measuring, answered: AtomicU64::new(0), sent: AtomicU64::new(0) }
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether all commands are sent.
    pub(super) fn is_done(&self) -> bool {
        self.sent.load(Ordering::Relaxed) >= self.plan.commands_max
    }

    /// The share of the commands that is sent.
    pub(super) fn share_done(&self) -> f64 {
        self.sent.load(Ordering::Relaxed) as f64 / self.plan.commands_max as f64
    }
}

/// Sends batches and takes answers until told to stop. Connects anew when the connection breaks,
/// to the next address.
pub(super) async fn work(shared: Arc<Shared>, number: usize, seed: u64) -> Seen {
    let mut seen = Seen { reads: latencies(), writes: latencies(), errors: BTreeMap::new() };
    let mut chance = Chance::new(seed);
    let value: Vec<u8> =
        (0..shared.plan.value_size).map(|_| b'a' + chance.below(26) as u8).collect();
    let mut place = number;
    while !shared.stop.load(Ordering::Relaxed) && !shared.is_done() {
        let addresses = &shared.plan.addresses;
        let connected = Client::connect(&addresses[place % addresses.len()], PATIENCE).await;
        place += 1;
        let broken = match connected {
            Ok(mut client) => drive(&shared, &mut client, &mut chance, &value, &mut seen).await,
            Err(error) => Err(error),
        };
        if let Err(error) = broken {
            seen.count(match error {
                ClientError::Io(_) => "connection",
                ClientError::TimedOut(_) => "time-out",
                ClientError::BadReply => "protocol",
            });
            tokio::time::sleep(PAUSE).await;
        }
    }
    seen
}

async fn drive(
    shared: &Shared,
    client: &mut Client,
    chance: &mut Chance,
    value: &[u8],
    seen: &mut Seen,
) -> Result<(), ClientError> {
    let plan = &shared.plan;
    let mut are_reads = Vec::with_capacity(plan.pipeline);
    while !shared.stop.load(Ordering::Relaxed) {
        are_reads.clear();
        for _ in 0..plan.pipeline {
            let key = format!("bench:{:012}", chance.below(plan.keys));
            let is_read = chance.below(100) < plan.reads_percent;
            if is_read {
                client.push(&[b"GET", key.as_bytes()]);
            } else {
                client.push(&[b"SET", key.as_bytes(), value]);
            }
            are_reads.push(is_read);
        }
        let is_measuring = shared.is_measuring.load(Ordering::Relaxed);
        if is_measuring
            && shared.sent.fetch_add(plan.pipeline as u64, Ordering::Relaxed) >= plan.commands_max
        {
            return Ok(());
        }
        let sent = Instant::now();
        client.flush().await?;
        for is_read in &are_reads {
            let answer = client.next().await?;
            let took = sent.elapsed();
            shared.answered.fetch_add(1, Ordering::Relaxed);
            // A batch counts when it lies in the measured time with both its ends.
            if !is_measuring || !shared.is_measuring.load(Ordering::Relaxed) {
                continue;
            }
            match answer.as_error() {
                None => {
                    let latencies = if *is_read { &mut seen.reads } else { &mut seen.writes };
                    latencies.saturating_record(took.as_micros() as u64);
                }
                Some(text) => {
                    let kind = text.split(|byte| *byte == b' ').next().unwrap_or_default();
                    seen.count(&String::from_utf8_lossy(kind));
                }
            }
        }
    }
    Ok(())
}

impl Seen {
    fn count(&mut self, kind: &str) {
        *self.errors.entry(kind.to_owned()).or_default() += 1;
    }
}

/// A server that does not answer for so long is given up.
const PATIENCE: Duration = Duration::from_secs(15);

/// After an error.
const PAUSE: Duration = Duration::from_millis(20);
