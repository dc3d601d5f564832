//! Writers that keep a ledger: load whose outcome can be checked afterwards.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::client::{Client, ClientError};
use crate::ledger::{Ledger, Told};
use crate::resp::Value;

/// How much is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Force {
    /// Writers, one connection each, spread over the addresses.
    pub writers: usize,
    /// Writes of one writer in flight.
    pub pipeline: usize,
}

/// Writers at work.
#[derive(Debug)]
pub struct Writers {
    shared: Arc<Shared>,
    tasks: JoinSet<Ledger>,
}

#[derive(Debug)]
struct Shared {
    addresses: Vec<String>,
    pipeline: usize,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    tally: Mutex<Tally>,
}

/// What the writers have seen since it was last taken.
#[derive(Debug)]
pub struct Tally {
    /// Microseconds from sending to acknowledgement.
    pub latencies: Histogram<u64>,
    /// Errors by their first word.
    pub errors: BTreeMap<String, u64>,
    /// Asked for by [`Writers::mark`]: since when, and until the first write was acknowledged that
    /// was sent after that.
    mark: Option<(Instant, Option<Duration>)>,
}

impl Writers {
    /// Sets writers to work.
    #[must_use]
    pub fn start(addresses: Vec<String>, force: Force) -> Self {
        let tally = Tally { latencies: latencies(), errors: BTreeMap::new(), mark: None };
        let shared = Arc::new(Shared {
            addresses,
            pipeline: force.pipeline,
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            tally: Mutex::new(tally),
        });
        let mut tasks = JoinSet::new();
        for writer in 0..force.writers {
            tasks.spawn(write(Arc::clone(&shared), writer));
        }
        Self { shared, tasks }
    }

    /// Writes acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Forgets the latencies so far.
    pub fn forget_latencies(&self) {
        self.shared.tally().latencies.reset();
    }

    /// Microseconds within which half and 99 of 100 writes were acknowledged, since they were last
    /// forgotten.
    #[must_use]
    pub fn percentiles(&self) -> (u64, u64) {
        let tally = self.shared.tally();
        (tally.latencies.value_at_quantile(0.5), tally.latencies.value_at_quantile(0.99))
    }

    /// Errors so far, by their first word.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.shared.tally().errors.clone()
    }

    /// From now on, waits for a write that is sent after this and acknowledged.
    pub fn mark(&self) {
        self.shared.tally().mark = Some((Instant::now(), None));
    }

    /// How long after the mark the first such write was acknowledged.
    #[must_use]
    pub fn since_mark(&self) -> Option<Duration> {
        self.shared.tally().mark?.1
    }

    /// Ends the work and collects the ledgers. Writes in flight are waited for.
    ///
    /// # Panics
    /// When a writer did.
    pub async fn stop(mut self) -> Vec<Ledger> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut ledgers = Vec::new();
        while let Some(ledger) = self.tasks.join_next().await {
            ledgers.push(ledger.expect("a writer does not panic"));
        }
        ledgers
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counts stay counts if a holder panicked.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up the answer to a write that was sent at `sent`.
    fn take(&self, answer: &Value, sent: Instant) -> Told {
        let (told, took) = (Ledger::judge(answer), sent.elapsed());
        let mut tally = self.tally();
        match answer.as_error() {
            None => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                tally.latencies.saturating_record(took.as_micros() as u64);
                if let Some((mark, first @ None)) = &mut tally.mark
                    && sent >= *mark
                {
                    *first = Some(mark.elapsed());
                }
            }
            Some(text) => tally.count(text),
        }
        told
    }
}

impl Tally {
    fn count(&mut self, error: &[u8]) {
        let kind = error.split(|byte| *byte == b' ').next().unwrap_or_default();
        *self.errors.entry(String::from_utf8_lossy(kind).into_owned()).or_default() += 1;
    }
}

/// One writer: connects to one replica after the other, writes until that breaks.
async fn write(shared: Arc<Shared>, writer: usize) -> Ledger {
    let mut ledger = Ledger { writer, told: Vec::new() };
    let mut place = writer;
    while !shared.stop.load(Ordering::Relaxed) {
        let address = &shared.addresses[place % shared.addresses.len()];
        place += 1;
        let connected = Client::connect(address, PATIENCE).await;
        let error = match connected {
            Ok(mut client) => write_until_broken(&shared, &mut client, &mut ledger).await,
            Err(error) => Err(error),
        };
        if error.is_err() {
            shared.tally().count(b"connection");
            tokio::time::sleep(PAUSE).await;
        }
    }
    ledger
}

async fn write_until_broken(
    shared: &Shared,
    client: &mut Client,
    ledger: &mut Ledger,
) -> Result<(), ClientError> {
    while !shared.stop.load(Ordering::Relaxed) {
        let first = ledger.told.len();
        for number in first..first + shared.pipeline {
            let (key, value) = (ledger.key(number), ledger.value(number));
            client.push(&[b"SET", key.as_bytes(), value.as_bytes()]);
            // Until an answer says more: if the connection breaks, it stays so.
            ledger.told.push(Told::Unknown);
        }
        let sent = Instant::now();
        client.flush().await?;
        let mut is_refused = false;
        for number in first..first + shared.pipeline {
            let told = shared.take(&client.next().await?, sent);
            ledger.told[number] = told;
            is_refused |= told == Told::Refused;
        }
        if is_refused {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// A histogram of microseconds, up to a minute, exact to 1 in 1000.
#[must_use]
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds and digits are sound")
}

/// After an error.
const PAUSE: Duration = Duration::from_millis(10);

/// A replica that does not answer for so long is given up.
const PATIENCE: Duration = Duration::from_secs(15);
