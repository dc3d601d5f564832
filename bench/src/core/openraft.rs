//! openraft: three instances on one single-threaded runtime, calls in place of a network, logs in
//! memory, and requests whose answers are awaited in order, without a task for each.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::Cursor;
use std::ops::{Bound, RangeBounds};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, ClientWriteResult, InstallSnapshotRequest,
    InstallSnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::storage::{LogFlushed, RaftLogStorage, RaftStateMachine};
use openraft::{
    Config, EmptyNode, Entry, EntryPayload, LogId, LogState, OptionalSend, Raft, RaftLogReader,
    RaftNetwork, RaftNetworkFactory, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError,
    StorageIOError, StoredMembership, Vote,
};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::Cluster;
use super::client::{Applier, Client};
use super::tail::{SHORT, Tail};

openraft::declare_raft_types!(
    /// Commands are handles on bytes, answers their numbers.
    pub(crate) Types:
        D = Bytes,
        R = u64,
        Node = EmptyNode,
);

/// The answer to a request, to be awaited.
pub(crate) type Answer = oneshot::Receiver<ClientWriteResult<Types>>;

/// Three replicas on one thread.
pub(crate) struct Openraft {
    runtime: Runtime,
    tasks: LocalSet,
    nodes: Vec<Raft<Types>>,
    machines: Vec<Machine>,
    fresh: Vec<Bytes>,
    waiting: VecDeque<Answer>,
}

impl Openraft {
    /// A group that has a leader.
    ///
    /// # Panics
    /// When no leader is elected.
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        let (tasks, peers) = (LocalSet::new(), Peers::default());
        let machines: Vec<Machine> = (0..3).map(|_| Machine::default()).collect();
        let nodes = tasks.block_on(&runtime, async {
            for (place, machine) in machines.iter().enumerate() {
                let (id, store) = (place as u64 + 1, Store::new(SHORT));
                let node = server(id, ELECTION_MS, peers.clone(), store, machine).await;
                peers.0.borrow_mut().push(node);
            }
            let nodes = peers.0.borrow().clone();
            form(&nodes[0]).await;
            nodes
        });
        Self { runtime, tasks, nodes, machines, fresh: Vec::new(), waiting: VecDeque::new() }
    }
}

/// One replica, and how long it waits before it makes itself the leader.
///
/// # Panics
/// When the library refuses the configuration.
pub(crate) async fn server<N>(
    id: u64,
    election_ms: u64,
    network: N,
    store: Store,
    machine: &Machine,
) -> Raft<Types>
where
    N: RaftNetworkFactory<Types>,
{
    let config = Config {
        heartbeat_interval: 500,
        election_timeout_min: election_ms,
        election_timeout_max: 2 * election_ms,
        max_payload_entries: 1 << 14,
        snapshot_policy: openraft::SnapshotPolicy::Never,
        ..Config::default()
    };
    let config = Arc::new(config.validate().expect("a sound configuration"));
    Raft::new(id, config, network, store, machine.clone()).await.expect("it starts")
}

/// Has the first of three replicas form a group and lead it.
///
/// # Panics
/// When it cannot.
pub(crate) async fn form(first: &Raft<Types>) {
    let members = [1, 2, 3].map(|id| (id, EmptyNode::new()));
    let members = std::collections::BTreeMap::from(members);
    first.initialize(members).await.expect("nobody else did");
    let wait = first.wait(Some(Duration::from_secs(30)));
    wait.current_leader(1, "it leads").await.expect("three healthy replicas elect a leader");
}

/// The number that a command was answered with.
///
/// # Panics
/// When it was refused or lost.
pub(crate) fn number(answer: Result<ClientWriteResult<Types>, oneshot::error::RecvError>) -> u64 {
    answer.expect("an answer").expect("a healthy leader applies everything").data
}

impl Cluster for Openraft {
    fn submit(&mut self, command: Bytes) {
        self.fresh.push(command);
    }

    fn turn(&mut self, client: &mut Client) {
        let Self { runtime, tasks, nodes, fresh, waiting, .. } = self;
        tasks.block_on(runtime, async {
            for command in fresh.drain(..) {
                let answer = nodes[0].client_write_ff(command).await;
                waiting.push_back(answer.expect("the leader takes it"));
            }
            while let Some(answer) = waiting.pop_front() {
                client.answer(number(answer.await));
            }
        });
    }

    fn settle(&mut self) {
        let pause = async { tokio::time::sleep(Duration::from_millis(100)).await };
        self.tasks.block_on(&self.runtime, pause);
    }

    fn applied(&self) -> Vec<u64> {
        self.machines.iter().map(Machine::applied).collect()
    }
}

/// The way from each replica to each other: calls.
#[derive(Clone, Default)]
struct Peers(Rc<RefCell<Vec<Raft<Types>>>>);

/// The way to one replica.
struct Peer(Peers, usize);

