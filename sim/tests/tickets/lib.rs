//! A state machine that sells tickets.

use synod_core::service::{At, StateMachine};
use synod_core::{Ballot, NodeId, Slot};

/// Sells tickets with numbers. What was given back is sold again.
#[derive(Default)]
pub struct Tickets {
    sold: u64,
    given_back: Vec<u64>,
    at: Option<At>,
}

impl StateMachine for Tickets {
    /// The number of the ticket sold or taken back.
    type Reply = Option<u64>;

    fn apply(&mut self, _at: At, request: &[u8]) -> Option<u64> {
        match request {
            b"buy" => Some(self.given_back.pop().unwrap_or_else(|| {
                self.sold += 1;
                self.sold
            })),
            [b'-', number] => {
                let number = u64::from(*number);
                let is_out = number > 0 && number <= self.sold;
                if is_out && !self.given_back.contains(&number) {
                    self.given_back.push(number);
                    return Some(number);
                }
                None
            }
            _ => None,
        }
    }

    fn after_decree(&mut self, at: At) {
        self.at = Some(at);
    }

    fn applied(&self) -> Option<At> {
        self.at
    }

    fn digest(&self) -> u64 {
        self.given_back.iter().fold(self.sold, |digest, number| digest * 31 + number)
    }
}

impl Tickets {
    /// What it keeps on its disk: its place in the log and its state, in one piece.
    pub fn save(&self) -> Vec<u8> {
        let At { slot, ballot } = self.at.unwrap_or_default();
        let parts = [slot.0, ballot.round, ballot.node.0, self.sold];
        parts.iter().flat_map(|part| part.to_le_bytes()).collect()
    }

    /// What it makes of that after a crash.
    pub fn load(saved: &[u8]) -> Self {
        let (parts, _) = saved.as_chunks();
        let parts: Vec<u64> = parts.iter().map(|part| u64::from_le_bytes(*part)).collect();
        let ballot = Ballot { round: parts[1], node: NodeId(parts[2]) };
        let at = Some(At { slot: Slot(parts[0]), ballot });
        Self { sold: parts[3], given_back: Vec::new(), at }
    }

    /// Nothing is given back that was not sold.
    pub fn check(&self) -> Result<(), String> {
        match self.given_back.iter().find(|number| **number > self.sold) {
            Some(number) => Err(format!("{number} was given back, and {} sold", self.sold)),
            None => Ok(()),
        }
    }
}
