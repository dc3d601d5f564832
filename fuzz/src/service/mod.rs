//! Target: a lone service among peers that may say anything, with callers that submit to it.
//!
//! Below is the replica of [`replica`](crate::replica) with its honest disk. On top the word of
//! the service is judged: each request has one outcome, a true one and in time; the state machine
//! is handed decrees in order, and no ballot goes back; the limits hold.

mod journal;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::{BufMut, Bytes, BytesMut};
use synod_core::service::{
    Input, Outcome, Output, Request, RequestId, Service, ServiceConfig, ServiceLimits,
    ServiceMessage,
};
use synod_core::wire::{self, Decoder, Payload};
use synod_core::{
    Ballot, Beat, Boot, ClusterId, Config, Configuration, Event, GroupId, Header, Instant, Limits,
    MEMBERS_MAX, Message, NodeId, Slot,
};

use crate::plan::{Few, Many, Rarely};
use crate::replica::Said;
use crate::replica::disk::Disk;
use crate::replica::said::{Scene, incarnation_of};
use crate::replica::watch::Watch;
use crate::shorten::Story;
use journal::Journal;

/// A life of a lone service.
#[derive(Clone, Debug, Arbitrary)]
pub struct Case {
    /// Three, five, or nobody else at all.
    members: u8,
    refuse_to_forward: Rarely<()>,
    /// The state machine keeps its state over a restart.
    durable: bool,
    ops: Many<Op>,
}

impl Story for Case {
    fn leave_out(&mut self, from: usize, end: usize) {
        self.ops.0.drain(from..end);
    }

    fn len(&self) -> usize {
        self.ops.0.len()
    }
}

/// Something that happens to the service.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Op {
    Submit {
        len: u8,
        exclusive: bool,
        patience: Rarely<u8>,
        only_here: Rarely<bool>,
    },
    Hear {
        from: u8,
        said: Said,
    },
    Forward {
        from: u8,
        stale: bool,
        number: u8,
        after: u8,
        run: RunPlan,
    },
    Taken {
        from: u8,
        stale: bool,
        number: u8,
        last: u8,
    },
    /// Peers beat, promise and accept as asked, each that has a bit.
    Support(u8),
    Persist(u8),
    CaughtUp,
    Wait(u16),
    Deadline,
    PeerDown(u8),
    FailDisk,
    ShutDown,
    Restart(u8),
}

/// The requests that a forward carries.
#[derive(Clone, Debug, Arbitrary)]
pub struct RunPlan {
    base: u8,
    exclusive: bool,
    lens: Few<u8>,
    /// Nothing of the above, but these bytes.
    any: Rarely<Vec<u8>>,
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? % 64 {
            0..14 => Self::Submit {
                len: u.arbitrary()?,
                exclusive: u.arbitrary()?,
                patience: u.arbitrary()?,
                only_here: u.arbitrary()?,
            },
            14..24 => Self::Hear { from: u.arbitrary()?, said: u.arbitrary()? },
            24..29 => Self::Forward {
                from: u.arbitrary()?,
                stale: u.arbitrary()?,
                number: u.arbitrary()?,
                after: u.arbitrary()?,
                run: u.arbitrary()?,
            },
            29..32 => Self::Taken {
                from: u.arbitrary()?,
                stale: u.arbitrary()?,
                number: u.arbitrary()?,
                last: u.arbitrary()?,
            },
            32..42 => Self::Support(u.arbitrary()?),
            42..50 => Self::Persist(u.arbitrary()?),
            50 => Self::CaughtUp,
            51..54 => Self::Wait(u.arbitrary()?),
            54..60 => Self::Deadline,
            60 => Self::PeerDown(u.arbitrary()?),
            61 => Self::Restart(u.arbitrary()?),
            62 => {
                if u.arbitrary::<u8>()? < 64 {
                    Self::ShutDown
                } else {
                    Self::Deadline
                }
            }
            _rare => {
                if u.arbitrary::<u8>()? < 64 {
                    Self::FailDisk
                } else {
                    Self::Deadline
                }
            }
        })
    }
}

