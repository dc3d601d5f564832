//! What led to a violation, backwards from turn to turn.

use std::collections::{BTreeMap, VecDeque};

use synod_core::MemberIndex;

use super::Clues;
use crate::clock::Moment;
use crate::kinds::MessageKind;
use crate::trace::Event;

/// How far from the violation each event is that led to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    depths: BTreeMap<usize, u32>,
}

/// Where to find what an event follows from.
struct Causes<'e> {
    events: &'e [Event],
    turns: BTreeMap<(MemberIndex, Moment), Vec<usize>>,
    sends: BTreeMap<u64, usize>,
    /// The writes of each member.
    writes: BTreeMap<MemberIndex, Vec<usize>>,
    /// The promises that each member took in.
    promises: BTreeMap<MemberIndex, Vec<usize>>,
}

/// So many turns back; further back everything follows from everything.
const DEPTH_MAX: u32 = 7;

impl Slice {
    /// Walks back from the last turn of the run, and from the last turns of the members that the
    /// violation names.
    pub(super) fn of(events: &[Event], clues: &Clues) -> Self {
        let causes = Causes::of(events);
        let mut slice = Self::default();
        let mut waiting = VecDeque::new();
        let last = events.last().map(|event| (event.member, event.at));
        let named = clues.members.iter().filter_map(|member| {
            let mut own = events.iter().rev().filter(|event| event.member == *member);
            own.find(|event| INPUTS.contains(&event.word)).map(|event| (*member, event.at))
        });
        for turn in last.into_iter().chain(named) {
            for place in causes.turns.get(&turn).into_iter().flatten() {
                slice.depths.insert(*place, 0);
                waiting.push_back(*place);
            }
        }
        while let Some(place) = waiting.pop_front() {
            let depth = slice.depths[&place];
            if depth == DEPTH_MAX {
                continue;
            }
            for cause in causes.of_event(place) {
                slice.depths.entry(cause).or_insert_with(|| {
                    waiting.push_back(cause);
                    depth + 1
                });
            }
        }
        slice
    }

    /// How many steps before the violation, when this event led to it.
    pub(super) fn depth(&self, place: usize) -> Option<u32> {
        self.depths.get(&place).copied()
    }
}

impl<'e> Causes<'e> {
    fn of(events: &'e [Event]) -> Self {
        let mut causes = Self {
            events,
            turns: BTreeMap::new(),
            sends: BTreeMap::new(),
            writes: BTreeMap::new(),
            promises: BTreeMap::new(),
        };
        for (place, event) in events.iter().enumerate() {
            causes.turns.entry((event.member, event.at)).or_default().push(place);
            match (event.word, event.told.message, event.told.kind) {
                ("sends", Some(number), _) => {
                    causes.sends.insert(number, place);
                }
                ("write", _, _) => causes.writes.entry(event.member).or_default().push(place),
                ("gets", _, Some(MessageKind::Promise)) => {
                    causes.promises.entry(event.member).or_default().push(place);
                }
                _other => {}
            }
        }
        causes
    }

    /// What an event follows from.
    fn of_event(&self, place: usize) -> Vec<usize> {
        let event = &self.events[place];
        let told = &event.told;
        match event.word {
            "gets" | "misses" | "blames" => told
                .message
                .and_then(|number| self.sends.get(&number))
                .copied()
                .into_iter()
                .collect(),
            "synced" => self.before(&self.writes, place, 1, |write| {
                write.told.write.is_some_and(|id| Some(id) <= told.write)
            }),
            "sends" | "write" | "decides" | "applies" | "leader" => {
                let turn = self.turns.get(&(event.member, event.at));
                let inputs =
                    turn.into_iter().flatten().copied().filter(|other| {
                        *other < place && INPUTS.contains(&self.events[*other].word)
                    });
                let mut found: Vec<usize> = inputs.collect();
                if told.kind == Some(MessageKind::Promise) {
                    // A promise reports what was accepted before.
                    found
                        .extend(self.before(&self.writes, place, 2, |write| overlap(write, event)));
                } else if told.kind == Some(MessageKind::Accept) || event.word == "leader" {
                    // A leader proposes what its promises oblige it to.
                    found.extend(self.before(&self.promises, place, 3, |promise| {
                        let sent = promise.told.message.and_then(|n| self.sends.get(&n));
                        sent.is_some_and(|sent| self.events[*sent].told.ballot == told.ballot)
                    }));
                }
                found
            }
            _other => Vec::new(),
        }
    }

    /// The last of a member's events in `all` before `place` that match.
    fn before(
        &self,
        all: &BTreeMap<MemberIndex, Vec<usize>>,
        place: usize,
        most: usize,
        matches: impl Fn(&Event) -> bool,
    ) -> Vec<usize> {
        let own = all.get(&self.events[place].member).map_or(&[][..], Vec::as_slice);
        let end = own.partition_point(|other| *other < place);
        let found = own[..end].iter().rev().take(LOOK_BACK).copied();
        found.filter(|other| matches(&self.events[*other])).take(most).collect()
    }
}

fn overlap(left: &Event, right: &Event) -> bool {
    match (left.told.slots, right.told.slots) {
        (Some((from, end)), Some((other, other_end))) => from < other_end && other < end,
        (None, _) | (_, None) => false,
    }
}

/// What a process takes in.
const INPUTS: [&str; 4] = ["gets", "synced", "starts", "eio"];

/// A write or a promise that matters is not further back.
const LOOK_BACK: usize = 200;
