//! The window against a naive twin: a map from slots to what is known of them.

use alloc::collections::BTreeMap;

use bolero::{TypeGenerator, check};

use super::*;
use crate::{Ballot, NodeId};

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Op {
    /// Puts a decree into one of the slots held, counted from the base, or into the next one.
    Put {
        place: u8,
        decree: u8,
        learned: bool,
    },
    Evict {
        below: u8,
    },
    EvictBeyond {
        bytes_max: u8,
        below: u8,
    },
    Written {
        from: u8,
        count: u8,
        write: u8,
    },
    Run {
        from: u8,
        count: u8,
        slots: u8,
        bytes: u8,
    },
}

type Twin = BTreeMap<Slot, (Proposal<u8>, bool, Option<WriteId>)>;

const CAPACITY: usize = 8;
const FIRST: Slot = Slot((1 << 40) + 5);

fn apply(op: Op, window: &mut Window<u8>, twin: &mut Twin) {
    let (base, held) = (window.base(), twin.len() as u64);
    // Around the slots held: two below, two behind.
    let near = |place: u8| Slot(base.0 - 2 + u64::from(place) % (held + 5));
    match op {
        Op::Put { place, decree, learned } => {
            let room = u64::from(twin.len() < CAPACITY);
            if held + room > 0 {
                let slot = Slot(base.0 + u64::from(place) % (held + room));
                let ballot = Ballot { round: decree.into(), node: NodeId(1) };
                let decree = if decree == 0 { Kind::Noop } else { Kind::App(decree) };
                let proposal = Proposal { slot, ballot, decree };
                window.put(proposal.clone(), learned);
                twin.insert(slot, (proposal, learned, None));
            }
        }
        Op::Evict { below } => {
            let floor = near(below);
            window.evict_below(floor);
            twin.retain(|slot, _| *slot >= floor);
        }
        Op::EvictBeyond { bytes_max, below } => {
            let (bytes_max, floor) = (usize::from(bytes_max % 9), near(below));
            window.evict_beyond(bytes_max, floor);
            while bytes(twin) > bytes_max
                && let Some(first) = twin.first_entry().filter(|first| *first.key() < floor)
            {
                first.remove();
            }
        }
        Op::Written { from, count, write } => {
            let from = Slot(base.0 + u64::from(from) % (held + 1));
            let end = Slot((from.0 + u64::from(count)).min(base.0 + held));
            window.written(from, end, WriteId(write.into()));
            for (_, known) in twin.range_mut(from..end) {
                known.2 = Some(WriteId(write.into()));
            }
        }
        Op::Run { from, count, slots, bytes } => {
            let (from, end) = (near(from), near(from).plus(u64::from(count % 10)));
            let limit = RunLimit { slots: usize::from(slots % 9) + 1, bytes: bytes.into() };
            let run = window.run(from, end, limit);
            let whole = from < end && (from.0..end.0).all(|slot| twin.contains_key(&Slot(slot)));
            assert_eq!(!run.is_empty(), whole, "a run of what is held, and only of that");
            let known = twin.range(from..).map(|(_, known)| &known.0);
            assert!(run.iter().eq(known.take(run.len())), "from its start, without gaps");
            let sum: usize = run.iter().map(|proposal| proposal.decree.size_bytes()).sum();
            assert!(run.len() <= limit.slots && run.len() as u64 <= end.0.saturating_sub(from.0));
            assert!(run.len() <= 1 || sum <= limit.bytes);
            if whole && run.len() < limit.slots && from.plus(run.len() as u64) < end {
                let next = &twin[&from.plus(run.len() as u64)].0;
                let at_the_end_of_the_ring = next.slot.0.is_multiple_of(CAPACITY as u64);
                let is_full = sum + next.decree.size_bytes() > limit.bytes;
                assert!(at_the_end_of_the_ring || is_full, "as much as may be");
            }
        }
    }
}

fn bytes(twin: &Twin) -> usize {
    twin.values().map(|(proposal, ..)| proposal.decree.size_bytes()).sum()
}

#[test]
fn every_sequence_is_that_of_the_naive_twin() {
    check!().with_type::<Vec<Op>>().for_each(|ops| {
        let (mut window, mut twin) = (Window::new(CAPACITY, FIRST), Twin::new());
        for op in ops {
            apply(*op, &mut window, &mut twin);
            assert_eq!(window.room(), CAPACITY - twin.len());
            assert_eq!(window.bytes(), bytes(&twin), "{op:?}");
            let (base, end) = (window.base(), window.end());
            assert!(twin.keys().copied().eq((base.0..end.0).map(Slot)), "{op:?}");
            for number in base.0 - 2..end.0 + 2 {
                let (slot, known) = (Slot(number), twin.get(&Slot(number)));
                assert_eq!(window.get(slot), known.map(|known| &known.0));
                assert_eq!(window.write_of(slot), known.and_then(|known| known.2));
                assert_eq!(window.is_learned(slot), known.is_some_and(|known| known.1));
            }
        }
    });
}
