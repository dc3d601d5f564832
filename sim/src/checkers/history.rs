//! The requests of a run: who submitted what where, what became of it. Shared by the checkers
//! that speak of requests.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use synod_core::service::At;
use synod_core::{Ballot, Boot, Incarnation, MemberIndex, Slot};

use super::images::hash;
use crate::violation::{Property, Violation, check};

/// The identity of a request: a hash of its body. Each body is submitted once in a run, because
/// equal values hide bugs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey(pub u64);

impl RequestKey {
    /// The identity of the request with this body.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(hash(body))
    }
}

impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{:08x}", self.0 >> 32)
    }
}

/// A place in the order of all requests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Place {
    /// The slot.
    pub slot: Slot,
    /// How many requests of the slot lie before.
    pub within: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} place {}", self.slot, self.within)
    }
}

/// A state machine applied a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Applied {
    /// In which slot.
    pub slot: Slot,
    /// With which ballot it was delivered.
    pub ballot: Ballot,
    /// What.
    pub key: RequestKey,
    /// A digest of the reply.
    pub reply: u64,
}

/// A state machine applied all of a decree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Which, and as of which leadership.
    pub at: At,
    /// The digest of its state then.
    pub digest: u64,
}

/// What a submit led to, as its client heard it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Applied, with this reply in this slot.
    Applied {
        /// Where.
        slot: Slot,
        /// The reply.
        reply: u64,
    },
    /// It was not and will not be applied.
    Refused,
    /// It may or may not be applied.
    Unknown,
}

/// Whoever took a request: one run of a member on one disk. On a disk that replaced another the
/// runs are counted anew.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Caller {
    /// Where.
    pub node: MemberIndex,
    /// On which disk.
    pub incarnation: Incarnation,
    /// In which run.
    pub boot: Boot,
}

/// One submit.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its body.
    pub body: Bytes,
    /// Who took it.
    pub caller: Caller,
    /// Counts the submits of that run that were taken.
    pub number: u64,
    /// Everything that a client knew to be applied when it was submitted lies at or below.
    pub floor: Option<Place>,
    /// When it was taken, counted in submits and outcomes.
    pub began: u64,
    /// When its client heard of it.
    pub ended: Option<u64>,
    /// What the client heard.
    pub heard: Option<Heard>,
    /// Where it was applied.
    pub applied: Option<(Place, u64)>,
}

/// All submits that were taken, and where the applied ones stand.
#[derive(Clone, Debug, Default)]
pub struct History {
    requests: BTreeMap<RequestKey, Request>,
    known: Option<Place>,
    /// Submits and outcomes so far.
    events: u64,
}

impl History {
    /// The request of `key`.
    #[must_use]
    pub fn get(&self, key: RequestKey) -> Option<&Request> {
        self.requests.get(&key)
    }

    /// The request of `key`, to note something.
    pub fn get_mut(&mut self, key: RequestKey) -> Option<&mut Request> {
        self.requests.get_mut(&key)
    }

    /// The highest place that any client knows to be applied.
    #[must_use]
    pub const fn known(&self) -> Option<Place> {
        self.known
    }

    /// A client heard that the request at `place` was applied.
    pub fn learn(&mut self, place: Place) {
        self.known = self.known.max(Some(place));
    }

    /// The client of `key` hears of it.
    ///
    /// # Errors
    /// Outcomes, when nobody submitted it or when it is heard of twice.
    pub fn hear(&mut self, key: RequestKey, heard: Heard) -> Result<&Request, Violation> {
        self.events += 1;
        let Some(request) = self.requests.get_mut(&key) else {
            let story = format!("an outcome for {key:?}, which no client submitted");
            return Err(Violation::new(Property::Outcomes, story));
        };
        let before = request.heard.replace(heard);
        check!(
            Outcomes,
            before.is_none(),
            "{key:?} has a second outcome {heard:?} after {before:?}"
        );
        request.ended = Some(self.events);
        Ok(request)
    }

    /// A submit was taken.
    pub fn on_submit(&mut self, body: Bytes, caller: Caller, number: u64) {
        self.events += 1;
        let (floor, began) = (self.known, self.events);
        let (ended, heard, applied) = (None, None, None);
        let request = Request { body, caller, number, floor, began, ended, heard, applied };
        self.requests.insert(RequestKey::of(&request.body), request);
    }

    /// All of them, by key.
    pub fn all(&self) -> impl Iterator<Item = (&RequestKey, &Request)> {
        self.requests.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}
