//! The queue against a naive twin: a list of requests, each with what is known of it.

use alloc::vec;
use alloc::vec::Vec;

use bolero::{TypeGenerator, check};

use super::*;
use crate::NodeId;

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Op {
    Push {
        len: u8,
        only_in: Option<u8>,
        patience: u8,
    },
    Send {
        ballot: u8,
        most: u8,
    },
    Rewind {
        last: u8,
    },
    /// One decree with so many requests.
    Applied {
        most: u8,
    },
    AppliedAgain {
        number: u8,
    },
    OfferAgain,
    Wait {
        steps: u8,
    },
    RefuseQueued,
    GiveUp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Queued,
    /// Offered to a leader; it is to be sent once more, or not.
    InDoubt {
        again: bool,
    },
    Over,
}

struct Known {
    len: usize,
    only_in: Option<Ballot>,
    deadline: u64,
    state: State,
}

/// Request `n` stands at place `n - 1`.
#[derive(Default)]
struct Twin {
    requests: Vec<Known>,
    ballot: Ballot,
    now: u64,
    ended: Vec<(u64, Ended)>,
}

/// A request may end up to two grains late; in steps of more than that the queue is exact.
const STEP_NANOS: u64 = 3 * GRAIN_NANOS;

const LIMITS: fn() -> ServiceLimits =
    || ServiceLimits { requests_pending_max: 6, pending_bytes_max: 40, ..ServiceLimits::default() };

impl Twin {
    fn load(&self, counts: impl Fn(State) -> bool) -> Load {
        let counted = self.requests.iter().filter(|known| counts(known.state));
        counted.fold(Load::default(), |load, known| Load {
            requests: load.requests + 1,
            bytes: load.bytes + known.len,
        })
    }

    fn live(&self) -> Load {
        self.load(|state| state != State::Over)
    }

    fn in_doubt(&self) -> Load {
        self.load(|state| matches!(state, State::InDoubt { .. }))
    }

    /// A place is free when the oldest request without an outcome is near enough.
    fn has_room(&self, len: usize) -> bool {
        let over = self.requests.iter().take_while(|known| known.state == State::Over).count();
        let held = self.requests.len() - over;
        held < LIMITS().requests_pending_max
            && self.live().bytes + len <= LIMITS().pending_bytes_max
    }

    fn may_offer_in(&self, ballot: Ballot) -> bool {
        ballot == self.ballot || (ballot > self.ballot && self.in_doubt().requests == 0)
    }

    /// What is sent to the leader of `ballot`: at most so many, in order.
    fn send(&mut self, ballot: Ballot, most: usize) -> Vec<u64> {
        let mut sent = Vec::new();
        for (number, known) in (1..).zip(&mut self.requests) {
            let waits = matches!(known.state, State::Queued | State::InDoubt { again: true });
            if !waits {
                continue;
            }
            if known.only_in.is_some_and(|wanted| wanted != ballot) {
                known.state = State::Over;
                self.ended.push((number, Ended::Refused(Why::OtherBallot(ballot))));
            } else if sent.len() < most {
                known.state = State::InDoubt { again: false };
                sent.push(number);
            } else {
                break;
            }
        }
        self.ballot = ballot;
        sent
    }

    /// Ends all requests that `ends` picks: unknown when in doubt, refused otherwise.
    fn end(&mut self, why: Why, ends: impl Fn(&Known) -> bool) {
        for (number, known) in (1..).zip(&mut self.requests) {
            let ended = match known.state {
                State::Over => continue,
                State::Queued => Ended::Refused(why),
                State::InDoubt { .. } => Ended::Unknown(self.ballot),
            };
            if ends(known) {
                known.state = State::Over;
                self.ended.push((number, ended));
            }
        }
    }
}

fn ballot(round: u8) -> Ballot {
    Ballot { round: u64::from(round % 4) + 1, node: NodeId(1) }
}

fn push(pending: &mut Pending, twin: &mut Twin, len: usize, only_in: Option<Ballot>, patience: u8) {
    let mut request = Request::new(Bytes::from(vec![7; len]));
    request.only_in = only_in;
    let deadline = twin.now + u64::from(patience) * STEP_NANOS;
    request.deadline = Some(Instant(deadline));
    let taken = pending.push(Instant(twin.now), request.clone());
    if twin.has_room(len) {
        twin.requests.push(Known { len, only_in, deadline, state: State::Queued });
        assert_eq!(taken, Ok(RequestId(twin.requests.len() as u64)));
    } else {
        assert_eq!(taken, Err(request));
    }
}

