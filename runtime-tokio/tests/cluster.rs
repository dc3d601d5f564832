//! What a cluster of nodes does: decides, applies, survives, and ends in an orderly way.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use synod_core::service::{Outcome, Rejected, ServiceLimits, Why};
use synod_core::{Ballot, Incarnation, NodeId, Record, WriteId};
use synod_log::{IoFailure, Log, LogError, MemoryLog, Ticket};
use synod_tokio::{Data, NodeError, Transport};

use support::{Cluster, Home, Running, Tape, applied_by, apply, request, test, within};

#[test]
fn three_nodes_apply_the_same_whoever_is_asked() {
    test(async {
        let nodes = Cluster::of(3).start_all().await;
        let mut waiting = Vec::new();
        for round in 0..100 {
            for (place, node) in nodes.iter().enumerate() {
                waiting.push(node.handle.submit(request(format!("{place}:{round}"))));
            }
        }
        for submitted in waiting {
            match within(submitted).await {
                Outcome::Applied { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let first = applied_by(&nodes[0], 300).await;
        for (place, node) in nodes.iter().enumerate() {
            assert_eq!(applied_by(node, 300).await, first);
            // A3: the requests of one caller, in the order of its submits.
            let own = format!("{place}:");
            let mine = first.iter().filter(|request| request.starts_with(own.as_bytes()));
            let expected = (0..100).map(|round| Bytes::from(format!("{place}:{round}")));
            assert!(mine.cloned().eq(expected), "requests of node {place} out of order");
        }
        for node in &nodes {
            let status = node.status().await;
            assert!(status.service.votes);
            assert!(status.waiting_for().is_empty());
            assert_eq!(status.links.len(), 2);
            node.handle.shutdown().await.expect("an orderly end");
        }
    });
}

#[test]
fn a_group_forms_only_when_all_have_met() {
    test(async {
        let cluster = Cluster::of(3);
        let first = cluster.start(1).await;
        let second = cluster.start(2).await;
        within(async {
            while first.status().await.waiting_for() != [NodeId(3)] {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(first.handle.leader().borrow().is_none());
        let third = cluster.start(3).await;
        for node in [&first, &second, &third] {
            node.has_joined().await;
        }
        assert!(first.status().await.waiting_for().is_empty());
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_the_leader_dies() {
    test(async {
        let cluster = Cluster::on_disk(3, "fail-over");
        let mut nodes: Vec<Option<Running>> =
            cluster.start_all().await.into_iter().map(Some).collect();
        let mut acknowledged = Vec::new();
        for round in 0..3 {
            let alive = nodes.iter().flatten().next().expect("two are alive");
            for count in 0..20 {
                let text = format!("{round}:{count}");
                apply(&alive.handle, &text).await;
                acknowledged.push(Bytes::from(text));
            }
            // Its successor has these in flight when the leader dies.
            let leader = alive.leader().await;
            let place = leader.0 as usize - 1;
            let other = nodes.iter().flatten().find(|node| node.node.id() != leader);
            let in_flight: Vec<_> = (0..20)
                .map(|count| format!("{round}: in flight {count}"))
                .map(|text| (text.clone(), other.expect("two more").handle.submit(request(text))))
                .collect();
            nodes[place].take().expect("the leader is alive").kill();
            for (text, submitted) in in_flight {
                if let Outcome::Applied { .. } = within(submitted).await {
                    acknowledged.push(Bytes::from(text));
                }
            }
            let alive = nodes.iter().flatten().next().expect("two are alive");
            let mut watch = alive.handle.leader();
            let other = |ballot: &Option<Ballot>| ballot.is_some_and(|b| b.node != leader);
            within(watch.wait_for(other)).await.expect("the node runs");
            nodes[place] = Some(cluster.start(leader.0).await);
        }
        let alive = nodes[0].as_ref().expect("all are alive");
        let total = apply(&alive.handle, "the end").await + 1;
        let all = applied_by(alive, total).await;
        for node in nodes.iter().flatten() {
            assert_eq!(applied_by(node, total).await, all);
        }
        // In the order of the acknowledgements, and each once.
        let mut rest = all.iter();
        for text in &acknowledged {
            assert!(rest.any(|applied| applied == text), "{text:?} is lost or out of order");
        }
        let distinct: HashSet<&Bytes> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "something was applied twice");
    });
}

#[test]
fn everything_is_there_again_after_all_were_stopped() {
    test(async {
        let cluster = Cluster::on_disk(3, "restart");
        let nodes = cluster.start_all().await;
        for count in 0..50 {
            apply(&nodes[count % 3].handle, &count.to_string()).await;
        }
        let before = applied_by(&nodes[0], 50).await;
        for node in &nodes {
            node.handle.shutdown().await.expect("an orderly end");
        }
        drop(nodes);

        // After an orderly end the directory and the port are free at once.
        let nodes = cluster.start_all().await;
        assert_eq!(apply(&nodes[2].handle, "afterwards").await, 50);
        for node in &nodes {
            let applied = applied_by(node, 51).await;
            assert_eq!(applied[..50], before);
            assert_eq!(&applied[50][..], b"afterwards");
        }
    });
}

#[test]
fn a_node_that_was_away_for_long_is_fed_by_catch_up() {
    test(async {
        let cluster = Cluster::on_disk(3, "catch-up");
        let mut nodes = cluster.start_all().await;
        nodes.pop().expect("the third").handle.shutdown().await.expect("an orderly end");
        // More decrees than a window holds, so that they come from a log.
        let count = 5_000;
        let mut last = None;
        for number in 0..count {
            let mut lone = request(number.to_string());
            lone.exclusive = true;
            let submitted = nodes[0].handle.submit(lone);
            if number % 500 == 499 {
                last = Some(within(submitted).await);
            }
        }
        assert!(matches!(last, Some(Outcome::Applied { .. })), "{last:?}");
        let before = applied_by(&nodes[0], count).await;
        let third = cluster.start(3).await;
        assert_eq!(applied_by(&third, count).await, before);
    });
}

/// A log that fails at its n-th sync.
struct Failing {
    log: MemoryLog,
    syncs_left: usize,
}

impl Log for Failing {
    type Reader = <MemoryLog as Log>::Reader;

    fn stage(&mut self, id: WriteId, record: Record<'_, Bytes>) -> Result<(), LogError> {
        self.log.stage(id, record)
    }

    fn write(&mut self) -> Result<Option<Ticket>, LogError> {
        self.log.write()
    }

    fn sync(&mut self, ticket: Ticket) -> Result<WriteId, LogError> {
        if self.syncs_left == 0 {
            return Err(LogError::Device(IoFailure {
                doing: "sync",
                file: "trial".into(),
                kind: std::io::ErrorKind::Other,
                cause: "as told".into(),
            }));
        }
        self.syncs_left -= 1;
        self.log.sync(ticket)
    }

    fn durable(&self) -> WriteId {
        self.log.durable()
    }

    fn settle(&mut self) -> Result<WriteId, LogError> {
        self.log.settle()
    }

    fn reader(&self) -> Self::Reader {
        self.log.reader()
    }
}

#[test]
fn a_node_whose_log_fails_stops_and_the_others_go_on() {
    test(async {
        let cluster = Cluster::of(3);
        let home = Home::new();
        let (log, recovered) = MemoryLog::new(Incarnation(77), 1 << 30);
        let failing = Failing { log, syncs_left: 60 };
        let builder = cluster.builder(1).listener(cluster.listener(1).expect("held"));
        let starting = builder.start_on(failing, recovered, Tape::default());
        let (broken, handle) = home.run(starting).await.expect("it starts");
        let others = [cluster.start(2).await, cluster.start(3).await];
        for node in &others {
            node.has_joined().await;
        }

        // Every request has an outcome, and in the end all are refused.
        let mut applied = 0;
        within(async {
            loop {
                match handle.submit(request("x")).await {
                    Outcome::Applied { .. } => applied += 1,
                    Outcome::Refused(Why::Stopped) => break,
                    Outcome::Refused(_) | Outcome::Unknown { .. } => {}
                }
            }
        })
        .await;
        match within(broken.ended()).await {
            Err(NodeError::Log(LogError::Device(failure))) => assert_eq!(failure.cause, "as told"),
            other => panic!("{other:?}"),
        }
        assert!(handle.status().await.is_err());

        // What it told its caller is decided, and the others decide more.
        apply(&others[0].handle, "more").await;
        let seen = applied_by(&others[1], applied + 1).await;
        assert!(seen.iter().filter(|request| &request[..] == b"x").count() >= applied);
    });
}

#[test]
fn a_full_log_ends_its_node_and_nothing_that_was_told_is_untrue() {
    test(async {
        let cluster = Cluster::of(1);
        let builder = cluster.builder(1).data(Data::Memory { bytes_max: 10_000 });
        let node = cluster.start_as(1, builder).await;
        let mut applied = 0;
        within(async {
            loop {
                match node.handle.submit(request("x".repeat(100))).await {
                    Outcome::Applied { reply, .. } => {
                        assert_eq!(reply, applied);
                        applied += 1;
                    }
                    Outcome::Refused(Why::Stopped) => break,
                    Outcome::Refused(_) | Outcome::Unknown { .. } => {}
                }
            }
        })
        .await;
        assert!((1..100).contains(&applied), "{applied}");
        assert_eq!(node.applied().len(), applied);
        match within(node.node.ended()).await {
            Err(NodeError::Log(error @ LogError::Full { .. })) => {
                assert!(error.to_string().contains("10000"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn nodes_talk_over_ipv6_too() {
    test(async {
        let Ok(held) = std::net::TcpListener::bind("[::1]:0") else {
            // This machine has none.
            return;
        };
        let six = held.local_addr().expect("an address");
        let four = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let by_name = format!("localhost:{}", four.local_addr().expect("an address").port());
        let members = |id: u64| {
            synod_tokio::Node::builder(synod_tokio::cluster_named("trial"), NodeId(id))
                .member(NodeId(1), six.to_string())
                .member(NodeId(2), by_name.clone())
        };
        let first = Running::start(members(1).listener(held)).await;
        let second = Running::start(members(2).listener(four)).await;
        first.has_joined().await;
        second.has_joined().await;
        assert_eq!(first.node.address(), Some(six));
        apply(&second.handle, "x").await;
        assert_eq!(applied_by(&first, 1).await.len(), 1);
    });
}

#[test]
fn a_shutdown_resolves_everything() {
    test(async {
        // Without a quorum nothing is ever decided.
        let cluster = Cluster::of(3);
        let node = cluster.start(1).await;
        let waiting: Vec<_> =
            (0..100).map(|count| node.handle.submit(request(count.to_string()))).collect();
        within(node.handle.shutdown()).await.expect("an orderly end");
        for submitted in waiting {
            match submitted.await {
                Outcome::Refused(Why::ShuttingDown) => {}
                other => panic!("{other:?}"),
            }
        }
        match node.handle.submit(request("late")).await {
            Outcome::Refused(Why::ShuttingDown) => {}
            other => panic!("{other:?}"),
        }
        node.handle.shutdown().await.expect("twice is fine");
    });
}

#[test]
fn a_node_ends_when_nobody_could_stop_it_any_more() {
    test(async {
        let cluster = Cluster::on_disk(1, "abandoned");
        let home = Home::new();
        let builder = cluster.builder(1).listener(cluster.listener(1).expect("held"));
        let starting = builder.start(Tape::default());
        let (node, handle) = home.run(starting).await.expect("the node starts");
        apply(&handle, "x").await;
        drop((handle, node));
        // It lets go of its directory.
        let again = cluster.start(1).await;
        assert_eq!(apply(&again.handle, "y").await, 1);
    });
}

#[test]
fn a_panic_in_the_state_machine_leaves_nobody_waiting() {
    test(async {
        let node = Cluster::of(1).start(1).await;
        apply(&node.handle, "x").await;
        let bad = node.handle.submit(request("panic"));
        let behind = node.handle.submit(request("behind"));
        for submitted in [bad, behind] {
            match within(submitted).await {
                Outcome::Unknown { ballot } => assert_eq!(ballot, Ballot::ZERO),
                other => panic!("{other:?}"),
            }
        }
        match within(node.node.ended()).await {
            Err(NodeError::Died) => {}
            other => panic!("{other:?}"),
        }
        match node.handle.submit(request("late")).await {
            Outcome::Refused(Why::Stopped) => {}
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn what_is_too_much_is_given_back() {
    let limits = ServiceLimits { request_bytes_max: 100, ..ServiceLimits::default() };
    let transport = Transport { submits_waiting_max: 4, ..Transport::default() };
    let cluster = Cluster::of(1);
    let builder = cluster.builder(1).service_limits(limits).transport(transport);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (_node, handle) =
        runtime.block_on(builder.start(Tape::default())).expect("the node starts");

    // The loop of this node does not run now: its queue fills.
    let mut taken = Vec::new();
    let given_back = loop {
        match handle.try_submit(request(taken.len().to_string())) {
            Ok(submitted) => taken.push(submitted),
            Err(rejected) => break rejected,
        }
    };
    assert_eq!(taken.len(), 4);
    assert_eq!(given_back, Rejected { request: request("4"), why: Why::Busy });
    for submitted in taken {
        assert!(matches!(runtime.block_on(submitted), Outcome::Applied { .. }));
    }
    match runtime.block_on(handle.submit(request("x".repeat(101)))) {
        Outcome::Refused(Why::TooLarge) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_beginnings_name_cause_and_mend() {
    test(async {
        let cluster = Cluster::on_disk(3, "beginnings");
        let told = async |builder| match Running::try_start(builder).await {
            Ok(_) => panic!("it starts"),
            Err(error) => error.to_string(),
        };

        let first = cluster.start(1).await;
        let directory = cluster.directory.as_ref().expect("on disk").0.join("1");

        // In use by a running process.
        let builder = cluster.builder(2).data(Data::Directory(directory.clone()));
        let error = told(builder).await;
        assert!(error.contains(&std::process::id().to_string()), "{error}");

        // The address of a running node.
        let builder = cluster.builder(2).listen(cluster.addresses[0].to_string());
        let error = told(builder).await;
        assert!(error.contains("free port"), "{error}");

        // The directory of another node.
        first.handle.shutdown().await.expect("an orderly end");
        let builder = cluster.builder(2).data(Data::Directory(directory));
        let error = told(builder).await;
        assert!(error.contains("node 1"), "{error}");

        // The list of members.
        let builder = cluster.builder(2).member(NodeId(3), "elsewhere:1");
        let error = told(builder).await;
        assert!(error.contains("node 3 is listed twice"), "{error}");
        let error = told(cluster.builder(2).member(NodeId(4), "nowhere")).await;
        assert!(error.contains("`nowhere`") && error.contains("host:port"), "{error}");
        // A name that no resolver takes, so that none is asked.
        let name = format!("{}:7000", "x".repeat(300));
        let error = told(cluster.builder(2).listen(name.clone())).await;
        assert!(error.contains(&name) && error.contains("choose an address"), "{error}");
        let error = told(cluster.builder(9)).await;
        assert!(error.contains("node 9 is not in its own member list"), "{error}");
    });
}