impl Peer {
    fn node(&self) -> Raft<Types> {
        self.0.0.borrow()[self.1].clone()
    }
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _: &EmptyNode) -> Peer {
        Peer(self.clone(), target as usize - 1)
    }
}

/// What a call to a peer may fail with.
pub(crate) type Fails<E = RaftError<u64>> = RPCError<u64, EmptyNode, E>;

fn failed<E: std::error::Error + 'static>(error: &E) -> NetworkError {
    NetworkError::new(error)
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Fails> {
        let answer = self.node().append_entries(rpc).await;
        answer.map_err(|error| Fails::Network(failed(&error)))
    }

    async fn install_snapshot(
        &mut self,
        _: InstallSnapshotRequest<Types>,
        _: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, Fails<RaftError<u64, InstallSnapshotError>>> {
        panic!("nobody lags")
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        _: RPCOption,
    ) -> Result<VoteResponse<u64>, Fails> {
        let answer = self.node().vote(rpc).await;
        answer.map_err(|error| Fails::Network(failed(&error)))
    }
}

/// What a replica has stored, in memory.
#[derive(Clone)]
pub(crate) struct Store(Rc<RefCell<Stored>>);

struct Stored {
    log: Tail<Entry<Types>>,
    vote: Option<Vote<u64>>,
    /// Makes entries durable, if that is wanted.
    persist: Option<Persist>,
}

/// Makes entries durable before it returns.
pub(crate) type Persist = Box<dyn FnMut(&[Entry<Types>])>;

impl Store {
    /// An empty store that forgets the oldest of so many entries.
    pub(crate) fn new(items_max: usize) -> Self {
        let log = Tail::new(0, items_max);
        Self(Rc::new(RefCell::new(Stored { log, vote: None, persist: None })))
    }

    /// Has entries made durable before they count.
    pub(crate) fn persisting(self, persist: Persist) -> Self {
        self.0.borrow_mut().persist = Some(persist);
        self
    }
}

type Stores<T> = Result<T, StorageError<u64>>;

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Stores<Vec<Entry<Types>>> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        Ok(self.0.borrow().log.range(from, end))
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Stores<LogState<Types>> {
        let log = &self.0.borrow().log;
        let last = log.end().checked_sub(1).and_then(|last| log.get(last));
        Ok(LogState { last_purged_log_id: None, last_log_id: last.map(|entry| entry.log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Stores<()> {
        self.0.borrow_mut().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Stores<Option<Vote<u64>>> {
        Ok(self.0.borrow().vote)
    }

    async fn append<I>(&mut self, entries: I, done: LogFlushed<Types>) -> Stores<()>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut stored = self.0.borrow_mut();
        let from = stored.log.end();
        entries.into_iter().for_each(|entry| stored.log.push(entry));
        let Stored { log, persist, .. } = &mut *stored;
        if let Some(persist) = persist {
            persist(&log.range(from, u64::MAX));
        }
        done.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId<u64>) -> Stores<()> {
        self.0.borrow_mut().log.truncate(from.index);
        Ok(())
    }

    async fn purge(&mut self, _: LogId<u64>) -> Stores<()> {
        Ok(())
    }
}

/// The state machine of one replica.
#[derive(Clone, Default)]
pub(crate) struct Machine(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    applier: Applier,
    last: Option<LogId<u64>>,
    members: StoredMembership<u64, EmptyNode>,
}

impl Machine {
    /// How many commands were applied.
    pub(crate) fn applied(&self) -> u64 {
        self.0.borrow().applier.applied()
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Stores<(Option<LogId<u64>>, StoredMembership<u64, EmptyNode>)> {
        let state = self.0.borrow();
        Ok((state.last, state.members.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Stores<Vec<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut state = self.0.borrow_mut();
        let answers = entries.into_iter().map(|entry| {
            state.last = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Normal(command) => state.applier.apply(&command),
                EntryPayload::Blank => 0,
                EntryPayload::Membership(members) => {
                    state.members = StoredMembership::new(Some(entry.log_id), members);
                    0
                }
            }
        });
        Ok(answers.collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Stores<Box<Cursor<Vec<u8>>>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        _: &SnapshotMeta<u64, EmptyNode>,
        _: Box<Cursor<Vec<u8>>>,
    ) -> Stores<()> {
        Err(no_snapshots())
    }

    async fn get_current_snapshot(&mut self) -> Stores<Option<Snapshot<Types>>> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Stores<Snapshot<Types>> {
        Err(no_snapshots())
    }
}

fn no_snapshots() -> StorageError<u64> {
    let error = std::io::Error::from(std::io::ErrorKind::Unsupported);
    StorageIOError::write_snapshot(None, &error).into()
}

/// So long that nobody loses patience when the program is run instruction by instruction.
const ELECTION_MS: u64 = 20_000;
