//! What the clients of registers did and heard, by register, and whether it has an order.

use std::collections::BTreeMap;

use super::registers::{Done, Operation as Call};
use super::{Ending, Tag, Tally};
use crate::checkers::linearizable::{Model, Operation, Verdict, search};
use crate::violation::{Checked, check};

/// One register, as the search for an order knows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register {
    /// Sums stay in the family of the value that was written: no history adds so much that they
    /// leave it.
    has_families: bool,
    /// What all additions without a reply come to.
    added_open: u64,
}

/// An operation on a register.
pub type RegisterOperation = Operation<Call, Done>;

/// The histories of all registers.
#[derive(Debug, Default)]
pub struct Recorder {
    events: u64,
    /// Under way: of which register, and which of its operations.
    open: BTreeMap<Tag, (u16, usize)>,
    registers: BTreeMap<u16, Vec<Recorded>>,
}

/// An operation, and whose it is; refused ones did nothing.
#[derive(Debug)]
struct Recorded {
    tag: Tag,
    refused: bool,
    operation: RegisterOperation,
}

impl Register {
    /// The register that `history` is of.
    #[must_use]
    pub fn of(history: &[RegisterOperation]) -> Self {
        let added = history.iter().map(|operation| match operation.call {
            Call::Add(more) => more,
            Call::Get | Call::Put(_) | Call::Swap { .. } => 0,
        });
        let added = added.fold(0, u64::saturating_add);
        let fits = history.iter().all(|operation| match operation.call {
            Call::Put(value) | Call::Swap { new: value, .. } => {
                (value & (FAMILY - 1)).saturating_add(added) < FAMILY
            }
            Call::Get | Call::Add(_) => true,
        });
        let open = history.iter().filter(|operation| operation.ended.is_none());
        let added_open = open.map(|operation| match operation.call {
            Call::Add(more) => more,
            Call::Get | Call::Put(_) | Call::Swap { .. } => 0,
        });
        let added_open = added_open.fold(0, u64::saturating_add);
        Self { has_families: fits && added < FAMILY, added_open }
    }
}

/// Values that are written lie so far apart that sums tell which of them they are of.
pub const FAMILY: u64 = 1 << 32;

impl Model for Register {
    type State = u64;
    type Call = Call;
    type Reply = Done;

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, (call, reply): (&Call, Option<&Done>)) -> Option<u64> {
        let (after, done) = call.run(*state);
        reply.is_none_or(|reply| *reply == done).then_some(after)
    }

    fn overwrites(&self, call: &Call) -> bool {
        match call {
            Call::Put(_) => true,
            Call::Get | Call::Swap { .. } | Call::Add(_) => false,
        }
    }

    fn family(&self, state: &u64) -> u64 {
        if self.has_families { state / FAMILY } else { 0 }
    }

    fn makes(&self, call: &Call) -> Option<u64> {
        match call {
            Call::Put(value) | Call::Swap { new: value, .. } => Some(self.family(value)),
            Call::Get | Call::Add(_) => None,
        }
    }

    fn needs(&self, call: &Call, reply: Option<&Done>) -> Option<u64> {
        match (call, reply) {
            (Call::Get | Call::Swap { .. }, Some(Done::Held(held))) => Some(*held),
            (Call::Add(more), Some(Done::Sum(sum))) => Some(sum.wrapping_sub(*more)),
            (Call::Swap { expected, .. }, None) => Some(*expected),
            // A reply of another kind fits in no state.
            (Call::Get | Call::Swap { .. } | Call::Add(_) | Call::Put(_), _) => None,
        }
    }

    fn may_reach(&self, from: &u64, to: &u64) -> bool {
        to.wrapping_sub(*from) <= self.added_open
    }
}

impl Recorder {
    /// An operation is sent.
    pub fn sent(&mut self, tag: Tag, operation: &[u8]) {
        let Some((key, call)) = Call::decode(operation) else { return };
        self.events += 1;
        let register = self.registers.entry(key).or_default();
        self.open.insert(tag, (key, register.len()));
        let operation = Operation { call, began: self.events, ended: None };
        register.push(Recorded { tag, refused: false, operation });
    }

    /// An operation has its outcome.
    pub fn ended(&mut self, tag: Tag, ending: &Ending) {
        self.events += 1;
        let Some((key, place)) = self.open.remove(&tag) else { return };
        let register = self.registers.get_mut(&key);
        let Some(recorded) = register.and_then(|register| register.get_mut(place)) else { return };
        match ending {
            Ending::Applied(_) => {
                let done = ending.reply::<Done>().copied();
                recorded.operation.ended = done.map(|done| (self.events, done));
            }
            Ending::Refused(_) => recorded.refused = true,
            Ending::Unknown => {}
        }
    }

