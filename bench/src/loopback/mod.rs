//! The workloads P2 and P3: replicas on threads of their own, TCP over loopback, one client at the
//! leader; logs in memory, or in files that are synced before anything is answered. There are three
//! replicas, and other numbers for Synod alone.
//!
//! All have the same client on the thread of the leader, one current-thread runtime per replica,
//! one write per peer and turn. Synod is its own runtime, `synod-tokio`, used through its handle;
//! floor and peers run in a loop of this crate that does no more than it must.

mod client;
mod codec;
mod disk;
mod engine;
mod floor;
mod omnipaxos;
mod openraft;
mod raft;
mod synod;
mod wires;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Who takes turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contender {
    Synod,
    Floor,
    Omnipaxos,
    RaftRs,
    Openraft,
}

impl Contender {
    pub(crate) const ALL: [Self; 5] =
        [Self::Synod, Self::Floor, Self::Omnipaxos, Self::RaftRs, Self::Openraft];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Synod => "synod",
            Self::Floor => "floor",
            Self::Omnipaxos => "omnipaxos",
            Self::RaftRs => "raft-rs",
            Self::Openraft => "openraft",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|contender| contender.name() == name)
    }
}

/// What one run is to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) size: usize,
    pub(crate) window: u64,
    /// How many replicas there are.
    pub(crate) members: usize,
    /// How many commands come at least before what is measured, and how many are measured at most.
    pub(crate) before: u64,
    pub(crate) most: u64,
    pub(crate) warm: Duration,
    pub(crate) length: Duration,
    /// Where the logs lie; in memory if nowhere.
    pub(crate) directory: Option<PathBuf>,
}

/// What came of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of the whole process, the client included.
    pub(crate) cpu_ns: f64,
    pub(crate) allocations: f64,
}

/// What the threads of one run share.
#[derive(Debug)]
struct Shared {
    applied: Vec<Count>,
    /// How many commands there were; set by the client when it is done.
    submitted: AtomicU64,
    ends: AtomicBool,
}

/// A number that one thread writes often: on cache lines of its own, or the others pay for it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Count(AtomicU64);

impl Shared {
    fn new(members: usize) -> Self {
        Self {
            applied: (0..members).map(|_| Count::default()).collect(),
            submitted: AtomicU64::new(0),
            ends: AtomicBool::new(false),
        }
    }

    fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    fn has_applied(&self, place: usize, applied: u64) {
        self.applied[place].0.store(applied, Ordering::Relaxed);
    }

    /// How many commands each replica has applied.
    fn applied(&self) -> Vec<u64> {
        self.applied.iter().map(|count| count.0.load(Ordering::Relaxed)).collect()
    }
}

/// One of the replicas, on its thread.
struct Seat {
    place: usize,
    listener: TcpListener,
    /// Where all of them listen.
    ports: Vec<u16>,
    plan: Plan,
    shared: Arc<Shared>,
    /// Told by the one that leads.
    sample: Sender<Sample>,
}

impl Seat {
    /// Where this replica keeps its log.
    fn directory(&self) -> Option<PathBuf> {
        self.plan.directory.as_ref().map(|path| path.join(self.place.to_string()))
    }
}

/// Runs one contender once.
///
/// # Errors
/// When it cannot have so many replicas, makes no progress, or a replica has not applied everything
/// in the end.
pub(crate) fn run(contender: Contender, plan: &Plan) -> Result<Sample, String> {
    if contender != Contender::Synod && plan.members != 3 {
        return Err(format!("{} is set up for three replicas", contender.name()));
    }
    let fresh = plan.directory.as_ref().map(|path| Fresh::directory(path)).transpose();
    let fresh = fresh.map_err(|error| format!("the directory of the logs: {error}"))?;
    let shared = Arc::new(Shared::new(plan.members));
    let (sample, samples) = channel();
    let threads = start(contender, plan, &shared, &sample);
    drop(sample);
    let outcome = judge(plan, &shared, &samples, PATIENCE);
    shared.ends.store(true, Ordering::Relaxed);
    let died = threads.into_iter().filter_map(|thread| thread.join().err()).count();
    drop(fresh);
    match (outcome, died) {
        (Ok(sample), 0) => Ok(sample),
        (Ok(_), died) => Err(format!("{}: {died} replicas died", contender.name())),
        (Err(error), _) => Err(format!("{}: {error}", contender.name())),
    }
}