impl RunPlan {
    /// A run as `synod_core::service` describes it.
    fn bytes(&self) -> Bytes {
        if let Some(any) = &self.any.0 {
            return Bytes::copy_from_slice(any);
        }
        let mut out = BytesMut::new();
        out.put_slice(&[1, u8::from(self.exclusive), 0, 0]);
        out.put_u32_le(self.lens.0.len() as u32);
        out.put_u64_le(self.base.into());
        for (nth, len) in (0..).zip(&self.lens.0) {
            let len = usize::from(len % 32);
            out.put_u32_le(nth);
            out.put_u32_le(len as u32);
            out.put_bytes(b'f', len);
        }
        out.freeze()
    }
}

/// How far the service got, so that a test can tell whether its inputs reach anything.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Reached {
    pub applied: bool,
    pub refused: bool,
    pub unknown: bool,
    pub rejected: bool,
    pub forwarded: bool,
    pub took_from_a_peer: bool,
    pub restarted: bool,
}

impl Reached {
    /// One bit for each.
    #[must_use]
    pub fn bits(self) -> u64 {
        let Self { applied, refused, unknown, rejected, forwarded, took_from_a_peer, restarted } =
            self;
        crate::target::bits([
            applied,
            refused,
            unknown,
            rejected,
            forwarded,
            took_from_a_peer,
            restarted,
        ])
    }
}

/// Runs `case`. Returns what it reached.
///
/// # Panics
/// When the service does, or when it breaks its word.
#[must_use]
pub fn service(case: &Case) -> Reached {
    let mut lone = Lone::new(case);
    lone.drain();
    for op in &case.ops.0 {
        lone.apply(op);
        lone.drain();
    }
    lone.reached
}

const NODE: NodeId = NodeId(1);

/// Small, so that every limit is reached.
const LIMITS: Limits = Limits {
    window: 8,
    past_bytes_max: 300,
    decree_bytes_max: 256,
    run_slots_max: 4,
    run_bytes_max: 512,
    writes_in_flight_max: 2,
};

const PENDING_MAX: usize = 6;

/// More outputs than this without an input in between never end.
const OUTPUTS_MAX: usize = 2000;

/// The service and its honest host.
struct Lone {
    config: ServiceConfig,
    service: Service<Journal>,
    now: Instant,
    disk: Disk,
    watch: Watch,
    decoder: Decoder,
    serving: Vec<(NodeId, Slot)>,
    beat: Beat,
    asked: Option<(Ballot, Slot)>,
    /// The requests of this run without an outcome, with body and deadline.
    open: BTreeMap<RequestId, (Bytes, Instant)>,
    /// The numbers that each other member has used.
    lines: BTreeMap<NodeId, Line>,
    /// Bodies that were refused for certain, in any run.
    refused: BTreeSet<Bytes>,
    submitted: u64,
    closing: bool,
    reached: Reached,
}

/// How another member has numbered what it forwarded.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    ballot: Ballot,
    /// The highest number used in earlier ballots.
    floor: u64,
    highest: u64,
}

/// Where a run names its base.
const BASE: std::ops::Range<usize> = 8..16;

