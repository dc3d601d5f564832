//! The client port: connections, their pipelines and their limits.
//!
//! One task serves one connection. It submits every command as soon as it is parsed, without
//! waiting for the one before, and answers in order. What it holds is bounded, see
//! [`ClientLimits`]: when a bound is reached it stops reading, and TCP tells the client.

mod answers;
mod backend;
mod connection;
mod counters;
mod limits;
mod long;
mod output;
mod permits;
mod verdict;

use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use synod_core::NodeId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

pub use backend::{Backend, NodeFacts, Outcomes, Pipe};
pub use limits::ClientLimits;

use crate::command::{Facts, Session, Settings};
use crate::store::KeyCount;
use connection::Connection;
use counters::Counters;

/// What a [`Server`] is told when it starts.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The name of the cluster.
    pub cluster: String,
    /// This node.
    pub node: NodeId,
    /// The members.
    pub members: Vec<NodeId>,
    /// Where decrees are kept: `file` or `memory`.
    pub log: &'static str,
    /// The largest command that a decree can hold, for the text of an error.
    pub request_bytes_max: usize,
    /// The limits.
    pub limits: ClientLimits,
}

/// A server for clients, in front of one node.
#[derive(Debug)]
pub struct Server<B> {
    shared: Arc<Shared<B>>,
    listener: TcpListener,
}

/// What all connections of a server share.
#[derive(Debug)]
struct Shared<B> {
    config: ServerConfig,
    settings: Settings,
    backend: B,
    keys: KeyCount,
    client_port: u16,
    counters: Counters,
    /// One permit per request in flight, of all connections together.
    permits: Arc<Semaphore>,
    started: Instant,
}

impl<B: Backend> Server<B> {
    /// A server on a socket that listens already.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn new(
        config: ServerConfig,
        listener: TcpListener,
        backend: B,
        keys: KeyCount,
    ) -> io::Result<Self> {
        let client_port = listener.local_addr()?.port();
        let settings = settings(&config, client_port);
        let permits = Arc::new(Semaphore::new(config.limits.requests_in_flight_max));
        let (counters, started) = (Counters::default(), Instant::now());
        let shared =
            Shared { config, settings, backend, keys, client_port, counters, permits, started };
        Ok(Self { shared: Arc::new(shared), listener })
    }

    /// Serves clients until `stop` becomes true; then takes no more commands, answers those in
    /// flight, for as long as [`ClientLimits::drain`], and returns.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (alive, mut all_gone) = watch::channel(());
        let mut next_id = 1;
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let session = Session::new(next_id, address.to_string());
                    next_id += 1;
                    self.admit(stream, session, stop.clone(), all_gone.clone());
                }
                // Out of descriptors, most likely: those in use come back.
                Err(error) => {
                    eprintln!("synod-kv: cannot accept a client: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // Each connection holds a receiver: when the last is gone, the channel is closed.
        all_gone.mark_unchanged();
        drop(all_gone);
        let _ = tokio::time::timeout(self.shared.config.limits.drain, alive.closed()).await;
    }

    fn admit(
        &self,
        stream: TcpStream,
        session: Session,
        stop: watch::Receiver<bool>,
        alive: watch::Receiver<()>,
    ) {
        let shared = Arc::clone(&self.shared);
        shared.counters.connections.add();
        let guest = shared.counters.clients.enter();
        if guest.count() > shared.config.limits.clients_max {
            shared.counters.turned_away.add();
            // A fresh socket has room for a line, so this needs no waiting.
            let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
            return;
        }
        tokio::spawn(async move {
            // An error of the socket is the client's affair: it is gone.
            if let Ok(connection) = Connection::new(shared, stream, session) {
                let _ = connection.run(stop).await;
            }
            drop((guest, alive));
        });
    }
}

impl<B: Backend> Shared<B> {
    fn facts(&self, node: NodeFacts) -> Facts {
        let NodeFacts { leader, votes, decided, applied, digest, links } = node;
        let counters = &self.counters;
        Facts {
            cluster: self.config.cluster.clone(),
            node: self.config.node,
            members: self.config.members.clone(),
            leader,
            votes,
            decided,
            applied,
            digest,
            keys: self.keys.get(),
            links,
            log: self.config.log,
            client_port: self.client_port,
            clients: counters.clients.count() as u64,
            clients_max: self.config.limits.clients_max as u64,
            connections: counters.connections.get(),
            turned_away: counters.turned_away.get(),
            commands: counters.commands.get(),
            uncertain: counters.uncertain.get(),
            uptime: self.started.elapsed(),
        }
    }
}

/// What `CONFIG GET` shows. Tools ask for `save` and `appendonly` to learn how durable the server
/// is: nothing is saved now and then; with a file log every write is logged and synced first.
fn settings(config: &ServerConfig, client_port: u16) -> Settings {
    let is_logged = config.log == "file";
    vec![
        ("save", String::new()),
        ("appendonly", if is_logged { "yes" } else { "no" }.to_owned()),
        ("appendfsync", if is_logged { "always" } else { "no" }.to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", config.limits.clients_max.to_string()),
        ("port", client_port.to_string()),
        ("proto-max-bulk-len", config.limits.resp.bulk_bytes_max.to_string()),
        ("timeout", "0".to_owned()),
    ]
}

/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
