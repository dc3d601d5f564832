//! Pipes: many requests of one caller under way, and what becomes of each.

mod support;

use bytes::Bytes;
use synod_core::service::{Outcome, ServiceLimits, Why};

use support::{Cluster, Running, request, test, within};

/// Waits until everything outstanding has its outcome.
async fn all(pipe: &mut synod_tokio::Pipe<usize>) -> Vec<(u64, Outcome<usize>)> {
    let mut out = Vec::new();
    while within(pipe.outcomes(&mut out)).await > 0 {}
    out
}

#[test]
fn each_request_of_a_pipe_has_its_outcome_under_its_number() {
    test(async {
        let nodes = Cluster::of(3).start_all().await;
        for (place, node) in nodes.iter().enumerate() {
            let mut pipe = node.handle.pipe(1000);
            for number in 0..1000 {
                let taken = pipe.submit(request(format!("{place}:{number}")));
                assert_eq!(taken.ok(), Some(number));
            }
            let outcomes = all(&mut pipe).await;
            assert_eq!((outcomes.len(), pipe.outstanding()), (1000, 0));
            for (index, (number, outcome)) in outcomes.iter().enumerate() {
                assert_eq!(*number, index as u64);
                assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
            }
            // A3: in the order of the submits.
            let applied = node.applied();
            let own = format!("{place}:");
            let mine = applied.iter().filter(|request| request.starts_with(own.as_bytes()));
            let texts = (0..1000).map(|number| Bytes::from(format!("{place}:{number}")));
            assert!(mine.cloned().eq(texts), "requests of node {place} out of order");
        }
    });
}

#[test]
fn a_pipe_takes_no_more_than_it_may_hold_and_gives_the_rest_back() {
    test(async {
        let node = Cluster::of(1).start(1).await;
        node.has_joined().await;
        let mut pipe = node.handle.pipe(2);
        assert_eq!(pipe.submit(request("0")).ok(), Some(0));
        assert_eq!(pipe.submit(request("1")).ok(), Some(1));
        let rejected = pipe.submit(request("2")).expect_err("two are outstanding");
        assert_eq!((rejected.why, &rejected.request.body[..]), (Why::Busy, &b"2"[..]));
        assert_eq!(all(&mut pipe).await.len(), 2);
        assert_eq!(pipe.submit(request("2")).ok(), Some(2));
        assert_eq!(all(&mut pipe).await.len(), 1);
    });
}

#[test]
fn what_the_node_refuses_is_an_outcome_of_its_own() {
    test(async {
        let cluster = Cluster::of(1);
        let limits = ServiceLimits { request_bytes_max: 8, ..ServiceLimits::default() };
        let node = Running::start(cluster.builder(1).service_limits(limits)).await;
        node.has_joined().await;
        let mut pipe = node.handle.pipe(3);
        for text in ["short", "much too long", "brief"] {
            pipe.submit(request(text)).expect("there is room");
        }
        let mut outcomes = all(&mut pipe).await;
        outcomes.sort_by_key(|(number, _)| *number);
        assert!(matches!(outcomes[0].1, Outcome::Applied { .. }));
        assert!(matches!(outcomes[1], (1, Outcome::Refused(Why::TooLarge))));
        assert!(matches!(outcomes[2].1, Outcome::Applied { .. }));
    });
}

#[test]
fn a_node_that_ends_answers_every_request_of_a_pipe() {
    test(async {
        // Nobody can lead: the requests wait.
        let cluster = Cluster::of(3);
        let node = cluster.start(1).await;
        let mut pipe = node.handle.pipe(10);
        for number in 0..5 {
            pipe.submit(request(format!("{number}"))).expect("there is room");
        }
        node.handle.shutdown().await.expect("an orderly end");
        let outcomes = all(&mut pipe).await;
        let refused = |outcome: &Outcome<_>| matches!(outcome, Outcome::Refused(Why::ShuttingDown));
        assert_eq!(outcomes.iter().filter(|(_, outcome)| refused(outcome)).count(), 5);
        let rejected = pipe.submit(request("late")).expect_err("it has ended");
        assert_eq!(rejected.why, Why::ShuttingDown);
        assert_eq!(all(&mut pipe).await.len(), 0);
    });
}

#[test]
fn a_node_that_dies_leaves_no_request_of_a_pipe_without_an_outcome() {
    test(async {
        let node = Cluster::of(3).start(1).await;
        let mut pipe = node.handle.pipe(10);
        for number in 0..5 {
            pipe.submit(request(format!("{number}"))).expect("there is room");
        }
        node.kill();
        let outcomes = all(&mut pipe).await;
        assert_eq!(outcomes.len(), 5);
        assert!(outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Unknown { .. })));
    });
}

#[test]
fn news_travel_with_the_next_request_of_a_lone_caller() {
    test(async {
        const REQUESTS: u64 = 1000;
        let nodes = Cluster::of(3).start_all().await;
        let leader = nodes[0].leader().await;
        let leader = nodes.iter().find(|node| node.node.id() == leader).expect("it is one of them");
        let mut pipe = leader.handle.pipe(1);
        let sent = |status: synod_tokio::NodeStatus| status.links[0].frames_sent;
        let before = sent(leader.status().await);
        let lone = leader.run(async move {
            for number in 0..REQUESTS {
                pipe.submit(request(format!("{number}"))).expect("there is room");
                assert_eq!(pipe.outcomes(&mut Vec::new()).await, 1);
            }
        });
        within(lone).await;
        // One accept each, where a notice after each would double that; and a few beats.
        let frames = sent(leader.status().await) - before;
        assert!((REQUESTS..REQUESTS * 3 / 2).contains(&frames), "{frames} frames");
    });
}
