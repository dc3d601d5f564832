//! What peers say: anything, but mostly close to the mark.

use arbitrary::Arbitrary;
use bytes::Bytes;
use synod_core::{
    Ballot, Beat, Boot, ClusterId, Epoch, GroupId, Header, Incarnation, Kind, MEMBERS_MAX, Message,
    NodeId, NodeSet, Proposal, Replica, Slot,
};

use super::disk::Disk;
use crate::plan::{BallotPlan, Few, MessagePlan, Number, Rarely};

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Oddity {
    Cluster,
    Group,
    Epoch,
    Stranger(u64),
    Itself,
    Incarnation(u8),
    Boot(u8),
}

impl Oddity {
    /// `sound`, made odd.
    pub(crate) const fn done_to(self, sound: Header, own: Header) -> Header {
        match self {
            Self::Cluster => Header { cluster: ClusterId(own.cluster.0 + 1), ..sound },
            Self::Group => Header { group: GroupId(own.group.0 + 1), ..sound },
            Self::Epoch => {
                Header { epoch: Epoch { number: own.epoch.number + 1, ..own.epoch }, ..sound }
            }
            Self::Stranger(id) => Header { node: NodeId(id), ..sound },
            Self::Itself => Header { node: own.node, ..sound },
            Self::Incarnation(other) => Header { incarnation: Incarnation(other as u64), ..sound },
            Self::Boot(boot) => Header { boot: Boot(boot as u64), ..sound },
        }
    }
}

/// The disk of a member.
pub(crate) const fn incarnation_of(node: NodeId) -> Incarnation {
    Incarnation(1000 + node.0)
}

/// A message, in terms of where the replica is.
#[derive(Clone, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Said {
    Anything(MessagePlan),
    Beat {
        leader: BallotPick,
        promised: BallotPick,
        round: u8,
        decided: SlotPick,
        odd: u8,
    },
    Prepare {
        ballot: BallotPick,
        from: SlotPick,
    },
    Promise {
        ballot: BallotPick,
        from: SlotPick,
        ends: [u8; 2],
        decided: SlotPick,
        run: RunPick,
    },
    Accept {
        ballot: BallotPick,
        decided: SlotPick,
        run: RunPick,
    },
    Accepted {
        ballot: BallotPick,
        end: SlotPick,
        resend: bool,
    },
    Nack {
        refused: BallotPick,
        promised: BallotPick,
    },
    Learn {
        from: SlotPick,
    },
    Learned {
        decided: SlotPick,
        run: RunPick,
    },
    /// What the replica itself has on its disk is chosen.
    Confirmed {
        count: u8,
    },
}

/// A ballot close to those that the replica knows.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum BallotPick {
    Promised,
    /// That of the sender, in the promised round or one of those above.
    OfSender(u8),
    /// One of the replica's own, likewise.
    OfReplica(u8),
    Zero,
    /// The highest that the sender can own.
    Utmost(Rarely<()>),
    Any(Rarely<BallotPlan>),
}

/// A slot close to those that the replica knows.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum SlotPick {
    Decided(i8),
    Next(i8),
    Zero,
    Any(Rarely<Number>),
}

/// A run of proposals.
#[derive(Clone, Debug, Arbitrary)]
pub struct RunPick {
    from: SlotPick,
    /// Each of the ballot of the message, or of this one.
    ballot: Rarely<BallotPick>,
    /// The lengths of the decrees; 0 for a no-op.
    decrees: Few<u8>,
    /// The place of a proposal that does not belong there.
    odd: Rarely<u8>,
}

/// Where the replica is, and who speaks to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    promised: Ballot,
    decided: Slot,
    next: Slot,
    header: Header,
    sender: NodeId,
}

impl Scene {
    pub(crate) fn of(replica: &Replica<Bytes>, sender: NodeId) -> Self {
        Self {
            promised: replica.promised(),
            decided: replica.decided(),
            next: replica.next_slot(),
            header: replica.header(),
            sender,
        }
    }

    fn ballot(self, pick: BallotPick) -> Ballot {
        let above = |up: u8| self.promised.round.saturating_add(u64::from(up % 3));
        match pick {
            BallotPick::Promised => self.promised,
            BallotPick::OfSender(up) => Ballot { round: above(up), node: self.sender },
            BallotPick::OfReplica(up) => Ballot { round: above(up), node: self.header.node },
            BallotPick::Zero | BallotPick::Utmost(Rarely(None)) => Ballot::ZERO,
            BallotPick::Utmost(Rarely(Some(()))) => {
                Ballot { round: Ballot::ROUND_LIMIT - 1, node: self.sender }
            }
            BallotPick::Any(Rarely(Some(plan))) => plan.ballot(),
            BallotPick::Any(Rarely(None)) => Ballot { round: above(1), node: self.sender },
        }
    }

