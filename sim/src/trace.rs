//! The trace of a run: a hash of everything that happens, always, and one line per event, when
//! somebody wants to read it.

use std::fmt::Write as _;

use bytes::Bytes;
use synod_core::service::ServiceMessage;
use synod_core::wire::Payload;
use synod_core::{Body, Kind, MemberIndex, Message, Proposal, Record};

use crate::checkers::DecreeId;
use crate::clock::Moment;

/// What becomes of the lines of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lines {
    /// They are not made: only the hash is.
    #[default]
    None,
    /// They are kept.
    Keep,
    /// They are printed at once, so that nothing is lost when the run panics.
    Print,
}

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    lines: Lines,
    kept: Vec<String>,
    hash: u64,
    events: u64,
}

impl Trace {
    /// An empty trace.
    #[must_use]
    pub const fn new(lines: Lines) -> Self {
        Self { lines, kept: Vec::new(), hash: 0, events: 0 }
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
        self.events += 1;
        let word_hash = word.bytes().fold(0, |hash: u64, byte| hash * 31 + u64::from(byte));
        for part in [now.0, u64::from(member.0), word_hash, detail] {
            let mixed = u128::from(self.hash ^ part) * 0xA076_1D64_78BD_642F;
            self.hash = mixed as u64 ^ (mixed >> 64) as u64;
        }
        let text = || format!("{now} m{} {word:<8} {}", member.0, line());
        match self.lines {
            Lines::None => {}
            Lines::Keep => self.kept.push(text()),
            Lines::Print => println!("{}", text()),
        }
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

    /// The lines, when they are kept.
    #[must_use]
    pub fn kept(&self) -> &[String] {
        &self.kept
    }
}

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
        Body::Roster { votes, members } => format!("roster votes={votes} {members:?}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_order_and_detail_apart() {
        let noted = |events: &[(u64, &'static str)]| {
            let mut trace = Trace::new(Lines::None);
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
