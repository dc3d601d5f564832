//! The loop of floor and peers: take in what has arrived, let the library do what is due, write
//! once to each peer, look again for a while, wait.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_tokio::Transport;
use tokio::task::yield_now;

use super::client::Loader;
use super::disk::Disk;
use super::wires::Wires;
use super::{Seat, Shared};

/// A library, or nothing, behind the loop.
pub(super) trait Engine {
    /// Whether this replica leads and takes commands.
    fn leads(&self) -> bool;
    /// Takes a command at the leader.
    fn submit(&mut self, command: Bytes);
    /// Takes a frame.
    fn receive(&mut self, from: usize, frame: Bytes, wires: &mut Wires);
    /// Time goes on.
    fn tick(&mut self);
    /// Does what is due. Nothing is answered, and nothing promised to a peer, before it is on
    /// `disk`, if there is one.
    fn turn(
        &mut self,
        wires: &mut Wires,
        disk: Option<&mut Disk>,
        answers: &mut Vec<u64>,
    ) -> io::Result<()>;
    /// How many commands this replica has applied.
    fn applied(&self) -> u64;
}

/// Runs one replica until all ends.
///
/// # Panics
/// When a connection breaks before that.
pub(super) fn sit<E: Engine>(seat: Seat, engine: impl FnOnce(usize) -> E) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let mut engine = engine(seat.place);
        match work(&seat, &mut engine).await {
            Ok(()) => {}
            // The others have ended a moment earlier.
            Err(_) if seat.shared.ends() => {}
            Err(error) => {
                // Those that end first close their connections; give the word time to spread.
                tokio::time::sleep(TICK * 5).await;
                assert!(seat.shared.ends(), "replica {}: {error}", seat.place);
            }
        }
    });
}

async fn work<E: Engine>(seat: &Seat, engine: &mut E) -> io::Result<()> {
    let mut wires = Wires::connect(seat.place, &seat.listener, &seat.ports)?;
    let mut disk = seat.directory().map(Disk::open);
    let mut ticks = tokio::time::interval(TICK);
    let mut answers = Vec::new();
    let mut client: Option<Loader> = None;
    let mut is_over = false;
    loop {
        let ticked = poll_fn(|cx| {
            let ticked = ticks.poll_tick(cx).is_ready();
            let ready = wires.poll_ready(cx).is_ready();
            if ticked || ready { Poll::Ready(ticked) } else { Poll::Pending }
        });
        look(&wires, disk.is_none()).await;
        if ticked.await {
            if seat.shared.ends() {
                return Ok(());
            }
            engine.tick();
        }
        let mut frames = Vec::new();
        wires.read(|from, frame| frames.push((from, frame)))?;
        for (from, frame) in frames {
            engine.receive(from, frame, &mut wires);
        }
        if client.is_none() && !is_over && engine.leads() {
            client = Some(Loader::new(&seat.plan));
        }
        engine.turn(&mut wires, disk.as_mut(), &mut answers)?;
        if let Some(loader) = &mut client {
            loader.answer(answers.drain(..));
            // What can be answered at once, alone or among the fastest, goes on at once.
            while loader.submit(|command| engine.submit(command)) {
                engine.turn(&mut wires, disk.as_mut(), &mut answers)?;
                loader.answer(answers.drain(..));
            }
            if loader.is_done() {
                report(seat, loader);
                (client, is_over) = (None, true);
            }
        }
        wires.flush()?;
        seat.shared.has_applied(seat.place, engine.applied());
    }
}

/// Looks for frames for as long as Synod's loop does before it sleeps, and in the same way.
async fn look(wires: &Wires, log_is_instant: bool) {
    let (since, transport) = (Instant::now(), Transport::default());
    let keeps_core = if log_is_instant { transport.keep_core } else { Duration::ZERO };
    loop {
        if poll_fn(|cx| Poll::Ready(wires.poll_ready(cx).is_ready())).await {
            return;
        }
        let looked = since.elapsed();
        if looked >= transport.busy_poll {
            return;
        }
        if looked >= keeps_core {
            std::thread::yield_now();
        }
        yield_now().await;
    }
}

fn report(seat: &Seat, loader: &mut Loader) {
    let shared: &Shared = &seat.shared;
    if let Some(sample) = loader.end(shared) {
        // Nobody waits any more when the run took too long.
        let _ = seat.sample.send(sample);
    }
}

/// How often the clocks of the libraries go on.
const TICK: Duration = Duration::from_millis(20);
