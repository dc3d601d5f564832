//! The checkers: one property per file, all from outside. They see what the host sees: messages,
//! records, watermarks, applications and outcomes.
//!
//! What the core says of itself is believed by none of them, and looked at in these places only:
//!
//! - [`monotonic`] is given the cursors of a replica (`promised`, `decided`, `delivered`,
//!   `applied`) after each turn, because they are what it judges: that they do not go back, and do
//!   not pass what durable votes chose.
//! - [`order`] takes `applied` for the end of what a replica passed over without an effect: an
//!   empty decree leaves no other trace. What lies below must be chosen, by votes seen from
//!   outside.
//! - A turn that ends tells (`on_drained`) whether the replica leads and what it calls decided,
//!   which is compared with what it then tells the others.
//! - Convergence (in `swarm.rs`) asks each healthy replica how far it is, whom it follows, and
//!   whether it waits for votes; it compares that with what durable votes chose, with the digests
//!   of the machines, and proves it with one more request.
//! - A frame of a stranger (`strangers.rs`) must change nothing of what a replica says of itself.
//!
//! The nemesis and the fault coverage ask who leads, to choose victims and to name the phase; they
//! judge nothing.
//!
//! [`Checkers`] hands each thing that happens to every checker that cares for it.

pub mod acquaintance;
pub mod answers;
pub mod asked;
pub mod bounds;
pub mod campaigns;
pub mod candidates;
pub mod deadlines;
pub mod demands;
pub mod forwards;
pub mod history;
pub mod images;
pub mod linearizable;
pub mod monotonic;
pub mod notices;
pub mod order;
pub mod origin;
pub mod outcomes;
pub mod patience;
pub mod promises;
pub mod proposals;
pub mod quiet;
pub mod recovery;
pub mod reigns;
pub mod remains;
pub mod rewinds;
pub mod tellings;
pub mod validity;
pub mod witness;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use synod_core::service::{RequestId, ServiceMessage};
use synod_core::{
    Ballot, Beat, Body, Boot, Instant, Limits, MemberIndex, Message, NodeId, NodeSet, Quorums,
    Record, Recovered, Slot, Timeouts, WriteId,
};

pub use history::{Applied, Caller, Heard, History, Place, Request, RequestKey, Sealed};
pub use images::{DecreeId, Images};
pub use monotonic::Cursors;

use crate::machine::Machine;
use crate::violation::{Checked, Violation};

/// All checkers of one run.
#[derive(Clone, Debug)]
pub struct Checkers {
    images: Images,
    history: History,
    acquaintance: acquaintance::Acquaintance,
    answers: answers::Answers,
    asked: asked::Asked,
    campaigns: campaigns::Campaigns,
    candidates: candidates::Candidates,
    promises: promises::Promises,
    proposals: proposals::Proposals,
    order: order::Order,
    deadlines: deadlines::Deadlines,
    demands: demands::Demands,
    forwards: forwards::Forwards,
    origin: origin::Origin,
    monotonic: monotonic::Monotonic,
    patience: patience::Patience,
    reigns: reigns::Reigns,
    remains: remains::Remains,
    rewinds: rewinds::Rewinds,
    notices: notices::Notices,
    tellings: tellings::Tellings,
    quiet: quiet::Quiet,
    limits: Limits,
    /// By member: the time that its host told it last.
    clocks: Vec<Instant>,
}

/// A message that a member took in, as far as checkers look at it.
#[derive(Clone, Copy, Debug)]
pub enum Taken {
    /// A heartbeat.
    Beat(Beat),
    /// Somebody asks for promises of this ballot.
    Prepare(Ballot),
    /// Somebody promises this ballot, and has decided everything below.
    Promise(Ballot, Slot),
    /// The leader in this ballot proposes, or gives notice.
    Accept(Ballot),
}

impl Taken {
    /// What checkers look at in `message`.
    #[must_use]
    pub const fn of(message: &Message<'_, Bytes>) -> Option<Self> {
        match message {
            Message::Beat(beat) => Some(Self::Beat(*beat)),
            Message::Prepare { ballot, .. } => Some(Self::Prepare(*ballot)),
            Message::Accept { ballot, .. } => Some(Self::Accept(*ballot)),
            Message::Promise { ballot, decided, .. } => Some(Self::Promise(*ballot, *decided)),
            Message::Accepted { .. }
            | Message::Nack { .. }
            | Message::Learn { .. }
            | Message::Learned { .. } => None,
        }
    }
}

