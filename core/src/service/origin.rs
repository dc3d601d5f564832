//! Whose requests they are.

use crate::{Boot, Header, Incarnation, NodeId};

/// One run of a process on one disk: it numbers the requests that it accepts from 1.
///
/// The incarnation is part of it: the boot number of a wiped disk starts again, and requests of
/// the run before must not pass for those of this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Origin {
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) boot: Boot,
}

impl Origin {
    pub(super) const fn of(header: &Header) -> Self {
        Self { node: header.node, incarnation: header.incarnation, boot: header.boot }
    }
}
