//! The application of the swarm: registers that clients read, write, compare and set, and add to.
//! What they hear is searched for an order that explains it.

use std::sync::Arc;

use synod_core::service::{At, StateMachine};
use synod_core::{Ballot, NodeId, Slot};

use super::recorder::{FAMILY, Recorder};
use super::{Application, Chooser, Crowd, Ending, Tag, Tally};
use crate::machine::{Machine, Recipe};
use crate::options::{ClientOptions, Options};
use crate::prng::Prng;
use crate::violation::Checked;

/// What can be done to a register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// Reads it.
    Get,
    /// Writes it.
    Put(u64),
    /// Writes `new` if it holds `expected`.
    Swap {
        /// What it must hold.
        expected: u64,
        /// What it holds then.
        new: u64,
    },
    /// Adds to it.
    Add(u64),
}

/// What comes of that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Done {
    /// It held this, before a read or a swap.
    Held(u64),
    /// It is written.
    Written,
    /// It holds this sum now.
    Sum(u64),
    /// The operation was not one.
    Nothing,
}

/// Registers, by key. All hold zero at first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registers {
    values: Vec<u64>,
    /// Operations applied, also those that changed nothing.
    count: u64,
    digest: u64,
    at: Option<At>,
}

/// The registers and their clients, as the options of the run draw them.
#[derive(Clone)]
pub struct RegisterApp {
    recipe: Arc<Recipe<Registers>>,
}

/// The clients of registers.
#[derive(Debug)]
struct Clients {
    options: ClientOptions,
    /// What each session last knew of the register it used last.
    known: Vec<(u16, u64)>,
    /// What each session waits for.
    asked: Vec<Option<(u16, Operation)>>,
    /// Makes every value written another one.
    values: u64,
    recorder: Recorder,
}

impl Operation {
    /// The bytes of the operation on `key`, at least `len` of them.
    #[must_use]
    pub fn encode(self, key: u16, len: usize) -> Vec<u8> {
        let (kind, one, other) = match self {
            Self::Get => (0, 0, 0),
            Self::Put(value) => (1, value, 0),
            Self::Swap { expected, new } => (2, expected, new),
            Self::Add(more) => (3, more, 0),
        };
        let mut bytes = Vec::with_capacity(len.max(Self::LEN));
        bytes.push(kind);
        bytes.extend_from_slice(&key.to_le_bytes());
        bytes.extend_from_slice(&u64::to_le_bytes(one));
        bytes.extend_from_slice(&u64::to_le_bytes(other));
        bytes.resize(len.max(Self::LEN), b'.');
        bytes
    }

    /// The key and the operation in `bytes`.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(u16, Self)> {
        let (kind, rest) = bytes.split_first()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (one, rest) = rest.split_first_chunk()?;
        let (other, _padding) = rest.split_first_chunk()?;
        let (one, other) = (u64::from_le_bytes(*one), u64::from_le_bytes(*other));
        let operation = match kind {
            0 => Self::Get,
            1 => Self::Put(one),
            2 => Self::Swap { expected: one, new: other },
            3 => Self::Add(one),
            4.. => return None,
        };
        Some((u16::from_le_bytes(*key), operation))
    }

    /// The bytes of an operation, without padding.
    pub const LEN: usize = 19;

    /// What it does to a register that holds `held`: what it holds then, and what is replied.
    #[must_use]
    pub const fn run(self, held: u64) -> (u64, Done) {
        match self {
            Self::Get => (held, Done::Held(held)),
            Self::Put(value) => (value, Done::Written),
            Self::Swap { expected, new } => {
                (if held == expected { new } else { held }, Done::Held(held))
            }
            Self::Add(more) => {
                let sum = held.wrapping_add(more);
                (sum, Done::Sum(sum))
            }
        }
    }
}

impl Registers {
    /// What the register of `key` holds.
    #[must_use]
    pub fn get(&self, key: u16) -> u64 {
        self.values.get(usize::from(key)).copied().unwrap_or_default()
    }