impl Checkers {
    /// The checkers of a run of these members.
    #[must_use]
    pub fn new(members: &[NodeId], quorums: Quorums, limits: Limits, timeouts: Timeouts) -> Self {
        Self {
            images: Images::new(members.len(), quorums),
            history: History::default(),
            acquaintance: acquaintance::Acquaintance::new(members),
            answers: answers::Answers::new(members),
            asked: asked::Asked::new(members.len()),
            campaigns: campaigns::Campaigns::new(members, quorums),
            candidates: candidates::Candidates::new(members.len()),
            promises: promises::Promises::new(members),
            proposals: proposals::Proposals::new(limits.window),
            order: order::Order::new(members.len()),
            deadlines: deadlines::Deadlines::new(members.len()),
            demands: demands::Demands::default(),
            forwards: forwards::Forwards::new(members, &limits),
            origin: origin::Origin::default(),
            monotonic: monotonic::Monotonic::new(members.len()),
            patience: patience::Patience::new(members, timeouts.election),
            reigns: reigns::Reigns::new(members, quorums, timeouts),
            remains: remains::Remains::new(members.len()),
            rewinds: rewinds::Rewinds::default(),
            notices: notices::Notices::new(members.len()),
            tellings: tellings::Tellings::new(members, timeouts.election),
            quiet: quiet::Quiet::new(members.len(), timeouts.heartbeat),
            limits,
            clocks: vec![Instant::ZERO; members.len()],
        }
    }

    /// What the disks are known to hold.
    #[must_use]
    pub const fn images(&self) -> &Images {
        &self.images
    }

    /// Whether nothing was written at `node` for a while, which was awake.
    #[must_use]
    pub fn is_quiet(&self, node: MemberIndex) -> bool {
        self.quiet.is(node)
    }

    /// The requests.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// How many proposals were made, over all ballots and slots.
    #[must_use]
    pub fn proposals_made(&self) -> usize {
        self.proposals.len()
    }

    /// How many different requests were applied.
    #[must_use]
    pub fn applied_requests(&self) -> u64 {
        self.history.all().filter(|(_, request)| request.applied.is_some()).count() as u64
    }

    /// A run starts on what the log gave back, with a state machine that holds all below
    /// `applied`.
    ///
    /// # Errors
    /// The violation found.
    pub fn on_start(
        &mut self,
        node: MemberIndex,
        recovered: &Recovered<Bytes>,
        applied: Slot,
    ) -> Checked {
        recovery::check_recovered(&self.images, node, recovered)?;
        self.images.on_recovered(node, recovered)?;
        self.remains.on_start(node, recovered)?;
        self.order.on_start(node, applied);
        self.acquaintance.on_start(node, recovered);
        self.forwards.on_start(node);
        self.campaigns.on_start(node);
        self.candidates.on_start(node);
        self.deadlines.on_start(node);
        self.patience.on_start(node, recovered.promised);
        self.reigns.on_start(node);
        self.tellings.on_start(node, recovered.promised);
        self.quiet.on_noise(node);
        self.monotonic.on_start(node, applied);
        Ok(())
    }

    /// The disk of `node` is lost.
    pub fn on_wiped(&mut self, node: MemberIndex) {
        self.images.on_wiped(node);
        self.remains.on_wiped(node);
        self.monotonic.on_wiped(node);
    }

    /// A record was handed to the host.
    ///
    /// # Errors
    /// The violation found.
    pub fn on_persist(
        &mut self,
        node: MemberIndex,
        id: WriteId,
        record: &Record<'_, Bytes>,
    ) -> Checked {
        let now = self.clocks[node.place()];
        recovery::check_written(node, record)?;
        self.images.on_persist(node, id, record);
        self.remains.on_persist(node, record);
        self.acquaintance.on_persist(node, id, record)?;
        self.campaigns.on_promised(now, node, record.promised)?;
        self.patience.on_promised(now, node, record.promised)?;
        self.reigns.on_persist(now, node, id);
        self.quiet.on_noise(node);
        self.tellings.on_persist(node, id, record);
        if let Body::Accepted(run) = record.body {
            self.reigns.on_proposed(node, run);
        }
        bounds::on_persist(&self.images, &self.limits, node)
    }

