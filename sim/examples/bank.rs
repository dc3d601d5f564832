//! A small bank with two mistakes in it, and what the simulator says about them.
//!
//! ```sh
//! cargo run --release -p synod-sim --example bank
//! ```
//!
//! The first mistake is in the clients: they read two balances, and write what these should be
//! after a transfer. Nothing keeps another from doing the same in between. The second is in the
//! state machine, which keeps its accounts on disk, but not the number of the last receipt.

use std::process::ExitCode;

use synod_core::service::{At, StateMachine};
use synod_core::{Ballot, NodeId, Slot};
use synod_sim::simulation::Failure;
use synod_sim::sweep::Summary;
use synod_sim::{Client, Prng, Simulation, Told};

const ACCOUNTS: u8 = 4;
const MONEY: u64 = 1_000;

/// A bank: the state that all replicas have in common.
struct Bank {
    balances: Vec<u64>,
    receipts: u64,
    at: Option<At>,
}

/// What a request asks for.
#[derive(Clone, Copy)]
enum Order {
    /// Both balances.
    Show { one: u8, other: u8 },
    /// Makes these the balances.
    Set { one: (u8, u64), other: (u8, u64) },
    /// Moves money, if there is enough of it.
    Move { from: u8, to: u8, amount: u64 },
}

/// What it replies.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Reply {
    Balances(u64, u64),
    Receipt(u64),
    NotEnough,
    NotUnderstood,
}

impl Bank {
    fn new() -> Self {
        Self { balances: vec![MONEY; usize::from(ACCOUNTS)], receipts: 0, at: None }
    }

    fn receipt(&mut self) -> Reply {
        self.receipts += 1;
        Reply::Receipt(self.receipts)
    }

    fn money_is_conserved(&self) -> Result<(), String> {
        let (sum, expected) = (self.balances.iter().sum::<u64>(), MONEY * u64::from(ACCOUNTS));
        if sum == expected { Ok(()) } else { Err(format!("there is {sum} of {expected}")) }
    }

    /// What it writes to its disk after each decree: its place in the log, its receipts, and its
    /// balances, all at once.
    fn save(&self) -> Vec<u8> {
        let At { slot, ballot } = self.at.unwrap_or_default();
        let head = [slot.0, ballot.round, ballot.node.0, self.receipts];
        head.iter().chain(&self.balances).flat_map(|part| part.to_le_bytes()).collect()
    }

    /// What it makes of that after a crash.
    fn load(saved: &[u8]) -> Self {
        let parts: Vec<u64> = saved
            .chunks_exact(8)
            .map(|part| part.try_into().map_or(0, u64::from_le_bytes))
            .collect();
        let ballot = Ballot { round: parts[1], node: NodeId(parts[2]) };
        let at = At { slot: Slot(parts[0]), ballot };
        Self { balances: parts[4..].to_vec(), receipts: parts[3], at: Some(at) }
    }

    /// The second mistake.
    fn load_without_receipts(saved: &[u8]) -> Self {
        Self { receipts: 0, ..Self::load(saved) }
    }
}

impl StateMachine for Bank {
    type Reply = Reply;

    fn apply(&mut self, _at: At, request: &[u8]) -> Reply {
        let Some(order) = Order::decode(request) else { return Reply::NotUnderstood };
        let place = |account: u8| usize::from(account % ACCOUNTS);
        match order {
            Order::Show { one, other } => {
                Reply::Balances(self.balances[place(one)], self.balances[place(other)])
            }
            Order::Set { one, other } => {
                self.balances[place(one.0)] = one.1;
                self.balances[place(other.0)] = other.1;
                self.receipt()
            }
            Order::Move { from, amount, .. } if self.balances[place(from)] < amount => {
                Reply::NotEnough
            }
            Order::Move { from, to, amount } => {
                self.balances[place(from)] -= amount;
                self.balances[place(to)] += amount;
                self.receipt()
            }
        }
    }

    fn after_decree(&mut self, at: At) {
        self.at = Some(at);
    }

    fn applied(&self) -> Option<At> {
        self.at
    }

