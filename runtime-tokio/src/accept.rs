//! The way in: takes connections, and has each prove by a handshake who it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use synod_core::Header;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::doorstep::{Doorsteps, Proven};
use crate::faults::Fault;
use crate::handshake::{HandshakeError, Hello, Reply};
use crate::known::Life;
use crate::link::Identity;

/// Takes connections until it is dropped, and leaves each with the link to its peer.
pub(crate) async fn accept(listener: TcpListener, identity: Arc<Identity>, doorsteps: Doorsteps) {
    let unproven = Arc::new(Semaphore::new(identity.transport.unproven_connections_max));
    let acceptor = Arc::new(Acceptor { identity, doorsteps });
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
    doorsteps: Doorsteps,
}

impl Acceptor {
    /// One connection, from its first byte until it is known whose it is.
    async fn serve(
        self: Arc<Self>,
        mut stream: TcpStream,
        from: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) {
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
        // The handshake let members pass only.
        if let Some((_, doorstep)) = self.doorsteps.iter().find(|(peer, _)| *peer == header.node) {
            doorstep.leave(Proven { stream, header, from, life });
        }
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
            .and_then(|version| Ok((version, self.identity.known.admit(&hello.header)?)));
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
        let reply = Reply { header: *own, verdict };
        // A dialler that is gone meanwhile tells of it on its own side.
        stream.write_all(&reply.encode()).await.ok().and(proven)
    }
}

/// How long no connection is taken when the system has none to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
