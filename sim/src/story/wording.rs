//! Events in plain words.

use synod_core::MemberIndex;

use crate::clock::Moment;
use crate::kinds::MessageKind;
use crate::network::Fate;
use crate::trace::Event;

/// What makes two events one thing to tell: a message to several members is told once, and so is
/// one that is sent again.
pub(super) fn name(event: &Event) -> Option<String> {
    let Event { at, member, word, told, .. } = event;
    match *word {
        "sends" => Some(format!("{member:?} {} {:?}", said(event), told.kind)),
        "gets" | "misses" | "synced" | "cuts" | "mends" | "clogs" => None,
        "fault" => Some(format!("{at} fault")),
        word => Some(format!("{member:?} {word} {} {at}", told.text)),
    }
}

/// A message without its receiver and number: `2a 3.m0 from=2 decided=1 [2=a@3.m0]`.
pub(super) fn said(event: &Event) -> &str {
    let text = event.told.text.as_str();
    let text = text.strip_prefix("→ ").and_then(|text| text.split_once(' ')).map_or(text, |t| t.1);
    text.split("  #").next().unwrap_or(text)
}

/// An event as a sentence.
pub(super) fn tell(events: &[Event], place: usize) -> String {
    let event = &events[place];
    let (member, text) = (event.member.0, event.told.text.as_str());
    match event.word {
        "sends" => message(events, place),
        "leader" => format!("m{member} leads in {}", text.trim_end_matches(", itself")),
        "dies" => format!("m{member} dies{}", not_durable(events, place)),
        "starts" => {
            let field = |name: &str| text.split(' ').find_map(|word| word.strip_prefix(name));
            let (promised, decided, open) = (field("promised="), field("decided="), field("open="));
            format!(
                "m{member} starts again; its log holds the promise {}, {} slots decided and {} \
                 more accepted",
                promised.unwrap_or("?"),
                decided.unwrap_or("?"),
                open.unwrap_or("?")
            )
        }
        "wiped" => format!("the disk of m{member} is replaced by an empty one"),
        "fails" | "eio" => format!("the disk of m{member} fails"),
        "fault" => format!("fault {text} at m{member}{}", links(events, event)),
        "heals" => "faults and clients end; from here on everything works".to_owned(),
        "pause" => format!("m{member} is stopped {text}"),
        "decides" => format!("m{member} knows that slots {text} are decided"),
        "applies" => format!("m{member} applies {text}"),
        "submit" => asked(member, text),
        "outcome" => format!("m{member} tells {}: {text}", listener(events, place)),
        "gives-up" => {
            let (key, client) = text.split_once(" from ").unwrap_or((text, "a client"));
            format!("{client} waits for {key} at m{member} no more: its outcome is unknown to it")
        }
        "rejects" => format!("m{member} does not take {text}"),
        "write" => format!("m{member} begins to write {}", written(text)),
        "harm" => format!("damage on the disk of m{member}: {text}"),
        "misread" => format!("the disk of m{member} shows other bytes, once"),
        "refuses" => format!("m{member} refuses to start: {text}"),
        "swaps" => format!("m{member} swaps {text}"),
        "flood" => format!("m{member} gets {text} again"),
        "clock" => format!("the clock of m{member} jumps: {text}"),
        "blames" => format!("m{member} refuses a message: {text}"),
        word => format!("m{member} {word} {text}"),
    }
}

/// A request in words: `r8f815eb8 from client 3: buy`.
fn asked(member: u8, text: &str) -> String {
    let told = text.split_once(" from ").and_then(|(key, rest)| {
        let (client, operation) = rest.split_once(": ")?;
        Some(format!("{client} asks m{member}: {operation} ({key})"))
    });
    told.unwrap_or_else(|| format!("m{member} takes {text}"))
}

/// Who submitted the request of an outcome, and whether it still waits for it.
fn listener(events: &[Event], place: usize) -> String {
    let request = events[place].told.request;
    let before = events[..place].iter().filter(|other| other.told.request == request);
    let whose = |other: &Event| {
        let (_, rest) = other.told.text.split_once(" from ")?;
        rest.split_once(": ").map(|(client, _)| client.to_owned())
    };
    let waits = !before.clone().any(|other| other.word == "gives-up");
    let client = before.filter(|other| other.word == "submit").find_map(whose);
    let client = client.unwrap_or_else(|| "the client".to_owned());
    if waits { client } else { format!("{client}, which waits no more") }
}

/// A record in words: `⇒ w4 promised=3.m0 decided=1 accepted [2=a@3.m0]`.
fn written(text: &str) -> String {
    let text = text.trim_start_matches("⇒ ");
    let field = |name: &str| text.split(' ').find_map(|word| word.strip_prefix(name));
    let write = text.split(' ').next().unwrap_or_default();
    if let Some((_, run)) = text.split_once(" accepted ") {
        return format!("that it accepted {run} ({write})");
    }
    if let Some((_, run)) = text.split_once(" learned ") {
        return format!("that {run} was chosen ({write})");
    }
    match (field("promised="), field("decided=")) {
        (Some(promised), Some(decided)) => {
            format!("its promise {promised} and {decided} slots decided ({write})")
        }
        (_, None) | (None, _) => write.to_owned(),
    }
}