    const fn slot(self, pick: SlotPick) -> Slot {
        match pick {
            SlotPick::Decided(by) => Slot(self.decided.0.saturating_add_signed((by % 4) as i64)),
            SlotPick::Next(by) => Slot(self.next.0.saturating_add_signed((by % 4) as i64)),
            SlotPick::Zero => Slot::ZERO,
            SlotPick::Any(Rarely(Some(number))) => Slot(number.0),
            SlotPick::Any(Rarely(None)) => self.next,
        }
    }

    fn run(self, pick: &RunPick, ballot: Ballot) -> (Slot, Vec<Proposal<Bytes>>) {
        let from = self.slot(pick.from);
        let ballot = pick.ballot.0.map_or(ballot, |pick| self.ballot(pick));
        let mut run: Vec<_> = (from.0..)
            .zip(pick.decrees.0.iter())
            .map(|(slot, len)| Proposal { slot: Slot(slot), ballot, decree: decree(*len) })
            .collect();
        if let Some(odd) = pick.odd.0.and_then(|place| run.get_mut(usize::from(place % 4))) {
            odd.slot = Slot(odd.slot.0 ^ 1);
        }
        (from, run)
    }
}

fn decree(len: u8) -> Kind<Bytes> {
    const BYTES: [u8; 20] = [0xD5; 20];
    match usize::from(len) % 24 {
        0 => Kind::Noop,
        len => Kind::App(Bytes::from_static(BYTES.get(..len).unwrap_or(&BYTES))),
    }
}

impl Said {
    /// The proposals of the message.
    pub(crate) fn proposals(&self, scene: Scene, disk: &Disk) -> Vec<Proposal<Bytes>> {
        match self {
            Self::Confirmed { count } => {
                let written = disk.written();
                let open = written.slots.range(scene.decided..).map(|(_, fact)| fact);
                let run = (scene.decided.0..).zip(open).take(usize::from(count % 5));
                run.take_while(|(slot, fact)| fact.latest.slot.0 == *slot)
                    .map(|(_, fact)| fact.latest.clone())
                    .collect()
            }
            Self::Anything(plan) => plan.proposals(),
            Self::Promise { ballot, run, .. } | Self::Accept { ballot, run, .. } => {
                scene.run(run, scene.ballot(*ballot)).1
            }
            Self::Learned { run, .. } => scene.run(run, scene.promised).1,
            Self::Beat { .. }
            | Self::Prepare { .. }
            | Self::Accepted { .. }
            | Self::Nack { .. }
            | Self::Learn { .. } => Vec::new(),
        }
    }

    /// The message, around `proposals`.
    pub(crate) fn message<'a>(
        &self,
        scene: Scene,
        proposals: &'a [Proposal<Bytes>],
    ) -> Message<'a, Bytes> {
        match self {
            Self::Anything(plan) => plan.message(proposals),
            Self::Beat { leader, promised, round, decided, odd } => {
                // Mostly the sender hears everybody and has met this disk.
                let hears = NodeSet(if *odd < 200 { 0x1FF } else { u16::from(*odd) });
                let own = scene.header.incarnation;
                let incarnation = if *odd % 16 == 15 { Incarnation(1) } else { own };
                Message::Beat(Beat {
                    leader: scene.ballot(*leader),
                    round: u64::from(*round),
                    promised: scene.ballot(*promised),
                    decided: scene.slot(*decided),
                    hears,
                    roster: [incarnation; MEMBERS_MAX],
                })
            }
            Self::Prepare { ballot, from } => {
                Message::Prepare { ballot: scene.ballot(*ballot), from: scene.slot(*from) }
            }
            Self::Promise { ballot, from, ends: [end, limit], decided, .. } => {
                let (ballot, decided) = (scene.ballot(*ballot), scene.slot(*decided));
                let from = scene.slot(*from);
                let end = Slot(from.0.saturating_add(u64::from(end % 6)));
                let limit = Slot(end.0.saturating_add(u64::from((limit % 8).saturating_sub(4))));
                let retained = Slot::ZERO;
                Message::Promise { ballot, from, end, limit, decided, retained, proposals }
            }
            Self::Accept { ballot, decided, run } => Message::Accept {
                ballot: scene.ballot(*ballot),
                from: scene.slot(run.from),
                proposals,
                decided: scene.slot(*decided),
            },
            Self::Accepted { ballot, end, resend } => {
                let (ballot, end) = (scene.ballot(*ballot), scene.slot(*end));
                Message::Accepted { ballot, end, resend: *resend }
            }
            Self::Nack { refused, promised } => {
                let (refused, promised) = (scene.ballot(*refused), scene.ballot(*promised));
                Message::Nack { refused, promised }
            }
            Self::Learn { from } => Message::Learn { from: scene.slot(*from) },
            Self::Learned { decided, run } => Message::Learned {
                from: scene.slot(run.from),
                proposals,
                decided: scene.slot(*decided),
            },
            Self::Confirmed { .. } => {
                let end = scene.decided.plus(proposals.len() as u64);
                Message::Learned { from: scene.decided, proposals, decided: end }
            }
        }
    }
}
