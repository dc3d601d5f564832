//! openraft: a task per connection, on which one call at a time is made and answered, as the
//! library makes them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::error::{InstallSnapshotError, NetworkError, RaftError};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{
    CommittedLeaderId, EmptyNode, Entry, EntryPayload, LogId, Membership, Raft, RaftNetwork,
    RaftNetworkFactory, Vote,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use super::Seat;
use super::client::Loader;
use super::disk::Disk;
use crate::core::openraft::{Answer, Fails, Machine, Store, Types, form, number, server};
use crate::core::tail::LONG;

/// Runs one replica until all ends.
///
/// # Panics
/// When it cannot.
pub(super) fn sit(seat: Seat) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let machine = Machine::default();
        let mut store = Store::new(LONG);
        if let Some(directory) = seat.directory() {
            store = durable(store, Disk::open(directory));
        }
        let network = Ports(seat.ports.clone());
        let raft = server(seat.place as u64 + 1, ELECTION_MS, network, store, &machine).await;
        let listener = seat.listener.try_clone().expect("a handle on a socket");
        listener.set_nonblocking(true).expect("a mode");
        let listener = TcpListener::from_std(listener).expect("a socket");
        spawn_local(accept(listener, raft.clone()));
        if seat.place == 0 {
            form(&raft).await;
            load(&seat, &raft).await;
        }
        while !seat.shared.ends() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            seat.shared.has_applied(seat.place, machine.applied());
        }
        raft.shutdown().await.expect("it ran well");
    });
}

fn durable(store: Store, mut disk: Disk) -> Store {
    store.persisting(Box::new(move |entries: &[Entry<Types>]| {
        let mut batch = BytesMut::new();
        entries.iter().for_each(|entry| put_entry(entry, &mut batch));
        if !batch.is_empty() {
            disk.append([batch.freeze()]);
        }
    }))
}

/// The client: submits, and takes the answers in order as they come.
async fn load(seat: &Seat, raft: &Raft<Types>) {
    let mut loader = Loader::new(&seat.plan);
    let mut waiting: VecDeque<Answer> = VecDeque::new();
    let mut commands = Vec::new();
    let mut answers = Vec::new();
    while !loader.is_done() {
        loader.submit(|command| commands.push(command));
        for command in commands.drain(..) {
            let answer = raft.client_write_ff(command).await;
            waiting.push_back(answer.expect("the leader takes it"));
        }
        let Some(first) = waiting.pop_front() else { continue };
        answers.push(number(first.await));
        while let Some(next) = waiting.front_mut() {
            match next.try_recv() {
                Ok(answer) => answers.push(number(Ok(answer))),
                Err(_) => break,
            }
            waiting.pop_front();
        }
        loader.answer(answers.drain(..));
    }
    if let Some(sample) = loader.end(&seat.shared) {
        // Nobody waits any more when the run took too long.
        let _ = seat.sample.send(sample);
    }
}

/// Answers the calls of the other replicas.
async fn accept(listener: TcpListener, raft: Raft<Types>) {
    while let Ok((stream, _)) = listener.accept().await {
        let raft = raft.clone();
        spawn_local(async move {
            // A caller that is gone has ended, or dials anew.
            let _ = serve(stream, raft).await;
        });
    }
}

async fn serve(stream: TcpStream, raft: Raft<Types>) -> io::Result<()> {
    let mut line = Line::new(stream)?;
    loop {
        let mut frame = line.read().await?;
        let mut answer = BytesMut::new();
        match frame.get_u8() {
            APPEND => {
                let request = get_append(&mut frame);
                let said = raft.append_entries(request).await.map_err(io::Error::other)?;
                put_append_answer(&said, &mut answer);
            }
            VOTE => {
                let request =
                    VoteRequest { vote: get_vote(&mut frame), last_log_id: get_last(&mut frame) };
                let said = raft.vote(request).await.map_err(io::Error::other)?;
                put_vote(&said.vote, &mut answer);
                answer.put_u8(u8::from(said.vote_granted));
                put_last(said.last_log_id.as_ref(), &mut answer);
            }
            kind => panic!("{kind} is no call"),
        }
        line.write(&answer).await?;
    }
}

/// The ways to all replicas: where they listen.
struct Ports(Vec<u16>);

/// The way to one replica.
struct Peer {
    port: u16,
    line: Option<Line>,
}

impl RaftNetworkFactory<Types> for Ports {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _: &EmptyNode) -> Peer {
        Peer { port: self.0[target as usize - 1], line: None }
    }
}

impl Peer {
    /// Calls, and keeps the connection only if the answer came: a call that the library gives up
    /// in between would leave its answer to the next one.
    async fn call(&mut self, request: &[u8]) -> Result<Bytes, NetworkError> {
        self.try_call(request).await.map_err(|error| NetworkError::new(&error))
    }

