//! The trace of a run: a hash of everything that happens, always, and every event as data, when
//! somebody wants to look at it.

mod event;
mod text;

use std::collections::BTreeMap;

use synod_core::{MemberIndex, NodeId};

use crate::clock::Moment;

pub use event::{Event, Told, rename};
pub use text::{message, payload, record};

/// What becomes of the events of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lines {
    /// They are not made: only the hash is.
    #[default]
    None,
    /// They are kept.
    Keep,
    /// They are printed at once, a line each, so that nothing is lost when the run panics.
    Print,
}

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    lines: Lines,
    ids: Vec<NodeId>,
    kept: Vec<Event>,
    hash: u64,
    events: u64,
}

impl Trace {
    /// An empty trace of a run of these members.
    #[must_use]
    pub fn new(lines: Lines, ids: &[NodeId]) -> Self {
        Self { lines, ids: ids.to_vec(), kept: Vec::new(), hash: 0, events: 0 }
    }

    /// Something happened at `member`. `word` names it, `detail` tells two of a kind apart, and
    /// `line` is what a person reads.
    pub fn note(
        &mut self,
        now: Moment,
        member: MemberIndex,
        word: &'static str,
        detail: u64,
        line: impl FnOnce() -> String,
    ) {
        self.tell(now, member, word, detail, || Told::from(line()));
    }

    /// As [`Self::note`], with all that is known of what happened.
    pub fn tell(
        &mut self,
        now: Moment,
        member: MemberIndex,
        word: &'static str,
        detail: u64,
        told: impl FnOnce() -> Told,
    ) {
        self.events += 1;
        let word_hash = word.bytes().fold(0, |hash: u64, byte| hash * 31 + u64::from(byte));
        for part in [now.0, u64::from(member.0), word_hash, detail] {
            let mixed = u128::from(self.hash ^ part) * 0xA076_1D64_78BD_642F;
            self.hash = mixed as u64 ^ (mixed >> 64) as u64;
        }
        self.remark(now, member, word, told);
    }

    /// Something to look at that is no event of its own, and not part of the hash: a consequence
    /// of one, such as a link that is cut.
    pub fn remark(
        &mut self,
        at: Moment,
        member: MemberIndex,
        word: &'static str,
        told: impl FnOnce() -> Told,
    ) {
        if self.lines == Lines::None {
            return;
        }
        let mut told = told();
        told.text = rename(&told.text, &self.ids);
        let event = Event { at, member, word, told, hash: self.hash };
        match self.lines {
            Lines::None => {}
            Lines::Keep => self.kept.push(event),
            Lines::Print => println!("{event}"),
        }
    }

    /// Whether anybody will look at the events.
    #[must_use]
    pub const fn is_watched(&self) -> bool {
        matches!(self.lines, Lines::Keep | Lines::Print)
    }

    /// The hash of everything so far.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events were noted.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The events, when they are kept.
    #[must_use]
    pub fn kept(&self) -> &[Event] {
        &self.kept
    }

    /// Takes the events out.
    #[must_use]
    pub fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.kept)
    }
}

/// How often each word occurs.
#[must_use]
pub fn words(events: &[Event]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event.word).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_order_and_detail_apart() {
        let noted = |events: &[(u64, &'static str)]| {
            let mut trace = Trace::new(Lines::None, &[]);
            for (detail, word) in events {
                trace.note(Moment(1), MemberIndex(0), word, *detail, String::new);
            }
            trace.hash()
        };
        let base = noted(&[(1, "send"), (2, "send")]);
        assert_eq!(base, noted(&[(1, "send"), (2, "send")]));
        assert_ne!(base, noted(&[(2, "send"), (1, "send")]));
        assert_ne!(base, noted(&[(1, "send"), (2, "sync")]));
        assert_ne!(base, noted(&[(1, "send")]));
    }
}
