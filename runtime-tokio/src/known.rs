//! Whom this node has met: which life and run each peer is in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_core::{Boot, Header, Incarnation, NodeId};

use crate::handshake::{Reason, Refusal};

/// The lives and runs of the peers that have been met, to tell a second process of the same id and
/// a connection of an earlier run from a new connection of the same.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<BTreeMap<NodeId, Met>>);

#[derive(Debug)]
struct Met {
    incarnation: Incarnation,
    /// Invariant: the highest of this incarnation.
    boot: Boot,
    /// How many connections of this incarnation there are.
    connections: u32,
}

/// The life of a connection that was admitted: while it lasts, no other disk of the same node is.
#[derive(Debug)]
pub(crate) struct Life {
    known: Arc<Known>,
    node: NodeId,
    incarnation: Incarnation,
}

impl Known {
    /// Takes a connection in, whichever end dialled, with the peer that `header` names.
    ///
    /// # Errors
    /// When another process of that id is connected, or a later run of it was met.
    pub(crate) fn admit(self: &Arc<Self>, header: &Header) -> Result<Life, Refusal> {
        let mut peers = self.lock();
        let Header { node, incarnation, boot, .. } = *header;
        let mut connections = 0;
        if let Some(met) = peers.get(&node) {
            let is_same_life = met.incarnation == incarnation;
            if !is_same_life && met.connections > 0 {
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
            connections = met.connections;
        }
        peers.insert(node, Met { incarnation, boot, connections: connections + 1 });
        Ok(Life { known: Arc::clone(self), node, incarnation })
    }

    #[cfg(test)]
    pub(crate) fn connections(&self, node: NodeId) -> u32 {
        self.lock().get(&node).map_or(0, |met| met.connections)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Met>> {
        // No code under the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let mut peers = self.known.lock();
        let met = peers.get_mut(&self.node);
        debug_assert!(
            met.as_ref().is_some_and(|met| met.incarnation == self.incarnation),
            "no other life is admitted while there are connections of this one"
        );
        if let Some(met) = met {
            met.connections -= 1;
        }
    }
}

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
        let known = Arc::new(Known::default());
        let first = known.admit(&header(7, 1)).expect("the first");
        let again = known.admit(&header(7, 1)).expect("it dials again");
        let reason = |refused: Result<Life, Refusal>| refused.expect_err("a refusal").code;
        assert_eq!(reason(known.admit(&header(8, 1))), Reason::DuplicateNode as u16);

        // However they end: as long as one is left nobody else goes by that id.
        drop(again);
        assert_eq!(reason(known.admit(&header(8, 1))), Reason::DuplicateNode as u16);
        drop(first);
        let other = known.admit(&header(8, 1)).expect("another disk, and the old one is gone");
        assert_eq!(reason(known.admit(&header(7, 1))), Reason::DuplicateNode as u16);
        drop(other);
    }

    #[test]
    fn runs_do_not_go_back() {
        let known = Arc::new(Known::default());
        drop(known.admit(&header(7, 4)).expect("run 4"));
        let later = known.admit(&header(7, 6)).expect("a restart");
        for _ in 0..2 {
            let refused = known.admit(&header(7, 5)).expect_err("an earlier run");
            assert_eq!(refused.code, Reason::EarlierRun as u16);
        }
        drop(later);
        let refused = known.admit(&header(7, 5)).expect_err("also when nobody is connected");
        assert_eq!(refused.code, Reason::EarlierRun as u16);
    }
}
