//! Each key of a small concurrent history with a killed leader is linearizable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support;
use crate::support::history::{Deed, Operation, is_linearizable};
use crate::support::{ask, three_running, turn};
use synod_kv::chance::Chance;
use synod_kv::client::Client;
use synod_kv::ledger::{Ledger, Told};
use synod_kv::resp::Value;

const CLIENTS: usize = 6;
const KEYS: usize = 4;
/// Of one client. Each key gets about `CLIENTS * OPERATIONS / KEYS` of them, 128 at most.
const OPERATIONS: usize = 60;

fn text(value: &Value) -> Option<String> {
    value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// One client: reads and writes one after the other, and notes what it did and saw.
async fn client(
    number: usize,
    addresses: Vec<String>,
    began: Instant,
    hurry: Arc<AtomicBool>,
) -> Vec<(usize, Operation)> {
    let mut chance = Chance::new(number as u64);
    let (mut history, mut place, mut connection) = (Vec::new(), number, None::<Client>);
    for count in 0..OPERATIONS {
        // Spread over the fail-over: a pause after each, until it is over.
        if !hurry.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(chance.below(40) as u64)).await;
        }
        let mut connected = match connection.take() {
            Some(connected) => connected,
            None => loop {
                place += 1;
                let address = &addresses[place % addresses.len()];
                match Client::connect(address, support::PATIENCE).await {
                    Ok(connected) => break connected,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            },
        };
        let (key, written) = (chance.below(KEYS), format!("{number}.{count}"));
        let (line, kind) = match chance.below(3) {
            0 => (format!("GET k{key}"), 0),
            1 => (format!("SET k{key} {written}"), 1),
            _ => (format!("GETSET k{key} {written}"), 2),
        };
        let start = began.elapsed().as_nanos() as u64;
        let answer = ask(&mut connected, &line).await;
        let end = began.elapsed().as_nanos() as u64;
        let told = answer.as_ref().map_or(Told::Unknown, Ledger::judge);
        if answer.is_ok() {
            connection = Some(connected);
        }
        let known = matches!(told, Told::Acknowledged);
        // What was refused for certain has no place in any order; nor has a read without answer.
        if told == Told::Refused || (!known && kind == 0) {
            continue;
        }
        let read = answer.ok().filter(|_| known).map(|value| text(&value));
        let deed = match kind {
            0 => Deed::Get(read.flatten()),
            1 => Deed::Set(written),
            _ => Deed::GetSet(written, read),
        };
        let end = if known { end } else { u64::MAX };
        history.push((key, Operation { start, end, deed }));
    }
    history
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_is_linearizable_while_leaders_die() {
    let _turn = turn().await;
    let (mut cluster, mut leader) = three_running().await;
    let (began, hurry) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(client(number, cluster.running(), began, Arc::clone(&hurry))))
        .collect();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.kill(leader);
        let next = cluster.leader(support::PATIENCE).await;
        cluster.start(leader).expect("it starts again");
        leader = next.unwrap_or_else(|error| panic!("{error}"));
    }
    hurry.store(true, Ordering::Relaxed);
    let mut keys: BTreeMap<usize, Vec<Operation>> = BTreeMap::new();
    for task in clients {
        for (key, operation) in task.await.expect("a client") {
            keys.entry(key).or_default().push(operation);
        }
    }
    let known = keys.values().flatten().filter(|operation| operation.end != u64::MAX).count();
    assert!(known > CLIENTS * OPERATIONS / 2, "only {known} operations were answered");
    for (key, history) in keys {
        assert!(is_linearizable(&history), "key k{key} is not linearizable: {history:#?}");
    }
}

fn operation(start: u64, end: u64, deed: Deed) -> Operation {
    Operation { start, end, deed }
}

fn set(value: &str) -> Deed {
    Deed::Set(value.to_owned())
}

fn get(value: &str) -> Deed {
    Deed::Get(Some(value.to_owned()))
}

#[test]
fn the_checker_accepts_what_is_linearizable() {
    assert!(is_linearizable(&[]));
    // Two writes at once, seen in one order by both readers.
    let history = [
        operation(0, 10, set("a")),
        operation(0, 10, set("b")),
        operation(11, 12, get("a")),
        operation(11, 12, get("a")),
    ];
    assert!(is_linearizable(&history));
    // A write without an answer takes effect late, or never.
    let late = [
        operation(0, u64::MAX, set("a")),
        operation(1, 2, Deed::Get(None)),
        operation(3, 4, set("b")),
        operation(5, 6, get("a")),
    ];
    assert!(is_linearizable(&late));
    let never = [operation(0, u64::MAX, set("a")), operation(1, 2, Deed::Get(None))];
    assert!(is_linearizable(&never));
    let swap = Deed::GetSet("b".to_owned(), Some(Some("a".to_owned())));
    assert!(is_linearizable(&[operation(0, 9, swap), operation(1, 2, set("a"))]));
}

#[test]
fn the_checker_refuses_what_is_not() {
    // A stale read after the answer to a write.
    let stale = [operation(0, 1, set("a")), operation(2, 3, Deed::Get(None))];
    assert!(!is_linearizable(&stale));
    // Two readers that see two writes in two orders.
    let torn = [
        operation(0, 10, set("a")),
        operation(0, 10, set("b")),
        operation(11, 12, get("a")),
        operation(13, 14, get("b")),
    ];
    assert!(!is_linearizable(&torn));
    // A lost write.
    let swap = Deed::GetSet("b".to_owned(), Some(None));
    assert!(!is_linearizable(&[operation(0, 1, set("a")), operation(2, 3, swap)]));
    // A value that nobody wrote.
    assert!(!is_linearizable(&[operation(0, 1, get("a"))]));
    // A write without an answer that takes effect twice.
    let twice = [
        operation(0, u64::MAX, set("a")),
        operation(1, 2, get("a")),
        operation(3, 4, set("b")),
        operation(5, 6, get("a")),
    ];
    assert!(!is_linearizable(&twice));
}
