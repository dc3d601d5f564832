//! What a replica believes of one peer. Beliefs are hints; only cursors of the present ballot and
//! boot are counted.

use crate::{Ballot, Beat, Boot, Header, Incarnation, Instant, Slot};

/// One peer, as seen from here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    /// The latest run of its process heard of; messages of earlier ones are dropped.
    pub(super) boot: Boot,
    /// The header of its present run, once its disk is on durable record here.
    pub(super) header: Option<Header>,
    /// When it was heard last; `None` before the first time and after its link broke.
    pub(super) heard_at: Option<Instant>,
    /// Whether its latest beat lists this node among those it hears.
    pub(super) hears_me: bool,
    /// The leader in its latest beat, zero for none.
    pub(super) leader: Ballot,
    /// The incarnation that it has on record for this node.
    pub(super) my_incarnation: Incarnation,
    /// The highest `decided` that it reported.
    pub(super) decided: Slot,
    /// The ballot of its that must be refused.
    pub(super) nack: Option<Ballot>,
    /// It asked for chosen decrees from here on.
    pub(super) asks: Option<Slot>,
    /// The host reads the log for it.
    pub(super) is_being_served: bool,
    /// How far it is, while this replica leads.
    pub(super) progress: Progress,
}

/// How far a peer is in the ballot of this leader. Reset by a new ballot and by a new boot (R2).
///
/// Invariant: `acked <= next slot of the leader`, `sent <= next slot of the leader`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Everything below was sent, and not found missing.
    pub(super) sent: Slot,
    /// Everything below is accepted in this ballot and durable there.
    pub(super) acked: Slot,
    /// The `decided` that it was told last.
    pub(super) told: Slot,
    /// Somebody there waits for everything below to be decided.
    pub(super) waits_for: Slot,
    /// A message is owed even if there is nothing new: it may have lost the last one.
    pub(super) probe: bool,
    /// When `acked` moved last, or sending began again.
    pub(super) moved_at: Instant,
    /// The end that `sent` was moved back to last; repeated requests for it are ignored until the
    /// resend timeout, since each accept behind a lost one asks again.
    pub(super) rewound_to: Option<Slot>,
    /// When the latest round that it answered was sent (R12).
    pub(super) answered_at: Instant,
}

impl Peer {
    /// Takes over what a beat tells about its sender.
    pub(super) fn note_beat(&mut self, now: Instant, beat: &Beat, hears_me: bool) {
        self.heard_at = Some(now);
        self.hears_me = hears_me;
        self.leader = beat.leader;
        self.decided = self.decided.max(beat.decided);
    }

    /// A new run of its process: what was believed of the one before is void (R2).
    pub(super) fn reboot(&mut self, boot: Boot) {
        let answered_at = self.progress.answered_at;
        *self = Self {
            boot,
            // What it has on record about this node is durable there.
            my_incarnation: self.my_incarnation,
            // The host reads on.
            is_being_served: self.is_being_served,
            ..Self::default()
        };
        self.progress.answered_at = answered_at;
    }
}
