//! What every log must do, as tests that any log can be put to.
//!
//! Write a [`Fixture`] for your log and call [`run`] in a test: it panics with what went wrong.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use synod_core::{
    Ballot, Body, Boot, Incarnation, Kind, NodeId, Proposal, Record, Recovered, Slot, WriteId,
};

use crate::{Log, LogError, Most, ReadBack};

/// A place where a log lives, for the tests.
pub trait Fixture {
    /// The log under test.
    type Log: Log;
    /// Why it did not open.
    type Error: Debug;

    /// Opens the log of this place; formats it as `incarnation` the first time. The one opened
    /// before is gone by then.
    ///
    /// # Errors
    /// When it does not open, which fails the test.
    fn open(
        &mut self,
        incarnation: Incarnation,
    ) -> Result<(Self::Log, Recovered<Bytes>), Self::Error>;

    /// Whether the log is still there after its process ended.
    fn survives(&self) -> bool;
}

/// Runs every test, each in a fresh place.
///
/// # Panics
/// When the log does not do what it must.
pub fn run<F: Fixture>(mut place: impl FnMut() -> F) {
    an_empty_log_has_no_vote(&mut place());
    nothing_is_durable_before_it_is_synced(&mut place());
    one_sync_covers_all_earlier_tickets(&mut place());
    ids_must_ascend(&mut place());
    decrees_come_back_as_they_were(&mut place());
    the_last_word_counts(&mut place());
    reads_are_bounded(&mut place());
    readers_go_on_while_the_log_is_written(&mut place());
    settling_makes_everything_durable(&mut place());
    if place().survives() {
        everything_durable_is_recovered(&mut place());
        each_start_is_a_boot_of_its_own(&mut place());
        learned_outranks_accepted_in_recovery(&mut place());
        a_long_log_comes_back_whole(&mut place());
    }
}

fn an_empty_log_has_no_vote<F: Fixture>(place: &mut F) {
    let (mut log, recovered) = open(place);
    assert_eq!(recovered, Recovered::formatted(LIFE));
    assert_eq!(log.write(), Ok(None), "nothing was staged");
    assert_eq!(log.durable(), WriteId(0));
    assert_eq!(log.reader().read(Slot::ZERO, Slot::ZERO, ALL), Ok(vec![]));
}

fn nothing_is_durable_before_it_is_synced<F: Fixture>(place: &mut F) {
    let (mut log, _) = open(place);
    stage(&mut log, 1, 0, Body::Accepted(&run_of(0, 3, 1)));
    let ticket = log.write().expect("a write").expect("something was staged");
    assert_eq!(ticket.upto(), WriteId(1));
    assert_eq!(log.sync(ticket), Ok(WriteId(1)));
    assert_eq!(log.durable(), WriteId(1));
    assert_eq!(log.write(), Ok(None), "everything is written");
}

fn one_sync_covers_all_earlier_tickets<F: Fixture>(place: &mut F) {
    let (mut log, _) = open(place);
    stage(&mut log, 1, 0, Body::Accepted(&run_of(0, 1, 1)));
    stage(&mut log, 2, 0, Body::Accepted(&run_of(1, 1, 1)));
    let first = log.write().expect("a write").expect("two records");
    assert_eq!(first.upto(), WriteId(2), "one write for all that is staged");
    // Ids may have gaps: only their order counts.
    stage(&mut log, 7, 0, Body::Mark);
    let second = log.write().expect("a write").expect("one record");
    assert_eq!(second.upto(), WriteId(7));
    assert_eq!(log.sync(second), Ok(WriteId(7)));
    assert_eq!(log.sync(first), Ok(WriteId(7)), "the watermark does not go back");
    assert_eq!(log.durable(), WriteId(7));
}

fn ids_must_ascend<F: Fixture>(place: &mut F) {
    let (mut log, _) = open(place);
    stage(&mut log, 5, 0, Body::Mark);
    let ticket = log.write().expect("a write").expect("one record");
    assert_eq!(log.sync(ticket), Ok(WriteId(5)));
    let fault = LogError::OutOfOrder { last: WriteId(5), id: WriteId(5) };
    assert_eq!(log.stage(WriteId(5), record(0, Body::Mark)), Err(fault.clone()));
    // Every error is terminal.
    assert_eq!(log.stage(WriteId(6), record(0, Body::Mark)), Err(fault.clone()));
    assert_eq!(log.write(), Err(fault.clone()));
    assert_eq!(log.sync(ticket), Err(fault.clone()));
    assert_eq!(log.settle(), Err(fault));
    assert_eq!(log.durable(), WriteId(5));
}

