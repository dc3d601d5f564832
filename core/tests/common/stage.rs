//! Stage directions: what a story lets happen to a cluster beside messages and writes.

use std::time::Duration;

use synod_core::{Boot, Event, Incarnation, NodeId, Recovered, Replica, Slot, Standing};

use super::mail::Parcel;
use super::{Cluster, Node};

/// Which of the messages that wait for a node.
#[derive(Clone, Copy, Default)]
pub(crate) struct Which<'a> {
    pub(crate) from: Option<u64>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) count: Option<usize>,
}

impl Which<'_> {
    /// Beats are meant only when they are asked for.
    fn fits(&self, parcel: &Parcel) -> bool {
        let from = self.from.is_none_or(|from| parcel.header.node == NodeId(from));
        let kind = self.kind.map_or(!parcel.is_beat(), |kind| parcel.name == kind);
        from && kind
    }
}

impl Cluster {
    /// Takes messages out of the mail of `id`, oldest first.
    pub(crate) fn take_mail(&mut self, id: u64, which: Which<'_>) -> Vec<Parcel> {
        let count = which.count.unwrap_or(usize::MAX);
        let mut taken = Vec::new();
        self.node(id).inbox.retain(|parcel| {
            let take = taken.len() < count && which.fits(parcel);
            if take {
                taken.push(parcel.clone());
            }
            !take
        });
        taken
    }

    /// Makes `id` prepare a ballot: all its links break and come back, and its clock runs until its
    /// timers have fired. The other nodes that it can talk to lose their leader, hear it, and are
    /// heard by it; their clocks stand still.
    pub(crate) fn campaign(&mut self, id: u64) -> Result<(), String> {
        let is_free = |other: &u64| {
            let node = &self.nodes[*other as usize - 1];
            let is_cut = self.cut.contains(&(id, *other)) || self.cut.contains(&(*other, id));
            *other != id && node.is_up && !is_cut && node.replica.standing() == Standing::Following
        };
        let others: Vec<u64> = self.ids().filter(is_free).collect();
        for other in &others {
            if let Some(peer) = self.replica(*other).leader_node() {
                self.push(*other, Event::PeerDown { peer }).expect("own event");
            }
        }
        for peer in self.ids().filter(|peer| *peer != id) {
            self.push(id, Event::PeerDown { peer: NodeId(peer) }).expect("own event");
        }
        self.set_jitter(id, Duration::ZERO);
        for _ in 0..100 {
            if self.replica(id).standing() == Standing::Preparing {
                break;
            }
            self.node(id).ahead += 50_000_000;
            self.tick(id);
            for other in &others {
                self.push(*other, Event::PeerUp { peer: NodeId(id) }).expect("own event");
                self.drain(*other);
                self.hear_beats(*other, &[id]);
            }
            self.hear_beats(id, &others);
        }
        self.set_jitter(id, STILL);
        self.ids().for_each(|node| self.node(node).inbox.retain(|parcel| !parcel.is_beat()));
        self.drain(id);
        match self.replica(id).standing() {
            Standing::Preparing => Ok(()),
            Standing::Following | Standing::Leading => Err(format!("n{id} may not campaign")),
        }
    }

    fn set_jitter(&mut self, id: u64, jitter: Duration) {
        let replica = &mut self.node(id).replica;
        let mut timeouts = replica.config().timeouts;
        timeouts.election_jitter = jitter;
        replica.set_timeouts(timeouts).expect("sound timeouts");
    }

    /// Delivers the beats of `from` that wait for `id`.
    fn hear_beats(&mut self, id: u64, from: &[u64]) {
        for from in from {
            let which = Which { from: Some(*from), kind: Some("beat"), count: None };
            for parcel in self.take_mail(id, which) {
                // A replica that another one refuses to hear shows in the trace.
                let _ = self.deliver(id, &parcel);
            }
        }
    }

    /// Lets time pass heartbeat by heartbeat. Beats arrive, everything else waits.
    pub(crate) fn advance_with_beats(&mut self, millis: u64) {
        let end = self.now.0 + millis * 1_000_000;
        while self.now.0 < end {
            self.advance(50);
            let everyone: Vec<u64> = self.ids().collect();
            for id in self.ids() {
                self.hear_beats(id, &everyone);
                self.drain(id);
            }
        }
    }

    /// Takes the disk of `id` away and starts it on an empty one.
    pub(crate) fn wipe(&mut self, id: u64) {
        self.crash(id, 0);
        let now = self.clock(id);
        let node = self.node(id);
        let Incarnation(life) = node.replica.header().incarnation;
        let config = node.replica.config().clone();
        let recovered = Recovered::formatted(Incarnation(life + 100));
        node.disk.clear();
        node.retained = Slot::ZERO;
        node.replica = Replica::new(config, recovered, now).expect("an empty log is sound");
        node.start();
    }

    /// The log of `id` drops what lies below `slot`, which its state machine holds. A replica
    /// takes note of that when it starts.
    pub(crate) fn trim(&mut self, id: u64, slot: Slot) {
        self.crash(id, 0);
        self.node(id).retained = slot;
        self.restart(id);
    }

    /// One line per node.
    pub(crate) fn status(&self) -> Vec<String> {
        let line = |node: &Node| {
            let replica = &node.replica;
            let id = replica.config().node;
            if !node.is_up {
                return format!("n{id} down");
            }
            let leader = replica.leader().map_or("none".to_string(), |ballot| ballot.to_string());
            let Boot(boot) = replica.header().boot;
            format!(
                "n{id} {:?} promised={} leader={leader} decided={} next={} boot={boot}{}{}",
                replica.standing(),
                replica.promised(),
                replica.decided(),
                replica.next_slot(),
                if replica.votes() { "" } else { " without a vote" },
                if replica.is_stopped() { " stopped" } else { "" },
            )
        };
        self.nodes.iter().map(line).collect()
    }
}

/// A jitter that no story is long enough for: nobody campaigns unless told to.
pub(crate) const STILL: Duration = synod_core::Timeouts::MAX;
