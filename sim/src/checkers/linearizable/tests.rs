//! Histories with an order and without, a twin that tries everything, and a long history.

use std::time::Instant;

use super::*;
use crate::app::recorder::{FAMILY, Register, RegisterOperation};
use crate::app::registers::{Done, Operation as Call};
use crate::prng::Prng;

const A: u64 = FAMILY;
const B: u64 = 2 * FAMILY;

/// An operation that began and ended then, with that reply.
fn heard(began: u64, ended: u64, call: Call, done: Done) -> RegisterOperation {
    RegisterOperation { call, began, ended: Some((ended, done)) }
}

/// An operation of which nothing was heard.
fn lost(began: u64, call: Call) -> RegisterOperation {
    RegisterOperation { call, began, ended: None }
}

fn put(began: u64, ended: u64, value: u64) -> RegisterOperation {
    heard(began, ended, Call::Put(value), Done::Written)
}

fn get(began: u64, ended: u64, value: u64) -> RegisterOperation {
    heard(began, ended, Call::Get, Done::Held(value))
}

fn has_order(history: &[RegisterOperation]) -> bool {
    match search(&Register::of(history), history, 1_000_000) {
        Verdict::Ordered { .. } => true,
        Verdict::Impossible { stuck, placed, .. } => {
            assert!(stuck < history.len() && placed < history.len());
            false
        }
        Verdict::Undecided => panic!("a million steps for {history:?}"),
    }
}

#[test]
fn histories_with_an_order_are_let_pass() {
    let swap = |expected, new| Call::Swap { expected, new };
    let good: [(&str, Vec<RegisterOperation>); 9] = [
        ("nothing", vec![]),
        ("a write and a read of it", vec![put(1, 2, A), get(3, 4, A)]),
        ("a read beside a write sees it or not", vec![put(1, 10, A), get(2, 3, 0), get(4, 5, A)]),
        ("a lost write is seen later", vec![lost(1, Call::Put(A)), get(2, 3, 0), get(4, 5, A)]),
        ("a lost write is never seen", vec![lost(1, Call::Put(A)), get(2, 3, 0), get(4, 5, 0)]),
        (
            "a lost addition to a lost write is seen",
            vec![lost(1, Call::Put(A)), lost(2, Call::Add(3)), get(3, 4, A + 3)],
        ),
        (
            "a lost swap of a lost write",
            vec![lost(1, swap(A, B)), lost(2, Call::Put(A)), get(3, 4, B)],
        ),
        (
            "two writes at once, in the order that the readers saw",
            vec![put(1, 10, A), put(2, 9, B), get(11, 12, A), get(13, 14, A)],
        ),
        (
            "a swap that found what it expected, and one that did not",
            vec![
                put(1, 2, A),
                heard(3, 6, swap(A, B), Done::Held(A)),
                heard(4, 5, swap(A, A + 1), Done::Held(B)),
                get(7, 8, B),
            ],
        ),
    ];
    for (story, history) in good {
        assert!(has_order(&history), "{story}");
    }
}

#[test]
fn histories_without_an_order_are_noticed() {
    let add = |began, ended, sum| heard(began, ended, Call::Add(1), Done::Sum(sum));
    let swap = |began, ended, held| {
        heard(began, ended, Call::Swap { expected: 0, new: A }, Done::Held(held))
    };
    let bad: [(&str, Vec<RegisterOperation>); 10] = [
        ("a stale read", vec![put(1, 2, A), put(3, 4, B), get(5, 6, A)]),
        ("a lost write that was heard of", vec![put(1, 2, A), get(3, 4, 0)]),
        ("a read of what nobody wrote", vec![put(1, 2, A), get(3, 4, B)]),
        ("an addition that took effect twice", vec![add(1, 2, 1), get(3, 4, 2)]),
        ("two additions that count as one", vec![add(1, 2, 1), add(3, 4, 1)]),
        ("a reply of another operation", vec![heard(1, 2, Call::Get, Done::Written)]),
        ("two swaps of the same value", vec![swap(1, 4, 0), swap(2, 3, 0)]),
        (
            "a session that reads against the order of its writes",
            vec![put(1, 2, A), put(3, 4, B), get(5, 8, B), get(9, 10, A)],
        ),
        (
            "a lost write that takes effect twice",
            vec![lost(1, Call::Put(A)), get(2, 3, A), put(4, 5, B), get(6, 7, A)],
        ),
        ("a write seen before it began", vec![get(1, 2, A), lost(3, Call::Put(A))]),
    ];
    for (story, history) in bad {
        assert!(!has_order(&history), "{story}");
    }
}

#[test]
fn a_search_that_runs_out_of_steps_says_so() {
    let history = [put(1, 2, A), get(3, 4, A)];
    let verdict = search(&Register::of(&history), &history, 2);
    assert_eq!(verdict, Verdict::Undecided);
}

/// Whether there is an order, by trying them all.
fn has_order_at_all(history: &[RegisterOperation], taken: &mut Vec<bool>, state: u64) -> bool {
    let free = |place: &usize| !taken[*place];
    let ends = (0..history.len()).filter(free).filter_map(|p| Some(history[p].ended?.0));
    let Some(first_end) = ends.min() else { return true };
    for place in 0..history.len() {
        let RegisterOperation { call, began, ended } = &history[place];
        let (after, done) = call.run(state);
        let fits = ended.is_none_or(|(_, heard)| heard == done);
        if taken[place] || *began >= first_end || !fits {
            continue;
        }
        taken[place] = true;
        let found = has_order_at_all(history, taken, after);
        taken[place] = false;
        if found {
            return true;
        }
    }
    false
}

