//! The way out: one link to each peer, dialled anew whenever it breaks, used for sending only.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use synod_core::{Header, NodeId};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::config::{Member, Transport};
use crate::connection::Connection;
use crate::faults::{Fault, Faults};
use crate::handshake::{HandshakeError, Hello, Refusal, Reply, VERSIONS};
use crate::queue::SendQueue;

/// Who this node is to its peers, and what all of its connections share.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) header: Header,
    pub(crate) members: Vec<NodeId>,
    pub(crate) transport: Transport,
    pub(crate) frame_bytes_max: usize,
    pub(crate) faults: Faults,
}

/// What connections tell the loop.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// The link to this peer is up: what may have been lost can be sent again.
    Up(NodeId),
    /// The link to this peer broke.
    Down(NodeId),
    /// This peer connected. Takes the place of an earlier connection from it.
    Inbound(Box<Connection>),
}

/// The link to one peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) identity: Arc<Identity>,
    pub(crate) peer: Member,
    pub(crate) queue: Arc<SendQueue>,
    pub(crate) events: mpsc::Sender<LinkEvent>,
}

/// Why an attempt to connect failed.
enum DialError {
    Unreachable(io::Error),
    Handshake(HandshakeError),
    TimedOut(&'static str),
    OtherNode(NodeId),
    Refused(Refusal),
}

impl Link {
    /// Keeps the link up, for ever. Ends when the loop is gone.
    pub(crate) async fn keep(self) {
        let Transport { redial_min, redial_max, .. } = self.identity.transport;
        let mut failures = 0_u32;
        loop {
            match self.dial().await {
                Ok(stream) => {
                    let since = tokio::time::Instant::now();
                    if self.use_up(stream).await.is_break() {
                        return;
                    }
                    // A peer that welcomes and hangs up at once is not to be dialled at full speed.
                    let lasted = since.elapsed() >= redial_max;
                    failures = if lasted { 0 } else { failures.saturating_add(1) };
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.tell(&error, failures);
                }
            }
            let doubled = redial_min.saturating_mul(1 << failures.min(16));
            sleep(jittered(doubled.min(redial_max))).await;
        }
    }

    /// Resolves the peer's name, connects, and shakes hands.
    async fn dial(&self) -> Result<TcpStream, DialError> {
        let transport = &self.identity.transport;
        let connecting = timeout(transport.connect_timeout, self.connect());
        let connected = connecting.await.map_err(|_| DialError::TimedOut("to be reached"))?;
        let mut stream = connected.map_err(DialError::Unreachable)?;
        let shaking = timeout(transport.handshake_timeout, self.shake_hands(&mut stream));
        shaking.await.map_err(|_| DialError::TimedOut("to answer the handshake"))??;
        Ok(stream)
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host(&self.peer.address).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    set_stall_timeout(&stream, self.identity.transport.stall_timeout);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn shake_hands(&self, stream: &mut TcpStream) -> Result<(), DialError> {
        let header = self.identity.header;
        let hello = Hello { versions: VERSIONS, header, to: self.peer.node };
        let sent = stream.write_all(&hello.encode()).await;
        sent.map_err(|error| DialError::Handshake(error.into()))?;
        let reply = Reply::read(stream).await.map_err(DialError::Handshake)?;
        match reply.verdict {
            Err(refusal) => Err(DialError::Refused(refusal)),
            Ok(_) if reply.node != self.peer.node => Err(DialError::OtherNode(reply.node)),
            Ok(_) => Ok(()),
        }
    }

    /// Sends what the queue holds until the link breaks. Breaks off when the loop is gone.
    async fn use_up(&self, stream: TcpStream) -> std::ops::ControlFlow<()> {
        let stream = Arc::new(stream);
        self.queue.open(stream.clone());
        if self.events.send(LinkEvent::Up(self.peer.node)).await.is_err() {
            return std::ops::ControlFlow::Break(());
        }
        tracing::info!("the link to node {} at {} is up", self.peer.node, self.peer.address);
        let stall = self.identity.transport.stall_timeout;
        let error = tokio::select! {
            error = self.queue.keep_sending(&stream, stall) => error,
            error = hang_up(&stream) => error,
        };
        self.queue.close();
        let Member { node, address } = &self.peer;
        let faults = &self.identity.faults;
        faults.report(
            Fault::LinkLost,
            format_args!("the link to node {node} at {address} broke: {error}"),
        );
        match self.events.send(LinkEvent::Down(*node)).await {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(_) => std::ops::ControlFlow::Break(()),
        }
    }

    /// Counts a failed attempt, and tells of the first, the second, the fourth and so on in a row.
    fn tell(&self, error: &DialError, failures: u32) {
        let Member { node, address } = &self.peer;
        let faults = &self.identity.faults;
        let fault = match error {
            DialError::Refused(_) | DialError::OtherNode(_) => Fault::Refused,
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
        }
    }
}

/// Ends when the peer closes the connection. It sends nothing after the handshake.
async fn hang_up(stream: &TcpStream) -> io::Error {
    loop {
        if let Err(error) = stream.readable().await {
            return error;
        }
        match stream.try_read(&mut [0]) {
            Ok(0) => return io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed it"),
            Ok(_) => {
                return io::Error::new(io::ErrorKind::InvalidData, "the peer spoke out of turn");
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return error,
        }
    }
}

/// Between half of `wait` and all of it, so that nodes that lost each other at one moment do not
/// dial each other at one moment for ever.
fn jittered(wait: Duration) -> Duration {
    // Without randomness from the system there is no jitter; nothing else is lost.
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    wait / 2 + (wait / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
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
