//! The link to one peer: one connection, which either of the two dials, kept up for as long as the
//! node lives.
//!
//! Both dial, so that either way through the network will do, and so both may get through at once.
//! Then the connection that the node with the smaller id dialled is kept: that node finishes what
//! it has begun to dial, and the other gives up its own.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use synod_core::{Header, NodeId};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::config::{Member, Transport};
use crate::connection::Connection;
use crate::doorstep::{Doorstep, Proven};
use crate::faults::{Fault, Faults};
use crate::handshake::{HandshakeError, Hello, Refusal, Reply, VERSIONS};
use crate::known::Known;
use crate::queue::SendQueue;

/// Who this node is to its peers, and what all of its connections share.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) header: Header,
    pub(crate) members: Vec<NodeId>,
    pub(crate) transport: Transport,
    pub(crate) frame_bytes_max: usize,
    pub(crate) known: Arc<Known>,
    pub(crate) faults: Faults,
}

/// What links tell the loop.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A link is up, on this connection, which takes the place of an earlier one: what may have
    /// been lost can be sent again.
    Up(Box<Connection>),
    /// The connection that came with the last `Up` of this peer is over.
    Down(NodeId),
}

/// The link to one peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) identity: Arc<Identity>,
    pub(crate) peer: Member,
    pub(crate) queue: Arc<SendQueue>,
    /// What the peer dialled.
    pub(crate) doorstep: Arc<Doorstep>,
    pub(crate) events: mpsc::Sender<LinkEvent>,
}

/// Why an attempt to connect failed.
enum DialError {
    Unreachable(io::Error),
    Handshake(HandshakeError),
    TimedOut(&'static str),
    OtherNode(NodeId),
    Refused(Refusal),
    /// This node does not take the other.
    Unwanted(Refusal),
}

/// Why a connection is not used any more.
enum End {
    /// It takes no bytes.
    Broke(io::Error),
    /// The loop has dropped its half, and told why.
    Dropped,
    /// This one is used in its place.
    Replaced(Proven),
}

impl Link {
    /// Keeps the link up, for ever. Ends when the loop is gone.
    pub(crate) async fn keep(self) {
        let lasting = self.identity.transport.redial_max;
        let mut failures = 0_u32;
        let mut next = None;
        loop {
            let proven = match next.take() {
                Some(proven) => proven,
                None => self.meet(&mut failures).await,
            };
            let since = tokio::time::Instant::now();
            match self.use_up(proven).await {
                ControlFlow::Break(()) => return,
                ControlFlow::Continue(replacement) => next = replacement,
            }
            // A peer that welcomes and hangs up at once is not to be dialled at full speed.
            let lasted = since.elapsed() >= lasting;
            failures = if lasted { 0 } else { failures.saturating_add(1) };
        }
    }

    /// Dials, ever more rarely, until one of the two nodes has reached the other.
    async fn meet(&self, failures: &mut u32) -> Proven {
        let Transport { redial_min, redial_max, .. } = self.identity.transport;
        loop {
            if *failures > 0 {
                let doubled = redial_min.saturating_mul(1 << (*failures).min(16));
                let wait = jittered(doubled.min(redial_max));
                if let Ok(accepted) = timeout(wait, self.doorstep.take()).await {
                    return accepted;
                }
            }
            match self.dial_or_accept().await {
                Ok(proven) => return proven,
                Err(error) => {
                    *failures = failures.saturating_add(1);
                    self.tell(&error, *failures);
                }
            }
        }
    }

    async fn dial_or_accept(&self) -> Result<Proven, DialError> {
        let mut dialling = pin!(self.dial());
        let accepted = tokio::select! {
            dialled = &mut dialling => return dialled,
            accepted = self.doorstep.take() => accepted,
        };
        if self.is_peers_turn() {
            return Ok(accepted);
        }
        match timeout(FINISH, dialling).await {
            Ok(Ok(dialled)) => Ok(dialled),
            Ok(Err(_)) | Err(_) => Ok(accepted),
        }
    }

    /// Whether of two connections the one that the peer dialled is kept.
    fn is_peers_turn(&self) -> bool {
        self.peer.node < self.identity.header.node
    }