impl Lone {
    fn new(case: &Case) -> Self {
        let members = [3, 5, 1].get(usize::from(case.members) % 3).copied().unwrap_or(3);
        let nodes: Vec<NodeId> = (NODE.0..NODE.0 + members).map(NodeId).collect();
        let configuration = Configuration::first(&nodes).expect("a sound set");
        let mut replica = Config::new(ClusterId(7), GroupId(8), NODE, configuration);
        replica.limits = LIMITS;
        let mut config = ServiceConfig::new(replica);
        config.forward = case.refuse_to_forward.0.is_none();
        config.limits = ServiceLimits {
            requests_pending_max: PENDING_MAX,
            pending_bytes_max: 200,
            request_bytes_max: 64,
            batch_bytes_max: 256,
            batch_requests_max: 3,
            pipeline: 2,
            forward_requests_max: 4,
            forward_bytes_max: 100,
            request_timeout: Duration::from_secs(2),
        };
        let header = Header {
            cluster: config.replica.cluster,
            group: config.replica.group,
            epoch: config.replica.configuration.epoch(),
            node: NODE,
            incarnation: incarnation_of(NODE),
            boot: Boot(1),
        };
        let mut disk = Disk::formatted(&header, true);
        let recovered = disk.recover(0, header.incarnation, header.boot);
        let machine = Journal { durable: case.durable, ..Journal::default() };
        let service = Service::new(config.clone(), recovered, machine, Instant::ZERO);
        Self {
            config,
            service: service.expect("a sound start"),
            now: Instant::ZERO,
            disk,
            watch: Watch::new(NODE, LIMITS),
            decoder: Decoder::new(&LIMITS),
            serving: Vec::new(),
            beat: Beat::default(),
            asked: None,
            open: BTreeMap::new(),
            lines: BTreeMap::new(),
            refused: BTreeSet::new(),
            submitted: 0,
            closing: false,
            reached: Reached::default(),
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Submit { len, exclusive, patience, only_here } => {
                self.submit(usize::from(len % 72), *exclusive, patience.0, only_here.0);
            }
            Op::Hear { from, said } => self.hear(*from, said),
            Op::Forward { from, stale, number, after, run } => {
                // Mostly the first, and the first of a leadership that is not over.
                let (ballot, number) =
                    (self.ballot(*stale && *number > 127), 1 + u64::from(number % 4));
                let requests = self.numbered(*from, ballot, run);
                let after = u64::from(after % 4);
                let message = ServiceMessage::Forward { ballot, number, after, requests };
                self.hear_service(*from, message);
            }
            Op::Taken { from, stale, number, last } => {
                let (number, last) = (u64::from(*number), u64::from(last % 16));
                let ballot = self.ballot(*stale);
                self.hear_service(*from, ServiceMessage::Taken { ballot, number, last });
            }
            Op::Support(by) => self.support(*by),
            Op::Persist(count) => {
                if let Some(event) = self.disk.confirm(usize::from(count % 3)) {
                    self.tell(event);
                }
            }
            Op::CaughtUp => {
                if let Some((to, end)) = self.serving.pop() {
                    self.tell(Event::CaughtUp { to, end });
                }
            }
            Op::Wait(millis) => {
                self.now = self.now.after(Duration::from_millis(u64::from(millis % 1000)));
                self.tick();
            }
            Op::Deadline => {
                if self.service.deadline() < Instant::NEVER {
                    self.now = self.now.max(self.service.deadline());
                    self.tick();
                }
            }
            Op::PeerDown(peer) => self.tell(Event::PeerDown { peer: self.peer(*peer) }),
            Op::FailDisk => {
                self.disk.failed = true;
                self.tell(Event::PersistFailed);
            }
            Op::ShutDown => {
                self.closing = true;
                self.service.shut_down(self.now);
            }
            Op::Restart(kept) => self.restart(usize::from(*kept)),
        }
    }

    fn submit(&mut self, len: usize, exclusive: bool, patience: Option<u8>, here: Option<bool>) {
        self.submitted += 1;
        let mut body = self.submitted.to_be_bytes().to_vec();
        body.resize(body.len() + len, b's');
        let mut request = Request::new(body.into());
        request.exclusive = exclusive;
        let patience = patience.map(|millis| self.now.after(Duration::from_millis(millis.into())));
        request.deadline = patience;
        let leader = self.service.replica().leader();
        request.only_in = here.and_then(|here| if here { leader } else { Some(Ballot::ZERO) });
        let deadline = patience.unwrap_or(self.now.after(self.config.limits.request_timeout));
        let body = request.body.clone();
        let open = self.open.len();
        match self.service.submit(self.now, request.clone()) {
            Ok(id) => {
                assert!(!self.closing && open < PENDING_MAX && body.len() <= 64);
                let earlier = self.open.insert(id, (body, deadline));
                assert_eq!(earlier, None, "an id of its own");
            }
            Err(rejected) => {
                assert_eq!(rejected.request, request, "the request comes back");
                assert!(!rejected.why.to_string().is_empty());
                self.refused.insert(body);
                self.reached.rejected = true;
            }
        }
    }

