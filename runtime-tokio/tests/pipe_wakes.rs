//! Pipes whose callers come and go: who is woken, who has a turn, and what is kept meanwhile.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use synod_core::service::{At, Outcome, Request, ServiceLimits, StateMachine};
use synod_tokio::{Handle, Pipe};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::sleep;

use support::{Applied, Cluster, Tape, request, test, within};

type Out = Vec<(u64, Outcome<usize>)>;

/// Counts how often it was woken, and may own a runtime, which goes with it.
struct Sleeper {
    woken: AtomicUsize,
    _owned: Mutex<Option<Runtime>>,
}

impl Sleeper {
    fn new(owned: Option<Runtime>) -> Arc<Self> {
        Arc::new(Self { woken: AtomicUsize::new(0), _owned: Mutex::new(owned) })
    }

    fn woken(&self) -> usize {
        self.woken.load(Ordering::SeqCst)
    }

    fn poll(self: &Arc<Self>, pipe: &mut Pipe<usize>, out: &mut Out) -> Poll<usize> {
        let waker = Waker::from(self.clone());
        pipe.poll_outcomes(&mut Context::from_waker(&waker), out)
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn who_polled_last_is_woken_and_nobody_else() {
    test(async {
        let cluster = Cluster::of(3);
        let mut nodes = vec![cluster.start(1).await];
        let mut pipe = nodes[0].handle.pipe(10);
        pipe.submit(request("0")).expect("there is room");
        let (first, second, mut out) = (Sleeper::new(None), Sleeper::new(None), Out::new());
        assert!(first.poll(&mut pipe, &mut out).is_pending(), "nobody leads");
        assert!(second.poll(&mut pipe, &mut out).is_pending(), "nobody leads");
        assert_eq!(Arc::strong_count(&first), 1, "the first waker was let go of");
        nodes.push(cluster.start(2).await);
        nodes.push(cluster.start(3).await);
        within(async {
            while second.woken() == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert_eq!((first.woken(), second.woken()), (0, 1));
        assert_eq!(first.poll(&mut pipe, &mut out), Poll::Ready(1));
        assert_eq!(out.len(), 1);
    });
}

#[test]
fn a_waker_that_is_replaced_may_take_the_node_with_it() {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let runtime = one_thread();
        // Nobody can lead: the request waits.
        let cluster = Cluster::of(3);
        let start = cluster.builder(1).listener(cluster.listener(1).expect("it never ran"));
        let tape = Tape(Applied::default());
        let (_node, handle) = runtime.block_on(start.start(tape)).expect("the node starts");
        let mut pipe = handle.pipe(1);
        pipe.submit(request("0")).expect("there is room");
        let (owner, next, mut out) = (Sleeper::new(Some(runtime)), Sleeper::new(None), Out::new());
        assert!(owner.poll(&mut pipe, &mut out).is_pending());
        drop(owner);
        // This lets go of the last waker of the owner, hence of the runtime, hence of the node,
        // which in turn tells the pipe that the outcome is unknown.
        assert!(next.poll(&mut pipe, &mut out).is_pending());
        assert_eq!(next.woken(), 1);
        assert_eq!(next.poll(&mut pipe, &mut out), Poll::Ready(1));
        assert!(matches!(out[0], (0, Outcome::Unknown { .. })));
        done.send(()).expect("the test waits");
    });
    is_done.recv_timeout(Duration::from_secs(60)).expect("no lock is held while a waker goes");
}

#[test]
fn a_caller_that_is_given_up_leaves_the_outcomes_to_the_next() {
    test(async {
        let nodes = Cluster::of(3).start_all().await;
        let mut pipe = nodes[0].handle.pipe(100);
        let mut out = Out::new();
        let mut given_up = 0;
        for _ in 0..50 {
            pipe.submit(request("a")).expect("there is room");
            pipe.submit(request("b")).expect("there is room");
            // Polled once, and dropped while it waits.
            tokio::select! {
                biased;
                _ = pipe.outcomes(&mut out) => {}
                () = yield_now() => given_up += 1,
            }
            // Somebody else goes on, and what is there already stays.
            let (mut moved, mut list) = (pipe, out);
            (pipe, out) = tokio::spawn(async move {
                if moved.outstanding() > 0 {
                    within(moved.outcomes(&mut list)).await;
                }
                (moved, list)
            })
            .await
            .expect("no panic");
        }
        while within(pipe.outcomes(&mut out)).await > 0 {}
        assert!(given_up > 0, "each outcome was there at once");
        assert!(out.iter().map(|(number, _)| *number).eq(0..100), "lost, twice or out of order");
        assert!(out.iter().all(|(_, outcome)| matches!(outcome, Outcome::Applied { .. })));
    });
}

#[test]
fn a_caller_that_never_has_to_wait_lets_others_have_turns() {
    test(async {
        let node = Cluster::of(1).start(1).await;
        let mut pipe = node.handle.pipe(0);
        let had_turn = Arc::new(AtomicBool::new(false));
        let other = had_turn.clone();
        drop(tokio::spawn(async move { other.store(true, Ordering::SeqCst) }));
        // On the same thread, where every call is ready at once.
        for _ in 0..10_000 {
            assert!(pipe.submit(request("0")).is_err(), "it holds nothing");
            assert_eq!(pipe.outcomes(&mut Out::new()).await, 0);
        }
        assert!(had_turn.load(Ordering::SeqCst));
    });
}

/// The body of a request that is too large. When it is refused and goes, the next one is there.
struct Restless {
    handle: Handle<usize>,
    refused: Arc<AtomicU64>,
}

impl Restless {
    fn submit(self) {
        let handle = self.handle.clone();
        drop(handle.try_submit(Request::new(Bytes::from_owner(self))));
    }
}

impl AsRef<[u8]> for Restless {
    fn as_ref(&self) -> &[u8] {
        &[0; 9]
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        if self.refused.fetch_add(1, Ordering::SeqCst) < ENOUGH {
            Self { handle: self.handle.clone(), refused: self.refused.clone() }.submit();
        }
    }
}

const ENOUGH: u64 = 50_000;

#[test]
fn a_flood_of_submits_lets_others_have_turns() {
    one_thread().block_on(async {
        let limits = ServiceLimits { request_bytes_max: 8, ..ServiceLimits::default() };
        let builder = Cluster::of(1).builder(1).service_limits(limits);
        let tape = Tape(Applied::default());
        let (_node, handle) = builder.start(tape).await.expect("it starts");
        let refused = Arc::new(AtomicU64::new(0));
        // Whenever the loop looks there is a request.
        Restless { handle: handle.clone(), refused: refused.clone() }.submit();
        let mut turns = 0;
        within(async {
            while refused.load(Ordering::SeqCst) < ENOUGH {
                turns += 1;
                yield_now().await;
            }
        })
        .await;
        // The runtime gives a task 128 steps at a time.
        assert!(turns >= ENOUGH / 256, "{turns} turns of another task");
        handle.shutdown().await.expect("an orderly end");
    });
}

/// Answers with something that can be counted.
struct Counted(Arc<()>);

impl StateMachine for Counted {
    type Reply = Arc<()>;

    fn apply(&mut self, _: At, _: &[u8]) -> Arc<()> {
        self.0.clone()
    }
}

#[test]
fn a_pipe_that_is_dropped_keeps_no_reply_and_no_task() {
    let runtime = one_thread();
    let replies = Arc::new(());
    let count = || Arc::strong_count(&replies);
    runtime.block_on(async {
        let builder = Cluster::of(1).builder(1);
        let (_node, handle) = builder.start(Counted(replies.clone())).await.expect("it starts");
        let before = count();
        let (mut first, mut second) = (handle.pipe(100), handle.pipe(100));
        for _ in 0..100 {
            first.submit(request("0")).expect("there is room");
            second.submit(request("0")).expect("there is room");
        }
        // The second one goes before its outcomes, the first one after.
        let sleeper = Sleeper::new(None);
        let waker = Waker::from(sleeper.clone());
        let poll = second.poll_outcomes(&mut Context::from_waker(&waker), &mut Vec::new());
        assert!(poll.is_pending());
        drop((second, waker));
        assert_eq!(Arc::strong_count(&sleeper), 1, "the task is let go of");
        within(async {
            while count() < before + 100 {
                yield_now().await;
            }
        })
        .await;
        // All 200 are applied when a later one is.
        let last = within(handle.submit(request("0"))).await;
        assert!(matches!(last, Outcome::Applied { .. }));
        drop(last);
        assert_eq!(count(), before + 100);
        drop(first);
        assert_eq!(count(), before);
        assert_eq!(sleeper.woken(), 0);
        handle.shutdown().await.expect("an orderly end");
    });
}