    /// Resolves the peer's name, connects, and shakes hands.
    async fn dial(&self) -> Result<Proven, DialError> {
        let transport = &self.identity.transport;
        let connecting = timeout(transport.connect_timeout, self.connect());
        let connected = connecting.await.map_err(|_| DialError::TimedOut("to be reached"))?;
        let mut stream = connected.map_err(DialError::Unreachable)?;
        let from = stream.peer_addr().map_err(DialError::Unreachable)?;
        let shaking = timeout(transport.handshake_timeout, self.shake_hands(&mut stream));
        let shaken = shaking.await.map_err(|_| DialError::TimedOut("to answer the handshake"))?;
        let header = shaken?;
        let life = self.identity.known.admit(&header).map_err(DialError::Unwanted)?;
        Ok(Proven { stream, header, from, life })
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host(&self.peer.address).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Says hello. Returns who answered.
    async fn shake_hands(&self, stream: &mut TcpStream) -> Result<Header, DialError> {
        let header = self.identity.header;
        let hello = Hello { versions: VERSIONS, header, to: self.peer.node };
        let sent = stream.write_all(&hello.encode()).await;
        sent.map_err(|error| DialError::Handshake(error.into()))?;
        let reply = Reply::read(stream).await.map_err(DialError::Handshake)?;
        match reply.verdict {
            Err(refusal) => Err(DialError::Refused(refusal)),
            Ok(_) if reply.header.node != self.peer.node => {
                Err(DialError::OtherNode(reply.header.node))
            }
            Ok(_) => Ok(reply.header),
        }
    }

    /// Uses a connection until it ends; returns the one to go on with, if there is one. Breaks off
    /// when the loop is gone.
    async fn use_up(&self, proven: Proven) -> ControlFlow<(), Option<Proven>> {
        let Proven { stream, header, from, life } = proven;
        let stall = self.identity.transport.stall_timeout;
        prepare(&stream, stall);
        let (way_in, way_out) = stream.into_split();
        let way_out = Arc::new(way_out);
        let (is_read, is_dropped) = oneshot::channel();
        let connection =
            Connection::new(header, way_in, from, Arc::clone(&self.identity), life, is_read);
        let node = self.peer.node;
        self.queue.open(Arc::clone(&way_out));
        if self.events.send(LinkEvent::Up(Box::new(connection))).await.is_err() {
            return ControlFlow::Break(());
        }
        tracing::info!("the link to node {node} at {from} is up");
        let end = tokio::select! {
            error = self.queue.keep_sending(&way_out, stall) => End::Broke(error),
            _ = is_dropped => End::Dropped,
            replacement = self.replacement() => End::Replaced(replacement),
        };
        self.queue.close();
        match end {
            // The loop hears of it in one step, by the next `Up`.
            End::Replaced(replacement) => return ControlFlow::Continue(Some(replacement)),
            End::Dropped => {}
            End::Broke(error) => self.identity.faults.report(
                Fault::LinkLost,
                format_args!("the link to node {node} at {from} broke: {error}"),
            ),
        }
        match self.events.send(LinkEvent::Down(node)).await {
            Ok(()) => ControlFlow::Continue(None),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// A connection to be used in the place of the one in use.
    async fn replacement(&self) -> Proven {
        let mut accepted = self.doorstep.take().await;
        if self.is_peers_turn() {
            return accepted;
        }
        // The peer dialled it before it took what this node dialled, and then nothing comes but its
        // end; or because it has lost that, and then it speaks.
        loop {
            tokio::select! {
                newer = self.doorstep.take() => accepted = newer,
                speaks = speaks(&accepted.stream) => {
                    if speaks {
                        return accepted;
                    }
                    accepted = self.doorstep.take().await;
                }
            }
        }
    }

    /// Counts a failed attempt, and tells of the first, the second, the fourth and so on in a row.
    fn tell(&self, error: &DialError, failures: u32) {
        let Member { node, address } = &self.peer;
        let faults = &self.identity.faults;
        let fault = match error {
            DialError::Refused(_) | DialError::OtherNode(_) | DialError::Unwanted(_) => {
                Fault::Refused
            }
            DialError::Handshake(HandshakeError::Garbage(_)) => Fault::NoHandshake,
            DialError::Handshake(HandshakeError::Io(_))
            | DialError::Unreachable(_)
            | DialError::TimedOut(_) => Fault::Unreachable,
        };
        faults.note(fault);
        if failures.is_power_of_two() {
            tracing::warn!(
                fault = fault.name(),
                failures,
                "no link to node {node} at {address} yet: {error}"
            );
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(
                f,
                "it cannot be reached: {error}; is it running, and is its address in the list of \
                 members right?"
            ),
            Self::Handshake(HandshakeError::Io(error)) => {
                write!(f, "the handshake broke off: {error}")
            }
            Self::Handshake(HandshakeError::Garbage(what)) => {
                write!(f, "what listens there is no Synod node: {what}")
            }
            Self::TimedOut(what) => write!(f, "it took too long {what}"),
            Self::OtherNode(node) => write!(f, "node {node} answered in its place"),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Unwanted(refusal) => write!(f, "this node refuses what answered: {refusal}"),
        }
    }
}

/// Whether bytes come on a connection, not its end.
async fn speaks(stream: &TcpStream) -> bool {
    stream.peek(&mut [0]).await.is_ok_and(|count| count > 0)
}

/// Between half of `wait` and all of it, so that nodes that lost each other at one moment do not
/// dial each other at one moment for ever.
fn jittered(wait: Duration) -> Duration {
    // Without randomness from the system there is no jitter; nothing else is lost.
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    wait / 2 + (wait / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// What a connection is to be like. A system that does not know an option is slower, no more.
fn prepare(stream: &TcpStream, stall: Duration) {
    let _ = stream.set_nodelay(true);
    set_stall_timeout(stream, stall);
}

/// Has the system close a connection whose bytes nobody confirms. Without it a cut network leaves
/// a link that looks sound until its buffers are full, and one that tries again ever more rarely.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_stall_timeout(stream: &TcpStream, stall: Duration) {
    let millis = u32::try_from(stall.as_millis()).unwrap_or(u32::MAX);
    // A system that does not know the option still has the timeout on writes.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, millis);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_stall_timeout(_: &TcpStream, _: Duration) {}

/// What is being dialled when the peer gets through has so long to get through as well.
const FINISH: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_the_wait() {
        let wait = Duration::from_millis(800);
        for _ in 0..1_000 {
            assert!((wait / 2..=wait).contains(&jittered(wait)));
        }
    }
}
