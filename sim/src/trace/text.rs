//! Messages and records in a line, terse, for transcripts.

use std::fmt::Write as _;

use bytes::Bytes;
use synod_core::service::ServiceMessage;
use synod_core::wire::Payload;
use synod_core::{Body, Kind, Message, Proposal, Record};

use crate::checkers::DecreeId;

/// A payload in a line.
#[must_use]
pub fn payload(payload: &Payload<'_>) -> String {
    match payload {
        Payload::Replica(message) => self::message(message),
        Payload::Service(ServiceMessage::Forward { ballot, number, after, requests }) => {
            format!("forward {ballot} number={number} after={after} bytes={}", requests.len())
        }
        Payload::Service(ServiceMessage::Taken { ballot, number, last }) => {
            format!("taken {ballot} number={number} last={last}")
        }
    }
}

/// A message in a line.
#[must_use]
pub fn message(message: &Message<'_, Bytes>) -> String {
    match message {
        Message::Beat(beat) => format!(
            "beat leader={} round={} promised={} decided={} hears={:b}",
            beat.leader, beat.round, beat.promised, beat.decided, beat.hears.0
        ),
        Message::Prepare { ballot, from } => format!("1a {ballot} from={from}"),
        Message::Promise { ballot, from, end, limit, decided, retained, proposals } => format!(
            "1b {ballot} {from}..{end} of {limit} decided={decided} retained={retained} {}",
            run(proposals)
        ),
        Message::Accept { ballot, from, proposals, decided } => {
            format!("2a {ballot} from={from} decided={decided} {}", run(proposals))
        }
        Message::Accepted { ballot, end, resend } => {
            format!("2b {ballot} end={end}{}", if *resend { " resend" } else { "" })
        }
        Message::Nack { refused, promised } => format!("nack {refused} promised={promised}"),
        Message::Learn { from } => format!("learn from={from}"),
        Message::Learned { from, proposals, decided } => {
            format!("learned from={from} decided={decided} {}", run(proposals))
        }
    }
}

/// A record in a line.
#[must_use]
pub fn record(record: &Record<'_, Bytes>) -> String {
    let Record { promised, decided, body } = record;
    let body = match body {
        Body::Mark => "mark".into(),
        Body::Accepted(proposals) => format!("accepted {}", run(proposals)),
        Body::Learned(proposals) => format!("learned {}", run(proposals)),
        Body::Roster { votes, members } => {
            let met = members.iter().filter(|(_, disk)| disk.0 > 0).map(|(id, _)| id);
            let met: Vec<String> = met.map(|id| format!("{id:?}")).collect();
            format!("roster votes={votes} met {}", met.join(" "))
        }
    };
    format!("promised={promised} decided={decided} {body}")
}

/// Proposals in a line: `[3=noop@1.2 4=a0b1c2d3@1.2]`.
fn run(proposals: &[Proposal<Bytes>]) -> String {
    let mut line = String::from("[");
    for (place, proposal) in proposals.iter().enumerate() {
        let gap = if place == 0 { "" } else { " " };
        let Proposal { slot, ballot, decree } = proposal;
        let name = match decree {
            Kind::Noop => "noop".into(),
            Kind::App(_) => format!("{:08x}", DecreeId::of(decree).0 >> 32),
        };
        // Writing to a string cannot fail.
        let _ = write!(line, "{gap}{slot}={name}@{ballot}");
    }
    line.push(']');
    line
}