    /// Carries out everything that is due.
    fn drain(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            if !self.step() {
                let status = self.service.status();
                assert_eq!(status.pending, self.open.len(), "what is pending has no outcome");
                assert_eq!(self.service.is_drained(), self.open.is_empty());
                let journal = self.service.machine();
                let lied = journal.bodies.iter().find(|body| self.refused.contains(*body));
                assert_eq!(lied, None, "A1: refused for certain, and applied");
                let of_a_peer = |body: &Bytes| body.first() == Some(&b'f');
                self.reached.took_from_a_peer |= journal.bodies.iter().any(of_a_peer);
                return;
            }
        }
        panic!("{OUTPUTS_MAX} outputs and no end");
    }

    fn step(&mut self) -> bool {
        let header = self.service.replica().header();
        let Some(output) = self.service.poll() else { return false };
        match output {
            Output::Persist { id, record } => {
                assert!(!self.disk.failed, "a service whose log failed writes nothing");
                self.disk.write(id, &header, &record);
            }
            Output::Send { to, payload } => {
                assert!(!self.disk.failed && !to.is_empty(), "a message to somebody");
                let mut out = BytesMut::new();
                wire::encode(&header, &payload, &mut out);
                let frame = out.freeze();
                let decoded = self.decoder.decode(&frame);
                assert_eq!(decoded, Ok((header, payload.clone())), "peers can read it");
                match &payload {
                    Payload::Replica(message) => {
                        self.watch.on_send(message, &self.disk.facts);
                        match message {
                            Message::Beat(beat) => self.beat = *beat,
                            Message::Prepare { ballot, from } => {
                                self.asked = Some((*ballot, *from));
                            }
                            _answer => {}
                        }
                    }
                    Payload::Service(ServiceMessage::Forward { .. }) => {
                        self.reached.forwarded = true;
                    }
                    Payload::Service(ServiceMessage::Taken { .. }) => {}
                }
            }
            Output::ReadBack { from, end } => {
                let written = self.disk.written();
                let known = (from.0..end.0).map_while(|slot| written.slots.get(&Slot(slot)));
                let chosen: Vec<_> = known.map(|fact| fact.latest.clone()).collect();
                assert_eq!(chosen.len() as u64, end - from, "R5: what is decided is in the log");
                let taken = self.service.handle(self.now, Input::ReadBack { chosen: &chosen });
                assert_eq!(taken, Ok(()));
            }
            Output::CatchUp { to, end, .. } => self.serving.push((to, end)),
            Output::LeaderChanged { .. } => {}
            Output::Outcome { id, outcome } => self.on_outcome(id, outcome),
        }
        true
    }

    fn on_outcome(&mut self, id: RequestId, outcome: Outcome<usize>) {
        let (body, _) = self.open.remove(&id).expect("A1: one outcome for what was taken");
        match outcome {
            Outcome::Applied { reply, slot, ballot } => {
                let journal = self.service.machine();
                assert_eq!(journal.bodies.get(reply), Some(&body), "the answer to this request");
                let last = journal.last.or(journal.open).expect("something was applied");
                assert!(slot <= last.slot.max(slot) && ballot <= self.service.replica().promised());
                self.reached.applied = true;
            }
            Outcome::Refused(why) => {
                assert!(!why.to_string().is_empty());
                self.refused.insert(body);
                self.reached.refused = true;
            }
            Outcome::Unknown { .. } => self.reached.unknown = true,
        }
    }

    fn peer(&self, choice: u8) -> NodeId {
        let members = self.config.replica.configuration.members();
        members.get(usize::from(choice) % members.len()).copied().unwrap_or(NODE)
    }

    fn header_of(&self, node: NodeId) -> Header {
        let own = self.service.replica().header();
        Header { node, incarnation: incarnation_of(node), boot: Boot(1), ..own }
    }

    fn ballot(&self, stale: bool) -> Ballot {
        let promised = self.service.replica().promised();
        Ballot { round: promised.round.saturating_sub(u64::from(stale)), ..promised }
    }

    /// An event that nobody else is to blame for.
    fn tell(&mut self, event: Event<'_, Bytes>) {
        let taken = self.service.handle(self.now, Input::Replica(event));
        assert_eq!(taken, Ok(()), "only messages can misbehave");
    }

    fn hear(&mut self, from: u8, said: &Said) {
        let sender = self.peer(from);
        let scene = Scene::of(self.service.replica(), sender);
        let proposals = said.proposals(scene, &self.disk);
        let (header, message) = (self.header_of(sender), said.message(scene, &proposals));
        let event = Event::Received { header, message };
        let _ = self.service.handle(self.now, Input::Replica(event));
    }

    /// The run as a member forwards it. Whatever else a member says, it numbers its requests once
    /// and for all: what it forwards to a later leadership has higher numbers than what an earlier
    /// one may have got applied (A3 rests on that; see `pending` in the service).
    fn numbered(&mut self, from: u8, ballot: Ballot, run: &RunPlan) -> Bytes {
        let requests = run.bytes();
        let Some(base) = requests.get(BASE).and_then(|base| base.try_into().ok()) else {
            return requests;
        };
        let base = u64::from_le_bytes(base);
        let line = self.lines.entry(self.peer(from)).or_default();
        if ballot > line.ballot {
            *line = Line { ballot, floor: line.highest, highest: line.highest };
        }
        let mut requests = BytesMut::from(&requests[..]);
        if base > 0 {
            let base = line.floor + 1 + base % 256;
            requests[BASE].copy_from_slice(&base.to_le_bytes());
            // As many as the format could number.
            line.highest = line.highest.max(base + u64::from(u32::MAX));
        }
        requests.freeze()
    }

    fn hear_service(&mut self, from: u8, message: ServiceMessage) {
        let header = self.header_of(self.peer(from));
        let _ = self.service.handle(self.now, Input::Service { header, message });
    }

    fn support(&mut self, by: u8) {
        let everyone = self.config.replica.configuration.everyone();
        for (place, node) in self.config.replica.configuration.members().iter().enumerate() {
            if *node == NODE || by & 1 << (place % 8) == 0 {
                continue;
            }
            let header = self.header_of(*node);
            let leader = self.beat.leader;
            let beat = Message::Beat(Beat {
                leader: if leader.node == NODE { leader } else { Ballot::ZERO },
                round: self.beat.round,
                hears: everyone,
                roster: [incarnation_of(NODE); MEMBERS_MAX],
                ..Beat::default()
            });
            let promise = self.asked.map(|(ballot, from)| {
                let (decided, retained, proposals) = (Slot::ZERO, Slot::ZERO, &[]);
                let (end, limit) = (from, from);
                Message::Promise { ballot, from, end, limit, decided, retained, proposals }
            });
            let replica = self.service.replica();
            let (ballot, end) = (replica.promised(), replica.next_slot());
            let accepted = Message::Accepted { ballot, end, resend: false };
            for message in [Some(beat), promise, Some(accepted)].into_iter().flatten() {
                let event = Event::Received { header, message };
                let _ = self.service.handle(self.now, Input::Replica(event));
            }
        }
    }

    /// No request waits beyond its deadline, and the loop of the host does not spin.
    fn tick(&mut self) {
        self.tell(Event::DeadlineReached);
        self.drain();
        assert!(self.service.deadline() > self.now, "the loop would spin");
        let late = self.now.since(Instant::ZERO).saturating_sub(Duration::from_millis(1));
        let overdue = |(_, deadline): &&(Bytes, Instant)| deadline.since(Instant::ZERO) < late;
        assert_eq!(self.open.values().find(overdue), None, "an outcome is overdue");
    }

    fn restart(&mut self, kept: usize) {
        let header = self.service.replica().header();
        let boot = Boot(header.boot.0 + 1);
        let recovered =
            self.disk.recover(kept.min(self.disk.in_flight()), header.incarnation, boot);
        let journal = self.service.machine().clone();
        let machine = match journal.durable && journal.open.is_none() {
            true => journal,
            false => Journal { durable: journal.durable, ..Journal::default() },
        };
        let service = Service::new(self.config.clone(), recovered, machine, self.now);
        self.service = service.expect("a service starts from what it wrote");
        self.open.clear();
        self.serving.clear();
        self.asked = None;
        self.closing = false;
        self.reached.restarted = true;
    }
}