fn decrees_come_back_as_they_were<F: Fixture>(place: &mut F) {
    let (mut log, _) = open(place);
    let decrees = [
        Kind::App(Bytes::from_static(b"x")),
        Kind::App(Bytes::new()),
        Kind::Noop,
        Kind::App(Bytes::from(vec![0xA5; 3000])),
    ];
    let run: Vec<_> = (0..).map(Slot).zip(decrees).map(|(slot, d)| proposal(slot, 1, d)).collect();
    stage(&mut log, 1, 0, Body::Accepted(&run));
    let _ = log.write().expect("a write").expect("one record");
    let mut reader = log.reader();
    assert_eq!(reader.retained(), Slot::ZERO);
    assert_eq!(reader.read(Slot(0), Slot(4), ALL), Ok(run.clone()));
    assert_eq!(reader.read(Slot(1), Slot(3), ALL), Ok(run[1..3].to_vec()));
    assert_eq!(reader.read(Slot(4), Slot(4), ALL), Ok(vec![]));
    assert_eq!(reader.read(Slot(4), Slot(9), ALL), Ok(vec![]), "never written");
    assert_eq!(reader.read(Slot(3), Slot(2), ALL), Ok(vec![]), "an empty range");
}

fn the_last_word_counts<F: Fixture>(place: &mut F) {
    let (mut log, _) = open(place);
    stage(&mut log, 1, 0, Body::Accepted(&run_of(0, 4, 1)));
    stage(&mut log, 2, 0, Body::Accepted(&run_of(1, 3, 2)));
    stage(&mut log, 3, 0, Body::Learned(&run_of(2, 1, 1)));
    stage(&mut log, 4, 0, Body::Accepted(&run_of(2, 2, 3)));
    let _ = log.write().expect("a write").expect("four records");
    let found = log.reader().read(Slot(0), Slot(4), ALL).expect("four slots");
    let rounds: Vec<u64> = found.iter().map(|proposal| proposal.ballot.round).collect();
    assert_eq!(rounds, [1, 2, 1, 3], "slot 2 was learned, which outranks every ballot");
    assert_eq!(found[3], run_of(3, 1, 3)[0]);
}

fn reads_are_bounded<F: Fixture>(place: &mut F) {
    let (mut log, _) = open(place);
    let decree = Kind::App(Bytes::from(vec![7; 100]));
    let run: Vec<_> = (0..9).map(|slot| proposal(Slot(slot), 1, decree.clone())).collect();
    for (id, chunk) in (1..).zip(run.chunks(2)) {
        stage(&mut log, id, 0, Body::Accepted(chunk));
    }
    let _ = log.write().expect("a write").expect("five records");
    let mut reader = log.reader();
    let mut slots = |from, slots, bytes| {
        let most = Most { slots, bytes };
        reader.read(Slot(from), Slot(9), most).expect("slots").len()
    };
    assert_eq!(slots(0, 100, 1 << 20), 9);
    assert_eq!(slots(1, 3, 1 << 20), 3);
    assert_eq!(slots(0, 100, 350), 3);
    assert_eq!(slots(0, 100, 400), 4);
    assert_eq!(slots(8, 100, 1), 1, "always one, or a large decree could never be read");
}

fn readers_go_on_while_the_log_is_written<F: Fixture>(place: &mut F) {
    let (mut log, _) = open(place);
    stage(&mut log, 1, 0, Body::Accepted(&run_of(0, 1, 1)));
    let _ = log.write().expect("a write").expect("one record");
    let mut reader = log.reader();
    let mut earlier = reader.clone();
    let thread = std::thread::spawn(move || {
        let mut seen = 0;
        while seen < 500 {
            let found = reader.read(Slot(seen), Slot(500), ALL).expect("a read");
            for (slot, proposal) in (seen..).zip(&found) {
                assert_eq!(*proposal, run_of(slot, 1, 1)[0]);
            }
            seen += found.len() as u64;
            std::thread::yield_now();
        }
    });
    for slot in 1..500 {
        stage(&mut log, slot + 1, 0, Body::Accepted(&run_of(slot, 1, 1)));
        let _ = log.write().expect("a write").expect("one record");
    }
    thread.join().expect("the reader saw all slots");
    assert_eq!(earlier.read(Slot(499), Slot(500), ALL), Ok(run_of(499, 1, 1)));
}

fn settling_makes_everything_durable<F: Fixture>(place: &mut F) {
    let (mut log, _) = open(place);
    assert_eq!(log.settle(), Ok(WriteId(0)));
    stage(&mut log, 3, 0, Body::Accepted(&run_of(0, 1, 1)));
    assert_eq!(log.settle(), Ok(WriteId(3)));
    assert_eq!(log.settle(), Ok(WriteId(3)), "settled already");
    stage(&mut log, 4, 1, Body::Mark);
    let ticket = log.write().expect("a write").expect("one record");
    assert_eq!(log.settle(), Ok(WriteId(4)));
    assert_eq!(log.sync(ticket), Ok(WriteId(4)));
}

