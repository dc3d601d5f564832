//! Replay against stories and against a naive twin.

use alloc::collections::BTreeSet;

use super::*;

/// A record that the tests own. Decrees are numbers here.
#[derive(Clone, Debug)]
struct Owned {
    promised: Ballot,
    decided: Slot,
    body: OwnedBody,
}

#[derive(Clone, Debug)]
enum OwnedBody {
    Mark,
    Accepted(Vec<Proposal<u64>>),
    Learned(Vec<Proposal<u64>>),
    Roster(bool, Vec<(NodeId, Incarnation)>),
}

impl Owned {
    fn lend(&self) -> Record<'_, u64> {
        let body = match &self.body {
            OwnedBody::Mark => Body::Mark,
            OwnedBody::Accepted(run) => Body::Accepted(run),
            OwnedBody::Learned(run) => Body::Learned(run),
            OwnedBody::Roster(votes, members) => Body::Roster { votes: *votes, members },
        };
        Record { promised: self.promised, decided: self.decided, body }
    }
}

type Outcome = Result<crate::Recovered<u64>, ReplayError>;

fn replay(log: &[Owned]) -> Outcome {
    let mut replay = Replay::new();
    log.iter().for_each(|record| replay.push(&record.lend()));
    replay.finish(Incarnation(77), Boot(5), Slot::ZERO)
}

/// The definition, spelled out: keep everything, then ask for each slot what the log says of it.
fn twin(log: &[Owned]) -> Outcome {
    let decided = log.iter().map(|record| record.decided).max().unwrap_or_default();
    let mut said: Vec<(bool, Proposal<u64>)> = Vec::new();
    let mut promised = Ballot::ZERO;
    let (mut votes, mut roster) = (false, Vec::new());
    for record in log {
        promised = promised.max(record.promised);
        match &record.body {
            OwnedBody::Mark => {}
            OwnedBody::Accepted(run) => said.extend(run.iter().map(|p| (false, p.clone()))),
            OwnedBody::Learned(run) => said.extend(run.iter().map(|p| (true, p.clone()))),
            OwnedBody::Roster(v, members) => (votes, roster) = (*v, members.clone()),
        }
    }
    let promised = said.iter().map(|(_, proposal)| proposal.ballot).fold(promised, Ballot::max);
    let slots: BTreeSet<Slot> =
        said.iter().map(|(_, p)| p.slot).filter(|slot| *slot >= decided).collect();
    let of = |slot: Slot| {
        let of_slot = || said.iter().filter(|(_, p)| p.slot == slot);
        let learned = of_slot().rfind(|(learned, _)| *learned);
        // `max_by_key` takes the last of equals.
        let accepted = || of_slot().max_by_key(|(_, p)| p.ballot);
        learned.or_else(accepted).map(|(_, p)| p.clone())
    };
    let end = slots.last().map_or(decided, |last| last.next());
    let mut accepted = Vec::new();
    for slot in (decided.0..end.0).map(Slot) {
        accepted.push(of(slot).ok_or(ReplayError::Gap { slot })?);
    }
    Ok(crate::Recovered {
        incarnation: Incarnation(77),
        boot: Boot(5),
        promised,
        decided,
        retained: Slot::ZERO,
        applied: Slot::ZERO,
        accepted,
        roster,
        votes,
    })
}

/// xorshift: a failure names the seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn run(&mut self, decree: &mut u64) -> Vec<Proposal<u64>> {
        let from = self.below(10);
        let of = ballot(1 + self.below(4), 1 + self.below(2));
        let len = self.below(5);
        (from..from + len)
            .map(|slot| {
                *decree += 1;
                let one_of = if self.below(4) == 0 { ballot(self.below(6), 1) } else { of };
                Proposal { slot: Slot(slot), ballot: one_of, decree: Kind::App(*decree) }
            })
            .collect()
    }

    /// A log of any records in any order: more than a sound replica ever writes.
    fn log(&mut self) -> Vec<Owned> {
        let mut decree = 0;
        let (records, marks) = (self.below(12), 1 + self.below(8));
        (0..records)
            .map(|_| {
                let body = match self.below(8) {
                    0 => OwnedBody::Mark,
                    1..=4 => OwnedBody::Accepted(self.run(&mut decree)),
                    5 | 6 => OwnedBody::Learned(self.run(&mut decree)),
                    _ => {
                        let members = (1..=self.below(4))
                            .map(|id| (NodeId(id), Incarnation(self.below(3))))
                            .collect();
                        OwnedBody::Roster(self.below(2) == 0, members)
                    }
                };
                let promised = ballot(self.below(5), 1 + self.below(2));
                Owned { promised, decided: Slot(self.below(marks)), body }
            })
            .collect()
    }
}