    async fn try_call(&mut self, request: &[u8]) -> io::Result<Bytes> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => Line::new(TcpStream::connect(("127.0.0.1", self.port)).await?)?,
        };
        line.write(request).await?;
        let answer = line.read().await?;
        self.line = Some(line);
        Ok(answer)
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Fails> {
        let mut request = BytesMut::new();
        request.put_u8(APPEND);
        put_append(&rpc, &mut request);
        let mut answer = self.call(&request).await.map_err(Fails::Network)?;
        Ok(get_append_answer(&mut answer))
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
        let mut request = BytesMut::new();
        request.put_u8(VOTE);
        put_vote(&rpc.vote, &mut request);
        put_last(rpc.last_log_id.as_ref(), &mut request);
        let mut answer = self.call(&request).await.map_err(Fails::Network)?;
        let vote = get_vote(&mut answer);
        let vote_granted = answer.get_u8() == 1;
        Ok(VoteResponse { vote, vote_granted, last_log_id: get_last(&mut answer) })
    }
}

/// A connection with frames on it.
struct Line {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
}

impl Line {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: BytesMut::with_capacity(LINE_BYTES), output: BytesMut::new() })
    }

    async fn read(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(head) = self.input.first_chunk::<4>() {
                let len = u32::from_le_bytes(*head) as usize;
                if self.input.len() >= 4 + len {
                    self.input.advance(4);
                    return Ok(self.input.split_to(len).freeze());
                }
            }
            self.input.reserve(LINE_BYTES);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.output.clear();
        self.output.put_u32_le(frame.len() as u32);
        self.output.put_slice(frame);
        self.stream.write_all(&self.output).await
    }
}

fn put_append(request: &AppendEntriesRequest<Types>, out: &mut BytesMut) {
    put_vote(&request.vote, out);
    put_last(request.prev_log_id.as_ref(), out);
    put_last(request.leader_commit.as_ref(), out);
    out.put_u32_le(request.entries.len() as u32);
    request.entries.iter().for_each(|entry| put_entry(entry, out));
}

fn get_append(bytes: &mut Bytes) -> AppendEntriesRequest<Types> {
    let vote = get_vote(bytes);
    let prev_log_id = get_last(bytes);
    let leader_commit = get_last(bytes);
    let count = bytes.get_u32_le();
    let entries = (0..count).map(|_| get_entry(bytes)).collect();
    AppendEntriesRequest { vote, prev_log_id, entries, leader_commit }
}

fn put_entry(entry: &Entry<Types>, out: &mut BytesMut) {
    put_log_id(&entry.log_id, out);
    match &entry.payload {
        EntryPayload::Blank => out.put_u8(0),
        EntryPayload::Normal(command) => {
            out.put_u8(1);
            out.put_u32_le(command.len() as u32);
            out.put_slice(command);
        }
        // The members never change: all three.
        EntryPayload::Membership(_) => out.put_u8(2),
    }
}

fn get_entry(bytes: &mut Bytes) -> Entry<Types> {
    let log_id = get_log_id(bytes);
    let payload = match bytes.get_u8() {
        0 => EntryPayload::Blank,
        1 => {
            let len = bytes.get_u32_le() as usize;
            EntryPayload::Normal(bytes.split_to(len))
        }
        2 => {
            let voters = vec![BTreeSet::from([1, 2, 3])];
            let nodes = BTreeMap::from([1, 2, 3].map(|id| (id, EmptyNode::new())));
            EntryPayload::Membership(Membership::new(voters, nodes))
        }
        kind => panic!("{kind} is no kind of entry"),
    };
    Entry { log_id, payload }
}

fn put_append_answer(answer: &AppendEntriesResponse<u64>, out: &mut BytesMut) {
    match answer {
        AppendEntriesResponse::Success => out.put_u8(0),
        AppendEntriesResponse::PartialSuccess(last) => {
            out.put_u8(1);
            put_last(last.as_ref(), out);
        }
        AppendEntriesResponse::Conflict => out.put_u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            out.put_u8(3);
            put_vote(vote, out);
        }
    }
}

fn get_append_answer(bytes: &mut Bytes) -> AppendEntriesResponse<u64> {
    match bytes.get_u8() {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(get_last(bytes)),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(get_vote(bytes)),
        kind => panic!("{kind} is no answer"),
    }
}

fn put_vote(vote: &Vote<u64>, out: &mut BytesMut) {
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.node_id);
    out.put_u8(u8::from(vote.committed));
}

fn get_vote(bytes: &mut Bytes) -> Vote<u64> {
    let (term, node) = (bytes.get_u64_le(), bytes.get_u64_le());
    if bytes.get_u8() == 1 { Vote::new_committed(term, node) } else { Vote::new(term, node) }
}

fn put_last(last: Option<&LogId<u64>>, out: &mut BytesMut) {
    out.put_u8(u8::from(last.is_some()));
    if let Some(last) = last {
        put_log_id(last, out);
    }
}

fn get_last(bytes: &mut Bytes) -> Option<LogId<u64>> {
    (bytes.get_u8() == 1).then(|| get_log_id(bytes))
}

fn put_log_id(id: &LogId<u64>, out: &mut BytesMut) {
    out.put_u64_le(id.leader_id.term);
    out.put_u64_le(id.leader_id.node_id);
    out.put_u64_le(id.index);
}

fn get_log_id(bytes: &mut Bytes) -> LogId<u64> {
    let (term, node) = (bytes.get_u64_le(), bytes.get_u64_le());
    LogId::new(CommittedLeaderId::new(term, node), bytes.get_u64_le())
}

const APPEND: u8 = 0;
const VOTE: u8 = 1;
const LINE_BYTES: usize = 128 << 10;
/// The first attempt to lead may come before the others are there.
const ELECTION_MS: u64 = 2_000;
