//! Applications: a state machine and the clients that use it, put into a simulated cluster.
//!
//! The world and the swarm know no types of an application: they see an [`Application`], which
//! makes machines, and a [`Crowd`], which chooses operations and hears what became of them. The
//! [`fleet`] sends them: in sessions of one operation at a time and in bursts, to members that
//! lead or do not, again after a refusal, and not waiting for ever. [`registers`] is the
//! application of the swarm itself.

pub mod fleet;
pub mod recorder;
pub mod registers;

use std::any::Any;
use std::fmt;

use synod_core::MemberIndex;
use synod_core::service::Why;

use crate::checkers::RequestKey;
use crate::machine::Machine;
use crate::options::Options;
use crate::prng::Prng;
use crate::violation::Checked;

/// What every request of the fleet begins with, so that no two are equal. The state machine does
/// not see it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Tag {
    /// The client.
    pub client: u32,
    /// Counts the requests of that client.
    pub serial: u32,
}

/// A state machine and its clients.
pub trait Application {
    /// A fresh machine; a durable one keeps its state over crashes, if its kind can.
    fn machine(&self, durable: bool) -> Machine;

    /// The clients of a run.
    fn crowd(&self, options: &Options) -> Box<dyn Crowd>;
}

/// Who chooses an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chooser {
    /// The client of this number, which has heard what became of its last one.
    Session(usize),
    /// Nobody in particular, who does not wait for anything.
    Passer,
}

/// The clients of a run: they choose operations and hear what became of them.
pub trait Crowd {
    /// How many sessions there are; `None` leaves it to the seed.
    fn sessions(&self) -> Option<usize> {
        None
    }

    /// Whether the machine may also be given a request of no bytes, not even a tag, once.
    fn sends_void(&self) -> bool {
        false
    }

    /// The next operation, if there is one.
    fn choose(&mut self, chooser: Chooser, chance: &mut Prng) -> Option<Vec<u8>>;

    /// An operation is sent.
    fn sent(&mut self, _tag: Tag, _operation: &[u8]) {}

    /// A request has its outcome, whether or not anybody still waits for it.
    fn ended(&mut self, _tag: Tag, _ending: &Ending) {}

    /// What became of the last operation of a session. Called once for each operation chosen.
    fn hear(&mut self, _session: usize, _ending: &Ending) {}

    /// Judges the run when it is over. Adds to the tally what it looked at.
    ///
    /// # Errors
    /// The violation found.
    fn judge(&mut self, _tally: &mut Tally) -> Checked {
        Ok(())
    }
}

/// A reply of any type.
pub trait AnyReply: fmt::Debug {
    /// The reply itself.
    fn whatever(&self) -> &dyn Any;
}

impl<R: fmt::Debug + 'static> AnyReply for R {
    fn whatever(&self) -> &dyn Any {
        self
    }
}

/// What became of a request.
pub enum Ending {
    /// It was applied; this is the reply.
    Applied(Box<dyn AnyReply>),
    /// It was not applied, and will not be.
    Refused(Why),
    /// It may have been applied, or may be later.
    Unknown,
}

/// What a client is told, and by whom.
#[derive(Debug)]
pub struct Answer {
    /// The request.
    pub key: RequestKey,
    /// Where it was submitted.
    pub member: MemberIndex,
    /// Whether the member took it at all.
    pub taken: bool,
    /// What it is told.
    pub ending: Ending,
}

/// What the judges of client histories looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Operations whose reply was compared with that of a fresh machine.
    pub replayed: u64,
    /// Operations with a reply, in histories that were searched for an order.
    pub ended: u64,
    /// Operations in them that nobody knows the outcome of.
    pub open: u64,
    /// Histories that have an order.
    pub ordered: u64,
    /// Histories for which the search gave up.
    pub undecided: u64,
}

impl Tag {
    /// The length of its bytes.
    pub const LEN: usize = 8;

    /// The body of the request: the tag and the operation.
    #[must_use]
    pub fn body(self, operation: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(Self::LEN + operation.len());
        body.extend_from_slice(&self.client.to_le_bytes());
        body.extend_from_slice(&self.serial.to_le_bytes());
        body.extend_from_slice(operation);
        body
    }

    /// The tag of the body of a request, if it has one.
    #[must_use]
    pub fn of(body: &[u8]) -> Option<Self> {
        let (client, rest) = body.split_first_chunk()?;
        let (serial, _operation) = rest.split_first_chunk()?;
        let (client, serial) = (u32::from_le_bytes(*client), u32::from_le_bytes(*serial));
        Some(Self { client, serial })
    }

    /// The operation in the body of a request. A body too short for a tag holds an empty one.
    #[must_use]
    pub fn strip(body: &[u8]) -> &[u8] {
        body.get(Self::LEN..).unwrap_or_default()
    }
}

impl Ending {
    /// The reply, when it is of this type.
    #[must_use]
    pub fn reply<R: 'static>(&self) -> Option<&R> {
        match self {
            Self::Applied(reply) => reply.as_ref().whatever().downcast_ref(),
            Self::Refused(_) | Self::Unknown => None,
        }
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied(reply) => write!(f, "Applied({reply:?})"),
            Self::Refused(why) => write!(f, "Refused({why:?})"),
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}

impl Tally {
    /// Adds the tally of another run.
    pub fn add(&mut self, other: Self) {
        let Self { replayed, ended, open, ordered, undecided } = other;
        self.replayed += replayed;
        self.ended += ended;
        self.open += open;
        self.ordered += ordered;
        self.undecided += undecided;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replayed, ended, open, ordered, undecided } = self;
        writeln!(f, "replies replayed  {replayed:>12}")?;
        write!(
            f,
            "histories         {ordered:>12} have an order, {undecided} undecided; {ended} \
             operations with a reply, {open} without"
        )
    }
}

/// Whose request this is, and what it asks for, in a line of a trace.
#[must_use]
pub fn describe(body: &[u8], machine: &Machine) -> String {
    let whose = match Tag::of(body) {
        Some(Tag { client: fleet::PASSER, serial }) => format!("from passer {serial}"),
        Some(Tag { client, serial: _ }) => format!("from client {client}"),
        None => "from nobody".into(),
    };
    format!("{whose}: {}", machine.show(Tag::strip(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_stripped_and_tells_equal_operations_apart() {
        let one = Tag { client: 1, serial: 2 }.body(b"same");
        let two = Tag { client: 1, serial: 3 }.body(b"same");
        assert_ne!(one, two);
        assert_eq!(Tag::strip(&one), b"same");
        assert_eq!(Tag::strip(&two), b"same");
        assert_eq!(Tag::strip(b"short"), b"");
        assert_eq!(Tag::of(&one), Some(Tag { client: 1, serial: 2 }));
        assert_eq!(Tag::of(b"short"), None);
        let machine = registers::RegisterApp::default().machine(false);
        let told = |body: &[u8]| describe(body, &machine);
        assert_eq!(told(&one), "from client 1: \"same\"");
        let long = Tag { client: fleet::PASSER, serial: 9 }.body(&[0; 40]);
        assert!(told(&long).ends_with("\\x00…\""), "{}", told(&long));
    }
}
