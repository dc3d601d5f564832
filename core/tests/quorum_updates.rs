//! What a leader decides is what a naive twin says, whatever the acceptors report and in whatever
//! order: repeated, overtaken and stale reports, and every sound pair of quorum sizes (S13).

use bolero::{TypeGenerator, check};
use bytes::Bytes;
use synod_core::{
    Action, Ballot, Beat, Boot, ClusterId, Config, Configuration, Event, GroupId, Header,
    Incarnation, Instant, MEMBERS_MAX, Message, NodeId, Quorums, Recovered, Replica, Slot,
    Standing, WriteId,
};

#[derive(Clone, Copy, Debug, TypeGenerator)]
struct Report {
    from: u8,
    end: u8,
    stale: bool,
    resend: bool,
}

#[derive(Clone, Debug, TypeGenerator)]
struct Case {
    members: u8,
    phase2: u8,
    proposals: u8,
    /// The leader's own disk is done before so many of the reports.
    persisted: u8,
    reports: Vec<Report>,
}

const NODE: NodeId = NodeId(1);

/// A leader of so many, with its disk.
struct Leader {
    replica: Replica<Bytes>,
    now: Instant,
    members: u64,
    written: Option<WriteId>,
    asked: Option<(Ballot, Slot)>,
}

impl Leader {
    fn of(members: u64, quorums: Quorums) -> Self {
        let ids: Vec<NodeId> = (1..=members).map(NodeId).collect();
        let configuration = Configuration::first(&ids).and_then(|all| all.with_quorums(quorums));
        let configuration = configuration.expect("a sound configuration");
        let mut recovered = Recovered::formatted(Incarnation(NODE.0));
        recovered.votes = true;
        recovered.roster = ids.iter().map(|id| (*id, Incarnation(id.0))).collect();
        let mut config = Config::new(ClusterId(7), GroupId(0), NODE, configuration);
        config.limits.writes_in_flight_max = 8;
        let replica = Replica::new(config, recovered, Instant::ZERO).expect("a sound start");
        let now = Instant::ZERO;
        let mut leader = Self { replica, now, members, written: None, asked: None };
        while leader.replica.standing() != Standing::Leading {
            leader.support();
        }
        leader
    }

    /// Time passes, the disk is quick, and the peers promise what they are asked for.
    fn support(&mut self) {
        self.now = self.now.max(self.replica.deadline());
        assert_eq!(self.replica.handle(self.now, Event::DeadlineReached), Ok(()));
        self.drain();
        self.persist();
        for peer in 2..=self.members {
            let hears = self.replica.config().configuration.everyone();
            let beat = Beat { hears, roster: roster(self.members), ..Beat::default() };
            assert_eq!(self.hear(peer, Message::Beat(beat)), Ok(()));
            if let Some((ballot, from)) = self.asked {
                let (end, limit, decided, retained) = (from, from, Slot::ZERO, Slot::ZERO);
                let proposals = &[];
                let promise =
                    Message::Promise { ballot, from, end, limit, decided, retained, proposals };
                assert_eq!(self.hear(peer, promise), Ok(()));
            }
        }
        self.drain();
        self.persist();
    }

    fn hear(
        &mut self,
        peer: u64,
        message: Message<'_, Bytes>,
    ) -> Result<(), synod_core::PeerMisbehaved> {
        let (node, incarnation) = (NodeId(peer), Incarnation(peer));
        let header = Header { node, incarnation, boot: Boot(1), ..self.replica.header() };
        self.replica.handle(self.now, Event::Received { header, message })
    }

    fn drain(&mut self) {
        while let Some(action) = self.replica.poll() {
            match action {
                Action::Persist { id, .. } => self.written = Some(id),
                Action::Send { message: Message::Prepare { ballot, from }, .. } => {
                    self.asked = Some((ballot, from));
                }
                Action::Send { .. }
                | Action::Deliver { .. }
                | Action::DeliverFromLog { .. }
                | Action::CatchUp { .. }
                | Action::LeaderChanged { .. } => {}
            }
        }
    }

    fn persist(&mut self) {
        while let Some(upto) = self.written.take() {
            assert_eq!(self.replica.handle(self.now, Event::Persisted { upto }), Ok(()));
            self.drain();
        }
    }
}

fn roster(members: u64) -> [Incarnation; MEMBERS_MAX] {
    let ids = std::array::from_fn(|place| place as u64 + 1);
    ids.map(|id| if id <= members { Incarnation(id) } else { Incarnation::NONE })
}

/// The definition: a slot is decided when `quorum` members hold everything up to its end.
fn decided(quorum: usize, cursors: &[Slot], next: Slot) -> Slot {
    let held_by = |slot: u64| cursors.iter().filter(|cursor| cursor.0 > slot).count();
    let open = (0..next.0).find(|slot| held_by(*slot) < quorum);
    Slot(open.unwrap_or(next.0))
}

#[test]
fn a_leader_decides_what_the_naive_twin_says() {
    check!().with_type::<Case>().for_each(|case| {
        let members = u64::from(case.members % 8) + 2;
        let phase2 = usize::from(case.phase2) % members as usize + 1;
        let quorums = Quorums { phase1: members as usize - phase2 + 1, phase2 };
        let mut leader = Leader::of(members, quorums);
        leader.persist();
        let (ballot, durable) = (leader.replica.promised(), leader.replica.next_slot());
        for _ in 0..case.proposals % 16 {
            let proposed = leader.replica.propose(leader.now, Bytes::from_static(b"d"), None);
            assert!(proposed.is_ok(), "there is room: {proposed:?}");
        }
        leader.drain();
        let next = leader.replica.next_slot();
        // Before its disk is done, the leader holds what it wrote as it began to lead.
        let mut cursors = vec![Slot::ZERO; members as usize];
        cursors[0] = durable;
        let own_floor = leader.replica.decided();
        for (nth, report) in case.reports.iter().take(64).enumerate() {
            if nth == usize::from(case.persisted % 32) {
                leader.persist();
                cursors[0] = next;
            }
            let peer = 2 + u64::from(report.from) % (members - 1);
            let end = Slot(u64::from(report.end) % (next.0 + 1));
            let of = match report.stale {
                true => Ballot { round: ballot.round - 1, node: NODE },
                false => ballot,
            };
            let told = Message::Accepted { ballot: of, end, resend: report.resend };
            let taken = leader.hear(peer, told);
            if !report.stale {
                assert_eq!(taken, Ok(()));
                let cursor = &mut cursors[peer as usize - 1];
                *cursor = end.max(*cursor);
            }
            leader.drain();
            let wanted = decided(phase2, &cursors, next).max(own_floor);
            assert_eq!(leader.replica.decided(), wanted, "{cursors:?}, {phase2} of {members}");
        }
    });
}
