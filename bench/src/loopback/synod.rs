//! Synod: its own runtime, used as any program uses it, through a handle.

use std::sync::Arc;
use std::time::Duration;

use synod_core::service::{At, Outcome, Request, StateMachine};
use synod_core::{Incarnation, NodeId};
use synod_log::{MemoryLog, WhenFull};
use synod_tokio::{Builder, Data, Handle, Node, cluster_named};

use super::client::Loader;
use super::{Seat, Shared};
use crate::core::client::Applier;

struct Machine {
    applier: Applier,
    place: usize,
    shared: Arc<Shared>,
}

impl StateMachine for Machine {
    type Reply = u64;

    fn apply(&mut self, _: At, request: &[u8]) -> u64 {
        let number = self.applier.apply(request);
        self.shared.has_applied(self.place, number + 1);
        number
    }
}

/// Runs one replica until all ends.
///
/// # Panics
/// When it cannot.
pub(super) fn sit(seat: Seat) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let Seat { place, ref shared, .. } = seat;
        let machine = Machine { applier: Applier::default(), place, shared: Arc::clone(shared) };
        let builder = builder(&seat);
        let started = match seat.directory() {
            Some(directory) => builder.data(Data::Directory(directory)).start(machine).await,
            None => {
                let incarnation = Incarnation(place as u64 + 1);
                let (log, recovered) =
                    MemoryLog::with(incarnation, LOG_BYTES, WhenFull::ForgetOldest);
                builder.start_on(log, recovered, machine).await
            }
        };
        let (node, handle) = started.expect("a node");
        let mut leader = handle.leader();
        let mut is_over = false;
        while !shared.ends() {
            let leads = leader.borrow_and_update().is_some_and(|ballot| ballot.node == node.id());
            if leads && !is_over {
                load(&seat, &handle).await;
                is_over = true;
            }
            tokio::time::sleep(PAUSE).await;
        }
        handle.shutdown().await.expect("it ran well");
    });
}

fn builder(seat: &Seat) -> Builder {
    let id = |place: usize| NodeId(place as u64 + 1);
    let mut builder = Node::builder(cluster_named("bench"), id(seat.place));
    for (place, port) in seat.ports.iter().enumerate() {
        builder = builder.member(id(place), format!("127.0.0.1:{port}"));
    }
    builder.listener(seat.listener.try_clone().expect("a handle on a socket"))
}

/// The client: submits, and takes the outcomes in order as they come.
async fn load(seat: &Seat, handle: &Handle<u64>) {
    let mut loader = Loader::new(&seat.plan);
    let mut pipe = handle.pipe(seat.plan.window as usize);
    let mut outcomes = Vec::new();
    while !loader.is_done() {
        loader.submit(|command| {
            pipe.submit(Request::new(command)).expect("there is room");
        });
        pipe.outcomes(&mut outcomes).await;
        loader.answer(outcomes.drain(..).map(|(_, outcome)| match outcome {
            Outcome::Applied { reply, .. } => reply,
            Outcome::Refused(why) => panic!("refused: {why}"),
            Outcome::Unknown { .. } => panic!("a leadership was lost"),
        }));
    }
    if let Some(sample) = loader.end(&seat.shared) {
        // Nobody waits any more when the run took too long.
        let _ = seat.sample.send(sample);
    }
}

const LOG_BYTES: usize = 16 << 20;
const PAUSE: Duration = Duration::from_millis(5);