    /// Searches the history of each register for an order.
    ///
    /// # Errors
    /// Linearizable.
    pub fn judge(&self, steps_max: u64, tally: &mut Tally) -> Checked {
        for (key, recorded) in &self.registers {
            let kept: Vec<&Recorded> = recorded.iter().filter(|one| !one.refused).collect();
            let history: Vec<RegisterOperation> =
                kept.iter().map(|one| one.operation.clone()).collect();
            let ended = history.iter().filter(|operation| operation.ended.is_some()).count();
            tally.ended += ended as u64;
            tally.open += (history.len() - ended) as u64;
            match search(&Register::of(&history), &history, steps_max) {
                Verdict::Ordered { .. } => tally.ordered += 1,
                Verdict::Undecided => tally.undecided += 1,
                Verdict::Impossible { stuck, state, placed } => {
                    let Tag { client, serial } = kept[stuck].tag;
                    let RegisterOperation { call, ended, .. } = history[stuck];
                    let heard = ended.map(|(_, done)| done);
                    check!(
                        Linearizable,
                        false,
                        "no order explains what the clients of register {key} heard: client \
                         {client} heard {heard:?} to {call:?}, its request {serial}; the longest \
                         order has {placed} operations and ends with the register at {state:#x}"
                    );
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use synod_core::service::{At, StateMachine, Why};

    use super::*;
    use crate::Options;
    use crate::app::registers::{RegisterApp, Registers};
    use crate::app::{Application, Crowd};
    use crate::clock::ms;
    use crate::machine::{Machine, Recipe};
    use crate::swarm;
    use crate::trace::Lines;
    use crate::violation::Property;

    /// Feeds a recorder, and asks it for its verdict.
    fn judged(told: &[(u32, Call, Option<Ending>)]) -> Result<Tally, Property> {
        let mut recorder = Recorder::default();
        for (serial, call, ending) in told {
            let tag = Tag { client: 1, serial: *serial };
            match ending {
                None => recorder.sent(tag, &call.encode(7, 0)),
                Some(ending) => recorder.ended(tag, ending),
            }
        }
        let mut tally = Tally::default();
        let checked = recorder.judge(1_000, &mut tally);
        checked.map(|()| tally).map_err(|violation| violation.property)
    }

    fn applied(done: Done) -> Option<Ending> {
        Some(Ending::Applied(Box::new(done)))
    }

    #[test]
    fn what_was_refused_did_nothing_and_what_nobody_heard_of_may_have() {
        let (put, get) = (Call::Put(FAMILY), Call::Get);
        let refused = || Some(Ending::Refused(Why::Busy));
        let read = |held| applied(Done::Held(held));
        // One read after a write of which this is known.
        let after = |ending: Option<Ending>, held| {
            let mut told = vec![(1, put, None)];
            told.extend(ending.map(|ending| (1, put, Some(ending))));
            told.extend([(2, get, None), (2, get, read(held))]);
            judged(&told)
        };
        assert_eq!(after(refused(), FAMILY), Err(Property::Linearizable));
        assert!(after(refused(), 0).is_ok());
        assert!(after(None, 0).is_ok());
        assert!(after(Some(Ending::Unknown), FAMILY).is_ok());
        assert_eq!(after(applied(Done::Written), 0), Err(Property::Linearizable));
        let tally = after(None, FAMILY).expect("an order");
        assert_eq!((tally.ended, tally.open, tally.ordered, tally.undecided), (1, 1, 1, 0));
    }

    /// Registers that are wrong in the same way everywhere, so that no replica differs from
    /// another, nor from a fresh one.
    #[derive(Default)]
    struct Wrong {
        registers: Registers,
        count: u64,
        old: Option<Done>,
        how: How,
    }

    /// In which way.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    enum How {
        #[default]
        Sound,
        LostWrite,
        StaleRead,
        AppliedTwice,
        ReplyOfAnother,
    }

    impl StateMachine for Wrong {
        type Reply = Done;

        fn apply(&mut self, at: At, request: &[u8]) -> Done {
            self.count += 1;
            let call = Call::decode(request).map(|(_, call)| call);
            let is_now = self.count.is_multiple_of(7);
            match (self.how, call) {
                (How::LostWrite, Some(Call::Put(_))) if is_now => return Done::Written,
                (How::AppliedTwice, Some(Call::Add(_))) => {
                    let _ = self.registers.apply(at, request);
                }
                (How::StaleRead, Some(Call::Get)) if is_now => {
                    return self.old.unwrap_or(Done::Held(0));
                }
                (How::ReplyOfAnother, Some(Call::Get)) if is_now => return Done::Written,
                (
                    How::Sound
                    | How::LostWrite
                    | How::StaleRead
                    | How::AppliedTwice
                    | How::ReplyOfAnother,
                    _,
                ) => {}
            }
            let done = self.registers.apply(at, request);
            if matches!(done, Done::Held(_)) && self.count.is_multiple_of(5) {
                self.old = Some(done);
            }
            done
        }
    }

    /// Those registers with the clients of the swarm.
    struct WrongApp(How);

    impl Application for WrongApp {
        fn machine(&self, durable: bool) -> Machine {
            let how = self.0;
            Machine::new(&Arc::new(Recipe::new(move || Wrong { how, ..Wrong::default() })), durable)
        }

        fn crowd(&self, options: &Options) -> Box<dyn Crowd> {
            RegisterApp::default().crowd(options)
        }
    }

    /// How many of a few seeds fail, and all for this reason.
    fn failures(how: How) -> usize {
        let violations = (0..12).filter_map(|seed| {
            let options = Options::draw(seed, Some(3), Some(ms(1_000)));
            let report =
                swarm::run_application(options, Lines::None, &WrongApp(how), &mut |_| true);
            report.violation
        });
        violations.inspect(|v| assert_eq!(v.property, Property::Linearizable, "{v}")).count()
    }

    #[test]
    fn a_machine_that_is_wrong_everywhere_is_found_by_what_its_clients_hear() {
        assert_eq!(failures(How::Sound), 0);
        for how in [How::LostWrite, How::StaleRead, How::AppliedTwice, How::ReplyOfAnother] {
            let found = failures(how);
            assert!(found >= 3, "{how:?} in {found} of 12 seeds");
        }
    }
}