fn everything_durable_is_recovered<F: Fixture>(place: &mut F) {
    let roster = [(NodeId(1), LIFE), (NodeId(2), Incarnation::NONE)];
    {
        let (mut log, _) = open(place);
        stage(&mut log, 1, 0, Body::Roster { votes: true, members: &roster });
        stage(&mut log, 2, 0, Body::Accepted(&run_of(0, 5, 4)));
        stage(&mut log, 3, 2, Body::Mark);
        let promise = Record { promised: ballot(9), decided: Slot(2), body: Body::Mark };
        log.stage(WriteId(4), promise).expect("staged");
        let ticket = log.write().expect("a write").expect("four records");
        assert_eq!(log.sync(ticket), Ok(WriteId(4)));
    }
    let (log, recovered) = open(place);
    assert_eq!(recovered.incarnation, LIFE, "the incarnation is that of the first start");
    assert_eq!(recovered.promised, ballot(9));
    assert_eq!(recovered.decided, Slot(2));
    assert_eq!(recovered.accepted, run_of(2, 3, 4));
    assert_eq!(recovered.roster, roster);
    assert!(recovered.votes);
    assert_eq!(log.reader().read(Slot(0), Slot(5), ALL), Ok(run_of(0, 5, 4)));
}

fn each_start_is_a_boot_of_its_own<F: Fixture>(place: &mut F) {
    for boot in 1..6 {
        let (mut log, recovered) = open(place);
        assert_eq!(recovered.boot, Boot(boot));
        assert_eq!(recovered.promised.round, boot - 1);
        // Ids start again with each run.
        let promise = Record { promised: ballot(boot), decided: Slot::ZERO, body: Body::Mark };
        log.stage(WriteId(1), promise).expect("staged");
        assert_eq!(log.settle(), Ok(WriteId(1)));
    }
}

fn learned_outranks_accepted_in_recovery<F: Fixture>(place: &mut F) {
    {
        let (mut log, _) = open(place);
        stage(&mut log, 1, 0, Body::Accepted(&run_of(0, 2, 1)));
        stage(&mut log, 2, 0, Body::Learned(&run_of(0, 1, 2)));
        stage(&mut log, 3, 0, Body::Accepted(&run_of(0, 2, 3)));
        log.settle().expect("settled");
    }
    let (_, recovered) = open(place);
    assert_eq!(recovered.accepted, [run_of(0, 1, 2), run_of(1, 1, 3)].concat());
}

fn a_long_log_comes_back_whole<F: Fixture>(place: &mut F) {
    let mut expected = BTreeMap::new();
    for start in 0..3_u64 {
        let (mut log, recovered) = open(place);
        assert_eq!(recovered.decided, Slot(start * 300));
        for (id, slot) in (1..).zip((start * 300..).take(300)) {
            let decree = Kind::App(Bytes::from(vec![slot as u8; (slot % 700) as usize]));
            let run = [proposal(Slot(slot), start + 1, decree)];
            let decided = Slot(slot + 1);
            let record =
                Record { promised: ballot(start + 1), decided, body: Body::Accepted(&run) };
            log.stage(WriteId(id), record).expect("staged");
            expected.insert(Slot(slot), run[0].clone());
            if slot % 7 == 0 {
                let ticket = log.write().expect("a write").expect("records");
                log.sync(ticket).expect("synced");
            }
        }
        log.settle().expect("settled");
    }
    let (log, recovered) = open(place);
    assert_eq!(recovered.decided, Slot(900));
    let (mut reader, mut from) = (log.reader(), Slot::ZERO);
    while from < Slot(900) {
        let most = Most { slots: 64, bytes: 5000 };
        let run = reader.read(from, Slot(900), most).expect("a read");
        assert!(!run.is_empty(), "slot {from} is not there");
        for proposal in run {
            assert_eq!(Some(&proposal), expected.get(&from));
            from = from.next();
        }
    }
}

fn open<F: Fixture>(place: &mut F) -> (F::Log, Recovered<Bytes>) {
    place.open(LIFE).expect("the log opens")
}

fn stage(log: &mut impl Log, id: u64, decided: u64, body: Body<'_, Bytes>) {
    log.stage(WriteId(id), record(decided, body)).expect("staged");
}

const fn record(decided: u64, body: Body<'_, Bytes>) -> Record<'_, Bytes> {
    Record { promised: ballot(3), decided: Slot(decided), body }
}

/// `count` proposals from slot `from` on, in the ballot of `round`, each with a decree of its own.
fn run_of(from: u64, count: u64, round: u64) -> Vec<Proposal<Bytes>> {
    let slots = (from..).take(count as usize);
    let decree = |slot| Kind::App(Bytes::from(format!("slot {slot} in round {round}")));
    slots.map(|slot| proposal(Slot(slot), round, decree(slot))).collect()
}

const fn proposal(slot: Slot, round: u64, decree: Kind<Bytes>) -> Proposal<Bytes> {
    Proposal { slot, ballot: ballot(round), decree }
}

const fn ballot(round: u64) -> Ballot {
    Ballot { round, node: NodeId(1) }
}

const ALL: Most = Most { slots: 1 << 16, bytes: 1 << 30 };
const LIFE: Incarnation = Incarnation(0x5EED);
