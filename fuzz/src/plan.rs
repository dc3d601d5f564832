//! Messages, records and headers made up from chance, within what can be encoded.

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use synod_core::{
    Ballot, Beat, Body, Boot, ClusterId, Epoch, GroupId, Header, Incarnation, Kind, MEMBERS_MAX,
    Message, NodeId, NodeSet, Proposal, Record, Slot,
};

/// As many as the input has bytes for. (A plain `Vec` tosses a coin before each and stays short.)
#[derive(Clone, Debug)]
pub struct Many<T>(pub Vec<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for Many<T> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut many = Vec::new();
        while !u.is_empty() {
            many.push(u.arbitrary()?);
        }
        Ok(Self(many))
    }
}

/// One time in eight.
#[derive(Clone, Copy, Debug)]
pub struct Rarely<T>(pub Option<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for Rarely<T> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let is_here = u.arbitrary::<u8>()? % 8 == 7;
        is_here.then(|| u.arbitrary()).transpose().map(Self)
    }
}

/// Up to seven.
#[derive(Clone, Debug)]
pub struct Few<T>(pub Vec<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for Few<T> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let count = u.int_in_range(0..=7)?;
        (0..count).map(|_| u.arbitrary()).collect::<Result<_>>().map(Self)
    }
}

/// A number that is small, near a limit, or anything below the limit.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub u64);

/// Slots and rounds stay below this one.
const LIMIT: u64 = 1 << 62;

impl<'a> Arbitrary<'a> for Number {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let small = u64::from(u.arbitrary::<u8>()?);
        Ok(Self(match u.arbitrary::<u8>()? % 32 {
            31 => LIMIT - 1 - small,
            30 => u.arbitrary::<u64>()? % LIMIT,
            _ => small % 16,
        }))
    }
}

impl Number {
    const fn slot(self) -> Slot {
        Slot(self.0)
    }
}

/// A ballot.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub struct BallotPlan {
    round: Number,
    node: u8,
}

impl BallotPlan {
    /// The ballot planned.
    #[must_use]
    pub const fn ballot(self) -> Ballot {
        Ballot { round: self.round.0, node: NodeId((self.node % 4) as u64) }
    }
}

/// A run of proposals, consecutive or not.
#[derive(Clone, Debug, Arbitrary)]
pub struct RunPlan {
    from: Number,
    ballot: BallotPlan,
    proposals: Few<ProposalPlan>,
}

#[derive(Clone, Debug, Arbitrary)]
struct ProposalPlan {
    /// The slots left out before this one; most runs leave out none.
    gap: Rarely<Number>,
    /// Another ballot than the proposal before.
    ballot: Rarely<BallotPlan>,
    decree: DecreePlan,
}

#[derive(Clone, Debug, Arbitrary)]
enum DecreePlan {
    Noop,
    Short([u8; 2]),
    Any(Vec<u8>),
}

impl RunPlan {
    /// The proposals planned. Their slots can be encoded; their order is any.
    #[must_use]
    pub fn proposals(&self) -> Vec<Proposal<Bytes>> {
        let (mut slot, mut ballot) = (self.from.slot(), self.ballot.ballot());
        let mut run = Vec::with_capacity(self.proposals.0.len());
        for plan in &self.proposals.0 {
            slot = Slot((slot.0 + plan.gap.0.map_or(0, |gap| gap.0)) % LIMIT);
            ballot = plan.ballot.0.map_or(ballot, BallotPlan::ballot);
            let decree = match &plan.decree {
                DecreePlan::Noop => Kind::Noop,
                DecreePlan::Short(bytes) => Kind::App(Bytes::copy_from_slice(bytes)),
                DecreePlan::Any(bytes) => Kind::App(Bytes::copy_from_slice(bytes)),
            };
            run.push(Proposal { slot, ballot, decree });
            slot = Slot((slot.0 + 1) % LIMIT);
        }
        run
    }
}

/// A message of the protocol.
#[derive(Clone, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum MessagePlan {
    Beat { leader: BallotPlan, round: u64, promised: BallotPlan, decided: Number, hears: u16 },
    Prepare { ballot: BallotPlan, from: Number },
    Promise { ballot: BallotPlan, slots: [Number; 5], run: RunPlan },
    Accept { ballot: BallotPlan, from: Number, decided: Number, run: RunPlan },
    Accepted { ballot: BallotPlan, end: Number, resend: bool },
    Nack { refused: BallotPlan, promised: BallotPlan },
    Learn { from: Number },
    Learned { from: Number, decided: Number, run: RunPlan },
}