fn send(pending: &mut Pending, twin: &mut Twin, ballot: Ballot, most: usize) {
    assert_eq!(pending.may_offer_in(ballot), twin.may_offer_in(ballot));
    if !twin.may_offer_in(ballot) {
        return;
    }
    let mut taken = Vec::new();
    let limits = ServiceLimits { batch_requests_max: most, ..ServiceLimits::default() };
    let gathered = pending.gather(ballot, &mut Share::new(&limits), |number, _| taken.push(number));
    let sent = twin.send(ballot, most);
    assert_eq!(taken, sent);
    assert_eq!(gathered.load.requests, sent.len());
    assert!(sent.last().is_none_or(|last| last + 1 == gathered.end));
    pending.mark_gathered(&gathered, ballot);
}

fn apply(op: Op, pending: &mut Pending, twin: &mut Twin) {
    match op {
        Op::Push { len, only_in, patience } => {
            push(pending, twin, usize::from(len % 16), only_in.map(ballot), patience);
        }
        Op::Send { ballot: round, most } => {
            send(pending, twin, ballot(round), usize::from(most % 4) + 1);
        }
        Op::Rewind { last } => {
            let last = u64::from(last);
            pending.rewind_behind(last);
            for (_, known) in (1..).zip(&mut twin.requests).filter(|(number, _)| *number > last) {
                if matches!(known.state, State::InDoubt { .. }) {
                    known.state = State::InDoubt { again: true };
                }
            }
        }
        Op::Applied { most } => {
            let mut settling = pending.settle(twin.ballot);
            let in_doubt = |known: &&mut Known| matches!(known.state, State::InDoubt { .. });
            let numbered = (1..).zip(&mut twin.requests).filter(|(_, known)| in_doubt(known));
            for (number, known) in numbered.take(usize::from(most % 4)) {
                known.state = State::Over;
                assert!(settling.take(number), "its caller waits");
                assert!(!settling.take(number), "once");
            }
            settling.end();
        }
        Op::AppliedAgain { number } => {
            let known = twin.requests.get(usize::from(number).wrapping_sub(1));
            if known.is_none_or(|known| known.state == State::Over) {
                let mut settling = pending.settle(twin.ballot);
                assert!(!settling.take(number.into()), "nobody waits for it");
                settling.end();
            }
        }
        Op::OfferAgain => {
            assert_eq!(pending.offer_again(), twin.in_doubt().requests);
            for known in &mut twin.requests {
                if matches!(known.state, State::InDoubt { .. }) {
                    known.state = State::Queued;
                }
            }
        }
        Op::Wait { steps } => {
            twin.now += u64::from(steps % 64) * STEP_NANOS;
            pending.expire(Instant(twin.now), Why::NoLeader);
            let now = twin.now;
            twin.end(Why::NoLeader, |known| known.deadline <= now);
        }
        Op::RefuseQueued => {
            pending.refuse_queued(Why::ShuttingDown);
            twin.end(Why::ShuttingDown, |known| known.state == State::Queued);
        }
        Op::GiveUp => {
            pending.give_up();
            twin.end(Why::Stopped, |known| matches!(known.state, State::InDoubt { .. }));
        }
    }
}

#[test]
fn every_sequence_is_that_of_the_naive_twin() {
    check!().with_type::<Vec<Op>>().for_each(|ops| {
        let (mut pending, mut twin) = (Pending::new(LIMITS()), Twin::default());
        for op in ops {
            apply(*op, &mut pending, &mut twin);
            assert_eq!((pending.live(), pending.in_doubt()), (twin.live(), twin.in_doubt()));
            let ended = core::iter::from_fn(|| pending.pop_ended()).map(|(id, why)| (id.0, why));
            assert_eq!(ended.collect::<Vec<_>>(), mem::take(&mut twin.ended), "{op:?}");
            for (number, known) in (1..).zip(&twin.requests) {
                let lives = pending.entry(number).map(|entry| entry.body().len());
                assert_eq!(lives, (known.state != State::Over).then_some(known.len));
            }
            let waits = |known: &Known| known.state == State::Queued;
            assert!(pending.has_unsent() || !twin.requests.iter().any(waits));
            assert_eq!(pending.is_drained(), twin.live().requests == 0);
        }
    });
}
