//! The transcript of a run: everything that happened, a line each, with arrows. A message to
//! several members is one line.

use std::collections::BTreeSet;

use super::wording::said;
use crate::kinds::MessageKind;
use crate::network::Fate;
use crate::trace::Event;

/// Writes events down; heartbeats only when asked for.
#[must_use]
pub fn transcript(events: &[Event], beats: bool) -> String {
    let mut text = String::new();
    let mut told = BTreeSet::new();
    let shown = |event: &Event| beats || event.told.kind != Some(MessageKind::Beat);
    for (place, event) in events.iter().enumerate().filter(|(_, event)| shown(event)) {
        if told.contains(&place) {
            continue;
        }
        let (at, member) = (event.at, event.member.0);
        let what = match event.word {
            "sends" => sent(events, place, &mut told),
            "gets" => event.told.text.clone(),
            "write" => format!("⇒ disk {}", event.told.text.trim_start_matches("⇒ ")),
            "synced" => format!("⇐ disk {}", event.told.text),
            word => format!("{word} {}", event.told.text),
        };
        text += &format!("{at}  m{member} {}\n", what.trim_end());
    }
    text
}

/// A message to all members that it was sent to in the same turn, with those it does not reach.
fn sent(events: &[Event], place: usize, told: &mut BTreeSet<usize>) -> String {
    let event = &events[place];
    let turn = events[place..].iter().take_while(|other| other.at == event.at).enumerate();
    let same = turn.filter(|(_, other)| {
        other.word == "sends" && other.member == event.member && said(other) == said(event)
    });
    let (mut to, mut lost, mut numbers) = (String::new(), String::new(), String::new());
    for (behind, other) in same {
        let Some(peer) = other.told.peer else { continue };
        // The same once more to the same member is another message.
        if to.split(' ').any(|known| known == format!("m{}", peer.0)) {
            continue;
        }
        told.insert(place + behind);
        to += &format!(" m{}", peer.0);
        numbers += &format!(" #{}", other.told.message.unwrap_or_default());
        if let Some(fate) = other.told.fate.filter(|fate| *fate != Fate::Sent) {
            lost += &format!("  ✗ m{} {fate:?}", peer.0);
        }
    }
    format!("→{to}  {} {numbers}{lost}", said(event))
}