fn message(events: &[Event], place: usize) -> String {
    let event = &events[place];
    let (from, text) = (event.member.0, said(event));
    let words: Vec<&str> = text.split(' ').collect();
    let run = text.find('[').map_or("nothing", |at| &text[at..]);
    let run = if run == "[]" { "nothing" } else { run };
    let ballot = words.get(1).copied().unwrap_or_default();
    let field = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let what = match event.told.kind {
        Some(MessageKind::Prepare) => format!("m{from} asks for promises in {ballot} (1a)"),
        Some(MessageKind::Promise) => {
            let span = words.get(2).copied().unwrap_or_default();
            format!("m{from} promises {ballot} and reports {run} for slots {span} (1b)")
        }
        Some(MessageKind::Accept) => format!("m{from} proposes in {ballot} {run} (2a)"),
        Some(MessageKind::Accepted) => {
            let end = field("end=").unwrap_or("?");
            format!("m{from} says that it accepted {ballot} below slot {end} (2b)")
        }
        Some(MessageKind::Nack) => {
            let promised = field("promised=").unwrap_or("?");
            format!("m{from} refuses {ballot}, as it promised {promised} (nack)")
        }
        Some(MessageKind::Learned) => format!("m{from} hands on what was chosen: {run} (learned)"),
        Some(MessageKind::Notice) => {
            let decided = field("decided=").unwrap_or("?");
            format!("m{from} says in {ballot} that slots below {decided} are decided (2a)")
        }
        Some(
            MessageKind::Beat | MessageKind::Learn | MessageKind::Forward | MessageKind::Taken,
        )
        | None => format!("m{from} sends {text}"),
    };
    format!("{what}{}", receivers(events, place))
}

/// What became of a message at each member that it was sent to in that turn.
fn receivers(events: &[Event], place: usize) -> String {
    let event = &events[place];
    let same = |other: &&Event| {
        other.word == "sends" && other.member == event.member && said(other) == said(event)
    };
    let turn = |other: &Event| other.at == event.at;
    let before = events[..place].iter().rev().take_while(|other| turn(other)).filter(same);
    let after = events[place..].iter().take_while(|other| turn(other)).filter(same);
    let mut sent: Vec<&Event> = before.chain(after).collect();
    sent.sort_by_key(|other| other.told.message);
    let fates = sent.iter().map(|other| {
        let to = other.told.peer.unwrap_or(MemberIndex(0)).0;
        format!("m{to} {}", fate(events, place, other))
    });
    format!(" → {}", fates.collect::<Vec<_>>().join(", "))
}

fn fate(events: &[Event], place: usize, sent: &Event) -> String {
    let lost = match sent.told.fate {
        Some(Fate::Sent | Fate::Held) | None => None,
        Some(other) => Some(format!("✗ {}", format!("{other:?}").to_lowercase())),
    };
    let number = sent.told.message;
    let mut ends = events[place..].iter().filter(|other| {
        other.told.message == number && (other.word == "gets" || other.word == "misses")
    });
    match (ends.next(), lost) {
        (Some(end), _) if end.word == "gets" => {
            format!("after {}", brief(end.at.0.saturating_sub(sent.at.0)))
        }
        (Some(_), _) => "✗ down or cut off".to_owned(),
        (None, Some(lost)) => lost,
        (None, None) if sent.told.fate == Some(Fate::Held) => "held back".to_owned(),
        (None, None) => "not yet there".to_owned(),
    }
}

/// A time in words short enough for a sentence.
fn brief(nanos: u64) -> String {
    match nanos {
        0..1_000_000 => format!("{} µs", nanos / 1_000),
        1_000_000..10_000_000 => format!("{}.{} ms", nanos / 1_000_000, nanos / 100_000 % 10),
        _longer => format!("{} ms", nanos / 1_000_000),
    }
}

/// What the disk of a member that dies had not confirmed.
fn not_durable(events: &[Event], place: usize) -> String {
    let event = &events[place];
    let own = events[..place].iter().rev().filter(|other| other.member == event.member);
    let run = own.take_while(|other| other.word != "starts");
    let mut open = Vec::new();
    for other in run {
        match other.word {
            "synced" => break,
            "write" => open.push(written(&other.told.text)),
            _other => {}
        }
    }
    open.reverse();
    match open.as_slice() {
        [] => String::new(),
        [one] => format!(", before its disk confirmed {one}"),
        [.., last] => format!(", before its disk confirmed {last}, and {} before", open.len() - 1),
    }
}

/// The links that a fault cut or clogged.
fn links(events: &[Event], fault: &Event) -> String {
    let at = |other: &&Event| other.at == fault.at && ["cuts", "clogs"].contains(&other.word);
    let near: Vec<String> = events
        .iter()
        .skip_while(|other| other.at < fault.at)
        .take_while(|other| other.at <= fault.at)
        .filter(at)
        .filter_map(|other| Some(format!("m{}→m{}", other.member.0, other.told.peer?.0)))
        .collect();
    let until = |until: Moment| format!(", until {}", until.to_string().trim_start());
    let until = fault.told.until.map(until).unwrap_or_default();
    if near.is_empty() { until } else { format!(": {}{until}", near.join(" ")) }
}