fn start(
    contender: Contender,
    plan: &Plan,
    shared: &Arc<Shared>,
    sample: &Sender<Sample>,
) -> Vec<JoinHandle<()>> {
    let listen = |_| TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listeners: Vec<TcpListener> = (0..plan.members).map(listen).collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    let ports: Vec<u16> = listeners.iter().map(port).collect();
    let seats = listeners.into_iter().enumerate().map(|(place, listener)| {
        let (plan, shared, sample) = (plan.clone(), Arc::clone(shared), sample.clone());
        Seat { place, listener, ports: ports.clone(), plan, shared, sample }
    });
    let sit = |seat: Seat| {
        let name = format!("{}-{}", contender.name(), seat.place);
        let sit = move || match contender {
            Contender::Synod => synod::sit(seat),
            Contender::Floor => engine::sit(seat, floor::Floor::new),
            Contender::Omnipaxos => engine::sit(seat, omnipaxos::Omnipaxos::new),
            Contender::RaftRs => engine::sit(seat, raft::RaftRs::new),
            Contender::Openraft => openraft::sit(seat),
        };
        thread::Builder::new().name(name).spawn(sit).expect("a thread")
    };
    seats.map(sit).collect()
}

/// Waits for the client, and for all replicas to have applied everything.
fn judge(
    plan: &Plan,
    shared: &Shared,
    samples: &Receiver<Sample>,
    patience: Duration,
) -> Result<Sample, String> {
    let end = samples.recv_timeout(plan.warm + plan.length + patience);
    let sample = end.map_err(|_| "the client came to no end")?;
    let submitted = shared.submitted.load(Ordering::Relaxed);
    let since = Instant::now();
    while shared.applied() != vec![submitted; plan.members] {
        if since.elapsed() > patience {
            return Err(format!("{:?} of {submitted} applied", shared.applied()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(sample)
}

/// A directory that was not there before and is not afterwards.
struct Fresh<'a>(&'a Path);

impl<'a> Fresh<'a> {
    fn directory(path: &'a Path) -> std::io::Result<Self> {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        std::fs::create_dir_all(path)?;
        Ok(Self(path))
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        // What is left over is removed before the next run.
        let _ = std::fs::remove_dir_all(self.0);
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(window: u64, directory: Option<PathBuf>) -> Plan {
        let length = Duration::from_millis(60);
        let (before, most) = (0, u64::MAX);
        Plan { size: 64, window, members: 3, before, most, warm: length, length, directory }
    }

    fn runs(contender: Contender) {
        for window in [1, 100] {
            let sample = run(contender, &plan(window, None)).expect("it runs");
            assert!(sample.per_second > 0.0 && sample.p50_us <= sample.p99_us);
        }
        let name = format!("synod-bench-{}-{}", contender.name(), std::process::id());
        let directory = std::env::temp_dir().join(name);
        run(contender, &plan(16, Some(directory.clone()))).expect("it runs on files");
        assert!(!directory.exists(), "nothing is left behind");
    }

    #[test]
    fn synod_runs() {
        runs(Contender::Synod);
    }

    #[test]
    fn synod_runs_with_other_numbers_of_replicas() {
        for members in [1, 5, 7] {
            let plan = Plan { members, ..plan(16, None) };
            let sample = run(Contender::Synod, &plan).expect("it runs");
            assert!(sample.per_second > 0.0 && sample.cpu_ns > 0.0);
        }
    }

    #[test]
    fn nobody_else_is_asked_for_other_numbers_of_replicas() {
        for contender in Contender::ALL.into_iter().skip(1) {
            let plan = Plan { members: 5, ..plan(16, None) };
            let error = run(contender, &plan).expect_err("three only");
            assert!(error.contains("three replicas"), "{error}");
        }
    }

    #[test]
    fn a_replica_that_lags_is_noticed() {
        let shared = Shared::new(2);
        shared.submitted.store(7, Ordering::Relaxed);
        shared.has_applied(0, 7);
        shared.has_applied(1, 6);
        let (sample, samples) = channel();
        let told =
            Sample { per_second: 1.0, p50_us: 1.0, p99_us: 1.0, cpu_ns: 1.0, allocations: 0.0 };
        sample.send(told).expect("somebody listens");
        let plan = Plan { members: 2, ..plan(1, None) };
        let error = judge(&plan, &shared, &samples, Duration::ZERO).expect_err("one lags");
        assert_eq!(error, "[7, 6] of 7 applied");
    }

    #[test]
    fn the_floor_runs() {
        runs(Contender::Floor);
    }

    #[test]
    fn omnipaxos_runs() {
        runs(Contender::Omnipaxos);
    }

    #[test]
    fn raft_rs_runs() {
        runs(Contender::RaftRs);
    }

    #[test]
    fn openraft_runs() {
        runs(Contender::Openraft);
    }
}
