//! The two ends of the transport against each other, and against strangers, on real sockets.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use synod_core::wire::{self, Payload};
use synod_core::{Ballot, Boot, ClusterId, Configuration, GroupId, Header, Incarnation, Kind};
use synod_core::{Limits, Message, NodeId, Proposal, Slot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::accept::accept;
use crate::buffers::Buffers;
use crate::clock;
use crate::config::{Member, Transport};
use crate::connection::Connection;
use crate::doorstep::{Doorstep, Doorsteps, Proven};
use crate::faults::{Fault, Faults};
use crate::handshake::{Hello, Reason, Reply, VERSIONS};
use crate::link::{Identity, Link, LinkEvent};
use crate::queue::SendQueue;

const LIMITS: Limits = Limits {
    window: 64,
    past_bytes_max: 1 << 20,
    decree_bytes_max: 1 << 20,
    run_slots_max: 16,
    run_bytes_max: 1 << 20,
    writes_in_flight_max: 4,
};

/// One node's half of the transport, without a loop.
struct Side {
    identity: Arc<Identity>,
    address: String,
    doorsteps: Doorsteps,
    events: mpsc::Receiver<LinkEvent>,
    news: mpsc::Sender<LinkEvent>,
    tasks: JoinSet<()>,
}

impl Side {
    async fn listen(node: u64) -> Self {
        Self::listen_as(header(node), Transport::default()).await
    }

    async fn listen_as(header: Header, transport: Transport) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let members = [1, 2, 3].map(NodeId).to_vec();
        let frame_bytes_max = wire::frame_bytes_max(&LIMITS);
        let peers = members.iter().filter(|member| **member != header.node);
        let doorsteps: Doorsteps = peers.map(|peer| (*peer, Arc::default())).collect();
        let (known, faults) = (Arc::default(), Faults::default());
        let identity = Identity { header, members, transport, frame_bytes_max, known, faults };
        let identity = Arc::new(identity);
        let (news, events) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, identity.clone(), doorsteps.clone()));
        Self { identity, address, doorsteps, events, news, tasks }
    }

    fn doorstep(&self, peer: u64) -> &Arc<Doorstep> {
        let doorstep = self.doorsteps.iter().find(|(node, _)| *node == NodeId(peer));
        &doorstep.expect("a peer").1
    }

    /// Keeps up a link to another node, which listens at an address.
    fn link(&mut self, to: u64, address: impl Into<String>) -> Arc<SendQueue> {
        let queue = Arc::new(SendQueue::new(self.identity.transport.send_queue_bytes_max));
        let peer = Member { node: NodeId(to), address: address.into() };
        let (identity, events) = (self.identity.clone(), self.news.clone());
        let doorstep = self.doorstep(to).clone();
        self.tasks.spawn(Link { identity, peer, queue: queue.clone(), doorstep, events }.keep());
        queue
    }

    async fn up(&mut self) -> Connection {
        match within(self.events.recv()).await {
            Some(LinkEvent::Up(connection)) => *connection,
            other => panic!("{other:?}"),
        }
    }

    async fn down(&mut self) -> NodeId {
        match within(self.events.recv()).await {
            Some(LinkEvent::Down(peer)) => peer,
            other => panic!("{other:?}"),
        }
    }

    /// What node 1 dialled, on the side of a node that has no link to it. Both ways.
    async fn accepted(&mut self) -> (Connection, OwnedWriteHalf) {
        let Proven { stream, header, from, life } = within(self.doorstep(1).take()).await;
        let (way_in, way_out) = stream.into_split();
        let (is_read, _) = oneshot::channel();
        let identity = self.identity.clone();
        (Connection::new(header, way_in, from, identity, life, is_read), way_out)
    }

    async fn until(&self, fault: Fault, count: u64) {
        within(async {
            while self.identity.faults.count(fault) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// How many connections with a peer there are.
    fn connections(&self, peer: u64) -> u32 {
        self.identity.known.connections(NodeId(peer))
    }

    fn said_nothing(&mut self) -> bool {
        self.events.try_recv().is_err() && self.doorsteps.iter().all(|(_, step)| step.is_empty())
    }
}

fn header(node: u64) -> Header {
    let configuration = Configuration::first(&[1, 2, 3].map(NodeId)).expect("three members");
    Header {
        cluster: ClusterId(7),
        group: GroupId(0),
        epoch: configuration.epoch(),
        node: NodeId(node),
        incarnation: Incarnation(node + 100),
        boot: Boot(1),
    }
}

fn hello(node: u64, to: u64) -> Hello {
    Hello { versions: VERSIONS, header: header(node), to: NodeId(to) }
}

fn frame(decree_bytes: usize) -> Bytes {
    let ballot = Ballot { round: 1, node: NodeId(1) };
    let decree = Kind::App(Bytes::from(vec![decree_bytes as u8; decree_bytes]));
    let proposals = [Proposal { slot: Slot(0), ballot, decree }];
    let (from, decided) = (Slot(0), Slot(0));
    let message = Message::Accept { ballot, from, proposals: &proposals, decided };
    let mut out = BytesMut::new();
    wire::encode(&header(1), &Payload::Replica(message), &mut out);
    out.freeze()
}

/// Generous: a machine may be busy with other things.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("no end in sight")
}

/// The next frames of a connection, as the loop would read them.
async fn next(frames: &mut Connection) -> Option<Bytes> {
    let mut buffers = Buffers::new(0);
    within(poll_fn(|cx| frames.poll_next(cx, &mut buffers))).await
}

/// Shakes hands by hand.
async fn connect(address: &str, hello: Hello) -> (TcpStream, Reply) {
    let mut stream = TcpStream::connect(address).await.expect("somebody listens");
    stream.write_all(&hello.encode()).await.expect("the hello is sent");
    let reply = within(Reply::read(&mut stream)).await.expect("a reply");
    (stream, reply)
}

/// Whether the other end closes the connection without a word.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(within(stream.read(&mut byte)).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn frames_arrive_as_they_were_sent() {
    let mut left = Side::listen(1).await;
    let mut right = Side::listen(2).await;
    let queue = left.link(2, right.address.clone());
    let open = left.up().await;
    assert_eq!(open.header, header(2));
    let (mut frames, _way_out) = right.accepted().await;
    assert_eq!(frames.header, header(1));

    let sent: Vec<Bytes> = [1, 1_000, 900_000, 3, 70_000, 1, 1].map(frame).to_vec();
    for frame in &sent {
        queue.push(frame.clone());
    }
    queue.flush();
    let mut bytes = Vec::new();
    while bytes.len() < sent.concat().len() {
        bytes.extend_from_slice(&next(&mut frames).await.expect("the link is up"));
    }
    assert_eq!(bytes, sent.concat());
    within(async {
        while queue.tally().bytes > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(queue.tally().sent, sent.len() as u64);
    assert_eq!(queue.tally().dropped, 0);
}

#[tokio::test]
async fn a_loop_that_does_not_keep_up_holds_back_its_peer_and_loses_nothing() {
    let transport = Transport {
        send_queue_bytes_max: 64 << 20,
        stall_timeout: Duration::from_secs(50),
        ..Transport::default()
    };
    let mut left = Side::listen_as(header(1), transport).await;
    let mut right = Side::listen(2).await;
    let queue = left.link(2, right.address.clone());
    let _open = left.up().await;
    let (mut frames, _way_out) = right.accepted().await;

    // Nobody reads these frames: they stay where they were pushed, but for what the buffers of
    // the system hold.
    let large = frame(900_000);
    let count = 40;
    for _ in 0..count {
        queue.push(large.clone());
    }
    queue.flush();
    within(async {
        let mut last = usize::MAX;
        while last != queue.tally().bytes || queue.tally().sent == 0 {
            last = queue.tally().bytes;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    assert!(queue.tally().bytes > 8 << 20, "{:?}", queue.tally());

    for _ in 0..count {
        assert_eq!(next(&mut frames).await, Some(large.clone()));
    }
    assert_eq!(queue.tally().dropped, 0);
}

#[tokio::test]
async fn a_link_comes_up_when_its_peer_does_and_again_after_it_broke() {
    let mut left = Side::listen(1).await;
    let late = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = late.local_addr().expect("an address");
    drop(late);
    // A name, so that it is resolved; nobody listens there yet.
    let queue = left.link(2, format!("localhost:{}", address.port()));
    left.until(Fault::Unreachable, 2).await;
    queue.push(frame(1));
    assert_eq!(queue.tally().dropped, 1, "nothing is kept for a peer that is away");

    let late = TcpListener::bind(address).await.expect("the port is free again");
    let mut right = Side::listen(2).await;
    right.tasks.spawn(accept(late, right.identity.clone(), right.doorsteps.clone()));
    let mut open = left.up().await;
    let both_ways = right.accepted().await;

    // The other side hangs up.
    drop(both_ways);
    assert_eq!(next(&mut open).await, None);
    assert_eq!(left.identity.faults.count(Fault::LinkLost), 1);
    drop(open);
    assert_eq!(left.down().await, NodeId(2));
    left.up().await;
    right.accepted().await;
}

#[tokio::test]
async fn strangers_are_refused_and_both_sides_are_told() {
    let mut right = Side::listen(2).await;
    type Change = fn(&mut Header);
    let changes: [(Change, Reason); 4] = [
        (|header| header.cluster = ClusterId(8), Reason::WrongCluster),
        (|header| header.group = GroupId(8), Reason::WrongGroup),
        (|header| header.node = NodeId(4), Reason::UnknownNode),
        (|header| header.epoch.digest ^= 1, Reason::OtherMembers),
    ];
    let refusals = changes.len() as u64;
    for (place, (change, reason)) in changes.into_iter().enumerate() {
        let mut stranger = header(1);
        change(&mut stranger);
        let mut left = Side::listen_as(stranger, Transport::default()).await;
        left.link(2, right.address.clone());
        left.until(Fault::Refused, 1).await;
        right.until(Fault::Refused, place as u64 + 1).await;
        assert!(left.said_nothing(), "{reason:?}");
        left.tasks.shutdown().await;
    }
    // The link of a node whose list of members is wrong reaches another node.
    let mut left = Side::listen(1).await;
    left.link(3, right.address.clone());
    left.until(Fault::Refused, 1).await;
    right.until(Fault::Refused, refusals + 1).await;
    assert!(right.said_nothing());
}

#[tokio::test]
async fn no_version_in_common_is_said_so() {
    let mut right = Side::listen(2).await;
    let (mut stream, reply) =
        connect(&right.address, Hello { versions: (7, 9), ..hello(1, 2) }).await;
    let refusal = reply.verdict.expect_err("a refusal");
    assert_eq!(refusal.code, Reason::WrongVersion as u16);
    assert!(refusal.text.contains("upgrade"), "{refusal}");
    assert!(is_closed(&mut stream).await);
    assert!(right.said_nothing());

    let (_stream, reply) = connect(&right.address, Hello { versions: (1, 9), ..hello(1, 2) }).await;
    assert_eq!(reply.verdict, Ok(1), "the newest that both speak");
}

#[tokio::test]
async fn two_processes_of_one_id_are_told_apart() {
    let mut right = Side::listen(2).await;
    let (first, reply) = connect(&right.address, hello(1, 2)).await;
    assert_eq!(reply.verdict, Ok(1));
    let frames = right.accepted().await;
    let mut other = hello(1, 2);
    other.header.incarnation = Incarnation(999);
    let (_, reply) = connect(&right.address, other).await;
    assert_eq!(reply.verdict.expect_err("a refusal").code, Reason::DuplicateNode as u16);

    // An earlier run of the same disk, as a recorded connection would be.
    let mut earlier = hello(1, 2);
    earlier.header.boot = Boot(0);
    let (_, reply) = connect(&right.address, earlier).await;
    assert_eq!(reply.verdict.expect_err("a refusal").code, Reason::EarlierRun as u16);

    // This node's own id.
    let (_, reply) = connect(&right.address, hello(2, 2)).await;
    assert_eq!(reply.verdict.expect_err("a refusal").code, Reason::DuplicateNode as u16);
    assert!(right.said_nothing());

    // When the first is gone the other may come: it is a member with a new disk, then.
    drop((first, frames));
    within(async {
        loop {
            let (_, reply) = connect(&right.address, other).await;
            if reply.verdict.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn garbage_in_place_of_a_handshake_closes_the_connection() {
    let mut right = Side::listen(2).await;
    let whole = hello(1, 2).encode();
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    let texts: [&[u8]; 4] = [b"GET / HTTP/1.1\r\n\r\n", &[0; 200], &damaged, &[0xFF; 10]];
    for (place, text) in texts.into_iter().enumerate() {
        let mut stream = TcpStream::connect(&right.address).await.expect("somebody listens");
        stream.write_all(text).await.expect("it is sent");
        assert!(is_closed(&mut stream).await);
        right.until(Fault::NoHandshake, place as u64 + 1).await;
    }
    let mut stream = TcpStream::connect(&right.address).await.expect("somebody listens");
    stream.write_all(&whole[..50]).await.expect("it is sent");
    drop(stream);
    right.until(Fault::NoHandshake, texts.len() as u64 + 1).await;
    assert!(right.said_nothing());
}

#[tokio::test]
async fn silent_strangers_are_few_and_do_not_stay() {
    let transport = Transport {
        unproven_connections_max: 2,
        handshake_timeout: Duration::from_secs(2),
        ..Transport::default()
    };
    let right = Side::listen_as(header(2), transport).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(TcpStream::connect(&right.address).await.expect("somebody listens"));
    }
    right.until(Fault::TooManyConnections, 1).await;
    right.until(Fault::HandshakeTimeout, 2).await;
    for stream in &mut streams {
        assert!(is_closed(stream).await);
    }
    let (_stream, reply) = connect(&right.address, hello(1, 2)).await;
    assert_eq!(reply.verdict, Ok(1), "there is room again");
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_cut_off() {
    let transport =
        Transport { silence_timeout: Duration::from_millis(200), ..Transport::default() };
    let mut right = Side::listen_as(header(2), transport).await;
    let (mut stream, _) = connect(&right.address, hello(1, 2)).await;
    let (mut frames, way_out) = right.accepted().await;
    let start = clock::now();
    assert!(!frames.is_silent(start));
    stream.write_all(&frame(9)).await.expect("it is sent");
    assert_eq!(next(&mut frames).await, Some(frame(9)));
    let heard = start.after(Duration::from_millis(199));
    assert!(!frames.is_silent(heard), "it was heard");
    assert!(!frames.is_silent(heard.after(Duration::from_millis(199))));
    assert!(frames.is_silent(heard.after(Duration::from_millis(200))));
    assert_eq!(right.identity.faults.count(Fault::LinkLost), 1);
    drop((frames, way_out));
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn garbage_among_frames_closes_the_connection() {
    let mut right = Side::listen(2).await;
    let (mut stream, _) = connect(&right.address, hello(1, 2)).await;
    let (mut frames, way_out) = right.accepted().await;
    stream.write_all(&frame(9)).await.expect("it is sent");
    stream.write_all(&[0xAB; 64]).await.expect("it is sent");
    assert_eq!(next(&mut frames).await, Some(frame(9)), "what was sound counts");
    assert_eq!(next(&mut frames).await, None);
    drop((frames, way_out));
    assert!(is_closed(&mut stream).await);
    assert_eq!(right.identity.faults.count(Fault::BadFrame), 1);
}

#[tokio::test]
async fn a_peer_that_never_reads_costs_its_queue_and_no_more() {
    let transport = Transport {
        send_queue_bytes_max: 2 << 20,
        stall_timeout: Duration::from_millis(500),
        ..Transport::default()
    };
    let mut left = Side::listen_as(header(1), transport).await;
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = deaf.local_addr().expect("an address").to_string();
    let queue = left.link(2, address);
    let (mut stream, _) = deaf.accept().await.expect("a connection");
    within(Hello::read(&mut stream)).await.expect("a hello");
    let welcome = Reply { header: header(2), verdict: Ok(1) };
    stream.write_all(&welcome.encode()).await.expect("it is sent");
    let open = left.up().await;

    // More than the buffers of both systems hold, until the queue is full.
    let large = frame(200_000);
    within(async {
        while queue.tally().dropped == 0 {
            queue.push(large.clone());
            queue.flush();
            assert!(queue.tally().bytes <= 2 << 20);
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What waits is bounded, and in the end the link is given up and dialled anew.
    assert_eq!(left.down().await, NodeId(2));
    drop(open);
    assert_eq!(queue.tally().bytes, 0);
    assert_eq!(left.identity.faults.count(Fault::LinkLost), 1);
    let (_again, _) = within(deaf.accept()).await.expect("a connection");
    drop(stream);
}

/// Sends a frame each way, and sees it arrive.
async fn talk(queue: &SendQueue, far: &mut Connection, bytes: usize) {
    let sent = frame(bytes);
    queue.push(sent.clone());
    queue.flush();
    assert_eq!(next(far).await, Some(sent));
}

#[tokio::test]
async fn one_connection_carries_both_ways_whoever_dials() {
    let nowhere = "127.0.0.1:1";
    for by_the_smaller in [true, false] {
        let (mut left, mut right) = (Side::listen(1).await, Side::listen(2).await);
        let (to_left, to_right) = (left.address.clone(), right.address.clone());
        let (there, back) = match by_the_smaller {
            true => (left.link(2, to_right), right.link(1, nowhere)),
            false => (left.link(2, nowhere), right.link(1, to_left)),
        };
        let (mut near, mut far) = (left.up().await, right.up().await);
        assert_eq!((near.header, far.header), (header(2), header(1)));
        talk(&there, &mut far, 10).await;
        talk(&back, &mut near, 20).await;
        // Neither dials while they are connected.
        assert_eq!((left.connections(2), right.connections(1)), (1, 1));
        assert!(left.said_nothing() && right.said_nothing());
    }
}

#[tokio::test]
async fn two_that_dial_at_once_keep_one_connection() {
    for round in 0..100 {
        let (mut left, mut right) = (Side::listen(1).await, Side::listen(2).await);
        let (to_left, to_right) = (left.address.clone(), right.address.clone());
        let (there, back) = match round % 2 {
            0 => {
                let there = left.link(2, to_right);
                (there, right.link(1, to_left))
            }
            _ => {
                let back = right.link(1, to_left);
                (left.link(2, to_right), back)
            }
        };
        // The larger may have used its own first, which is replaced then, without a word of a loss.
        let (mut near, mut far) = (left.up().await, right.up().await);
        within(async {
            while (left.connections(2), right.connections(1)) != (1, 1) {
                while let Ok(event) = right.events.try_recv() {
                    match event {
                        LinkEvent::Up(connection) => far = *connection,
                        LinkEvent::Down(_) => panic!("round {round}: {event:?}"),
                    }
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        talk(&there, &mut far, 10).await;
        talk(&back, &mut near, 20).await;
        assert!(left.said_nothing() && right.said_nothing(), "round {round}");
    }
}

#[tokio::test]
async fn what_a_larger_id_dials_waits_until_it_speaks() {
    let mut left = Side::listen(1).await;
    let queue = left.link(2, "127.0.0.1:1");
    let (first, _) = connect(&left.address, hello(2, 1)).await;
    let mut open = left.up().await;
    // Given up before it was used, as when both dialled at once: nothing happens.
    for _ in 0..2 {
        let (other, reply) = connect(&left.address, hello(2, 1)).await;
        assert_eq!(reply.verdict, Ok(1));
        drop(other);
    }
    let (mut second, _) = connect(&left.address, hello(2, 1)).await;
    within(async {
        while left.connections(2) != 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(left.said_nothing());
    queue.push(frame(5));
    queue.flush();
    let mut got = vec![0; frame(5).len()];
    let mut first = first;
    within(first.read_exact(&mut got)).await.expect("the first is in use");

    // The peer has lost the first, which nobody here has noticed.
    second.write_all(&frame(9)).await.expect("it is sent");
    let mut again = left.up().await;
    assert_ne!(again.from, open.from);
    assert_eq!(next(&mut again).await, Some(frame(9)), "what it said is not lost");
    talk_by_hand(&queue, &mut second).await;
    drop(first);
    assert_eq!(next(&mut open).await, None);
}

#[tokio::test]
async fn what_a_smaller_id_dials_anew_is_used_at_once() {
    let mut right = Side::listen(2).await;
    let queue = right.link(1, "127.0.0.1:1");
    let (_first, _) = connect(&right.address, hello(1, 2)).await;
    let open = right.up().await;
    let (mut second, _) = connect(&right.address, hello(1, 2)).await;
    let again = right.up().await;
    assert_ne!(again.from, open.from);
    talk_by_hand(&queue, &mut second).await;
    assert!(right.said_nothing());
}

async fn talk_by_hand(queue: &SendQueue, far: &mut TcpStream) {
    let sent = frame(30);
    queue.push(sent.clone());
    queue.flush();
    let mut got = vec![0; sent.len()];
    within(far.read_exact(&mut got)).await.expect("it is in use");
    assert_eq!(got, sent);
}
