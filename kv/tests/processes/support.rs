//! What the tests with real processes share.

pub(crate) mod history;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use synod_kv::client::{Client, ClientError};
use synod_kv::ledger::{Findings, Ledger};
use synod_kv::local::LocalCluster;
use synod_kv::resp::Value;
use tokio::sync::{Mutex, MutexGuard};

/// Every wait of the tests ends after this, by a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The tests of one binary take turns: each runs three processes, and two cores are few.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_synod-kv").into()
}

/// Three replicas that do not run yet.
pub(crate) fn three() -> LocalCluster {
    LocalCluster::new(program(), 3).expect("a directory and ports")
}

/// Three replicas that run, and the one that leads.
pub(crate) async fn three_running() -> (LocalCluster, u64) {
    let mut cluster = three();
    cluster.start_all().expect("they start");
    let leader = cluster.leader(PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    (cluster, leader)
}

/// A connection to a replica that runs.
pub(crate) async fn connect(cluster: &LocalCluster, id: u64) -> Client {
    let address = &cluster.replica(id).client;
    let until = Instant::now() + PATIENCE;
    loop {
        match Client::connect(address, PATIENCE).await {
            Ok(client) => return client,
            Err(error) if Instant::now() > until => panic!("node {id}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Sends a signal to the process of a replica, and to no other.
pub(crate) fn signal(cluster: &LocalCluster, id: u64, signal: Signal) {
    let pid = cluster.pid(id).and_then(|pid| Pid::from_raw(pid.cast_signed()));
    kill_process(pid.expect("it runs"), signal).expect("it is there");
}

/// One command, as words between blanks.
pub(crate) async fn ask(client: &mut Client, line: &str) -> Result<Value, ClientError> {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    client.call(&args).await
}

/// One command that must succeed, again and again until it does: a leader may be lost at any
/// time on a machine that is busy.
pub(crate) async fn must(cluster: &LocalCluster, id: u64, line: &str) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut client = connect(cluster, id).await;
        let answer = ask(&mut client, line).await;
        match &answer {
            Ok(value) if value.as_error().is_none() => return value.clone(),
            Ok(_) | Err(_) if Instant::now() > until => panic!("{line}: {answer:?}"),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Text as an answer holds it.
pub(crate) fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec().into())
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads everything back through each replica, and fails if anybody was told an untruth or the
/// replicas differ. Answers with what was found.
pub(crate) async fn check(cluster: &mut LocalCluster, ledgers: &[Ledger]) -> Findings {
    let ids: Vec<u64> = cluster.replicas().iter().map(|replica| replica.id).collect();
    let mut findings = Findings::default();
    for (ledger, id) in ledgers.iter().zip(ids.iter().cycle()) {
        let until = Instant::now() + PATIENCE;
        findings = loop {
            let mut attempt = findings;
            let mut client = connect(cluster, *id).await;
            match ledger.audit(&mut client, &mut attempt).await {
                Ok(()) => break attempt,
                Err(error) if Instant::now() > until => panic!("reading back: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
    }
    assert!(findings.is_sound(), "{findings:?}");
    let (slot, digests) = cluster.settled(PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(digests.len(), ids.len());
    assert!(
        digests.iter().all(|(_, digest)| *digest == digests[0].1),
        "they differ at slot {slot}: {digests:?}"
    );
    findings
}