    /// The host reports everything up to `upto` durable.
    ///
    /// # Errors
    /// The violation found.
    pub fn on_persisted(&mut self, node: MemberIndex, upto: WriteId) -> Checked {
        self.reigns.on_persisted(node, upto);
        self.acquaintance.on_persisted(node, upto);
        self.tellings.on_persisted(node, upto);
        self.images.on_persisted(node, upto)?;
        let in_flight = self.images.in_flight(node);
        self.quiet.on_persisted(self.clocks[node.place()], node, in_flight);
        Ok(())
    }

    /// `node` asks its host to read these slots back from its log.
    ///
    /// # Errors
    /// Recovery.
    pub fn on_read(&self, node: MemberIndex, from: Slot, end: Slot) -> Checked {
        recovery::check_read(&self.images, node, from, end)
    }

    /// A message leaves.
    ///
    /// # Errors
    /// The violation found.
    pub fn on_send(
        &mut self,
        node: MemberIndex,
        boot: Boot,
        to: NodeSet,
        message: &Message<'_, Bytes>,
    ) -> Checked {
        bounds::on_send(&self.images, &self.limits, node, message)?;
        self.promises.on_send(&self.images, node, boot, message)?;
        self.tellings.on_send(node, message);
        match message {
            Message::Prepare { ballot, from } => {
                self.campaigns.on_prepare(node, *ballot)?;
                self.candidates.on_prepare(node, *ballot, *from)?;
            }
            Message::Promise { ballot, .. } => self.asked.on_promise(node, to, *ballot),
            Message::Accept { decided, proposals, .. } => {
                self.notices.on_notice(node, to, *decided);
                self.reigns.on_proposed(node, proposals);
            }
            Message::Beat(beat) => {
                let now = self.clocks[node.place()];
                self.patience.on_beat_sent(now, node, beat)?;
                self.reigns.on_beat_sent(now, node, beat)?;
                self.answers.on_beat_sent(node, beat)?;
                self.quiet.on_beat_sent(now, node);
            }
            Message::Accepted { .. }
            | Message::Nack { .. }
            | Message::Learn { .. }
            | Message::Learned { .. } => {}
        }
        self.proposals.on_send(&self.images, message)
    }

    /// A message between services leaves.
    ///
    /// # Errors
    /// Bounds.
    pub fn on_service_send(
        &mut self,
        by: Caller,
        to: NodeSet,
        message: &ServiceMessage,
    ) -> Checked {
        self.forwards.on_send(by, to, message)?;
        self.rewinds.on_send(&self.history, by, message)
    }

    /// `node` took in chosen decrees.
    pub fn on_learned(&mut self, node: MemberIndex) {
        self.tellings.on_learned(node);
    }

    /// A service takes in a message of another one.
    pub fn on_service_taken(&mut self, by: Caller, (ballot, number, last): (Ballot, u64, u64)) {
        self.rewinds.on_taken(by, (ballot, number, last));
    }

    /// A turn of `node` begins, at this time of its clock.
    pub fn begin_turn(&mut self, node: MemberIndex, told: Instant) {
        self.clocks[node.place()] = told;
        self.notices.begin_turn(node);
        self.answers.begin_turn(node);
        self.asked.begin_turn(node);
    }

    /// `node` took in a message of `from`.
    pub fn on_taken(&mut self, node: MemberIndex, from: (MemberIndex, Boot), what: Option<&Taken>) {
        let (from, boot) = from;
        self.notices.on_run(node, from, boot);
        let Some(what) = what else { return };
        let now = self.clocks[node.place()];
        if let Taken::Prepare(ballot) | Taken::Accept(ballot) = what {
            self.answers.on_ballot(node, *ballot);
        }
        if let Taken::Prepare(ballot) = what {
            self.asked.on_prepare(node, from, *ballot);
        }
        if let Taken::Promise(ballot, decided) = what {
            self.candidates.on_promise(node, *ballot, *decided);
        }
        if let Taken::Beat(beat) = what {
            self.campaigns.on_beat(now, node, from, beat);
            self.answers.on_beat(node, from, beat);
            if !beat.leader.is_zero() && beat.leader == self.reigns.of(node) {
                self.notices.on_answer(node, (from, boot), beat.decided);
            }
        }
        let votes = self.images.of(node).votes;
        self.patience.on_taken(now, (node, votes), from, what);
        self.reigns.on_taken(node, from, what);
        self.tellings.on_taken(now, node, from, what);
    }

