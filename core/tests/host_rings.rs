//! A host that writes its frames into rings in the memory of its peers, as one over one-sided
//! RDMA would: bytes first, then the word that makes them valid. There is no connection, no
//! acknowledgement and no buffer in between: each message is encoded from the borrowed action
//! straight into the memory of its receiver ([`wire::encode_into`]), and a frame for which there is
//! no room is lost.

mod hosts;

use bytes::Bytes;
use hosts::{Chance, Log, Machine, assert_agreement, config};
use synod_core::wire::{self, Payload};
use synod_core::{
    Ballot, Boot, Event, Header, Host, Incarnation, Instant, Message, NodeId, NodeSet, Persistence,
    Proposal, Record, Replica, Slot, Standing, WriteId, drain,
};

const MEMBERS: u64 = 3;

/// Memory of a receiver that one sender writes into: frames of whole words, each behind a word
/// that holds its length.
struct Ring {
    memory: Box<[u8]>,
    /// Where the sender writes next, counted without end. It lives at the sender.
    head: usize,
    /// Where the receiver looks next. It lives at the receiver, who tells the sender.
    tail: usize,
    /// Frames for which there was no room.
    lost: u64,
}

const RING_BYTES: usize = 4096;

/// A word. Zero: nothing here yet. [`WRAP`]: the next frame stands at the start of the ring.
const WORD: usize = 8;

const WRAP: u64 = u64::MAX;

impl Ring {
    fn new() -> Self {
        Self { memory: vec![0; RING_BYTES].into(), head: 0, tail: 0, lost: 0 }
    }

    /// The sender's side: no copy between the replica's window and this memory.
    fn write(&mut self, header: &Header, payload: &Payload<'_>) {
        let needed = WORD + wire::encoded_len(payload).next_multiple_of(WORD);
        let to_end = RING_BYTES - self.head % RING_BYTES;
        let skipped = if to_end < needed { to_end } else { 0 };
        if self.head + skipped + needed - self.tail > RING_BYTES {
            self.lost += 1;
            return;
        }
        if skipped > 0 {
            self.set_word(self.head % RING_BYTES, WRAP);
            self.head += skipped;
        }
        let at = self.head % RING_BYTES;
        let place = &mut self.memory[at + WORD..at + needed];
        let len = wire::encode_into(header, payload, place).expect("there is room");
        // The frame is whole before the word says so.
        self.set_word(at, len as u64);
        self.head += needed;
    }

    /// The receiver's side. The frame moves out, so that its decrees may outlive the ring's turn.
    fn poll(&mut self) -> Option<Bytes> {
        let mut at = self.tail % RING_BYTES;
        if self.word(at) == WRAP {
            self.free(RING_BYTES - at);
            at = 0;
        }
        let len = self.word(at) as usize;
        if len == 0 {
            return None;
        }
        let frame = Bytes::copy_from_slice(&self.memory[at + WORD..][..len]);
        self.free(WORD + len.next_multiple_of(WORD));
        Some(frame)
    }

    /// Gives memory back. It holds zeros, so that nothing old passes for a word.
    fn free(&mut self, bytes: usize) {
        let at = self.tail % RING_BYTES;
        self.memory[at..at + bytes].fill(0);
        self.tail += bytes;
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.memory[at..at + WORD].try_into().expect("a word"))
    }

    fn set_word(&mut self, at: usize, word: u64) {
        self.memory[at..at + WORD].copy_from_slice(&word.to_le_bytes());
    }
}

/// What a process keeps beside its replica.
struct Process {
    log: Log,
    machine: Machine,
    decoder: wire::Decoder,
    /// What the host reports in its next turn.
    done: Vec<Event<'static, Bytes>>,
}

/// The host for one call of `drain`.
struct RingHost<'a> {
    header: Header,
    process: &'a mut Process,
    /// The rings that this node writes into, by member.
    outgoing: &'a mut [Ring],
}

impl Host<Bytes> for RingHost<'_> {
    fn persist(&mut self, id: WriteId, record: Record<'_, Bytes>) -> Persistence {
        self.process.log.append(&self.header, id, &record);
        Persistence::Pending
    }

    fn send(&mut self, to: NodeSet, message: Message<'_, Bytes>) {
        let payload = Payload::Replica(message);
        for member in to.iter() {
            self.outgoing[member.place()].write(&self.header, &payload);
        }
    }

    fn deliver(&mut self, chosen: &[Proposal<Bytes>]) -> Option<Slot> {
        Some(self.process.machine.apply(chosen))
    }

    fn deliver_from_log(&mut self, from: Slot, end: Slot) {
        let chosen = self.process.log.read(from, end);
        let end = self.process.machine.apply(&chosen);
        self.process.done.push(Event::Applied { end });
    }

    fn catch_up(&mut self, to: NodeId, from: Slot, end: Slot, decided: Slot) {
        let end = end.min(from.plus(16));
        let proposals = self.process.log.read(from, end);
        let message = Message::Learned { from, proposals: &proposals, decided };
        self.outgoing[to.0 as usize - 1].write(&self.header, &Payload::Replica(message));
        self.process.done.push(Event::CaughtUp { to, end });
    }

    fn leader_changed(&mut self, _leader: Option<Ballot>) {}
}