    fn digest(&self) -> u64 {
        let mix = |hash: u64, part: &u64| (hash ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.balances.iter().chain([&self.receipts]).fold(0, mix)
    }
}

impl Order {
    fn encode(self) -> Vec<u8> {
        let (kind, one, other) = match self {
            Self::Show { one, other } => (0, (one, 0), (other, 0)),
            Self::Set { one, other } => (1, one, other),
            Self::Move { from, to, amount } => (2, (from, amount), (to, 0)),
        };
        let mut bytes = vec![kind, one.0, other.0];
        bytes.extend_from_slice(&one.1.to_le_bytes());
        bytes.extend_from_slice(&other.1.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[kind, one, other], rest) = bytes.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (first, second) = (u64::from_le_bytes(*first), rest.try_into().ok()?);
        Some(match kind {
            0 => Self::Show { one, other },
            1 => Self::Set { one: (one, first), other: (other, u64::from_le_bytes(second)) },
            2 => Self::Move { from: one, to: other, amount: first },
            _ => return None,
        })
    }
}

/// A client that reads two balances, and then writes them.
#[derive(Default)]
struct ReadsThenWrites {
    accounts: (u8, u8),
    seen: Option<(u64, u64)>,
}

impl Client<Reply> for ReadsThenWrites {
    fn next(&mut self, chance: &mut Prng) -> Option<Vec<u8>> {
        if let Some((one, other)) = self.seen.take().filter(|(one, _)| *one > 0) {
            let amount = chance.within(1, one);
            let one = (self.accounts.0, one - amount);
            let other = (self.accounts.1, other + amount);
            return Some(Order::Set { one, other }.encode());
        }
        let one = chance.below(u64::from(ACCOUNTS)) as u8;
        self.accounts = (one, (one + 1) % ACCOUNTS);
        Some(Order::Show { one, other: self.accounts.1 }.encode())
    }

    fn hear(&mut self, told: Told<'_, Reply>) {
        self.seen = match told {
            Told::Applied(Reply::Balances(one, other)) => Some((*one, *other)),
            Told::Applied(_) | Told::Refused | Told::Unknown => None,
        };
    }
}

/// An order that leaves the arithmetic to the bank.
fn order(chance: &mut Prng) -> Vec<u8> {
    let from = chance.below(u64::from(ACCOUNTS)) as u8;
    let to = (from + 1) % ACCOUNTS;
    match chance.below(3) {
        0 => Order::Show { one: from, other: to }.encode(),
        _ => Order::Move { from, to, amount: chance.within(1, MONEY) }.encode(),
    }
}

/// With clients that read and then write.
pub fn with_hasty_clients() -> Result<Summary, Box<Failure>> {
    Simulation::new(Bank::new)
        .clients(3, |_| ReadsThenWrites::default())
        .invariant("money is conserved", Bank::money_is_conserved)
        .check()
}

/// With a bank that forgets a part of its state in a crash.
pub fn with_forgotten_receipts() -> Result<Summary, Box<Failure>> {
    Simulation::new(Bank::new)
        .operations(order)
        .durable(Bank::save, Bank::load_without_receipts)
        .invariant("money is conserved", Bank::money_is_conserved)
        .check()
}

/// With neither mistake.
pub fn mended() -> Result<Summary, Box<Failure>> {
    Simulation::new(Bank::new)
        .operations(order)
        .durable(Bank::save, Bank::load)
        .invariant("money is conserved", Bank::money_is_conserved)
        .check()
}

fn main() -> ExitCode {
    let mut as_it_should_be = true;
    for (what, check) in [
        ("clients that read, and then write", with_hasty_clients as fn() -> _),
        ("a bank that forgets its receipts in a crash", with_forgotten_receipts),
    ] {
        println!("== {what}\n");
        match check() {
            Ok(_) => as_it_should_be = false,
            Err(failure) => println!("{failure}\n"),
        }
    }
    println!("== the bank as it should be\n");
    match mended() {
        Ok(summary) => println!("{summary}\n"),
        Err(failure) => {
            as_it_should_be = false;
            println!("{failure}\n");
        }
    }
    if as_it_should_be { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use synod_sim::Property;

    use super::*;

    #[test]
    fn clients_that_read_and_then_write_are_found() {
        let failure = with_hasty_clients().expect_err("money is made or lost");
        assert_eq!(failure.violation.property, Property::Invariant);
        assert!(failure.to_string().contains("money is conserved"), "{failure}");
    }

    #[test]
    fn a_bank_that_forgets_is_found() {
        let failure = with_forgotten_receipts().expect_err("receipts differ");
        let property = failure.violation.property;
        assert!(matches!(property, Property::Agreement | Property::Linearizable), "{failure}");
    }

    #[test]
    fn a_bank_as_it_should_be_passes() {
        let summary = mended().unwrap_or_else(|failure| panic!("{failure}"));
        assert!(summary.applied > 1_000 && summary.crashes > 20, "{summary}");
    }
}