#[test]
fn agrees_with_the_naive_twin() {
    let (mut sound, mut gaps) = (0, 0);
    for seed in 1..=30_000u64 {
        let log = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)).log();
        let (outcome, expected) = (replay(&log), twin(&log));
        assert_eq!(outcome, expected, "seed {seed}: {log:#?}");
        match outcome {
            Ok(recovered) => sound += usize::from(recovered.accepted.len() > 2),
            Err(_) => gaps += 1,
        }
    }
    assert!(sound > 1000 && gaps > 1000, "both outcomes occur: {sound} and {gaps}");
}

fn proposal(slot: u64, of: Ballot, decree: u64) -> Proposal<u64> {
    Proposal { slot: Slot(slot), ballot: of, decree: Kind::App(decree) }
}

fn record(promised: Ballot, decided: u64, body: OwnedBody) -> Owned {
    Owned { promised, decided: Slot(decided), body }
}

#[test]
fn an_empty_log_is_a_formatted_one() {
    let recovered = Replay::<u64>::default().finish(Incarnation(7), Boot(1), Slot::ZERO);
    assert_eq!(recovered, Ok(crate::Recovered::formatted(Incarnation(7))));
}

/// R8: the promise record may be lost; the accept in its ballot is as good.
#[test]
fn an_accept_is_a_promise() {
    let run = vec![proposal(0, ballot(9, 2), 1)];
    let recovered = replay(&[record(ballot(3, 1), 0, OwnedBody::Accepted(run))]);
    assert_eq!(recovered.expect("no gap").promised, ballot(9, 2));
}

/// R5: what was learned outranks every ballot, whichever comes first.
#[test]
fn a_learned_decree_is_never_replaced_by_an_accepted_one() {
    let learned = OwnedBody::Learned(vec![proposal(0, ballot(1, 1), 1)]);
    let accepted = OwnedBody::Accepted(vec![proposal(0, ballot(2, 2), 2)]);
    let (learned, accepted) = (record(ballot(2, 2), 0, learned), record(ballot(2, 2), 0, accepted));
    for log in [[learned.clone(), accepted.clone()], [accepted, learned]] {
        let recovered = replay(&log).expect("no gap");
        assert_eq!(recovered.accepted, [proposal(0, ballot(1, 1), 1)]);
    }
}

/// R7: what a new leader proposes anew replaces what an older ballot left in the slot.
#[test]
fn the_highest_ballot_of_a_slot_remains() {
    let old = vec![proposal(3, ballot(1, 1), 1), proposal(4, ballot(1, 1), 2)];
    let new = vec![proposal(3, ballot(2, 2), 3)];
    let log = [
        record(ballot(1, 1), 3, OwnedBody::Accepted(old)),
        record(ballot(2, 2), 3, OwnedBody::Accepted(new)),
    ];
    let recovered = replay(&log).expect("no gap");
    assert_eq!(recovered.accepted, [proposal(3, ballot(2, 2), 3), proposal(4, ballot(1, 1), 2)]);
}

#[test]
fn a_mark_lets_go_of_what_it_covers() {
    let run: Vec<_> = (0..5).map(|slot| proposal(slot, ballot(1, 1), slot)).collect();
    let mut replay = Replay::new();
    replay.push(&record(ballot(1, 1), 0, OwnedBody::Accepted(run.clone())).lend());
    replay.push(&record(ballot(1, 1), 4, OwnedBody::Mark).lend());
    assert_eq!(replay.decided(), Slot(4));
    // A late record of slots that are covered brings nothing back.
    replay.push(&record(ballot(1, 1), 2, OwnedBody::Learned(run[..3].to_vec())).lend());
    let recovered = replay.finish(Incarnation(7), Boot(2), Slot(1)).expect("no gap");
    assert_eq!((recovered.decided, recovered.retained), (Slot(4), Slot(1)));
    assert_eq!(recovered.accepted, run[4..]);
}

#[test]
fn missing_records_are_no_state() {
    let run = vec![proposal(6, ballot(1, 1), 1)];
    let gap = replay(&[record(ballot(1, 1), 4, OwnedBody::Accepted(run))]);
    assert_eq!(gap, Err(ReplayError::Gap { slot: Slot(4) }));
    let trimmed = Replay::<u64>::new().finish(Incarnation(7), Boot(2), Slot(1));
    let error = ReplayError::TrimmedOpen { decided: Slot(0), retained: Slot(1) };
    assert_eq!(trimmed, Err(error));
    for error in [error, ReplayError::Gap { slot: Slot(4) }] {
        assert!(format!("{error}").contains("restore this replica from its peers"), "{error}");
    }
}

#[test]
fn the_last_roster_counts() {
    let members = |incarnation| vec![(NodeId(1), Incarnation(incarnation))];
    let log = [
        record(Ballot::ZERO, 0, OwnedBody::Roster(false, members(0))),
        record(Ballot::ZERO, 0, OwnedBody::Roster(true, members(5))),
        record(Ballot::ZERO, 0, OwnedBody::Mark),
    ];
    let recovered = replay(&log).expect("no gap");
    assert!(recovered.votes);
    assert_eq!(recovered.roster, members(5));
}
