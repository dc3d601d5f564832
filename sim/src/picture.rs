//! The picture of a run: one HTML file, which needs nothing else, with its space-time diagram.
//!
//! The page is in `picture/`: its frame, its style, and its script, in which `model.js` makes
//! messages, writes and spans of events, `view.js` places them, `draw.js` draws them, and
//! `page.js` is everything around.

mod json;

use std::collections::BTreeMap;

use synod_core::Ballot;

use crate::kinds::MessageKind;
use crate::story::{self, Clues};
use crate::swarm::Report;
use crate::trace::Event;

use json::Json;

/// The picture of a run whose trace was kept. `plan` is told beside it, and what follows `title`
/// in the head of the page.
#[must_use]
pub fn page(title: &str, report: &Report, plan: &str) -> String {
    let script = [MODEL, VIEW, DRAW, PAGE].join("\n");
    let mut page = String::new();
    // In one go: what is filled in is not looked at for more places to fill.
    let mut rest = FRAME;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (place, behind) = behind.split_once("}}").unwrap_or((behind, ""));
        page += before;
        match place {
            "title" => page += &escaped(title),
            "style" => page += STYLE,
            "script" => page += &script,
            "data" => page += &data(title, report, plan),
            other => page += other,
        }
        rest = behind;
    }
    page + rest
}

const FRAME: &str = include_str!("picture/page.html");
const STYLE: &str = include_str!("picture/picture.css");
const MODEL: &str = include_str!("picture/model.js");
const VIEW: &str = include_str!("picture/view.js");
const DRAW: &str = include_str!("picture/draw.js");
const PAGE: &str = include_str!("picture/page.js");

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What the script reads.
fn data(title: &str, report: &Report, plan: &str) -> String {
    let mut words: Vec<&'static str> = Vec::new();
    let mut places = BTreeMap::new();
    for event in &report.events {
        places.entry(event.word).or_insert_with(|| {
            words.push(event.word);
            words.len() - 1
        });
    }
    let mut json = Json::default();
    json.open('{');
    json.key("title").text(title);
    json.key("plan").text(plan);
    json.key("members").number(report.options.nodes as u64);
    json.key("lasted").number(report.lasted.0);
    json.key("words").texts(words.iter().copied());
    let kinds = MessageKind::ALL.map(|kind| kind.to_string());
    json.key("kinds").texts(kinds.iter().map(String::as_str));
    let mut fates: Vec<String> = Vec::new();
    let all = report.events.iter().filter_map(|event| event.told.fate);
    for fate in all.map(|fate| format!("{fate:?}")) {
        if !fates.contains(&fate) {
            fates.push(fate);
        }
    }
    json.key("fates").texts(fates.iter().map(String::as_str));
    json.key("violation");
    match &report.violation {
        None => json.null(),
        Some(violation) => {
            let clues = Clues::of_run(report);
            json.open('{');
            json.key("property").text(&format!("{:?}", violation.property));
            json.key("story").text(&clues.story);
            json.key("member").maybe(clues.members.first().map(|member| u64::from(member.0)));
            json.close('}');
        }
    }
    json.key("story").open('[');
    for line in story::of(report).lines() {
        json.open('{');
        json.key("t").number(line.at.0);
        json.key("m").number(u64::from(line.member.0));
        json.key("text").text(&line.text);
        json.key("event").maybe(line.event.map(|event| event as u64));
        json.key("last").truth(line.last);
        json.close('}');
    }
    json.close(']');
    json.key("events").open('[');
    for event in &report.events {
        let fate = event.told.fate.map(|fate| format!("{fate:?}"));
        let fate = fate.and_then(|fate| fates.iter().position(|known| *known == fate));
        row(&mut json, report, event, places[event.word], fate);
    }
    json.close(']');
    json.close('}');
    json.done()
}

/// An event, in the order of `FIELDS` in `model.js`.
fn row(json: &mut Json, report: &Report, event: &Event, word: usize, fate: Option<usize>) {
    let told = &event.told;
    let kind = told.kind.and_then(|kind| MessageKind::ALL.iter().position(|known| *known == kind));
    let ballot = told.ballot.filter(|ballot| *ballot > Ballot::default());
    json.open('[');
    json.number(event.at.0);
    json.number(u64::from(event.member.0));
    json.number(word as u64);
    json.text(&told.text);
    json.maybe(told.message);
    json.maybe(kind.map(|kind| kind as u64));
    json.maybe(told.peer.map(|peer| u64::from(peer.0)));
    json.maybe(fate.map(|fate| fate as u64));
    json.maybe(told.harmed.then_some(1));
    match ballot {
        Some(ballot) => json.text(&crate::trace::rename(&ballot.to_string(), &report.ids)),
        None => json.null(),
    }
    json.maybe(told.slots.map(|(from, _)| from.0));
    json.maybe(told.slots.map(|(_, end)| end.0));
    json.maybe(told.write);
    match told.request {
        Some(key) => json.text(&format!("{key:?}")),
        None => json.null(),
    }
    json.maybe(told.until.map(|until| until.0));
    json.close_row();
}
