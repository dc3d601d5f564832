//! `synod-kv serve`: one replica.

use core::fmt;
use core::future::Future;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use synod_core::NodeId;
use synod_core::service::{Request, Why};
use synod_tokio::{Data, Handle, Node, NodeError, Pipe, StartError, cluster_named};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::command::Link;
use crate::config::{Config, LogKind};
use crate::server::{self, Backend, NodeFacts, Outcomes, Server, ServerConfig};
use crate::store::{Machine, Reply};

/// Why a replica did not start, or ended other than by a signal.
#[derive(Debug)]
pub enum ServeError {
    /// The address for clients cannot be had.
    Clients {
        /// The address.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The node did not start.
    Start(StartError),
    /// The node ended by an error.
    Node(NodeError),
}

/// Runs a replica until `stop` completes, then shuts it down cleanly: what is in flight gets its
/// outcome, the log is settled.
///
/// # Errors
/// When it does not start, or its log fails.
pub async fn serve(config: Config, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let clients = TcpListener::bind(&config.client).await;
    let clients_error = |error| ServeError::Clients { address: config.client.clone(), error };
    let listener = clients.map_err(clients_error)?;
    let client_address = listener.local_addr().map_err(clients_error)?;
    let machine = Machine::new();
    let keys = machine.key_count();
    let (node, handle) = start(&config, machine).await.map_err(ServeError::Start)?;
    let server = Server::new(server_config(&config), listener, handle.clone(), keys)
        .map_err(clients_error)?;
    tracing::info!(
        "node {} of cluster {}: replicas at {}, clients at {client_address}, log {}",
        config.node,
        config.cluster,
        node.address().map_or_else(|| "none".to_owned(), |address| address.to_string()),
        match &config.log {
            LogKind::File(path) => format!("in {}", path.display()),
            LogKind::Memory => "in memory: what it holds is gone when this process ends".to_owned(),
        },
    );
    let (stopping, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.run(stopped));
    let reporting = tokio::spawn(report(handle.clone(), config.node));
    let ended = tokio::select! {
        () = stop => {
            tracing::info!("shutting down");
            // Nobody may listen any more; then nothing has to stop.
            let _ = stopping.send(true);
            let _ = serving.await;
            handle.shutdown().await
        }
        ended = node.ended() => ended,
    };
    reporting.abort();
    ended.map_err(ServeError::Node)
}

async fn start(
    config: &Config,
    machine: Machine,
) -> Result<(Node<Reply>, Handle<Reply>), StartError> {
    let tuning = &config.tuning;
    let data = match &config.log {
        LogKind::File(path) => Data::Directory(path.clone()),
        LogKind::Memory => Data::Memory { bytes_max: tuning.memory_log_bytes_max },
    };
    let mut builder = Node::builder(cluster_named(&config.cluster), config.node)
        .listen(config.listen.clone())
        .data(data)
        .limits(tuning.replica)
        .timeouts(tuning.timeouts)
        .service_limits(tuning.service)
        .transport(tuning.transport);
    for peer in &config.peers {
        builder = builder.member(peer.node, peer.address.clone());
    }
    builder.start(machine).await
}

fn server_config(config: &Config) -> ServerConfig {
    ServerConfig {
        cluster: config.cluster.clone(),
        node: config.node,
        members: config.peers.iter().map(|peer| peer.node).collect(),
        log: config.log.name(),
        request_bytes_max: config.tuning.service.request_bytes_max,
        limits: config.tuning.clients,
    }
}

/// Tells who leads, and whom a new group still waits for.
async fn report(handle: Handle<Reply>, node: NodeId) {
    let mut leader = handle.leader();
    let mut waiting = Vec::new();
    loop {
        let known = *leader.borrow_and_update();
        match known {
            Some(ballot) if ballot.node == node => tracing::info!("this node leads ({ballot})"),
            Some(ballot) => tracing::info!("node {} leads ({ballot})", ballot.node),
            None => tracing::info!("no leader is known"),
        }
        loop {
            tokio::select! {
                changed = leader.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = tokio::time::sleep(REPORT_EVERY) => {
                    let Ok(status) = handle.status().await else { return };
                    let waiting_for = status.waiting_for();
                    if !waiting_for.is_empty() && waiting_for != waiting {
                        tracing::info!("a new group forms once all have met: {waiting_for:?} lack");
                    }
                    waiting = waiting_for;
                }
            }
        }
    }
}

impl Backend for Handle<Reply> {
    type Pipe = Pipe<Reply>;

    fn pipe(&self, outstanding_max: usize) -> Pipe<Reply> {
        Self::pipe(self, outstanding_max)
    }

    fn facts(&self) -> impl Future<Output = Option<NodeFacts>> + Send + 'static {
        let handle = self.clone();
        async move {
            let status = handle.status().await.ok()?;
            let links = status.links.iter().map(|link| Link {
                peer: link.peer,
                is_up: link.is_up,
                queued_bytes: link.queued_bytes,
            });
            Some(NodeFacts {
                links: links.collect(),
                leader: status.service.leader,
                votes: status.service.votes,
                decided: status.service.decided,
                applied: status.service.applied,
                digest: status.service.digest,
            })
        }
    }
}

impl server::Pipe for Pipe<Reply> {
    fn submit(&mut self, request: Request) -> Result<u64, Why> {
        Self::submit(self, request).map_err(|rejected| rejected.why)
    }

    fn outstanding(&self) -> usize {
        Self::outstanding(self)
    }

    fn poll_outcomes(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) -> Poll<usize> {
        Self::poll_outcomes(self, cx, out)
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clients { address, error } => write!(
                f,
                "cannot listen for clients on {address}: {error}; give `client` an address of \
                 this machine with a free port"
            ),
            Self::Start(error) => error.fmt(f),
            Self::Node(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ServeError {}

/// How often a group that does not form says what it waits for.
const REPORT_EVERY: Duration = Duration::from_secs(3);
