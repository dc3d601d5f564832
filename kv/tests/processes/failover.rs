//! Three real processes with file logs: every command on every replica, and leaders that are
//! killed, stopped and brought back under load.

use std::time::Duration;

use crate::support;
use crate::support::{
    ask, bulk, check, connect, eventually, must, program, signal, three, three_running, turn,
};
use rustix::process::Signal;
use synod_kv::local::LocalCluster;
use synod_kv::resp::Value;
use synod_kv::writers::{Force, Writers};

const LOAD: Force = Force { writers: 9, pipeline: 4 };

/// Waits until so many further writes were acknowledged.
async fn work(writers: &Writers, count: u64) {
    let goal = writers.acknowledged() + count;
    eventually("writes go on", async || writers.acknowledged() >= goal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_replica_takes_any_command() {
    let _turn = turn().await;
    let (cluster, leader) = three_running().await;
    for id in 1..=3 {
        must(&cluster, id, &format!("SET from:{id} {id}")).await;
        must(&cluster, id, "INCR all").await;
    }
    for id in 1..=3 {
        // A write acknowledged by one replica is seen by a read on any other.
        for from in 1..=3u64 {
            let found = must(&cluster, id, &format!("GET from:{from}")).await;
            assert_eq!(found, bulk(&from.to_string()));
        }
        let found = must(&cluster, id, "MGET from:1 nosuch from:3").await;
        assert_eq!(found, Value::Array(vec![bulk("1"), Value::Null, bulk("3")]));
        assert_eq!(must(&cluster, id, "DBSIZE").await, Value::Integer(4));
        let info = cluster.replica(id).info().await.expect("it answers");
        assert_eq!(info.get("cluster"), Some("local"));
        assert_eq!(info.get("members"), Some("1,2,3"));
        assert_eq!(info.number("node"), Some(id));
        assert_eq!(info.get("log"), Some("file"));
        assert_eq!(info.get("votes"), Some("1"));
        if info.number("leader") == Some(leader) {
            let role = if id == leader { "leader" } else { "follower" };
            assert_eq!(info.get("role"), Some(role));
        }
    }
    assert!(matches!(must(&cluster, 1, "INCR all").await, Value::Integer(4..)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_killed_under_load_lose_nothing_acknowledged() {
    let _turn = turn().await;
    let (mut cluster, mut leader) = three_running().await;
    let writers = Writers::start(cluster.running(), LOAD);
    work(&writers, 500).await;
    for _ in 0..3 {
        cluster.kill(leader);
        writers.mark();
        eventually("a write after the kill", async || writers.since_mark().is_some()).await;
        work(&writers, 500).await;
        cluster.start(leader).expect("it starts again");
        work(&writers, 500).await;
        leader = cluster.leader(support::PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    }
    let findings = check(&mut cluster, &writers.stop().await).await;
    assert!(findings.kept > 3_500, "{findings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_replicas_bear_the_loss_of_two() {
    let _turn = turn().await;
    let mut cluster = LocalCluster::new(program(), 5).expect("a directory and ports");
    cluster.start_all().expect("they start");
    let first = cluster.leader(support::PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    let writers = Writers::start(cluster.running(), LOAD);
    work(&writers, 300).await;
    cluster.kill(first);
    writers.mark();
    eventually("a write after one kill", async || writers.since_mark().is_some()).await;
    let second = cluster.leader(support::PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    cluster.kill(second);
    writers.mark();
    eventually("a write after two kills", async || writers.since_mark().is_some()).await;
    work(&writers, 300).await;
    cluster.start_all().expect("they start again");
    work(&writers, 300).await;
    let findings = check(&mut cluster, &writers.stop().await).await;
    assert!(findings.kept > 900, "{findings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_stopped_and_goes_on_deposes_nobody() {
    let _turn = turn().await;
    let (mut cluster, leader) = three_running().await;
    let writers = Writers::start(cluster.running(), LOAD);
    work(&writers, 500).await;
    signal(&cluster, leader, Signal::STOP);
    writers.mark();
    // Writers on the stopped replica wait; those on the others go on.
    eventually("a write without it", async || writers.since_mark().is_some()).await;
    work(&writers, 500).await;
    signal(&cluster, leader, Signal::CONT);
    work(&writers, 500).await;
    let findings = check(&mut cluster, &writers.stop().await).await;
    assert!(findings.kept > 1_500, "{findings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_killed_at_once_lose_nothing_acknowledged() {
    let _turn = turn().await;
    let (mut cluster, _) = three_running().await;
    let writers = Writers::start(cluster.running(), LOAD);
    work(&writers, 1_000).await;
    (1..=3).for_each(|id| cluster.kill(id));
    cluster.start_all().expect("they start again");
    work(&writers, 500).await;
    let findings = check(&mut cluster, &writers.stop().await).await;
    assert!(findings.kept > 1_500, "{findings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_acknowledged() {
    let _turn = turn().await;
    let mut cluster = three();
    cluster.set_flags(&["--set", "timeouts.request_ms=1500"]);
    cluster.start_all().expect("they start");
    let leader = cluster.leader(support::PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    must(&cluster, leader, "SET k before").await;
    let (left, right) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.kill(left);
    cluster.kill(right);
    let mut client = connect(&cluster, leader).await;
    let answer = ask(&mut client, "SET k alone").await.expect("an answer");
    let error = answer.as_error().expect("no success without a majority");
    let text = String::from_utf8_lossy(error).into_owned();
    // It was offered to a leader that then lost its followers, or to none at all.
    assert!(text.starts_with("UNCERTAIN ") || text.starts_with("CLUSTERDOWN "), "{text}");
    // By now nobody leads: refused for certain.
    eventually("the leader steps down", async || {
        let info = cluster.replica(leader).info().await;
        info.is_ok_and(|info| info.get("role") == Some("follower"))
    })
    .await;
    let answer = ask(&mut client, "SET k alone2").await.expect("an answer");
    let text = String::from_utf8_lossy(answer.as_error().expect("no success")).into_owned();
    assert!(text.starts_with("CLUSTERDOWN "), "{text}");
    assert!(text.contains("not applied"), "{text}");
    cluster.start(left).expect("it starts again");
    assert_ne!(must(&cluster, leader, "GET k").await, bulk("alone2"));
    must(&cluster, left, "SET k after").await;
    assert_eq!(must(&cluster, leader, "GET k").await, bulk("after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_a_replica_cleanly_and_the_others_go_on() {
    let _turn = turn().await;
    let (mut cluster, leader) = three_running().await;
    let writers = Writers::start(cluster.running(), LOAD);
    work(&writers, 300).await;
    signal(&cluster, leader, Signal::TERM);
    let code = cluster.wait_for_exit(leader, support::PATIENCE).await;
    assert_eq!(code.unwrap_or_else(|error| panic!("{error}")), Some(0));
    work(&writers, 300).await;
    cluster.start(leader).expect("it starts again");
    work(&writers, 300).await;
    let findings = check(&mut cluster, &writers.stop().await).await;
    assert!(findings.kept > 900, "{findings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_ends_with_the_process_that_started_it() {
    let _turn = turn().await;
    let cluster = three();
    // Not through the cluster, so that the pipe can be closed without a kill.
    let mut child = cluster.command(1).spawn().expect("it starts");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(child.try_wait().expect("a child").is_none(), "it ended too early");
    drop(child.stdin.take());
    let mut code = None;
    eventually("it ends", async || {
        code = child.try_wait().expect("a child");
        code.is_some()
    })
    .await;
    assert_eq!(code.and_then(|code| code.code()), Some(0));
}
