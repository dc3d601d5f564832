//! `synod-kv demo`: three replicas, a killed leader, and a check that nothing was lost.

use core::fmt;
use core::time::Duration;
use std::time::Instant;

use clap::Args;

use crate::client::{Client, ClientError};
use crate::ledger::{Findings, Ledger};
use crate::local::{LocalCluster, LocalError};
use crate::progress::{Progress, rate, time};
use crate::signals;
use crate::writers::{Force, Writers};

/// The flags of the demo.
#[derive(Clone, Copy, Debug, Args)]
pub struct DemoFlags {
    /// How long each of the two times of writing lasts
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 3,
        value_parser = clap::value_parser!(u64).range(1..=600)
    )]
    pub seconds: u64,
}

impl Default for DemoFlags {
    fn default() -> Self {
        Self { seconds: 3 }
    }
}

/// Why the demo did not end well.
#[derive(Debug)]
pub enum DemoError {
    /// The program does not know where it lies.
    Program(std::io::Error),
    /// The replicas did not do what was asked.
    Local(LocalError),
    /// A replica did not answer.
    Client(ClientError),
    /// Something took longer than it may.
    TooLong(&'static str, Duration),
    /// Somebody was told an untruth.
    Unsound(Findings),
    /// The states of the replicas differ.
    Differ(Vec<(u64, String)>),
    /// It was asked to end.
    Interrupted,
}

/// Runs the demo.
///
/// # Errors
/// When something acknowledged was lost, replicas differ, or something did not work at all.
pub async fn run(flags: DemoFlags) -> Result<(), DemoError> {
    // When this is dropped, on whatever way, the processes and their directory are gone.
    tokio::select! {
        result = tell(flags) => result,
        () = signals::asked_to_end() => Err(DemoError::Interrupted),
    }
}

async fn tell(flags: DemoFlags) -> Result<(), DemoError> {
    let started = Instant::now();
    let mut progress = Progress::new();
    progress.say("Three replicas of one key-value store, each a process with a log in files.");
    let mut cluster = begin(&mut progress).await?;
    let leader = elect(&mut cluster, &mut progress).await?;

    let length = Duration::from_secs(flags.seconds);
    let force = Force { writers: 24, pipeline: 4 };
    progress.say(&format!(
        "\nWriting for {} s: {} connections to all replicas, {} writes in flight on each.",
        flags.seconds, force.writers, force.pipeline
    ));
    let writers = Writers::start(cluster.running(), force);
    watch(&writers, &mut cluster, &mut progress, length).await?;
    let undisturbed = figures(&writers, 0, length);
    progress.say(&format!("  {undisturbed}"));

    let gap = kill_leader(leader, &writers, &mut cluster, &mut progress).await?;
    let before = writers.acknowledged();
    watch(&writers, &mut cluster, &mut progress, length).await?;
    progress.say(&format!("  {}", figures(&writers, before, length)));
    let caught_up = restart(leader, &mut cluster, &mut progress).await?;
    let errors = writers.errors();
    let ledgers = writers.stop().await;

    progress.say("\nWriting has ended. Reading everything back, through each replica in turn.");
    let findings = audit(&ledgers, &cluster).await?;
    let (slot, digests) = cluster.settled(SETTLE_PATIENCE).await.map_err(DemoError::Local)?;
    for (id, digest) in &digests {
        progress.say(&format!("  node {id}: state {digest} at slot {slot}"));
    }
    let summary = Summary { findings, errors: &errors, gap, caught_up, undisturbed };
    progress.say(&summary.to_string());
    progress.say(&format!("Took {:.1} s.", started.elapsed().as_secs_f64()));
    if !findings.is_sound() {
        return Err(DemoError::Unsound(findings));
    }
    if digests.windows(2).any(|pair| pair[0].1 != pair[1].1) {
        return Err(DemoError::Differ(digests));
    }
    let program = std::env::args().next().unwrap_or_else(|| "synod-kv".to_owned());
    progress.say(&TRY_IT.replace("{program}", &program));
    Ok(())
}

/// Starts three replicas. Another program may take a port between its choice and its use: then
/// others are chosen.
async fn begin(progress: &mut Progress) -> Result<LocalCluster, DemoError> {
    let program = std::env::current_exe().map_err(DemoError::Program)?;
    let mut attempt = 1;
    loop {
        let mut cluster = LocalCluster::new(program.clone(), 3).map_err(DemoError::Local)?;
        cluster.start_all().map_err(DemoError::Local)?;
        match cluster.leader(ELECT_PATIENCE).await {
            Ok(_) => return Ok(cluster),
            Err(error) if attempt < START_ATTEMPTS && error.to_string().contains("listen") => {
                progress.say("A port was taken meanwhile; once more with others.");
                attempt += 1;
            }
            Err(error) => return Err(DemoError::Local(error)),
        }
    }
}

/// Waits for a leader, and tells who is who.
async fn elect(cluster: &mut LocalCluster, progress: &mut Progress) -> Result<u64, DemoError> {
    let leader = cluster.leader(ELECT_PATIENCE).await.map_err(DemoError::Local)?;
    for replica in cluster.replicas() {
        progress.say(&format!(
            "  node {}: process {}, replicas at {}, clients at {}{}",
            replica.id,
            cluster.pid(replica.id).unwrap_or_default(),
            replica.listen,
            replica.client,
            if replica.id == leader { "  <- leads" } else { "" },
        ));
    }
    Ok(leader)
}

/// Lets the writers work, and shows how they do.
async fn watch(
    writers: &Writers,
    cluster: &mut LocalCluster,
    progress: &mut Progress,
    length: Duration,
) -> Result<(), DemoError> {
    let (started, before) = (Instant::now(), writers.acknowledged());
    let mut last = (started, before);
    while started.elapsed() < length {
        tokio::time::sleep(WATCH_EVERY.min(length.saturating_sub(started.elapsed()))).await;
        cluster.check_alive().map_err(DemoError::Local)?;
        progress.show(|| {
            let now = (Instant::now(), writers.acknowledged());
            let per_second = (now.1 - last.1) as f64 / (now.0 - last.0).as_secs_f64();
            last = now;
            let (half, most) = writers.percentiles();
            format!(
                "{:4.1} s  {:>9} writes  {:>10}  p50 {:>8}  p99 {:>8}",
                started.elapsed().as_secs_f64(),
                now.1,
                rate(per_second),
                time(half),
                time(most)
            )
        });
    }
    progress.clear();
    Ok(())
}

fn figures(writers: &Writers, before: u64, length: Duration) -> String {
    let writes = writers.acknowledged() - before;
    let (half, most) = writers.percentiles();
    format!(
        "{writes} writes acknowledged, {}, p50 {}, p99 {}",
        rate(writes as f64 / length.as_secs_f64()),
        time(half),
        time(most)
    )
}

/// Kills the leader, and waits for the first write that is sent and acknowledged after that.
async fn kill_leader(
    leader: u64,
    writers: &Writers,
    cluster: &mut LocalCluster,
    progress: &mut Progress,
) -> Result<Duration, DemoError> {
    progress.say(&format!("\nSIGKILL to node {leader}, which leads, under full load."));
    writers.forget_latencies();
    // Not before the signal: the leader could still acknowledge. And not once the process is gone:
    // that would hide the time it takes to die.
    cluster.kill_and(leader, || writers.mark());
    let started = Instant::now();
    let gap = loop {
        if let Some(gap) = writers.since_mark() {
            break gap;
        }
        if started.elapsed() > ELECT_PATIENCE {
            return Err(DemoError::TooLong("the first write after the kill", ELECT_PATIENCE));
        }
        cluster.check_alive().map_err(DemoError::Local)?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let next = cluster.leader(ELECT_PATIENCE).await.map_err(DemoError::Local)?;
    progress.say(&format!("  Node {next} leads. The next write succeeded after {gap:.0?}."));
    Ok(gap)
}

/// Starts the killed replica again, and waits until it has applied what the others had applied
/// when it was started. They go on meanwhile.
async fn restart(
    id: u64,
    cluster: &mut LocalCluster,
    progress: &mut Progress,
) -> Result<Duration, DemoError> {
    let mut goal = 0;
    for replica in cluster.replicas().iter().filter(|replica| replica.id != id) {
        let info = replica.info().await.map_err(DemoError::Client)?;
        goal = goal.max(info.number("applied_slot").unwrap_or_default());
    }
    progress.say(&format!("\nNode {id} starts again; the others are at slot {goal} and go on."));
    let started = Instant::now();
    cluster.start(id).map_err(DemoError::Local)?;
    loop {
        cluster.check_alive().map_err(DemoError::Local)?;
        let info = cluster.replica(id).info().await;
        let slot = info.ok().and_then(|info| info.number("applied_slot")).unwrap_or_default();
        if slot >= goal {
            let took = started.elapsed();
            progress.say(&format!("  It has caught up with slot {goal} after {took:.0?}."));
            return Ok(took);
        }
        if started.elapsed() > CATCH_UP_PATIENCE {
            return Err(DemoError::TooLong("catching up", CATCH_UP_PATIENCE));
        }
        progress.show(|| format!("slot {slot} of {goal}"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Reads every key back and compares it with what its writer was told.
async fn audit(ledgers: &[Ledger], cluster: &LocalCluster) -> Result<Findings, DemoError> {
    let addresses = cluster.running();
    let mut findings = Findings::default();
    for (ledger, address) in ledgers.iter().zip(addresses.iter().cycle()) {
        let client = Client::connect(address, AUDIT_PATIENCE).await;
        let mut client = client.map_err(DemoError::Client)?;
        ledger.audit(&mut client, &mut findings).await.map_err(DemoError::Client)?;
    }
    Ok(findings)
}

/// What came of it all.
struct Summary<'a> {
    findings: Findings,
    errors: &'a std::collections::BTreeMap<String, u64>,
    gap: Duration,
    caught_up: Duration,
    undisturbed: String,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings { kept, lost, undead, wrong, refused, unknown_applied, unknown_absent } =
            self.findings;
        writeln!(f, "\nSummary")?;
        writeln!(f, "  before the kill       {}", self.undisturbed)?;
        writeln!(f, "  kill to next write    {:.0?}", self.gap)?;
        writeln!(f, "  restart to caught up  {:.0?}", self.caught_up)?;
        writeln!(f, "  acknowledged          {}, of which lost: {lost}", kept + lost)?;
        writeln!(f, "  refused for certain   {}, of which applied: {undead}", refused + undead)?;
        let unknown = unknown_applied + unknown_absent;
        writeln!(f, "  unknown               {unknown}, of which applied: {unknown_applied}")?;
        writeln!(f, "  values nobody wrote   {wrong}")?;
        let errors: Vec<String> =
            self.errors.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let errors = if errors.is_empty() { "none".to_owned() } else { errors.join(", ") };
        write!(f, "  errors the writers met {errors}")
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(error) => write!(f, "cannot find the program's own file: {error}"),
            Self::Local(error) => error.fmt(f),
            Self::Client(error) => write!(f, "a replica does not answer: {error}"),
            Self::TooLong(what, patience) => write!(
                f,
                "{what} took longer than {patience:?}: is this machine busy with something else?"
            ),
            Self::Unsound(findings) => write!(
                f,
                "{} acknowledged writes are lost, {} refused ones were applied, {} values are \
                 wrong: this is a fault of this program, please report it",
                findings.lost, findings.undead, findings.wrong
            ),
            Self::Differ(digests) => write!(
                f,
                "the states of the replicas differ at one slot: {digests:?}; this is a fault of \
                 this program, please report it"
            ),
            Self::Interrupted => f.write_str("interrupted; the replicas are stopped"),
        }
    }
}

impl core::error::Error for DemoError {}

const TRY_IT: &str = "
Nothing acknowledged was lost, and the replicas agree. To try it by hand:
  for i in 1 2 3; do
    {program} serve --id $i --cluster try --client 127.0.0.1:638$i --data try/$i \\
      --peers 1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003 &
  done
  redis-cli -p 6381 set greeting hello
  redis-cli -p 6382 get greeting
  redis-cli -p 6383 info replication
  kill %1 %2 %3";

const WATCH_EVERY: Duration = Duration::from_millis(50);
const ELECT_PATIENCE: Duration = Duration::from_secs(20);
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(30);
const SETTLE_PATIENCE: Duration = Duration::from_secs(20);
const AUDIT_PATIENCE: Duration = Duration::from_secs(20);
const START_ATTEMPTS: usize = 3;
