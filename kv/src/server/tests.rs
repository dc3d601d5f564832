//! The client port over real sockets, in front of a node whose outcomes the tests decide.

use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use synod_core::service::{Outcome, Request, Why};
use synod_core::{Ballot, Slot};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::*;
use crate::resp::Limits;
use crate::store::{Machine, Reply};

mod pipelines;

/// A node under the control of a test: requests pile up until the test says what comes of them.
#[derive(Clone, Default)]
struct Node(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    machine: Machine,
    /// Apply at once, instead of piling up.
    is_prompt: bool,
    piled: VecDeque<(Bytes, Caller)>,
    submitted: usize,
    /// Take no request with this word in it, for this reason.
    refuses: Option<(&'static str, Why)>,
}

impl Node {
    fn prompt() -> Self {
        let node = Self::default();
        node.inside().is_prompt = true;
        node
    }

    fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submitted(&self) -> usize {
        self.inside().submitted
    }

    /// Applies the request that has waited for `place` others.
    fn apply(&self, place: usize) {
        let mut inside = self.inside();
        let (body, outcome) = inside.piled.remove(place).expect("a request");
        let applied = applied(&mut inside.machine, &body);
        outcome.send(applied);
    }

    /// Ends the oldest request with this outcome.
    fn end(&self, outcome: Outcome<Reply>) {
        let (_, caller) = self.inside().piled.pop_front().expect("a request");
        caller.send(outcome);
    }

    /// Waits until so many requests were submitted in all.
    async fn has(&self, count: usize) {
        eventually(|| self.submitted() >= count).await;
        assert_eq!(self.submitted(), count);
    }
}

fn applied(machine: &mut Machine, body: &[u8]) -> Outcome<Reply> {
    let request = crate::store::Request::decode(body).expect("our own request");
    Outcome::Applied { reply: machine.perform(&request), slot: Slot(1), ballot: Ballot::ZERO }
}

impl Backend for Node {
    type Pipe = Piped;

    fn pipe(&self, outstanding_max: usize) -> Piped {
        let (sender, receiver) = mpsc::unbounded_channel();
        let node = self.clone();
        Piped { node, sender, receiver, next: 0, outstanding: 0, outstanding_max }
    }

    fn facts(&self) -> impl Future<Output = Option<NodeFacts>> + Send + 'static {
        core::future::ready(None)
    }
}

/// The pipe of one connection.
struct Piped {
    node: Node,
    sender: mpsc::UnboundedSender<(u64, Outcome<Reply>)>,
    receiver: mpsc::UnboundedReceiver<(u64, Outcome<Reply>)>,
    next: u64,
    outstanding: usize,
    outstanding_max: usize,
}

/// Where one outcome goes.
struct Caller {
    number: u64,
    to: mpsc::UnboundedSender<(u64, Outcome<Reply>)>,
}

impl Caller {
    /// A client that is gone does not want to know.
    fn send(self, outcome: Outcome<Reply>) {
        let _ = self.to.send((self.number, outcome));
    }
}

impl Pipe for Piped {
    fn submit(&mut self, request: Request) -> Result<u64, Why> {
        assert!(self.outstanding < self.outstanding_max, "more than was said");
        let inside = &mut *self.node.inside();
        if let Some((word, why)) = inside.refuses
            && request.body.windows(word.len()).any(|window| window == word.as_bytes())
        {
            return Err(why);
        }
        let caller = Caller { number: self.next, to: self.sender.clone() };
        inside.submitted += 1;
        if inside.is_prompt {
            caller.send(applied(&mut inside.machine, &request.body));
        } else {
            inside.piled.push_back((request.body, caller));
        }
        self.next += 1;
        self.outstanding += 1;
        Ok(self.next - 1)
    }

    fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn poll_outcomes(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) -> Poll<usize> {
        if self.outstanding == 0 {
            return Poll::Ready(0);
        }
        let count = core::task::ready!(self.receiver.poll_recv_many(cx, out, usize::MAX));
        self.outstanding -= count;
        Poll::Ready(count)
    }
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(tokio::time::Instant::now() < patience, "it never came true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server, its address, and what stops it.
struct Running {
    port: u16,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn with(node: Node, limits: ClientLimits) -> Self {
        let config = ServerConfig {
            cluster: "test".to_owned(),
            node: NodeId(1),
            members: vec![NodeId(1)],
            log: "memory",
            request_bytes_max: 1 << 20,
            limits,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let server = Server::new(config, listener, node, KeyCount::default()).expect("a server");
        let (stop, stopped) = watch::channel(false);
        Self { port, stop, task: tokio::spawn(server.run(stopped)) }
    }

    async fn of(node: &Node) -> Self {
        Self::with(node.clone(), ClientLimits::default()).await
    }

    async fn client(&self) -> Client {
        Client(TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection"))
    }
}

struct Client(TcpStream);

impl Client {
    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("the server reads");
    }

    async fn hears(&mut self, wanted: &str) {
        let mut heard = vec![0; wanted.len()];
        let read = self.0.read_exact(&mut heard);
        tokio::time::timeout(Duration::from_secs(30), read)
            .await
            .unwrap_or_else(|_| panic!("never heard {wanted:?}"))
            .expect("the server answers");
        assert_eq!(String::from_utf8_lossy(&heard), wanted);
    }

    async fn hears_rest(&mut self) -> String {
        let mut heard = Vec::new();
        let read = self.0.read_to_end(&mut heard);
        tokio::time::timeout(Duration::from_secs(30), read)
            .await
            .expect("the server closes")
            .expect("without a reset");
        String::from_utf8_lossy(&heard).into_owned()
    }
}

#[tokio::test]
async fn answers_come_in_order_whatever_the_order_of_outcomes() {
    let node = Node::default();
    let running = Running::of(&node).await;
    let mut client = running.client().await;
    client.say("SET a 1\r\nPING\r\nINCR a\r\nFOO\r\nGET b\r\nECHO x\r\n").await;
    node.has(3).await;
    node.apply(2);
    node.apply(0);
    client.hears("+OK\r\n+PONG\r\n").await;
    node.apply(0);
    let unknown = "-ERR unknown command 'FOO', with args beginning with: \r\n";
    client.hears(&format!(":2\r\n{unknown}$-1\r\n$1\r\nx\r\n")).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_before_its_outcome() {
    let node = Node::default();
    let running = Running::of(&node).await;
    let mut client = running.client().await;
    client.say("SET a 1\r\nSET b 2\r\nGET a\r\n").await;
    node.has(3).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(50), client.0.read(&mut byte)).await;
    assert!(early.is_err(), "answered {byte:?} before anything was decided");
    let ballot = Ballot { round: 3, node: NodeId(9) };
    node.end(Outcome::Unknown { ballot });
    node.end(Outcome::Refused(Why::NoLeader));
    node.end(Outcome::Unknown { ballot });
    client.say("QUIT\r\n").await;
    let heard = client.hears_rest().await;
    let lines: Vec<&str> = heard.lines().collect();
    assert!(lines[0].starts_with("-UNCERTAIN ") && lines[0].contains("3.9"), "{heard}");
    assert!(lines[1].starts_with("-CLUSTERDOWN "), "{heard}");
    assert!(lines[2].starts_with("-TRYAGAIN "), "a read is never uncertain: {heard}");
    assert_eq!(lines[3], "+OK");
}

#[tokio::test]
async fn a_pipeline_is_bounded_and_goes_on() {
    let node = Node::default();
    let limits = ClientLimits { pipeline_max: 10, ..ClientLimits::default() };
    let running = Running::with(node.clone(), limits).await;
    let mut client = running.client().await;
    client.say(&"INCR n\r\n".repeat(25)).await;
    node.has(10).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    node.has(10).await;
    for count in 1..=25 {
        eventually(|| !node.inside().piled.is_empty()).await;
        node.apply(0);
        client.hears(&format!(":{count}\r\n")).await;
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_bounded_and_holds_up_nobody() {
    let node = Node::prompt();
    let limits = ClientLimits {
        pipeline_max: 16,
        requests_in_flight_max: 4,
        output_bytes_max: 64 << 10,
        ..ClientLimits::default()
    };
    let running = Running::with(node.clone(), limits).await;
    let (mut deaf, mut other) = (running.client().await, running.client().await);
    let value = "v".repeat(1 << 16);
    deaf.say(&format!("SET k {}\r\n", &value[..1 << 15])).await;
    deaf.hears("+OK\r\n").await;
    // Until the server stops reading, and the sockets are full.
    let gets = "GET k\r\n".repeat(1000);
    let mut asked = 0usize;
    let talk = async {
        loop {
            deaf.0.write_all(gets.as_bytes()).await.expect("the server is there");
            asked += 1000;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(2), talk).await.is_err());
    assert!(asked > 10_000, "the sockets took only {asked}");
    // What was answered has left through the output or sits in the kernel's buffers.
    let submitted = node.submitted();
    assert!(submitted < 2_000, "{submitted} of {asked} submitted");
    for _ in 0..20 {
        other.say("PING\r\nGET nosuch\r\n").await;
        other.hears("+PONG\r\n$-1\r\n").await;
    }
}

#[tokio::test]
async fn answers_that_need_no_request_are_bounded_too() {
    let limits = ClientLimits { output_bytes_max: 64 << 10, ..ClientLimits::default() };
    let running = Running::with(Node::prompt(), limits).await;
    let mut deaf = running.client().await;
    let echo = format!("ECHO {}\r\n", "e".repeat(60_000));
    let mut sent = 0;
    let talk = async {
        while sent < 128 << 20 {
            deaf.0.write_all(echo.as_bytes()).await.expect("the server is there");
            sent += echo.len();
        }
    };
    let is_stopped = tokio::time::timeout(Duration::from_secs(3), talk).await.is_err();
    // What was taken sits in the buffers of two sockets.
    assert!(is_stopped && sent < 64 << 20, "the server took {sent} bytes");
}

#[tokio::test]
async fn an_answer_far_larger_than_the_output_comes_whole_and_in_its_place() {
    let limits = ClientLimits { output_bytes_max: 1 << 10, ..ClientLimits::default() };
    let running = Running::with(Node::prompt(), limits).await;
    let mut client = running.client().await;
    let (value, count) = ("v".repeat(10_000), 200);
    client
        .say(&format!("SET k {value}\r\nMGET{}\r\nPING\r\nGET nosuch\r\n", " k".repeat(count)))
        .await;
    let values = format!("$10000\r\n{value}\r\n").repeat(count);
    client.hears(&format!("+OK\r\n*{count}\r\n{values}+PONG\r\n$-1\r\n")).await;
}

#[tokio::test]
async fn a_client_that_stalls_is_closed() {
    let node = Node::prompt();
    let stall = Duration::from_millis(100);
    let running = Running::with(node.clone(), ClientLimits { stall, ..Default::default() }).await;
    let mut deaf = running.client().await;
    deaf.say(&format!("SET k {}\r\n", "v".repeat(60_000))).await;
    deaf.hears("+OK\r\n").await;
    // A pause with nothing to take is no stall.
    tokio::time::sleep(stall * 3).await;
    deaf.say("PING\r\n").await;
    deaf.hears("+PONG\r\n").await;
    let gets = "GET k\r\n".repeat(10_000);
    let talk = async { while deaf.0.write_all(gets.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), talk).await.expect("the server closes it");
}

#[tokio::test]
async fn requests_of_all_connections_share_one_bound_in_order() {
    let node = Node::default();
    let limits = ClientLimits { requests_in_flight_max: 2, ..ClientLimits::default() };
    let running = Running::with(node.clone(), limits).await;
    let (mut left, mut right) = (running.client().await, running.client().await);
    left.say("SET a 1\r\nAPPEND a 2\r\nAPPEND a 3\r\nGET a\r\n").await;
    node.has(2).await;
    right.say("SET b 1\r\n").await;
    for count in 3..=5 {
        node.apply(0);
        node.has(count).await;
    }
    node.apply(0);
    node.apply(0);
    left.hears("+OK\r\n:2\r\n:3\r\n$3\r\n123\r\n").await;
    right.hears("+OK\r\n").await;
}

#[tokio::test]
async fn too_many_clients_are_turned_away_until_one_leaves() {
    let limits = ClientLimits { clients_max: 2, ..ClientLimits::default() };
    let running = Running::with(Node::prompt(), limits).await;
    let (mut first, mut second) = (running.client().await, running.client().await);
    first.say("PING\r\n").await;
    first.hears("+PONG\r\n").await;
    second.say("PING\r\n").await;
    second.hears("+PONG\r\n").await;
    let text = running.client().await.hears_rest().await;
    assert_eq!(text, "-ERR max number of clients reached\r\n");
    drop(first);
    for _ in 0..200 {
        let mut third = running.client().await;
        third.say("PING\r\n").await;
        let mut byte = [0];
        if third.0.read(&mut byte).await.is_ok_and(|len| len == 1) && byte == *b"+" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place of the client that left is never given away");
}

#[tokio::test]
async fn garbage_is_answered_with_its_fault_and_the_connection_closed() {
    let node = Node::prompt();
    let limits = Limits { bulk_bytes_max: 100, query_bytes_max: 150, args_max: 10 };
    let limits = ClientLimits { resp: limits, ..ClientLimits::default() };
    let running = Running::with(node.clone(), limits).await;
    let cases = [
        ("*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*11\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*1\r\n$101\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*1\r\n+PING\r\n", "-ERR Protocol error: expected '$', got '+'\r\n"),
        ("GET \"a\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
        ("POST / HTTP/1.1\r\nHost: x\r\n\r\nSET pwned 1\r\n", ""),
    ];
    for (garbage, answer) in cases {
        let mut client = running.client().await;
        client.say(&format!("SET a 1\r\n{garbage}SET a 2\r\n{}", "x".repeat(100_000))).await;
        assert_eq!(client.hears_rest().await, format!("+OK\r\n{answer}"), "{garbage:?}");
    }
    let mut client = running.client().await;
    client.say("GET a\r\nDBSIZE\r\n").await;
    client.hears("$1\r\n1\r\n:1\r\n").await;
}

#[tokio::test]
async fn a_fault_that_comes_alone_is_answered_as_well() {
    let running = Running::of(&Node::prompt()).await;
    for (said, heard) in [("", ""), ("PING\r\n", "+PONG\r\n")] {
        let mut client = running.client().await;
        client.say(said).await;
        client.hears(heard).await;
        client.say("*x\r\n").await;
        let fault = client.hears_rest().await;
        assert_eq!(fault, "-ERR Protocol error: invalid multibulk length\r\n");
    }
}

#[tokio::test]
async fn a_client_that_closes_its_half_still_gets_its_answers() {
    let node = Node::default();
    let running = Running::of(&node).await;
    let mut client = running.client().await;
    client.say("SET a 1\r\nGET a\r\n").await;
    client.0.shutdown().await.expect("half a close");
    node.has(2).await;
    node.apply(0);
    node.apply(0);
    assert_eq!(client.hears_rest().await, "+OK\r\n$1\r\n1\r\n");
}

#[tokio::test]
async fn a_server_that_stops_answers_what_is_in_flight() {
    let node = Node::default();
    let running = Running::of(&node).await;
    let (mut busy, mut idle) = (running.client().await, running.client().await);
    idle.say("PING\r\n").await;
    idle.hears("+PONG\r\n").await;
    busy.say("SET a 1\r\n").await;
    node.has(1).await;
    running.stop.send(true).expect("it listens");
    assert_eq!(idle.hears_rest().await, "");
    busy.say("SET a 2\r\n").await;
    node.apply(0);
    assert_eq!(busy.hears_rest().await, "+OK\r\n");
    node.has(1).await;
    running.task.await.expect("it returns");
}
