//! omnipaxos: entries are handles on bytes, messages of one turn are merged by the library, and
//! what is decided is applied straight from the store, without the copies that its reads make.

use std::cell::RefCell;
use std::error::Error;
use std::ops::Range;
use std::rc::Rc;

use ::omnipaxos::ballot_leader_election::Ballot;
use ::omnipaxos::messages::Message;
use ::omnipaxos::storage::{Entry, NoSnapshot, StopSign, Storage, StorageOp};
use ::omnipaxos::{ClusterConfig, OmniPaxos, ServerConfig};
use bytes::Bytes;

use super::client::{Applier, Client};
use super::tail::{SHORT, Tail};
use super::{Cluster, TURNS_PER_TICK};

/// A command, as the library wants it.
#[derive(Clone, Debug)]
pub(crate) struct Command(pub(crate) Bytes);

impl Entry for Command {
    type Snapshot = NoSnapshot;
}

/// Three replicas on one thread.
pub(crate) struct Omnipaxos {
    nodes: Vec<Node>,
    leader: usize,
    turns: u64,
    batch: bool,
    /// Messages on their way; used again and again.
    messages: Vec<Message<Command>>,
}

struct Node {
    replica: OmniPaxos<Command, Store>,
    store: Store,
    applied: usize,
    applier: Applier,
}

impl Omnipaxos {
    /// A group that has a leader. With `batch` the library keeps commands back until the end of the
    /// turn; if not, it sends a message at once and merges later ones into it.
    ///
    /// # Panics
    /// When no leader is elected.
    pub(crate) fn new(batch: bool) -> Self {
        let nodes = [1, 2, 3].map(|pid| Node::new(pid, if batch { BATCH } else { 1 }));
        let nodes = nodes.into_iter().collect();
        let mut cluster = Self { nodes, leader: 0, turns: 0, batch, messages: Vec::new() };
        // The first leader does not stay, since nobody has heard yet that the others are content.
        (0..ROUNDS_UNTIL_SETTLED).for_each(|_| cluster.tick());
        for _ in 0..1_000 {
            cluster.tick();
            if let Some((pid, true)) = cluster.nodes[0].replica.get_current_leader() {
                assert_eq!(pid, LEADER, "batches are kept back by the leader");
                cluster.leader = pid as usize - 1;
                return cluster;
            }
        }
        panic!("three healthy replicas elect a leader");
    }

    fn tick(&mut self) {
        for node in &mut self.nodes {
            (0..TICKS).for_each(|_| node.replica.tick());
        }
        for _ in 0..4 {
            for place in 0..self.nodes.len() {
                self.post(place);
            }
        }
    }

    /// Hands on what one replica wants to send.
    fn post(&mut self, place: usize) {
        self.nodes[place].replica.take_outgoing_messages(&mut self.messages);
        for message in self.messages.drain(..) {
            let receiver = message.get_receiver() as usize - 1;
            self.nodes[receiver].replica.handle_incoming(message);
        }
    }
}

impl Node {
    fn new(pid: u64, batch: usize) -> Self {
        let store = Store::new(SHORT);
        let replica = server(pid, LEADER, batch, TICKS, store.clone());
        Self { replica, store, applied: 0, applier: Applier::default() }
    }

    fn apply(&mut self, answered: impl FnMut(u64)) {
        let decided = self.replica.get_decided_idx();
        self.store.apply(self.applied..decided, &mut self.applier, answered);
        self.applied = decided;
    }
}

/// One replica; `leader` is the one that will lead. Batches are sent at any tick; heartbeats and
/// the like once in `ticks` of them.
///
/// # Panics
/// When the library refuses the configuration.
pub(crate) fn server(
    pid: u64,
    leader: u64,
    batch: usize,
    ticks: u64,
    store: Store,
) -> OmniPaxos<Command, Store> {
    let cluster =
        ClusterConfig { configuration_id: 1, nodes: vec![1, 2, 3], flexible_quorum: None };
    // All runs are to look alike. The others must not keep back what they have accepted.
    let leader_priority = u32::from(pid == 1);
    let batch_size = if pid == leader { batch } else { 1 };
    let server = ServerConfig {
        pid,
        election_tick_timeout: ticks,
        resend_message_tick_timeout: 100 * ticks,
        batch_size,
        flush_batch_tick_timeout: 1,
        leader_priority,
        ..ServerConfig::default()
    };
    cluster.build_for_server(server, store).expect("a sound configuration")
}

impl Cluster for Omnipaxos {
    fn submit(&mut self, command: Bytes) {
        let taken = self.nodes[self.leader].replica.append(Command(command));
        taken.expect("the leader takes it");
    }

    fn turn(&mut self, client: &mut Client) {
        self.turns += 1;
        let leader = self.leader;
        if self.batch {
            // Ends the batch. All clocks must go at one pace, or another one leads in the end.
            self.nodes.iter_mut().for_each(|node| node.replica.tick());
        } else if self.turns.is_multiple_of(TURNS_PER_TICK) {
            self.tick();
        }
        if self.turns.is_multiple_of(TURNS_PER_TICK) {
            let leads = self.nodes[leader].replica.get_current_leader();
            assert_eq!(leads, Some((leader as u64 + 1, true)), "the leader stays");
        }
        self.post(leader);
        self.post((leader + 1) % 3);
        self.post((leader + 2) % 3);
        self.nodes[leader].apply(|number| client.answer(number));
        self.nodes[(leader + 1) % 3].apply(|_| {});
        self.nodes[(leader + 2) % 3].apply(|_| {});
    }

    fn settle(&mut self) {
        self.tick();
        for node in &mut self.nodes {
            node.apply(|_| {});
        }
    }

