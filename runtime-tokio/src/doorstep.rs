//! Connections on which both ends have said who they are, and where the acceptor leaves those that
//! a peer dialled.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_core::{Header, NodeId};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::known::Life;

/// A connection on which both ends have said who they are. Dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) stream: TcpStream,
    /// Who is at the other end.
    pub(crate) header: Header,
    /// Where that is.
    pub(crate) from: SocketAddr,
    pub(crate) life: Life,
}

/// Where the acceptor leaves a connection, for the link to that peer to take in. There is room for
/// one: the latest is the one that the peer uses.
#[derive(Debug, Default)]
pub(crate) struct Doorstep {
    latest: Mutex<Option<Proven>>,
    came: Notify,
}

/// One for each peer.
pub(crate) type Doorsteps = Vec<(NodeId, Arc<Doorstep>)>;

impl Doorstep {
    /// Leaves a connection, in the place of one that nobody took.
    pub(crate) fn leave(&self, proven: Proven) {
        *self.lock() = Some(proven);
        self.came.notify_one();
    }

    /// Waits for a connection, and takes it. Nothing is lost when this is given up.
    pub(crate) async fn take(&self) -> Proven {
        loop {
            if let Some(proven) = self.lock().take() {
                return proven;
            }
            self.came.notified().await;
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Proven>> {
        // No code under the lock can panic half-way through a change.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