/// A short history of a register that worked, but for what chance changes about it.
fn short_history(chance: &mut Prng) -> Vec<RegisterOperation> {
    let values = [0, 1, 2, A, A + 1, B, FAMILY - 1, u64::MAX];
    let some = if chance.chance(500_000) { 3 } else { values.len() as u64 };
    let mut state = 0;
    let mut history = Vec::new();
    for at in 1..=chance.within(2, 7) {
        let mut value = || values[chance.below(some) as usize];
        let (one, other, changed) = (value(), value(), value());
        let call = match chance.below(4) {
            0 => Call::Get,
            1 => Call::Put(one),
            2 => Call::Swap { expected: one, new: other },
            _ => Call::Add(one),
        };
        let (after, done) = call.run(state);
        let began =
            (at * 100 - chance.below(if at % 2 == 0 { 300 } else { 30 }).min(at * 100)) * 64;
        let ended = (at * 100 + 1 + chance.below(300)) * 64;
        let is_lost = chance.chance(300_000);
        // What is lost may have had an effect all the same.
        if !is_lost || chance.chance(500_000) {
            state = after;
        }
        let done = match done {
            _ if chance.chance(900_000) => done,
            Done::Held(_) => Done::Held(changed),
            Done::Sum(_) => Done::Sum(changed),
            Done::Written | Done::Nothing => done,
        };
        let ended = (!is_lost).then_some((ended + at, done));
        history.push(RegisterOperation { call, began: began + at, ended });
    }
    chance.shuffle(&mut history);
    history
}

#[test]
fn the_search_agrees_with_trying_everything() {
    let mut chance = Prng::new(1, "short histories");
    let mut found = [0; 2];
    for _ in 0..30_000 {
        let history = short_history(&mut chance);
        let expected = has_order_at_all(&history, &mut vec![false; history.len()], 0);
        assert_eq!(has_order(&history), expected, "{history:#?}");
        found[usize::from(expected)] += 1;
    }
    assert!(found.iter().all(|count| *count > 3_000), "{found:?} without and with an order");
}

/// A history of `count` operations of clients that each have one open, on one register of many,
/// which lasts at least twice as long as any of them. Some are never heard of.
fn long_histories(count: u64, clients: usize, keys: usize) -> Vec<Vec<RegisterOperation>> {
    let mut chance = Prng::new(7, "long histories");
    let mut histories = vec![Vec::new(); keys];
    let mut states = vec![0; keys];
    let mut free_at = vec![0; clients];
    let mut now = 0;
    for number in 1..=count {
        // Each takes effect now, began when its client was free, and ends later.
        now += 1_000;
        let client = chance.below(clients as u64) as usize;
        let key = chance.below(keys as u64) as usize;
        let call = match chance.below(10) {
            0..=3 => Call::Get,
            4..=6 => Call::Put(number * FAMILY),
            7 | 8 => Call::Swap { expected: states[key], new: number * FAMILY },
            _ => Call::Add(1 + chance.below(3)),
        };
        let began: u64 = free_at[client];
        let ended = now + 1 + chance.below(1_000 * clients as u64);
        if began > now {
            continue;
        }
        let is_lost = chance.chance(20_000);
        let mut done = Done::Nothing;
        if !is_lost || chance.chance(500_000) {
            (states[key], done) = call.run(states[key]);
        }
        free_at[client] = ended + 1;
        let ended = (!is_lost).then_some((ended, done));
        histories[key].push(RegisterOperation { call, began, ended });
    }
    histories
}

/// A hundred thousand operations take a second or two even without optimisation.
#[test]
fn long_histories_are_searched_in_time_linear_in_their_length() {
    for (clients, keys) in [(20, 50), (50, 10), (10, 1)] {
        let start = Instant::now();
        let histories = long_histories(200_000, clients, keys);
        let (mut count, mut all_steps) = (0, 0);
        for history in &histories {
            let most = history.len() as u64 * 100;
            match search(&Register::of(history), history, most) {
                Verdict::Ordered { steps } => all_steps += steps,
                other => panic!("{clients} clients, {keys} registers: {other:?}"),
            }
            count += history.len();
        }
        println!(
            "{clients} clients, {keys} registers: {count} operations, {all_steps} steps, {:?}",
            start.elapsed()
        );
        assert!(count > 50_000, "{count} operations");
    }
}

#[test]
fn one_wrong_reply_in_a_long_history_is_noticed() {
    let mut history = long_histories(40_000, 10, 1).remove(0);
    let reads = |operation: &RegisterOperation| {
        matches!((operation.call, operation.ended), (Call::Get, Some((_, Done::Held(_)))))
    };
    let middle = history.len() / 2;
    let place = middle + history[middle..].iter().position(reads).expect("a read");
    // What was written long before, and overwritten since.
    let stale = history[..middle / 2].iter().rev().find_map(|operation| match operation.call {
        Call::Put(value) => Some(value),
        Call::Get | Call::Swap { .. } | Call::Add(_) => None,
    });
    let (at, _) = history[place].ended.expect("a read with a reply");
    history[place].ended = Some((at, Done::Held(stale.expect("a write"))));
    let verdict = search(&Register::of(&history), &history, 100_000_000);
    assert!(matches!(verdict, Verdict::Impossible { .. }), "{verdict:?}");
}