    fn applied(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.applier.applied()).collect()
    }
}

/// What a replica has stored, in memory; shared with whoever applies.
#[derive(Clone)]
pub(crate) struct Store(Rc<RefCell<Stored>>);

struct Stored {
    log: Tail<Command>,
    promise: Option<Ballot>,
    accepted: Option<Ballot>,
    decided: usize,
}

type Stores<T> = Result<T, Box<dyn Error>>;

/// When all count in step, the last one leads in the end, though the first is preferred.
const LEADER: u64 = 3;
/// Heartbeat rounds after which no leader is replaced any more, with none of them slow.
const ROUNDS_UNTIL_SETTLED: u32 = 20;
/// More than any client has outstanding: a batch ends with its turn, by a tick.
pub(crate) const BATCH: usize = 1 << 14;
/// Heartbeats and the like come once in so many ticks.
pub(crate) const TICKS: u64 = 1_000;

impl Store {
    /// An empty store that forgets the oldest of so many commands.
    pub(crate) fn new(items_max: usize) -> Self {
        let log = Tail::new(0, items_max);
        Self(Rc::new(RefCell::new(Stored { log, promise: None, accepted: None, decided: 0 })))
    }

    /// Applies what is decided.
    ///
    /// # Panics
    /// When it is not in the store.
    pub(crate) fn apply(
        &self,
        decided: Range<usize>,
        applier: &mut Applier,
        mut answered: impl FnMut(u64),
    ) {
        let stored = self.0.borrow();
        for place in decided {
            let command = stored.log.get(place as u64).expect("what is decided is stored");
            answered(applier.apply(&command.0));
        }
    }

    /// Calls `each` with the commands from `from` on, and returns where they end.
    ///
    /// # Panics
    /// When some are forgotten already.
    pub(crate) fn since(&self, from: usize, mut each: impl FnMut(&Bytes)) -> usize {
        let stored = self.0.borrow();
        let end = stored.log.end();
        for place in from as u64..end {
            each(&stored.log.get(place).expect("it was just appended").0);
        }
        end as usize
    }
}

impl Storage<Command> for Store {
    fn write_atomically(&mut self, ops: Vec<StorageOp<Command>>) -> Stores<()> {
        for op in ops {
            match op {
                StorageOp::AppendEntry(entry) => self.append_entry(entry)?,
                StorageOp::AppendEntries(entries) => self.append_entries(entries)?,
                StorageOp::AppendOnPrefix(from, entries) => self.append_on_prefix(from, entries)?,
                StorageOp::SetPromise(ballot) => self.set_promise(ballot)?,
                StorageOp::SetDecidedIndex(end) => self.set_decided_idx(end)?,
                StorageOp::SetAcceptedRound(ballot) => self.set_accepted_round(ballot)?,
                StorageOp::SetStopsign(sign) => self.set_stopsign(sign)?,
                StorageOp::SetCompactedIdx(_) | StorageOp::Trim(_) => {}
                StorageOp::SetSnapshot(snapshot) => self.set_snapshot(snapshot)?,
            }
        }
        Ok(())
    }

    fn append_entry(&mut self, entry: Command) -> Stores<()> {
        let mut stored = self.0.borrow_mut();
        stored.log.push(entry);
        Ok(())
    }

    fn append_entries(&mut self, entries: Vec<Command>) -> Stores<()> {
        let mut stored = self.0.borrow_mut();
        entries.into_iter().for_each(|entry| stored.log.push(entry));
        Ok(())
    }

    fn append_on_prefix(&mut self, from: usize, entries: Vec<Command>) -> Stores<()> {
        self.0.borrow_mut().log.truncate(from as u64);
        self.append_entries(entries)
    }

    fn set_promise(&mut self, promise: Ballot) -> Stores<()> {
        self.0.borrow_mut().promise = Some(promise);
        Ok(())
    }

    fn set_decided_idx(&mut self, decided: usize) -> Stores<()> {
        self.0.borrow_mut().decided = decided;
        Ok(())
    }

    fn get_decided_idx(&self) -> Stores<usize> {
        Ok(self.0.borrow().decided)
    }

    fn set_accepted_round(&mut self, accepted: Ballot) -> Stores<()> {
        self.0.borrow_mut().accepted = Some(accepted);
        Ok(())
    }

    fn get_accepted_round(&self) -> Stores<Option<Ballot>> {
        Ok(self.0.borrow().accepted)
    }

    fn get_entries(&self, from: usize, to: usize) -> Stores<Vec<Command>> {
        Ok(self.0.borrow().log.range(from as u64, to as u64))
    }

    fn get_log_len(&self) -> Stores<usize> {
        Ok(self.0.borrow().log.end() as usize)
    }

    fn get_suffix(&self, from: usize) -> Stores<Vec<Command>> {
        Ok(self.0.borrow().log.range(from as u64, u64::MAX))
    }

    fn get_promise(&self) -> Stores<Option<Ballot>> {
        Ok(self.0.borrow().promise)
    }

    fn set_stopsign(&mut self, _: Option<StopSign>) -> Stores<()> {
        Ok(())
    }

    fn get_stopsign(&self) -> Stores<Option<StopSign>> {
        Ok(None)
    }

    fn trim(&mut self, _: usize) -> Stores<()> {
        Ok(())
    }

    fn set_compacted_idx(&mut self, _: usize) -> Stores<()> {
        Ok(())
    }

    fn get_compacted_idx(&self) -> Stores<usize> {
        Ok(0)
    }

    fn set_snapshot(&mut self, _: Option<NoSnapshot>) -> Stores<()> {
        Ok(())
    }

    fn get_snapshot(&self) -> Stores<Option<NoSnapshot>> {
        Ok(None)
    }
}
