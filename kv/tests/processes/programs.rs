//! The demo and the load generator, as a person runs them.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{eventually, program, three_running, turn};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use synod_kv::local::Scratch;

fn is_alive(pid: i32) -> bool {
    // A process that is nobody's child any more may take a moment to vanish.
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// The processes that the demo names.
fn processes(text: &str) -> Vec<i32> {
    let number = |line: &str| line.split("process ").nth(1)?.split(',').next()?.parse().ok();
    text.lines().filter_map(number).collect()
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).expect("a directory").next().is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_ends_well_and_leaves_nothing_behind() {
    let _turn = turn().await;
    let scratch = Scratch::new().expect("a directory");
    // No arguments but the length: what `cargo run` does.
    let mut command = Command::new(program());
    command.args(["demo", "--seconds", "1"]).env("TMPDIR", scratch.path());
    let output = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    let output = output.await.expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}{errors}");
    for words in ["SIGKILL", "caught up", "of which lost: 0", "redis-cli", "Summary"] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let pids = processes(&text);
    assert_eq!(pids.len(), 3, "{text}");
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "a replica is left: {pids:?}");
    assert!(is_empty(scratch.path()), "files are left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_that_is_ended_or_killed_leaves_no_process() {
    let _turn = turn().await;
    for (signal, cleans_up) in [(Signal::INT, true), (Signal::KILL, false)] {
        let scratch = Scratch::new().expect("a directory");
        let log = scratch.path().join("out");
        let out = std::fs::File::create(&log).expect("a file");
        let files = scratch.path().join("tmp");
        std::fs::create_dir(&files).expect("a directory");
        let mut demo = Command::new(program())
            .args(["demo", "--seconds", "600"])
            .env("TMPDIR", &files)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut pids = Vec::new();
        eventually("it names its replicas", async || {
            pids = processes(&std::fs::read_to_string(&log).unwrap_or_default());
            pids.len() == 3
        })
        .await;
        assert!(pids.iter().all(|pid| is_alive(*pid)));
        let pid = Pid::from_raw(demo.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("it is there");
        let mut ended = None;
        eventually("it ends", async || {
            ended = demo.try_wait().expect("a child");
            ended.is_some()
        })
        .await;
        assert!(ended.is_some_and(|status| !status.success()));
        eventually("its replicas end", async || pids.iter().all(|pid| !is_alive(*pid))).await;
        assert!(!cleans_up || is_empty(&files), "files are left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_load_generator_measures() {
    let _turn = turn().await;
    let (cluster, _) = three_running().await;
    let bench = |flags: &'static [&'static str]| {
        let addresses = cluster.running().join(",");
        let mut command = Command::new(program());
        command.args(["bench", "--addr", &addresses, "--connections", "4", "--warm-up", "0"]);
        command.args(flags);
        tokio::task::spawn_blocking(move || command.output().expect("it runs"))
    };
    let output = bench(&["--duration", "1", "--reads", "50", "--pipeline", "4", "--keys", "100"]);
    let output = output.await.expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for row in ["reads", "writes", "all"] {
        let line =
            text.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("{text}"));
        let count: u64 =
            line.split_whitespace().nth(1).expect("a count").parse().expect("a number");
        assert!(count > 0, "{text}");
    }
    let output = bench(&["--duration", "60", "--requests", "400"]).await.expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let all = text.lines().find(|line| line.starts_with("all")).unwrap_or_else(|| panic!("{text}"));
    let count: u64 = all.split_whitespace().nth(1).expect("a count").parse().expect("a number");
    assert!((390..=400).contains(&count), "{text}");
}

#[test]
fn a_load_on_nothing_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let output =
        Command::new(program()).args(["bench", "--addr", &address]).output().expect("it runs");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&address) && text.contains("--addr"), "{text}");
}