/// Three processes, the rings between them, and one clock.
struct World {
    replicas: Vec<Option<Replica<Bytes>>>,
    processes: Vec<Process>,
    /// By sender, then by receiver.
    rings: Vec<Vec<Ring>>,
    boots: Vec<u64>,
    now: Instant,
    chance: Chance,
    proposed: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let limits = config(1, MEMBERS).limits;
        let process = |_| Process {
            log: Log::default(),
            machine: Machine::default(),
            decoder: wire::Decoder::new(&limits),
            done: Vec::new(),
        };
        let limits = small(limits);
        assert!(wire::frame_bytes_max(&limits) + 2 * WORD <= RING_BYTES / 2, "each has room");
        let row = |_| (0..MEMBERS).map(|_| Ring::new()).collect();
        let mut world = Self {
            replicas: (0..MEMBERS).map(|_| None).collect(),
            processes: (0..MEMBERS).map(process).collect(),
            rings: (0..MEMBERS).map(row).collect(),
            boots: vec![0; MEMBERS as usize],
            now: Instant::ZERO,
            chance: Chance(seed),
            proposed: 0,
        };
        (0..MEMBERS as usize).for_each(|place| world.start(place));
        world
    }

    fn start(&mut self, place: usize) {
        self.boots[place] += 1;
        let id = place as u64 + 1;
        let mut config = config(id, MEMBERS);
        config.limits = small(config.limits);
        let process = &mut self.processes[place];
        process.machine = Machine::default();
        process.done.clear();
        let boot = Boot(self.boots[place]);
        let recovered = process.log.recover(Incarnation(id), boot);
        self.replicas[place] = Some(Replica::new(config, recovered, self.now).expect("sound"));
    }

    /// The process dies: its memory is gone, and with it the rings that others write into.
    fn crash(&mut self, place: usize) {
        self.replicas[place] = None;
        self.processes[place].log.crash();
        for row in &mut self.rings {
            while row[place].poll().is_some() {}
        }
    }

    /// One turn of the loop of one process.
    fn turn(&mut self, place: usize) {
        let Some(replica) = &mut self.replicas[place] else { return };
        let process = &mut self.processes[place];
        for row in &mut self.rings {
            while let Some(frame) = row[place].poll() {
                let (header, payload) = process.decoder.decode(&frame).expect("a sound frame");
                let Payload::Replica(message) = payload else { panic!("nobody else speaks here") };
                // A frame of a run that is over may still lie in a ring.
                let _ = replica.handle(self.now, Event::Received { header, message });
            }
        }
        let completed = self.chance.below(process.log.in_flight() as u64 + 1) as usize;
        if let Some(upto) = process.log.sync(completed) {
            replica.handle(self.now, Event::Persisted { upto }).expect("own event");
        }
        for event in process.done.drain(..) {
            replica.handle(self.now, event).expect("own event");
        }
        if replica.standing() == Standing::Leading {
            for _ in 0..self.chance.below(6) {
                let decree = Bytes::from(self.proposed.to_le_bytes().repeat(5));
                self.proposed += u64::from(replica.propose(self.now, decree, None).is_ok());
            }
        }
        replica.handle(self.now, Event::DeadlineReached).expect("own event");
        let header = replica.header();
        let outgoing = &mut self.rings[place][..];
        drain(replica, self.now, &mut RingHost { header, process, outgoing });
    }

    /// Turns until `is_reached`; each process gets its turns by chance.
    fn run_until(&mut self, is_reached: impl Fn(&Self) -> bool) {
        for _ in 0..2_000_000 {
            if is_reached(self) {
                return;
            }
            let place = self.chance.below(MEMBERS) as usize;
            self.turn(place);
            self.now = Instant(self.now.0 + self.chance.below(400_000));
        }
        panic!("the cluster gets no further: {:?}", self.ends());
    }

    fn leader(&self) -> Option<usize> {
        let established = |replica: &Option<Replica<Bytes>>| {
            replica.as_ref().is_some_and(Replica::is_established)
        };
        self.replicas.iter().position(established)
    }

    fn most_decrees(&self) -> usize {
        self.processes.iter().map(|process| process.machine.decrees()).max().unwrap_or(0)
    }

    fn ends(&self) -> Vec<Slot> {
        self.processes.iter().map(|process| process.machine.end()).collect()
    }
}

/// Decrees of forty bytes need no megabyte.
const fn small(mut limits: synod_core::Limits) -> synod_core::Limits {
    limits.decree_bytes_max = 64;
    limits.run_bytes_max = 1024;
    limits
}

#[test]
fn replicas_that_write_into_each_others_memory_agree_through_crashes_of_leaders() {
    let mut world = World::new(0x5EED_0001);
    let mut crashes = 0;
    while world.most_decrees() < 6000 {
        world.run_until(|world| world.leader().is_some());
        let goal = world.most_decrees() + 700;
        world.run_until(|world| world.most_decrees() >= goal);
        let leader = world.leader().unwrap_or(0);
        world.crash(leader);
        crashes += 1;
        // The two others elect one of them, and go on.
        world.run_until(|world| world.leader().is_some_and(|next| next != leader));
        let goal = world.most_decrees() + 300;
        world.run_until(|world| world.most_decrees() >= goal);
        world.start(leader);
        assert_agreement(world.processes.iter().map(|process| &process.machine));
    }
    assert!(crashes >= 5, "{crashes} crashes");
    // Everybody gets everything.
    let end = world.ends().into_iter().max().expect("three");
    world.run_until(|world| world.ends().iter().all(|reached| *reached >= end));
    assert_agreement(world.processes.iter().map(|process| &process.machine));
    let lost: u64 = world.rings.iter().flatten().map(|ring| ring.lost).sum();
    assert!(lost > 0, "no ring was ever full");
}
