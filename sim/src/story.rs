//! The story of a run that failed: what led to it, in a dozen or two lines of plain words.
//!
//! It is found backwards: from the violation to the turn in which it showed, to the messages and
//! syncs that the turn took in, to the turns that sent them, and so on; and by what the violation
//! names: everything that was proposed, promised or applied in its slots and ballots. Of all that
//! the weightiest events are told, with who led and what failed meanwhile.

mod clues;
mod slice;
mod transcript;
mod wording;

use std::collections::BTreeMap;
use std::fmt;

use synod_core::MemberIndex;

use crate::clock::Moment;
use crate::kinds::MessageKind;
use crate::swarm::Report;
use crate::trace::Event;
use crate::violation::Property;

use slice::Slice;

pub use clues::Clues;
pub use transcript::transcript;

/// The lines of a story.
#[derive(Clone, Debug, Default)]
pub struct Story {
    lines: Vec<Line>,
}

/// A line of a story.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// When.
    pub at: Moment,
    /// Where.
    pub member: MemberIndex,
    /// What.
    pub text: String,
    /// The event that it tells, by its place in the trace.
    pub event: Option<usize>,
    /// Whether it is the violation.
    pub last: bool,
}

/// The story of a run whose trace was kept. One that passed has none.
#[must_use]
pub fn of(report: &Report) -> Story {
    let Some(violation) = &report.violation else { return Story::default() };
    let clues = Clues::of_run(report);
    let slice = Slice::of(&report.events, &clues);
    // What concerns the state machine is about what clients asked for.
    let of_the_machine = [Property::Linearizable, Property::Invariant, Property::Panic];
    let clients = of_the_machine.contains(&violation.property)
        || violation.story.contains("is the state machine deterministic?");
    // One line for each thing said, whoever heard it; the weightiest of them speaks.
    let mut found: BTreeMap<String, (i64, usize)> = BTreeMap::new();
    for (place, event) in report.events.iter().enumerate() {
        let weight = weigh(event, place, report.events.len(), &clues, &slice)
            + i64::from(clients && is_of_client(event)) * CLIENT_WEIGHT;
        let Some(name) = wording::name(event).filter(|_| weight > 0) else { continue };
        let known = found.entry(name).or_insert((weight, place));
        if weight > known.0 {
            *known = (weight, place);
        }
    }
    let mut ranked: Vec<(i64, usize)> = found.into_values().collect();
    ranked.sort_by_key(|(weight, place)| (-weight, *place));
    ranked.truncate(LINES_MAX);
    ranked.sort_by_key(|(_, place)| *place);
    let mut lines: Vec<Line> = Vec::new();
    for (_, place) in ranked {
        let event = &report.events[place];
        let text = wording::tell(&report.events, place);
        if lines.last().is_some_and(|line| line.text == text) {
            continue;
        }
        let (at, member) = (event.at, event.member);
        lines.push(Line { at, member, text, event: Some(place), last: false });
    }
    let member = clues.members.first().copied().unwrap_or(MemberIndex(0));
    let text = format!("{:?}: {}", violation.property, clues.story);
    lines.push(Line { at: report.lasted, member, text, event: None, last: true });
    Story { lines }
}

/// How much an event has to do with the violation; zero for nothing.
fn weigh(event: &Event, place: usize, count: usize, clues: &Clues, slice: &Slice) -> i64 {
    let told = &event.told;
    let in_slots = |(from, end)| clues.slots.iter().any(|slot| (from..end).contains(slot));
    let slot = told.slots.is_some_and(in_slots);
    let ballot = told.ballot.is_some_and(|ballot| clues.ballots.contains(&ballot));
    let member = clues.members.contains(&event.member);
    let depth = slice.depth(place);
    // Of two like things the later one matters more.
    let late = (place * 10 / count.max(1)) as i64;
    let near = depth.map_or(0, |depth| 45 - 6 * i64::from(depth));
    let named = if slot { 30 } else { 0 } + if ballot { 15 } else { 0 };
    let own = match event.word {
        "leader" if told.text.ends_with("itself") => 45 + if ballot { 30 } else { 0 },
        "dies" | "wiped" => 34 + if member { 12 } else { 0 },
        "starts" if event.at > Moment::ZERO => 26 + if member { 12 } else { 0 },
        "fault" => 22,
        "harm" | "misread" | "swaps" | "refuses" => 22 + if member { 12 } else { 0 },
        "flood" | "clock" => 10,
        "fails" => 6 + if member { 10 } else { 0 },
        "eio" | "blames" => 18 + if member { 10 } else { 0 },
        "heals" => 20,
        "pause" if told.until > Some(event.at) => 12,
        "decides" | "applies" if slot => 22,
        "submit" | "outcome" | "rejects" | "gives-up" => match told.request {
            Some(key) if clues.requests.contains(&format!("{key:?}")) => 40,
            Some(_) | None => return 0,
        },
        "write" if near + named > 0 && told.slots.is_some() => 4,
        "sends" => match told.kind {
            Some(MessageKind::Prepare) => 16,
            Some(MessageKind::Promise) => 14,
            Some(MessageKind::Accept | MessageKind::Nack | MessageKind::Learned) => 8,
            Some(MessageKind::Accepted | MessageKind::Notice | MessageKind::Learn) => 2,
            Some(MessageKind::Beat | MessageKind::Forward | MessageKind::Taken) | None => return 0,
        },
        _other => return 0,
    };
    own + near + named + late
}

/// Whether an event is a request that is taken, the reply to it, or that nobody waits for that.
fn is_of_client(event: &Event) -> bool {
    match event.word {
        "submit" | "gives-up" => true,
        "outcome" => event.told.text.contains(" applied in "),
        _other => false,
    }
}

impl Story {
    /// Its lines, in the order of time.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, line) in self.lines.iter().enumerate() {
            let gap = if place == 0 { "" } else { "\n" };
            write!(f, "{gap}{}  {}", line.at, line.text)?;
        }
        Ok(())
    }
}

/// What a client asked for and heard weighs so much, where the state machine is at fault.
const CLIENT_WEIGHT: i64 = 24;

/// More lines than that nobody reads.
const LINES_MAX: usize = 16;
