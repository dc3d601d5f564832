//! What bad input gets: a clear error that names cause and mend, and nothing lost.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support;
use crate::support::{bulk, check, must, program, three, three_running, turn};
use synod_kv::chance::Chance;
use synod_kv::client::Client;
use synod_kv::local::{LocalCluster, Scratch};
use synod_kv::writers::{Force, Writers};

/// What a replica says that does not start. One that does start ends at once, because its
/// standard input is at its end.
fn refused(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } =
        command.stdin(Stdio::null()).stderr(Stdio::piped()).output().expect("it runs");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// Whether every word of `words` stands in `text`.
#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_both_ports_under_load() {
    let _turn = turn().await;
    let (mut cluster, _) = three_running().await;
    let writers = Writers::start(cluster.running(), Force { writers: 6, pipeline: 2 });
    let mut chance = Chance::new(0xBAD);
    let openings: [&[u8]; 6] = [
        b"",
        b"*1\r\n$9999999999\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\0\0\0\0",
        b"\xFF\xFF\xFF\xFF",
        b"*2\r\n$3\r\n",
    ];
    for round in 0..30 {
        for id in 1..=3 {
            let replica = cluster.replica(id);
            for address in [&replica.listen, &replica.client] {
                let Ok(mut stream) = TcpStream::connect(address) else {
                    panic!("node {id} takes no connections in round {round}")
                };
                stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a time-out");
                let mut bytes = openings[chance.below(openings.len())].to_vec();
                bytes.extend((0..chance.below(3000)).map(|_| chance.next() as u8));
                // It may close at once: then the rest cannot be written.
                let _ = stream.write_all(&bytes);
            }
        }
    }
    cluster.check_alive().unwrap_or_else(|error| panic!("{error}"));
    let goal = writers.acknowledged() + 200;
    support::eventually("writes go on", async || writers.acknowledged() >= goal).await;
    let findings = check(&mut cluster, &writers.stop().await).await;
    assert!(findings.kept >= 200, "{findings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protocol_error_is_told_before_the_connection_closes() {
    let _turn = turn().await;
    let (cluster, _) = three_running().await;
    let mut stream = TcpStream::connect(&cluster.replica(1).client).expect("a connection");
    stream.set_read_timeout(Some(support::PATIENCE)).expect("a time-out");
    stream.write_all(b"*1\r\n$4\r\nPING\r\n*x\r\n").expect("it reads");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("text, and a close");
    assert_eq!(heard, "+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_too_large_to_decide_is_refused_and_the_connection_lives() {
    let _turn = turn().await;
    let mut cluster = three();
    cluster.set_flags(&["--set", "limits.request_bytes_max=4096"]);
    cluster.start_all().expect("they start");
    cluster.leader(support::PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    let mut client =
        Client::connect(&cluster.replica(1).client, support::PATIENCE).await.expect("it");
    let large = vec![b'x'; 5000];
    let answer = client.call(&[b"SET", b"k", &large]).await.expect("an answer");
    let text = String::from_utf8_lossy(answer.as_error().expect("an error")).into_owned();
    says(&text, &["ERR ", "request_bytes_max", "4096", "not applied"]);
    let answer = client.call(&[b"SET", b"k", &large[..3000]]).await.expect("an answer");
    assert_eq!(answer.as_error(), None);
    assert_eq!(must(&cluster, 2, "STRLEN k").await, synod_kv::resp::Value::Integer(3000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_of_another_and_data_in_use() {
    let _turn = turn().await;
    let (mut cluster, leader) = three_running().await;
    must(&cluster, 1, "SET k v").await;
    let other = leader % 3 + 1;
    let path = |id: u64| cluster.replica(id).data.clone();

    // Another process holds it.
    let (code, text) = refused(override_data(&cluster, other, other, "local"));
    assert_eq!(code, Some(1), "{text}");
    let pid = cluster.pid(other).expect("it runs").to_string();
    says(&text, &["in use", &pid, path(other).to_str().expect("text")]);

    cluster.kill(other);
    // Of another node: node `other` is given the directory of a third.
    let third = 6 - leader - other;
    cluster.kill(third);
    let (code, text) = refused(override_data(&cluster, other, third, "local"));
    assert_eq!(code, Some(1), "{text}");
    says(&text, &["node", &third.to_string(), &other.to_string()]);

    // Of another cluster.
    let (code, text) = refused(override_data(&cluster, other, other, "elsewhere"));
    assert_eq!(code, Some(1), "{text}");
    says(&text, &["cluster"]);

    // And nothing of it did any harm.
    cluster.start_all().expect("they start again");
    assert_eq!(must(&cluster, other, "GET k").await, bulk("v"));
    let (_, digests) = cluster.settled(support::PATIENCE).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(digests.windows(2).all(|pair| pair[0].1 == pair[1].1), "{digests:?}");
}

/// The command of replica `id`, with the data of `data_of` and in a cluster of this name.
fn override_data(cluster: &LocalCluster, id: u64, data_of: u64, name: &str) -> Command {
    let peers: Vec<String> =
        cluster.replicas().iter().map(|peer| format!("{}={}", peer.id, peer.listen)).collect();
    let mut command = Command::new(program());
    command.args(["serve", "--with-parent", "--id", &id.to_string(), "--cluster", name]);
    command.args(["--client", "127.0.0.1:0", "--peers", &peers.join(","), "--data"]);
    command.arg(&cluster.replica(data_of).data);
    command
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

/// A replica by itself, with these flags after sound ones.
fn alone(flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    command.args(["serve", "--with-parent"]).args(flags);
    refused(command)
}

#[test]
fn mistakes_in_settings_name_key_and_allowed_values() {
    let scratch = Scratch::new().expect("a directory");
    let file = scratch.path().join("kv.toml");
    let with_file = |text: &str| {
        std::fs::write(&file, text).expect("a file");
        alone(&["--config", file.to_str().expect("text")])
    };
    let peers = "peers = [\"1=127.0.0.1:7001\", \"2=127.0.0.1:7002\"]\n";
    let rest = "id = 1\ncluster = \"c\"\nclient = \"127.0.0.1:0\"\nlog = \"memory\"\n";
    let cases: [(String, &[&str]); 6] = [
        ("cluser = \"a\"".to_owned(), &["`cluser`", "did you mean `cluster`?"]),
        (format!("{rest}{peers}limits = {{ arg_max = 1 }}"), &["did you mean `limits.args_max`?"]),
        (
            format!("{rest}peers = [\"1=127.0.0.1:7001\", \"1=127.0.0.1:7002\"]"),
            &["`peers`", "node 1 twice"],
        ),
        (
            format!("{rest}peers = [\"1=127.0.0.1:7001\", \"2=no-such-host.invalid:7002\"]"),
            &["no-such-host.invalid:7002", "cannot be resolved"],
        ),
        (format!("{rest}{peers}").replace("memory", "disk"), &["`log`", "file, memory"]),
        (format!("{rest}{peers}").replace("id = 1", "id = 3"), &["`id` is 3", "1, 2"]),
    ];
    for (toml, words) in cases {
        let (code, text) = with_file(&toml);
        assert_eq!(code, Some(2), "{toml}\n{text}");
        says(&text, words);
        assert_eq!(text.lines().count(), 1, "one line is enough: {text}");
    }
    let (code, text) = alone(&["--id", "1"]);
    assert_eq!(code, Some(2), "{text}");
    says(&text, &["`cluster` is not set", "--cluster"]);
    let (code, text) = alone(&["--clutser", "x"]);
    assert_eq!(code, Some(2), "{text}");
    says(&text, &["--clutser", "--cluster"]);
}

#[test]
fn ports_that_are_taken_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let free = free_address();
    let peers = format!("1={free}");
    let sound = ["--id", "1", "--cluster", "c", "--peers", &peers, "--log", "memory"];
    let (code, text) = alone(&[&sound[..], &["--client", &address]].concat());
    assert_eq!(code, Some(1), "{text}");
    says(&text, &["clients", &address, "free port"]);
    let peers = format!("1={address},2={free}");
    let sound = ["--id", "1", "--cluster", "c", "--peers", &peers, "--log", "memory"];
    let (code, text) = alone(&[&sound[..], &["--client", "127.0.0.1:0"]].concat());
    assert_eq!(code, Some(1), "{text}");
    says(&text, &["listen", &address, "free port"]);
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let scratch = Scratch::new().expect("a directory");
    let file = scratch.path().join("a-file");
    std::fs::write(&file, "x").expect("a file");
    let peers = format!("1={}", free_address());
    let path = file.to_str().expect("text");
    let flags = [
        "--id",
        "1",
        "--cluster",
        "c",
        "--peers",
        &peers,
        "--client",
        "127.0.0.1:0",
        "--data",
        path,
    ];
    let (code, text) = alone(&flags);
    assert_eq!(code, Some(1), "{text}");
    says(&text, &[path]);
}

/// A disk that is full when a replica starts: the size of its files is limited to nothing, as
/// `ulimit` does it.
#[cfg(unix)]
#[test]
fn a_full_disk_at_the_start_is_named() {
    let scratch = Scratch::new().expect("a directory");
    let data = scratch.path().join("data");
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program());
    command.args(["serve", "--with-parent", "--id", "1", "--cluster", "c"]);
    command.args(["--peers", &format!("1={}", free_address()), "--client", "127.0.0.1:0"]);
    command.arg("--data").arg(&data);
    let (code, text) = refused(command);
    assert_eq!(code, Some(1), "{text}");
    says(&text, &["synod-kv: ", data.to_str().expect("text"), "disk"]);
}
