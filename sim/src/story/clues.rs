//! What a violation names: members, slots, ballots and requests. A checker tells them in a
//! sentence, and whoever looks for causes begins with them.

use synod_core::{Ballot, MemberIndex, NodeId, Slot};

use crate::swarm::Report;
use crate::trace::rename;
use crate::violation::{Property, Violation};

/// What a violation names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Clues {
    /// The sentence, with members and ballots by name: `m1`, `3.m1`.
    pub story: String,
    /// Members, in the order in which they are named.
    pub members: Vec<MemberIndex>,
    /// Slots.
    pub slots: Vec<Slot>,
    /// Ballots.
    pub ballots: Vec<Ballot>,
    /// Requests, by name.
    pub requests: Vec<String>,
}

impl Clues {
    /// What the violation of a run names. What names nobody, as a panic does, is about the member
    /// that did something last.
    #[must_use]
    pub fn of_run(report: &Report) -> Self {
        let Some(violation) = &report.violation else { return Self::default() };
        let mut clues = Self::of(violation, &report.ids);
        let panics = matches!(violation.property, Property::Contract | Property::Panic);
        if clues.members.is_empty() && panics {
            clues.members.extend(report.events.last().map(|event| event.member));
        }
        clues
    }

    /// Reads the sentence of a violation in a run of these members.
    #[must_use]
    pub fn of(violation: &Violation, ids: &[NodeId]) -> Self {
        let mut clues = Self { story: rename(&violation.story, ids), ..Self::default() };
        let words: Vec<&str> = clues
            .story
            .split(|letter: char| !(letter.is_alphanumeric() || letter == '.'))
            .filter(|word| !word.is_empty())
            .collect();
        let mut named = clues.story.clone();
        for (place, word) in words.iter().enumerate() {
            let word = word.trim_matches('.');
            let before = place.checked_sub(1).map_or("", |place| words[place]);
            if let Some(member) = member(before, word, ids.len()) {
                if ["member", "members"].contains(&before) {
                    named = named.replace(&format!("{before} {word}"), &format!("m{word}"));
                }
                push_new(&mut clues.members, member);
            } else if let Some((round, owner)) = word.split_once(".m") {
                let owner = owner.parse::<usize>().ok().and_then(|place| ids.get(place));
                if let (Ok(round), Some(node)) = (round.parse(), owner) {
                    push_new(&mut clues.ballots, Ballot { round, node: *node });
                }
            } else if ["slot", "slots"].contains(&before) {
                let first = word.split("..").next().unwrap_or_default();
                if let Ok(slot) = first.trim_start_matches('s').parse() {
                    push_new(&mut clues.slots, Slot(slot));
                }
            } else if word.len() == 9 && word.starts_with('r') {
                let hex = word[1..].chars().all(|digit| digit.is_ascii_hexdigit());
                if hex {
                    push_new(&mut clues.requests, word.to_owned());
                }
            }
        }
        clues.story = named;
        clues
    }
}

fn member(before: &str, word: &str, count: usize) -> Option<MemberIndex> {
    let number = match before {
        "member" | "members" | "MemberIndex" => word,
        _other => word.strip_prefix('m')?,
    };
    let place = number.parse::<u8>().ok()?;
    (usize::from(place) < count).then_some(MemberIndex(place))
}

fn push_new<T: PartialEq>(all: &mut Vec<T>, one: T) {
    if !all.contains(&one) {
        all.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sentence_names_is_found() {
        let ids = [NodeId(1), NodeId(2), NodeId(30)];
        let story =
            "member 2 says in 7.30 that slot 5 = r00ff11aa, and member 0 slots 3..9 in 4.1.";
        let clues = Clues::of(&Violation::new(Property::Agreement, story), &ids);
        let told = "m2 says in 7.m2 that slot 5 = r00ff11aa, and m0 slots 3..9 in 4.m0.";
        assert_eq!(clues.story, told);
        assert_eq!(clues.members, [MemberIndex(2), MemberIndex(0)]);
        assert_eq!(clues.slots, [Slot(5), Slot(3)]);
        let ballot = |round, node| Ballot { round, node: NodeId(node) };
        assert_eq!(clues.ballots, [ballot(7, 30), ballot(4, 1)]);
        assert_eq!(clues.requests, ["r00ff11aa"]);
        let none = Clues::of(&Violation::new(Property::Contract, "panicked at a.rs:12:5"), &ids);
        assert_eq!((none.members.len(), none.slots.len(), none.ballots.len()), (0, 0, 0));
    }
}
