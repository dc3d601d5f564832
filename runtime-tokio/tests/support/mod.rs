//! A cluster of nodes in one process, each on a runtime of its own, over real sockets.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of this")]

pub mod stranger;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use synod_core::service::{At, Outcome, Request, StateMachine, Why};
use synod_core::{NodeId, Timeouts};
use synod_tokio::{Builder, Data, Handle, Node, NodeStatus, StartError, cluster_named};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

/// What a node applied, in order, to be looked at from outside.
pub type Applied = Arc<Mutex<Vec<Bytes>>>;

/// Remembers every request and answers how many there were before it.
#[derive(Default)]
pub struct Tape(pub Applied);

impl StateMachine for Tape {
    type Reply = usize;

    fn apply(&mut self, _: At, request: &[u8]) -> usize {
        assert_ne!(request, b"panic", "as told");
        let mut applied = self.0.lock().expect("no panic under the lock");
        applied.push(Bytes::copy_from_slice(request));
        applied.len() - 1
    }
}

/// A node and the runtime that it lives on.
pub struct Running {
    pub handle: Handle<usize>,
    pub node: Node<usize>,
    pub applied: Applied,
    home: Home,
}

/// A runtime that may be dropped within another one.
pub struct Home(Option<Runtime>);

impl Home {
    pub fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self(Some(builder.worker_threads(1).enable_all().build().expect("a runtime")))
    }

    /// Runs something to its end on this runtime.
    pub async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let runtime = self.0.as_ref().expect("there until dropped");
        runtime.spawn(future).await.expect("no panic")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Running {
    /// Starts a node on a runtime of its own.
    pub async fn start(builder: Builder) -> Self {
        Self::try_start(builder).await.expect("the node starts")
    }

    pub async fn try_start(builder: Builder) -> Result<Self, StartError> {
        let home = Home::new();
        let applied = Applied::default();
        let (node, handle) = home.run(builder.start(Tape(applied.clone()))).await?;
        Ok(Self { handle, node, applied, home })
    }

    /// Ends everything that the node does, at once and without a word.
    pub fn kill(self) -> Applied {
        self.applied.clone()
    }

    /// Runs something to its end on the one thread that the node runs on.
    pub async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.home.run(future).await
    }

    pub async fn status(&self) -> NodeStatus {
        self.handle.status().await.expect("the node runs")
    }

    /// Waits until the node has its vote and knows a leader.
    pub async fn has_joined(&self) {
        within(async {
            while !self.status().await.service.votes {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        self.leader().await;
    }

    pub async fn leader(&self) -> NodeId {
        let mut leader = self.handle.leader();
        let ballot = *within(leader.wait_for(Option::is_some)).await.expect("the node runs");
        ballot.expect("waited for").node
    }

    pub fn applied(&self) -> Vec<Bytes> {
        self.applied.lock().expect("no panic under the lock").clone()
    }
}

/// The addresses of a group, and where its nodes keep their logs.
pub struct Cluster {
    pub addresses: Vec<SocketAddr>,
    pub directory: Option<Directory>,
    /// Held until the node that is to listen there starts, so that nobody else gets the port.
    listeners: Mutex<Vec<Option<TcpListener>>>,
}

impl Cluster {
    /// Picks free ports for so many nodes with logs in memory.
    pub fn of(members: usize) -> Self {
        let hold = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listeners: Vec<TcpListener> = (0..members).map(|_| hold()).collect();
        let address = |listener: &TcpListener| listener.local_addr().expect("an address");
        let addresses = listeners.iter().map(address).collect();
        let listeners = Mutex::new(listeners.into_iter().map(Some).collect());
        Self { addresses, directory: None, listeners }
    }

    /// The same with logs in files.
    pub fn on_disk(members: usize, name: &str) -> Self {
        Self { directory: Some(Directory::new(name)), ..Self::of(members) }
    }

    /// What node `id` is to be; ids count from 1.
    pub fn builder(&self, id: u64) -> Builder {
        let members = self.addresses.iter().enumerate();
        let start = Node::builder(cluster_named("trial"), NodeId(id)).timeouts(PATIENT);
        let builder = members.fold(start, |builder, (place, address)| {
            builder.member(NodeId(place as u64 + 1), address.to_string())
        });
        match &self.directory {
            Some(directory) => builder.data(Data::Directory(directory.0.join(id.to_string()))),
            None => builder,
        }
    }

    /// Starts a node. Its earlier run, if any, may not have let go of everything yet.
    pub async fn start(&self, id: u64) -> Running {
        self.start_as(id, self.builder(id)).await
    }

    /// Starts a node that is to be as the builder says.
    pub async fn start_as(&self, id: u64, builder: Builder) -> Running {
        if let Some(listener) = self.listener(id) {
            return Running::start(builder.listener(listener)).await;
        }
        within(async {
            loop {
                match Running::try_start(self.builder(id)).await {
                    Ok(running) => return running,
                    Err(StartError::Listen { .. } | StartError::Open(_)) => {
                        sleep(Duration::from_millis(20)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await
    }

    /// The socket that is held for a node that never ran.
    pub fn listener(&self, id: u64) -> Option<TcpListener> {
        self.listeners.lock().expect("no panic under the lock")[id as usize - 1].take()
    }

    /// Starts all nodes, and waits until each has a vote and knows a leader.
    pub async fn start_all(&self) -> Vec<Running> {
        let mut running = Vec::new();
        for id in 1..=self.addresses.len() as u64 {
            running.push(self.start(id).await);
        }
        for node in &running {
            node.has_joined().await;
        }
        running
    }
}

/// On a machine that is busy with other things no leader steps down for want of a turn, so that a
/// test need not reckon with requests whose outcome is unknown.
const PATIENT: Timeouts = Timeouts {
    heartbeat: Duration::from_millis(50),
    election: Duration::from_millis(1_500),
    election_jitter: Duration::from_millis(300),
    step_down: Duration::from_secs(3),
    resend: Duration::from_millis(200),
    disk_stall: Duration::from_secs(60),
    notice: Duration::ZERO,
};

/// A directory that goes with its owner.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let name = format!("synod-tokio-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // What an earlier process of the same id left behind.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a fresh directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a test. The nodes live on other runtimes, which are dropped outside of this one.
pub fn test<F: Future<Output = ()>>(story: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(story);
}

/// Generous: a machine may be busy with other things.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(90), future).await.expect("no end in sight")
}

pub fn request(text: impl Into<String>) -> Request {
    Request::new(Bytes::from(text.into()))
}

/// Submits until it is applied, as a client does that may not lose what it writes: it tries again
/// only what was refused for certain. An unknown outcome ends the test.
pub async fn apply(handle: &Handle<usize>, text: &str) -> usize {
    within(async {
        loop {
            match handle.submit(request(text)).await {
                Outcome::Applied { reply, .. } => return reply,
                Outcome::Refused(Why::Stopped | Why::ShuttingDown | Why::TooLarge) => {
                    panic!("{text}: the node is gone");
                }
                Outcome::Refused(_) => sleep(Duration::from_millis(10)).await,
                Outcome::Unknown { ballot } => panic!("{text}: unknown in ballot {ballot}"),
            }
        }
    })
    .await
}

/// Waits until a node applied at least so many requests.
pub async fn applied_by(node: &Running, count: usize) -> Vec<Bytes> {
    within(async {
        loop {
            let applied = node.applied();
            if applied.len() >= count {
                return applied;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}
