//! Long pipelines, written without a look at the answers, through processes that end meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;
use synod_kv::local::LocalCluster;
use synod_kv::resp::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support;
use crate::support::{eventually, must, signal, three_running, turn};

/// One connection that asks for `INCR n` so many times and hears whatever comes.
struct Pipeline {
    heard: Arc<AtomicU64>,
    reading: JoinHandle<Vec<String>>,
}

impl Pipeline {
    async fn start(cluster: &LocalCluster, id: u64, count: usize) -> Self {
        let stream = TcpStream::connect(&cluster.replica(id).client).await.expect("it runs");
        let (read, mut write) = stream.into_split();
        let heard = Arc::new(AtomicU64::new(0));
        let hears = Arc::clone(&heard);
        let reading = tokio::spawn(async move {
            let mut lines = BufReader::new(read).lines();
            let mut all = Vec::new();
            while all.len() < count
                && let Some(line) = lines.next_line().await.expect("no reset")
            {
                all.push(line);
                hears.fetch_add(1, Ordering::Relaxed);
            }
            all
        });
        tokio::spawn(async move {
            // A replica that ends takes no more.
            let _ = write.write_all("INCR n\r\n".repeat(count).as_bytes()).await;
            reading_half_stays_open(write).await;
        });
        Self { heard, reading }
    }

    async fn has_heard(&self, count: u64) {
        let heard = async || self.heard.load(Ordering::Relaxed) >= count;
        eventually("answers come", heard).await;
    }

    /// Every answer, in order.
    async fn answers(self) -> Vec<String> {
        let answers = tokio::time::timeout(support::PATIENCE, self.reading).await;
        answers.expect("it ends").expect("no panic")
    }
}

/// Closed, the half that writes would say that the client leaves.
async fn reading_half_stays_open(_write: tokio::net::tcp::OwnedWriteHalf) {
    std::future::pending().await
}

/// Each answer is the next count or says what became of the command; and what is there in the end
/// is what was acknowledged, and at most what was uncertain besides. How many succeeded.
async fn audit(cluster: &LocalCluster, id: u64, answers: &[String]) -> i64 {
    let (mut last, mut done, mut uncertain) = (0, 0, 0);
    for answer in answers {
        if let Some(count) = answer.strip_prefix(':') {
            let count: i64 = count.parse().expect("a number");
            assert!(count > last, "{count} after {last}");
            (last, done) = (count, done + 1);
        } else if answer.starts_with("-UNCERTAIN ") {
            uncertain += 1;
        } else {
            let is_refused =
                answer.starts_with("-CLUSTERDOWN ") || answer.starts_with("-TRYAGAIN ");
            assert!(is_refused && answer.ends_with("not applied"), "{answer}");
        }
    }
    let Value::Integer(there) = must(cluster, id, "INCRBY n 0").await else { panic!("a count") };
    assert!((done..=done + uncertain).contains(&there), "{there}: {done} and {uncertain}");
    assert!(last <= there, "{last} was told, and {there} is there");
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_has_one_answer_in_its_place_when_the_leader_is_killed() {
    let _turn = turn().await;
    let (mut cluster, leader) = three_running().await;
    let follower = leader % 3 + 1;
    let pipeline = Pipeline::start(&cluster, follower, COUNT).await;
    pipeline.has_heard(3_000).await;
    cluster.kill(leader);
    let answers = pipeline.answers().await;
    assert_eq!(answers.len(), COUNT);
    let done = audit(&cluster, follower, &answers).await;
    assert!(done >= 3_000, "{done}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_shuts_down_answers_what_is_in_the_pipe() {
    let _turn = turn().await;
    let (mut cluster, leader) = three_running().await;
    let pipeline = Pipeline::start(&cluster, leader, COUNT).await;
    pipeline.has_heard(3_000).await;
    signal(&cluster, leader, Signal::TERM);
    // Until the replica closes: no answer is lost to a reset.
    let answers = pipeline.answers().await;
    let code = cluster.wait_for_exit(leader, support::PATIENCE).await;
    assert_eq!(code.unwrap_or_else(|error| panic!("{error}")), Some(0));
    let done = audit(&cluster, leader % 3 + 1, &answers).await;
    assert!(done >= 3_000, "{done}");
}

/// Commands of a pipeline: in bytes, fewer than a replica that closes still reads and drops.
const COUNT: usize = 60_000;
