//! What arrives on the replica port of a working cluster and should not: the connection is closed,
//! the fault is counted, and nothing else happens.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use synod_core::service::{Outcome, Request, Why};
use synod_core::wire::frame_bytes_max;
use synod_core::{Ballot, Boot, ClusterId, Incarnation, Limits, NodeId};
use synod_tokio::{Fault, NodeStatus, Transport};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use support::stranger::welcome;
use support::stranger::{connect, forged_accept, header, hello, is_closed, until_closed};
use support::{Cluster, Running, applied_by, apply, test, within};

/// Two of three members, while the third is away and strangers use its name.
struct Pair {
    address: SocketAddr,
    nodes: Vec<Running>,
    ballot: Option<Ballot>,
    applied: usize,
}

impl Pair {
    async fn start() -> Self {
        let cluster = Cluster::of(3);
        let mut nodes = cluster.start_all().await;
        nodes.pop().expect("the third").handle.shutdown().await.expect("an orderly end");
        // Until its connection has ended nobody else may go by its id.
        within(async {
            while connect(cluster.addresses[0], &header(3), (1, 1), 1).await.1 != 0 {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        apply(&nodes[0].handle, "before").await;
        let ballot = *nodes[0].handle.leader().borrow();
        Self { address: cluster.addresses[0], nodes, ballot, applied: 1 }
    }

    async fn until(&self, fault: Fault, count: u64) -> NodeStatus {
        within(async {
            loop {
                let status = self.nodes[0].status().await;
                if status.fault(fault) >= count {
                    return status;
                }
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// The same leadership goes on and decides, and nothing forged was applied.
    async fn is_unharmed(&mut self) {
        let text = format!("after {}", self.applied);
        apply(&self.nodes[1].handle, &text).await;
        self.applied += 1;
        for node in &self.nodes {
            let applied = applied_by(node, self.applied).await;
            assert_eq!(applied.len(), self.applied);
            assert!(!applied.iter().any(|request| &request[..] == b"forged"));
            assert_eq!(*node.handle.leader().borrow(), self.ballot);
        }
    }
}

#[test]
fn garbage_on_the_replica_port_changes_nothing() {
    test(async {
        let mut pair = Pair::start().await;
        let whole = hello(&header(3), (1, 1), 1);
        let mut damaged = whole.clone();
        damaged[30] ^= 4;
        let texts: [&[u8]; 4] = [b"*1\r\n$4\r\nPING\r\n", &[0xFF; 4_096], &damaged, &[0; 88]];
        let before = pair.nodes[0].status().await.fault(Fault::NoHandshake);
        for text in texts {
            let mut stream = TcpStream::connect(pair.address).await.expect("it listens");
            stream.write_all(text).await.expect("it is sent");
            assert!(is_closed(&mut stream).await);
        }
        // Half a handshake.
        let mut stream = TcpStream::connect(pair.address).await.expect("it listens");
        stream.write_all(&whole[..33]).await.expect("it is sent");
        drop(stream);
        pair.until(Fault::NoHandshake, before + 5).await;
        pair.is_unharmed().await;
    });
}

#[test]
fn bad_frames_close_the_connection_that_they_came_by() {
    test(async {
        let mut pair = Pair::start().await;
        let good = forged_accept(&header(3));
        let mut flipped = good.to_vec();
        *flipped.last_mut().expect("bytes") ^= 1;
        let mut oversize = good.to_vec();
        let too_long = frame_bytes_max(&Limits::default()) as u32 + 1;
        oversize[..4].copy_from_slice(&too_long.to_le_bytes());
        let mut version = good.to_vec();
        version[6] = 9;
        let mut kind = good.to_vec();
        kind[7] = 200;
        let frames = [vec![0xEE; 300], flipped, oversize, version, kind];
        let lost = pair.nodes[0].status().await.fault(Fault::LinkLost);
        for (place, frame) in frames.iter().enumerate() {
            let (mut stream, code, text) = connect(pair.address, &header(3), (1, 1), 1).await;
            assert_eq!(code, 0, "{text}");
            stream.write_all(frame).await.expect("it is sent");
            until_closed(&mut stream).await;
            let status = pair.until(Fault::BadFrame, place as u64 + 1).await;
            assert_eq!(status.fault(Fault::LinkLost), lost, "closed for its silence only");
        }
        // A frame cut off in the middle.
        let (mut stream, _, _) = connect(pair.address, &header(3), (1, 1), 1).await;
        stream.write_all(&good[..good.len() - 3]).await.expect("it is sent");
        drop(stream);
        pair.until(Fault::LinkLost, lost + 1).await;
        pair.is_unharmed().await;
    });
}

#[test]
fn frames_of_another_speaker_or_an_earlier_run_are_refused() {
    test(async {
        let mut pair = Pair::start().await;
        let own = header(3);
        // In the name of another member; of another disk; recorded in an earlier run.
        let others = [
            header(2),
            synod_core::Header { incarnation: Incarnation(5), ..own },
            synod_core::Header { boot: Boot(1), ..own },
        ];
        for (place, other) in others.iter().enumerate() {
            let (mut stream, code, text) = connect(pair.address, &own, (1, 1), 1).await;
            assert_eq!(code, 0, "{text}");
            stream.write_all(&forged_accept(other)).await.expect("it is sent");
            until_closed(&mut stream).await;
            pair.until(Fault::OtherSpeaker, place as u64 + 1).await;
        }
        // The whole of a connection of an earlier run, replayed.
        let earlier = synod_core::Header { boot: Boot(1), ..own };
        let (mut stream, code, text) = connect(pair.address, &earlier, (1, 1), 1).await;
        assert_eq!(code, 8, "{text}");
        assert!(is_closed(&mut stream).await);
        pair.is_unharmed().await;
    });
}

#[test]
fn a_member_with_a_disk_that_nobody_knows_is_not_listened_to() {
    test(async {
        let mut pair = Pair::start().await;
        // The handshake cannot know, and lets it in; the replica knows (R10).
        let (mut stream, code, text) = connect(pair.address, &header(3), (1, 1), 1).await;
        assert_eq!(code, 0, "{text}");
        stream.write_all(&forged_accept(&header(3))).await.expect("it is sent");
        pair.until(Fault::Misbehaved, 1).await;
        pair.is_unharmed().await;
    });
}

#[test]
fn members_of_other_clusters_versions_and_places_are_told_why() {
    test(async {
        let mut pair = Pair::start().await;
        let before = pair.nodes[0].status().await.fault(Fault::Refused);
        let own = header(3);
        let mut stranger = own;
        stranger.cluster = ClusterId(1);
        let (_, code, text) = connect(pair.address, &stranger, (1, 1), 1).await;
        assert_eq!(code, 2);
        assert!(text.contains("cluster") && text.contains("correct"), "{text}");

        let (_, code, text) = connect(pair.address, &own, (2, 3), 1).await;
        assert_eq!(code, 1);
        assert!(text.contains("versions 2 to 3") && text.contains("upgrade"), "{text}");

        let (_, code, text) = connect(pair.address, &own, (1, 1), 2).await;
        assert_eq!(code, 4);
        assert!(text.contains("looks for node 2") && text.contains("addresses"), "{text}");

        stranger = own;
        stranger.node = NodeId(4);
        let (_, code, text) = connect(pair.address, &stranger, (1, 1), 1).await;
        assert_eq!(code, 5);
        assert!(text.contains("node 4 is not among the members"), "{text}");

        stranger = own;
        stranger.epoch.digest ^= 1;
        let (_, code, text) = connect(pair.address, &stranger, (1, 1), 1).await;
        assert_eq!(code, 6);
        assert!(text.contains("different lists of members"), "{text}");

        // Node 2 is connected; somebody else goes by its id.
        let (mut stream, code, text) = connect(pair.address, &header(2), (1, 1), 1).await;
        assert_eq!(code, 7);
        assert!(text.contains("own id"), "{text}");
        assert!(is_closed(&mut stream).await);
        assert_eq!(pair.nodes[0].status().await.fault(Fault::Refused), before + 6);
        pair.is_unharmed().await;
    });
}

/// Listens in place of a node, welcomes whoever comes, and never reads a frame.
async fn never_read(address: SocketAddr, own: u64) {
    // The node may not have let go of its port yet.
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    };
    let mut streams = Vec::new();
    loop {
        streams.push(welcome(&listener, &header(own)).await);
    }
}

#[test]
fn a_peer_that_never_reads_slows_nobody_and_is_fed_when_it_returns() {
    test(async {
        let transport = Transport { send_queue_bytes_max: 8 << 20, ..Transport::default() };
        let cluster = Cluster::on_disk(3, "deaf");
        let mut nodes = Vec::new();
        for id in 1..=3 {
            nodes.push(cluster.start_as(id, cluster.builder(id).transport(transport)).await);
        }
        for node in &nodes {
            node.has_joined().await;
        }
        nodes.pop().expect("the third").handle.shutdown().await.expect("an orderly end");

        let deaf = tokio::spawn(never_read(cluster.addresses[2], 3));
        for node in &nodes {
            within(async {
                while !node.status().await.links.iter().all(|link| link.is_up) {
                    sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
        }

        // Much more than the queue and the buffers of the system hold.
        let body = Bytes::from(vec![7; 256 << 10]);
        let mut count = 0;
        let mut waiting = std::collections::VecDeque::new();
        let is_dropping = async |node: &Running| {
            let link = node.status().await.links.into_iter().find(|link| link.peer == NodeId(3));
            let link = link.expect("a peer");
            assert!(link.queued_bytes <= 8 << 20, "{link:?}");
            link.frames_dropped > 0 || node.status().await.fault(Fault::LinkLost) > 2
        };
        while count < 200 || !is_dropping(&nodes[0]).await && !is_dropping(&nodes[1]).await {
            waiting.push_back(nodes[0].handle.submit(Request::new(body.clone())));
            if waiting.len() > 16 {
                match within(waiting.pop_front().expect("some wait")).await {
                    Outcome::Applied { .. } => count += 1,
                    Outcome::Refused(Why::Busy) => {}
                    other => panic!("{other:?}"),
                }
            }
            assert!(count < 4_000, "nothing was ever dropped");
        }
        for submitted in waiting {
            if let Outcome::Applied { .. } = within(submitted).await {
                count += 1;
            }
        }
        for node in &nodes {
            assert_eq!(applied_by(node, count).await.len(), count);
        }

        // The member itself returns, and catches up.
        deaf.abort();
        let third = cluster.start(3).await;
        assert_eq!(applied_by(&third, count).await.len(), count);
    });
}