impl MessagePlan {
    /// The proposals that the message carries, if its kind carries any.
    #[must_use]
    pub fn proposals(&self) -> Vec<Proposal<Bytes>> {
        match self {
            Self::Promise { run, .. } | Self::Accept { run, .. } | Self::Learned { run, .. } => {
                run.proposals()
            }
            Self::Beat { .. }
            | Self::Prepare { .. }
            | Self::Accepted { .. }
            | Self::Nack { .. }
            | Self::Learn { .. } => Vec::new(),
        }
    }

    /// The message planned, around `proposals`.
    #[must_use]
    pub fn message<'a>(&self, proposals: &'a [Proposal<Bytes>]) -> Message<'a, Bytes> {
        match *self {
            Self::Beat { leader, round, promised, decided, hears } => Message::Beat(Beat {
                leader: leader.ballot(),
                round,
                promised: promised.ballot(),
                decided: decided.slot(),
                hears: NodeSet(hears & NodeSet::first(MEMBERS_MAX).0),
                roster: [Incarnation(round % 3); MEMBERS_MAX],
            }),
            Self::Prepare { ballot, from } => {
                Message::Prepare { ballot: ballot.ballot(), from: from.slot() }
            }
            Self::Promise { ballot, slots, .. } => {
                let [from, end, limit, decided, retained] = slots.map(Number::slot);
                let ballot = ballot.ballot();
                Message::Promise { ballot, from, end, limit, decided, retained, proposals }
            }
            Self::Accept { ballot, from, decided, .. } => Message::Accept {
                ballot: ballot.ballot(),
                from: from.slot(),
                proposals,
                decided: decided.slot(),
            },
            Self::Accepted { ballot, end, resend } => {
                Message::Accepted { ballot: ballot.ballot(), end: end.slot(), resend }
            }
            Self::Nack { refused, promised } => {
                Message::Nack { refused: refused.ballot(), promised: promised.ballot() }
            }
            Self::Learn { from } => Message::Learn { from: from.slot() },
            Self::Learned { from, decided, .. } => {
                Message::Learned { from: from.slot(), proposals, decided: decided.slot() }
            }
        }
    }
}

/// A header.
#[derive(Clone, Debug, Arbitrary)]
pub struct HeaderPlan {
    names: [u64; 5],
    epoch: u32,
    first: Number,
    boot: u64,
}

impl HeaderPlan {
    /// The header planned.
    #[must_use]
    pub const fn header(&self) -> Header {
        let [cluster, group, digest, node, incarnation] = self.names;
        Header {
            cluster: ClusterId(cluster),
            group: GroupId(group),
            epoch: Epoch { number: self.epoch, first: self.first.slot(), digest },
            node: NodeId(node),
            incarnation: Incarnation(incarnation),
            boot: Boot(self.boot),
        }
    }
}

/// A log record.
#[derive(Clone, Debug, Arbitrary)]
pub struct RecordPlan {
    promised: BallotPlan,
    decided: Number,
    body: BodyPlan,
}

#[derive(Clone, Debug, Arbitrary)]
enum BodyPlan {
    Mark,
    Accepted(RunPlan),
    Learned(RunPlan),
    Roster(bool, Vec<(u8, u8)>),
}

/// What the record of a plan borrows.
#[derive(Clone, Debug)]
pub struct Loan {
    proposals: Vec<Proposal<Bytes>>,
    members: Vec<(NodeId, Incarnation)>,
}

impl RecordPlan {
    /// What the record will borrow.
    #[must_use]
    pub fn loan(&self) -> Loan {
        let (mut proposals, mut members) = (Vec::new(), Vec::new());
        match &self.body {
            BodyPlan::Mark => {}
            BodyPlan::Accepted(run) | BodyPlan::Learned(run) => proposals = run.proposals(),
            BodyPlan::Roster(_, planned) => {
                let planned = planned.iter().take(MEMBERS_MAX);
                let named = planned.map(|(node, incarnation)| (u64::from(*node), *incarnation));
                members.extend(named.map(|(node, i)| (NodeId(node), Incarnation(i.into()))));
            }
        }
        Loan { proposals, members }
    }

    /// The record planned.
    #[must_use]
    pub fn record<'a>(&self, loan: &'a Loan) -> Record<'a, Bytes> {
        let body = match self.body {
            BodyPlan::Mark => Body::Mark,
            BodyPlan::Accepted(_) => Body::Accepted(&loan.proposals),
            BodyPlan::Learned(_) => Body::Learned(&loan.proposals),
            BodyPlan::Roster(votes, _) => Body::Roster { votes, members: &loan.members },
        };
        Record { promised: self.promised.ballot(), decided: self.decided.slot(), body }
    }
}