    /// How registers are made, saved and loaded.
    #[must_use]
    pub fn recipe() -> Recipe<Self> {
        Recipe::new(Self::default).durable(Self::save, Self::load)
    }

    fn save(&self) -> Vec<u8> {
        let at = self.at.unwrap_or_default();
        let head = [self.count, self.digest, at.slot.0, at.ballot.round, at.ballot.node.0];
        head.iter().chain(&self.values).flat_map(|part| part.to_le_bytes()).collect()
    }

    fn load(saved: &[u8]) -> Self {
        let (parts, _) = saved.as_chunks();
        let mut parts = parts.iter().map(|part| u64::from_le_bytes(*part));
        let mut next = || parts.next().unwrap_or_default();
        let (count, digest, slot) = (next(), next(), Slot(next()));
        let ballot = Ballot { round: next(), node: NodeId(next()) };
        Self { count, digest, at: Some(At { slot, ballot }), values: parts.collect() }
    }
}

impl StateMachine for Registers {
    type Reply = Done;

    fn apply(&mut self, _at: At, request: &[u8]) -> Done {
        self.count += 1;
        let Some((key, operation)) = Operation::decode(request) else { return Done::Nothing };
        let place = usize::from(key);
        if place >= self.values.len() {
            self.values.resize(place + 1, 0);
        }
        let (holds, done) = operation.run(self.values[place]);
        self.digest ^= mix(key, self.values[place]) ^ mix(key, holds);
        self.values[place] = holds;
        done
    }

    fn after_decree(&mut self, at: At) {
        self.at = Some(at);
    }

    fn applied(&self) -> Option<At> {
        self.at
    }

    fn digest(&self) -> u64 {
        self.digest.wrapping_add(self.count)
    }
}

/// How far the history of one register is searched. Hardly any needs more.
const STEPS_MAX: u64 = 200_000;

/// What a register adds to the digest; one that holds zero adds nothing.
fn mix(key: u16, value: u64) -> u64 {
    let mixed = u128::from(value) * u128::from(0x9E37_79B9_7F4A_7C15 ^ u64::from(key) << 40);
    mixed as u64 ^ (mixed >> 64) as u64
}

impl Default for RegisterApp {
    fn default() -> Self {
        Self { recipe: Arc::new(Registers::recipe()) }
    }
}

impl Application for RegisterApp {
    fn machine(&self, durable: bool) -> Machine {
        Machine::new(&self.recipe, durable)
    }

    fn crowd(&self, options: &Options) -> Box<dyn Crowd> {
        let sessions = options.client.sessions;
        Box::new(Clients {
            options: options.client,
            known: vec![(0, 0); sessions],
            asked: vec![None; sessions],
            values: 0,
            recorder: Recorder::default(),
        })
    }
}

impl Crowd for Clients {
    fn sends_void(&self) -> bool {
        true
    }

    fn choose(&mut self, chooser: Chooser, chance: &mut Prng) -> Option<Vec<u8>> {
        if chance.chance(self.options.empty_ppm) {
            return Some(Vec::new());
        }
        self.values += 1;
        let (new, mut key) = (self.values * FAMILY, self.key(chance));
        let drawn = chance.below(10);
        let operation = match (chooser, drawn) {
            (_, 0..=3) => Operation::Get,
            (_, 4..=6) => Operation::Put(new),
            (_, 7) => Operation::Add(1 + chance.below(3)),
            (Chooser::Session(session), _) => {
                // Who read a register and compares with what it read is often right.
                let expected;
                (key, expected) = self.known.get(session).copied().unwrap_or((key, 0));
                Operation::Swap { expected, new }
            }
            (Chooser::Passer, _) => Operation::Swap { expected: 0, new },
        };
        if let Chooser::Session(session) = chooser
            && let Some(asked) = self.asked.get_mut(session)
        {
            *asked = Some((key, operation));
        }
        let least = (Operation::LEN + Tag::LEN) as u64;
        let len = chance.within(least, self.options.body_max.max(least)) as usize;
        Some(operation.encode(key, len - Tag::LEN))
    }

