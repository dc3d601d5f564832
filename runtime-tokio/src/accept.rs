//! The way in: takes connections, and has each prove by a handshake who it is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use synod_core::{Boot, Header, Incarnation, NodeId};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::connection::Connection;
use crate::faults::Fault;
use crate::handshake::{HandshakeError, Hello, Reason, Refusal, Reply};
use crate::link::{Identity, LinkEvent};

/// Takes connections until it is dropped, and with it all that it took.
pub(crate) async fn accept(
    listener: TcpListener,
    identity: Arc<Identity>,
    events: mpsc::Sender<LinkEvent>,
) {
    let unproven = Arc::new(Semaphore::new(identity.transport.unproven_connections_max));
    let acceptor = Arc::new(Acceptor { identity, events, known: Arc::default() });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let faults = &acceptor.identity.faults;
        match accepted {
            Err(error) => {
                faults.report(
                    Fault::AcceptFailed,
                    format_args!("the replica port takes no connection: {error}"),
                );
                sleep(ACCEPT_PAUSE).await;
            }
            Ok((stream, from)) => match unproven.clone().try_acquire_owned() {
                Ok(permit) => {
                    connections.spawn(acceptor.clone().serve(stream, from, permit));
                }
                Err(_) => faults.report(
                    Fault::TooManyConnections,
                    format_args!(
                        "closed a connection from {from}: too many others have not said yet who \
                         they are"
                    ),
                ),
            },
        }
    }
}

struct Acceptor {
    identity: Arc<Identity>,
    events: mpsc::Sender<LinkEvent>,
    known: Arc<Known>,
}

impl Acceptor {
    /// One connection, from the first byte to the last.
    async fn serve(
        self: Arc<Self>,
        mut stream: TcpStream,
        from: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) {
        // Whether the option can be set matters to nobody who sends a few bytes.
        let _ = stream.set_nodelay(true);
        let transport = &self.identity.transport;
        let faults = &self.identity.faults;
        let shaken = timeout(transport.handshake_timeout, self.shake_hands(&mut stream, from));
        let (header, life) = match shaken.await {
            Ok(Some(proven)) => proven,
            Ok(None) => return,
            Err(_) => {
                faults.report(
                    Fault::HandshakeTimeout,
                    format_args!("closed a connection from {from} that did not say who it is"),
                );
                return;
            }
        };
        drop(permit);
        tracing::info!("node {} connected from {from}", header.node);
        let connection = Connection::new(header, stream, from, self.identity.clone(), life);
        // Without a loop there is nobody to take it in.
        let _ = self.events.send(LinkEvent::Inbound(Box::new(connection))).await;
    }

    /// `None` when the connection is not to be used, which has been told then.
    async fn shake_hands(
        &self,
        stream: &mut TcpStream,
        from: SocketAddr,
    ) -> Option<(Header, Life)> {
        let faults = &self.identity.faults;
        let hello = match Hello::read(stream).await {
            Ok(hello) => hello,
            Err(HandshakeError::Garbage(what)) => {
                faults.report(
                    Fault::NoHandshake,
                    format_args!("closed a connection from {from}: {what}"),
                );
                return None;
            }
            Err(HandshakeError::Io(error)) => {
                faults.report(
                    Fault::NoHandshake,
                    format_args!("a connection from {from} broke in the handshake: {error}"),
                );
                return None;
            }
        };
        let own = &self.identity.header;
        let admitted = hello
            .judge(own, &self.identity.members)
            .and_then(|version| Ok((version, self.admit(&hello.header)?)));
        let (verdict, proven) = match admitted {
            Ok((version, life)) => (Ok(version), Some((hello.header, life))),
            Err(refusal) => {
                faults.report(
                    Fault::Refused,
                    format_args!("refused a connection from {from}: {refusal}"),
                );
                (Err(refusal), None)
            }
        };
        let reply = Reply { node: own.node, verdict };
        // A dialler that is gone meanwhile tells of it on its own side.
        stream.write_all(&reply.encode()).await.ok().and(proven)
    }

    fn admit(&self, header: &Header) -> Result<Life, Refusal> {
        let session = self.known.admit(header)?;
        Ok(Life { known: self.known.clone(), node: header.node, session })
    }
}

/// The lives and runs of the peers that have been met, to tell a second process of the same id and
/// a connection of an earlier run from a new connection of the same.
#[derive(Debug, Default)]
struct Known(Mutex<Peers>);

#[derive(Debug, Default)]
struct Peers {
    met: BTreeMap<NodeId, Met>,
    sessions: u64,
}

#[derive(Debug)]
struct Met {
    incarnation: Incarnation,
    /// Invariant: the highest of this incarnation.
    boot: Boot,
    /// The latest connection.
    session: u64,
    is_connected: bool,
}

impl Known {
    /// Takes a connection in and numbers it.
    fn admit(&self, header: &Header) -> Result<u64, Refusal> {
        let mut peers = self.lock();
        let Header { node, incarnation, boot, .. } = *header;
        if let Some(met) = peers.met.get(&node) {
            let is_same_life = met.incarnation == incarnation;
            if !is_same_life && met.is_connected {
                return Err(Reason::DuplicateNode.because(format_args!(
                    "another process goes by the id {node} and is connected, on another disk: \
                     give each its own id, or stop the one that is not wanted"
                )));
            }
            if is_same_life && boot < met.boot {
                return Err(Reason::EarlierRun.because(format_args!(
                    "this is run {} of node {node}, and its run {} is known already",
                    boot.0, met.boot.0
                )));
            }
        }
        peers.sessions += 1;
        let session = peers.sessions;
        peers.met.insert(node, Met { incarnation, boot, session, is_connected: true });
        Ok(session)
    }

    /// A connection ended.
    fn forget(&self, node: NodeId, session: u64) {
        let mut peers = self.lock();
        if let Some(met) = peers.met.get_mut(&node).filter(|met| met.session == session) {
            met.is_connected = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Peers> {
        // No code under the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The life of a connection that was admitted: while it lasts, no other disk of the same node is.
#[derive(Debug)]
pub(crate) struct Life {
    known: Arc<Known>,
    node: NodeId,
    session: u64,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.known.forget(self.node, self.session);
    }
}

/// How long no connection is taken when the system has none to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn header(incarnation: u64, boot: u64) -> Header {
        Header {
            node: NodeId(2),
            incarnation: Incarnation(incarnation),
            boot: Boot(boot),
            ..Header::default()
        }
    }

    #[test]
    fn one_life_at_a_time() {
        let known = Known::default();
        let first = known.admit(&header(7, 1)).expect("the first");
        let again = known.admit(&header(7, 1)).expect("it dials again");
        let reason = |refused: Result<u64, Refusal>| refused.expect_err("a refusal").code;
        assert_eq!(reason(known.admit(&header(8, 1))), Reason::DuplicateNode as u16);

        // The end of a connection that was replaced says nothing about the one in its place.
        known.forget(NodeId(2), first);
        assert_eq!(reason(known.admit(&header(8, 1))), Reason::DuplicateNode as u16);
        known.forget(NodeId(2), again);
        known.admit(&header(8, 1)).expect("another disk, and the old one is gone");
    }

    #[test]
    fn runs_do_not_go_back() {
        let known = Known::default();
        known.admit(&header(7, 4)).expect("run 4");
        known.admit(&header(7, 6)).expect("a restart");
        let refused = known.admit(&header(7, 5)).expect_err("an earlier run");
        assert_eq!(refused.code, Reason::EarlierRun as u16);
    }
}
