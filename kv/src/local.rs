//! Replicas as processes on this machine: for the demo and for tests.
//!
//! Whatever happens to the owner of a [`LocalCluster`], no process and no file stays behind: when
//! it is dropped, also by a panic, each process is killed by its own handle and the directory is
//! removed; when the owner itself is killed, its processes notice that their standard input ended.

mod scratch;

use core::fmt;
use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

pub use scratch::Scratch;

use crate::chance::Chance;
use crate::client::{Client, ClientError, Info};

/// Replicas of one cluster, running or not.
#[derive(Debug)]
pub struct LocalCluster {
    // Dropped in this order: first the processes, then their directory.
    replicas: Vec<LocalReplica>,
    scratch: Scratch,
    program: PathBuf,
    name: String,
    flags: Vec<String>,
}

/// One replica.
#[derive(Debug)]
pub struct LocalReplica {
    /// Its id, from 1.
    pub id: u64,
    /// Where its peers reach it.
    pub listen: String,
    /// Where clients reach it.
    pub client: String,
    /// Its data directory.
    pub data: PathBuf,
    /// What it wrote to standard error.
    pub log: PathBuf,
    child: Option<Child>,
}

/// Something about a local cluster did not come true.
#[derive(Debug)]
pub struct LocalError(String);

/// Has a replica sleep whenever there is nothing to do: looking for more would take the core from
/// those that it waits for.
pub const SLEEP_AT_ONCE: &str = "timeouts.busy_poll_us=0";

/// Whether so many replicas on this machine, and whoever uses them, are short of cores.
#[must_use]
pub fn share_cores(replicas: usize) -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2 * replicas)
}

impl LocalCluster {
    /// A cluster of `count` replicas of `program`, on free ports and in a fresh directory. None
    /// runs yet.
    ///
    /// # Errors
    /// When there is no directory or no free port.
    pub fn new(program: PathBuf, count: u64) -> Result<Self, LocalError> {
        let scratch = Scratch::new().map_err(|error| {
            let place = std::env::temp_dir();
            LocalError(format!("cannot make a directory in {}: {error}", place.display()))
        })?;
        let mut ports = free_ports(2 * count as usize)?.into_iter();
        let mut address = || ports.next().map(|port| format!("127.0.0.1:{port}"));
        let mut replicas = Vec::new();
        for id in 1..=count {
            let (Some(listen), Some(client)) = (address(), address()) else { break };
            let data = scratch.path().join(format!("node{id}"));
            let log = scratch.path().join(format!("node{id}.log"));
            replicas.push(LocalReplica { id, listen, client, data, log, child: None });
        }
        let name = "local".to_owned();
        Ok(Self { replicas, scratch, program, name, flags: Vec::new() })
    }

    /// Further flags for each replica started from now on.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// The directory of everything.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// All replicas, by id from 1.
    #[must_use]
    pub fn replicas(&self) -> &[LocalReplica] {
        &self.replicas
    }