    fn sent(&mut self, tag: Tag, operation: &[u8]) {
        self.recorder.sent(tag, operation);
    }

    fn ended(&mut self, tag: Tag, ending: &Ending) {
        self.recorder.ended(tag, ending);
    }

    fn judge(&mut self, tally: &mut Tally) -> Checked {
        self.recorder.judge(STEPS_MAX, tally)
    }

    fn hear(&mut self, session: usize, ending: &Ending) {
        let asked = self.asked.get_mut(session).and_then(Option::take);
        let (Some((key, operation)), Some(done)) = (asked, ending.reply::<Done>()) else { return };
        let holds = match (operation, done) {
            (Operation::Put(value), Done::Written) => value,
            (_, Done::Held(held)) => operation.run(*held).0,
            (_, Done::Sum(sum)) => *sum,
            (_, Done::Written | Done::Nothing) => return,
        };
        self.known[session] = (key, holds);
    }
}

impl Clients {
    /// A register, often the hot one.
    fn key(&self, chance: &mut Prng) -> u16 {
        if chance.chance(self.options.hot_ppm) {
            return 0;
        }
        chance.below(u64::from(self.options.keys)) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_come_out_as_they_went_in() {
        let swap = Operation::Swap { expected: 3, new: u64::MAX };
        for operation in [Operation::Get, Operation::Put(7), swap, Operation::Add(9)] {
            for len in [0, Operation::LEN, 100] {
                let bytes = operation.encode(513, len);
                assert_eq!(Operation::decode(&bytes), Some((513, operation)));
                assert_eq!(bytes.len(), len.max(Operation::LEN));
            }
            let bytes = operation.encode(1, 0);
            assert_eq!(Operation::decode(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(Operation::decode(&[4; 30]), None);
        assert_eq!(Operation::decode(b""), None);
    }

    #[test]
    fn registers_do_as_they_are_told_and_survive_being_saved() {
        let at = At { slot: Slot(5), ballot: Ballot { round: 2, node: NodeId(1) } };
        let mut registers = Registers::default();
        let empty = registers.digest();
        let mut run = |key, operation: Operation| registers.apply(at, &operation.encode(key, 0));
        assert_eq!(run(3, Operation::Get), Done::Held(0));
        assert_eq!(run(3, Operation::Put(7)), Done::Written);
        assert_eq!(run(3, Operation::Add(2)), Done::Sum(9));
        assert_eq!(run(3, Operation::Swap { expected: 8, new: 1 }), Done::Held(9));
        assert_eq!(run(3, Operation::Swap { expected: 9, new: 1 }), Done::Held(9));
        assert_eq!(run(3, Operation::Get), Done::Held(1));
        assert_eq!(run(4, Operation::Get), Done::Held(0));
        assert_eq!(registers.apply(at, b""), Done::Nothing);
        registers.after_decree(at);
        assert_ne!(registers.digest(), empty);
        assert_eq!((registers.get(3), registers.get(9)), (1, 0));
        assert_eq!(Registers::load(&registers.save()), registers);
        assert_eq!(Registers::load(&registers.save()).applied(), Some(at));
    }

    #[test]
    fn the_digest_tells_keys_values_and_repeats_apart() {
        let digest = |operations: &[(u16, Operation)]| {
            let mut registers = Registers::default();
            for (key, operation) in operations {
                let _ = registers.apply(At::default(), &operation.encode(*key, 0));
            }
            registers.digest()
        };
        let base = digest(&[(1, Operation::Put(5))]);
        assert_ne!(base, digest(&[(2, Operation::Put(5))]));
        assert_ne!(base, digest(&[(1, Operation::Put(6))]));
        assert_ne!(base, digest(&[(1, Operation::Put(5)), (1, Operation::Put(5))]));
        assert_ne!(base, digest(&[]));
    }
}