    /// `node` tells its host that it leads.
    ///
    /// # Errors
    /// The violation found.
    pub fn on_announced(&self, node: MemberIndex, ballot: Ballot) -> Checked {
        self.reigns.on_announced(node, ballot, self.images.chosen_end())
    }

    /// The host tells `node` that its link to `peer` broke.
    pub fn on_peer_down(&mut self, node: MemberIndex, peer: MemberIndex) {
        self.patience.on_peer_down(node, peer);
        self.notices.on_peer_down(node, peer);
        self.tellings.on_peer_down(node, peer);
        self.answers.on_peer_down(node);
    }

    /// Everything that was due in this turn of `node` is out; what it has `decided`, while it
    /// leads, and when its host is to come back.
    ///
    /// # Errors
    /// The violation found.
    pub fn on_drained(
        &mut self,
        node: MemberIndex,
        decided: Option<Slot>,
        comes_back: Instant,
    ) -> Checked {
        self.deadlines.on_drained(node, comes_back)?;
        self.patience.on_turn(node);
        self.quiet.on_drained(node);
        self.asked.on_drained(&self.images, node)?;
        let now = self.clocks[node.place()];
        self.tellings.on_drained(now, node, self.images.of(node))?;
        decided.map_or(Ok(()), |decided| self.notices.on_drained(node, decided))
    }

    /// A request was applied.
    ///
    /// # Errors
    /// The violation found.
    pub fn on_applied(&mut self, node: MemberIndex, applied: &Applied) -> Checked {
        let (place, first) = self.order.on_applied(&self.images, node, applied)?;
        if !first {
            return Ok(());
        }
        validity::on_first_applied(&mut self.history, &self.images, node, place, applied)?;
        self.demands.on_first_applied(node, place, applied)?;
        self.origin.on_first_applied(&self.history, applied.key, place)
    }

    /// A state machine is done with a decree.
    ///
    /// # Errors
    /// Agreement.
    pub fn on_sealed(&mut self, node: MemberIndex, sealed: &Sealed) -> Checked {
        self.forwards.on_sealed(node, sealed.at.ballot);
        self.order.on_sealed(node, sealed)
    }

    /// The run is over: the log, replayed on a fresh `machine`, explains all that was heard.
    /// Returns how many requests were replayed.
    ///
    /// # Errors
    /// Linearizable, Outcomes.
    pub fn on_end(&self, machine: Machine) -> Result<u64, Violation> {
        witness::judge(&self.history, &self.order, machine)
    }

    /// A turn of `node` ended.
    ///
    /// # Errors
    /// The violation found.
    pub fn on_turn(&mut self, node: MemberIndex, cursors: Cursors) -> Checked {
        self.monotonic.on_turn(node, cursors, self.images.chosen_end())?;
        self.order.on_applied_upto(&self.images, node, cursors.applied)
    }

    /// A submit was taken; `number` counts those of its run.
    pub fn on_submit(&mut self, body: Bytes, caller: Caller, number: u64) {
        self.forwards.on_submit(caller, number);
        self.history.on_submit(body, caller, number);
    }

    /// What a request that is taken demands of its decree.
    pub fn on_demand(&mut self, request: &synod_core::service::Request) {
        self.demands.on_submit(request);
    }

    /// `node` took a request that has until `deadline`.
    pub fn on_deadline(&mut self, node: MemberIndex, id: RequestId, deadline: Instant) {
        self.deadlines.on_submit(node, id, deadline);
    }

    /// A request of `node` has its outcome, whoever hears it.
    pub fn on_resolved(&mut self, node: MemberIndex, id: RequestId) {
        self.deadlines.on_outcome(node, id);
    }

    /// A client hears an outcome.
    ///
    /// # Errors
    /// The violation found.
    pub fn on_outcome(&mut self, key: RequestKey, heard: Heard) -> Checked {
        outcomes::on_outcome(&mut self.history, key, heard)
    }
}