    /// The replica with this id.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn replica(&self, id: u64) -> &LocalReplica {
        self.replicas.iter().find(|replica| replica.id == id).expect("an id of this cluster")
    }

    /// Where clients reach the replicas that run.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        let running = self.replicas.iter().filter(|replica| replica.child.is_some());
        running.map(|replica| replica.client.clone()).collect()
    }

    /// The command that runs a replica, to which more can be added.
    #[must_use]
    pub fn command(&self, id: u64) -> Command {
        let replica = self.replica(id);
        let peers: Vec<String> =
            self.replicas.iter().map(|peer| format!("{}={}", peer.id, peer.listen)).collect();
        let mut command = Command::new(&self.program);
        command.args(["serve", "--with-parent", "--cluster", &self.name]);
        command.args(["--id", &id.to_string(), "--client", &replica.client]);
        command.args(["--peers", &peers.join(",")]).arg("--data").arg(&replica.data);
        if share_cores(self.replicas.len()) {
            command.args(["--set", SLEEP_AT_ONCE]);
        }
        command.args(&self.flags);
        // A pipe that this process holds: it ends when this process does.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C at the terminal is for the owner, who then stops its replicas.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }

    /// Starts a replica. It runs already: nothing happens.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(&mut self, id: u64) -> Result<(), LocalError> {
        if self.replica(id).child.is_some() {
            return Ok(());
        }
        let mut command = self.command(id);
        let failed =
            |error| LocalError(format!("cannot start {}: {error}", self.program.display()));
        let log = append_to(&self.replica(id).log).map_err(failed)?;
        let child = command.stderr(log).spawn().map_err(failed)?;
        self.replica_mut(id).child = Some(child);
        Ok(())
    }

    /// Starts all that do not run.
    ///
    /// # Errors
    /// As [`LocalCluster::start`].
    pub fn start_all(&mut self) -> Result<(), LocalError> {
        let ids: Vec<u64> = self.replicas.iter().map(|replica| replica.id).collect();
        ids.into_iter().try_for_each(|id| self.start(id))
    }

    /// Kills a replica with SIGKILL, and waits until it is gone.
    pub fn kill(&mut self, id: u64) {
        self.kill_and(id, || ());
    }

    /// Kills a replica with SIGKILL, does `then` at once, and waits until the replica is gone.
    pub fn kill_and(&mut self, id: u64, then: impl FnOnce()) {
        self.replica_mut(id).kill_and(then);
    }

    /// The process of a replica that runs.
    #[must_use]
    pub fn pid(&self, id: u64) -> Option<u32> {
        self.replica(id).child.as_ref().map(Child::id)
    }

    /// Waits until a replica that was told to end has ended; its exit code, if it has one.
    ///
    /// # Errors
    /// When it does not end in time, or does not run.
    pub async fn wait_for_exit(
        &mut self,
        id: u64,
        patience: Duration,
    ) -> Result<Option<i32>, LocalError> {
        let until = Instant::now() + patience;
        loop {
            let Some(child) = &mut self.replica_mut(id).child else {
                return Err(LocalError(format!("node {id} does not run")));
            };
            if let Ok(Some(status)) = child.try_wait() {
                self.replica_mut(id).child = None;
                return Ok(status.code());
            }
            if Instant::now() > until {
                return Err(LocalError(format!("node {id} did not end within {patience:?}")));
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Fails when a replica ended that nobody ended.
    ///
    /// # Errors
    /// With the end of what it wrote.
    pub fn check_alive(&mut self) -> Result<(), LocalError> {
        for replica in &mut self.replicas {
            let Some(child) = &mut replica.child else { continue };
            if let Ok(Some(status)) = child.try_wait() {
                replica.child = None;
                let last = replica.last_words();
                let id = replica.id;
                return Err(LocalError(format!("node {id} ended by itself ({status}):\n{last}")));
            }
        }
        Ok(())
    }

    /// Waits until one of the running replicas leads, and answers with its id.
    ///
    /// # Errors
    /// When none does in time, or one ended by itself.
    pub async fn leader(&mut self, patience: Duration) -> Result<u64, LocalError> {
        let until = Instant::now() + patience;
        loop {
            self.check_alive()?;
            for replica in self.replicas.iter().filter(|replica| replica.child.is_some()) {
                let info = replica.info().await;
                if info.is_ok_and(|info| info.get("role") == Some("leader")) {
                    return Ok(replica.id);
                }
            }
            if Instant::now() > until {
                let mut text = format!("no leader within {patience:?}; what the replicas say:");
                for replica in &self.replicas {
                    text += &format!("\n{}", replica.last_words());
                }
                return Err(LocalError(text));
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Waits until all running replicas have applied the same slots, and answers with these and
    /// with the digest of each one's state. Nothing may be written meanwhile.
    ///
    /// # Errors
    /// When they do not come to the same slot in time.
    pub async fn settled(
        &mut self,
        patience: Duration,
    ) -> Result<(u64, Vec<(u64, String)>), LocalError> {
        let until = Instant::now() + patience;
        loop {
            self.check_alive()?;
            let (mut slots, mut digests) = (Vec::new(), Vec::new());
            for replica in self.replicas.iter().filter(|replica| replica.child.is_some()) {
                let Ok(info) = replica.info().await else { continue };
                slots.push(info.number("applied_slot").unwrap_or_default());
                digests.push((replica.id, info.get("state_digest").unwrap_or("none").to_owned()));
            }
            let running = self.running().len();
            if slots.len() == running && slots.windows(2).all(|pair| pair[0] == pair[1]) {
                return Ok((slots.first().copied().unwrap_or_default(), digests));
            }
            if Instant::now() > until {
                return Err(LocalError(format!(
                    "the replicas did not come to one slot within {patience:?}: {slots:?}"
                )));
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    fn replica_mut(&mut self, id: u64) -> &mut LocalReplica {
        self.replicas.iter_mut().find(|replica| replica.id == id).expect("an id of this cluster")
    }
}

impl LocalReplica {
    /// What the replica tells about itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn info(&self) -> Result<Info, ClientError> {
        Client::connect(&self.client, INFO_PATIENCE).await?.info().await
    }

    /// The end of what it wrote to standard error.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        lines[from..].iter().map(|line| format!("  node {} | {line}\n", self.id)).collect()
    }

    fn kill_and(&mut self, then: impl FnOnce()) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already; waiting for it frees its id in either case.
            let _ = child.kill();
            then();
            let _ = child.wait();
        }
    }
}

impl Drop for LocalReplica {
    fn drop(&mut self) {
        self.kill_and(|| ());
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Ports that nobody listens on, below the range from which the system takes ports for outgoing
/// connections: a replica that dials a peer that is down could otherwise be given the very port
/// of that peer, which then cannot come back.
fn free_ports(count: usize) -> Result<Vec<u16>, LocalError> {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = clock.map_or(0, |time| time.as_nanos() as u64) ^ u64::from(std::process::id()) << 32;
    let mut chance = Chance::new(seed);
    // All are held until enough are found, so that none is found twice.
    let mut held = Vec::new();
    for _ in 0..PORT_TRIES {
        if held.len() == count {
            break;
        }
        let port = PORT_FIRST + chance.below(usize::from(PORT_END - PORT_FIRST)) as u16;
        held.extend(TcpListener::bind(("127.0.0.1", port)).map(|listener| (port, listener)));
    }
    if held.len() < count {
        return Err(LocalError(format!(
            "no {count} free ports on 127.0.0.1 between {PORT_FIRST} and {PORT_END}: end the \
             programs that hold them"
        )));
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl core::error::Error for LocalError {}

const POLL_EVERY: Duration = Duration::from_millis(20);
const INFO_PATIENCE: Duration = Duration::from_secs(1);

/// So many lines of a log are shown with an error.
const LAST_LINES: usize = 12;

const PORT_FIRST: u16 = 20_000;
const PORT_END: u16 = 32_000;
const PORT_TRIES: usize = 1000;
