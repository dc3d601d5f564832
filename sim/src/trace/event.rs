//! What happened, as data: from it come the transcript, the story and the picture.

use std::fmt;

use bytes::Bytes;
use synod_core::service::ServiceMessage;
use synod_core::wire::Payload;
use synod_core::{Ballot, Body, MemberIndex, Message, NodeId, Proposal, Record, Slot};

use super::text;
use crate::checkers::{Applied, RequestKey};
use crate::clock::Moment;
use crate::kinds::MessageKind;
use crate::network::{Envelope, Fate};

/// Something that happened, as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// Where.
    pub member: MemberIndex,
    /// What, in a word: `sends`, `gets`, `write`, `dies` and so on.
    pub word: &'static str,
    /// The rest.
    pub told: Told,
    /// The hash of everything up to here, this included.
    pub hash: u64,
}

/// What an event is about. Most have a few of these.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// What a person reads behind the word.
    pub text: String,
    /// The number of the message.
    pub message: Option<u64>,
    /// Its kind.
    pub kind: Option<MessageKind>,
    /// The member at the other end.
    pub peer: Option<MemberIndex>,
    /// What became of it.
    pub fate: Option<Fate>,
    /// Whether it came damaged.
    pub harmed: bool,
    /// The ballot that it is about.
    pub ballot: Option<Ballot>,
    /// Slots, end exclusive.
    pub slots: Option<(Slot, Slot)>,
    /// The id of a write.
    pub write: Option<u64>,
    /// The request of a client.
    pub request: Option<RequestKey>,
    /// Until when it lasts.
    pub until: Option<Moment>,
}

impl From<String> for Told {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl Told {
    /// About this ballot.
    #[must_use]
    pub fn ballot(mut self, ballot: Option<Ballot>) -> Self {
        self.ballot = ballot;
        self
    }

    /// About these slots, unless there are none.
    #[must_use]
    pub fn slots(mut self, from: Slot, end: Slot) -> Self {
        self.slots = (from < end).then_some((from, end));
        self
    }

    /// About this write.
    #[must_use]
    pub fn write(mut self, write: u64) -> Self {
        self.write = Some(write);
        self
    }

    /// About this request.
    #[must_use]
    pub fn request(mut self, key: RequestKey) -> Self {
        self.request = Some(key);
        self
    }

    /// Lasts until then.
    #[must_use]
    pub fn until(mut self, until: Moment) -> Self {
        self.until = Some(until);
        self
    }

    /// About the link to this member.
    #[must_use]
    pub fn peer(mut self, peer: MemberIndex) -> Self {
        self.peer = Some(peer);
        self
    }

    /// A message that leaves.
    #[must_use]
    pub fn sent(number: u64, to: MemberIndex, payload: &Payload<'_>, fate: Fate) -> Self {
        let fall = if fate == Fate::Sent { String::new() } else { format!("  ✗ {fate:?}") };
        let (ballot, slots) = about(payload);
        Self {
            text: format!("→ m{} {}  #{number}{fall}", to.0, text::payload(payload)),
            message: Some(number),
            kind: Some(MessageKind::of(payload)),
            peer: Some(to),
            fate: Some(fate),
            ballot,
            slots,
            ..Self::default()
        }
    }

    /// A message that came.
    #[must_use]
    pub fn came(envelope: &Envelope) -> Self {
        let Envelope { number, from, kind, made, .. } = envelope;
        let harm = if made.is_honest() { String::new() } else { format!("  {made}") };
        Self {
            text: format!("← m{} {kind}  #{number}{harm}", from.0),
            message: Some(*number),
            kind: Some(*kind),
            peer: Some(*from),
            harmed: !made.is_honest(),
            ..Self::default()
        }
    }

    /// A record handed to the disk.
    #[must_use]
    pub fn written(id: u64, record: &Record<'_, Bytes>) -> Self {
        let told = Self {
            text: format!("⇒ w{id} {}", text::record(record)),
            write: Some(id),
            ballot: Some(record.promised),
            ..Self::default()
        };
        match &record.body {
            Body::Accepted(run) | Body::Learned(run) => told.run(run),
            Body::Mark | Body::Roster { .. } => told,
        }
    }

    /// A request that the state machine applied, and its reply.
    #[must_use]
    pub fn applied(applied: &Applied, reply: Option<&str>) -> Self {
        let Applied { slot, ballot, key, .. } = applied;
        let reply = reply.map(|reply| format!(": {reply}")).unwrap_or_default();
        Self::from(format!("slot {slot} {key:?} of {ballot}{reply}"))
            .ballot(Some(*ballot))
            .slots(*slot, slot.next())
            .request(*key)
    }

    fn run(self, run: &[Proposal<Bytes>]) -> Self {
        match (run.first(), run.last()) {
            (Some(first), Some(last)) => self.slots(first.slot, last.slot.next()),
            (None, _) | (_, None) => self,
        }
    }
}

/// The ballot and the slots that a message is about.
fn about(payload: &Payload<'_>) -> (Option<Ballot>, Option<(Slot, Slot)>) {
    let span = |run: &[Proposal<Bytes>]| {
        let (first, last) = (run.first()?, run.last()?);
        Some((first.slot, last.slot.next()))
    };
    let message = match payload {
        Payload::Replica(message) => message,
        Payload::Service(ServiceMessage::Forward { ballot, .. }) => return (Some(*ballot), None),
        Payload::Service(ServiceMessage::Taken { ballot, .. }) => return (Some(*ballot), None),
    };
    match message {
        Message::Beat(beat) => (Some(beat.leader).filter(|b| *b > Ballot::default()), None),
        Message::Prepare { ballot, .. } => (Some(*ballot), None),
        Message::Promise { ballot, from, end, .. } => {
            (Some(*ballot), (from < end).then_some((*from, *end)))
        }
        Message::Accept { ballot, proposals, .. } => (Some(*ballot), span(proposals)),
        Message::Accepted { ballot, .. } => (Some(*ballot), None),
        Message::Nack { refused: _, promised } => (Some(*promised), None),
        Message::Learn { .. } => (None, None),
        Message::Learned { proposals, .. } => (None, span(proposals)),
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, member, word, told, .. } = self;
        let line = format!("{at}  m{} {word:<8} {}", member.0, told.text);
        f.write_str(line.trim_end())
    }
}

/// Names nodes by their places: with the ids 10 and 20, `7.20` becomes `7.m1`, and `n10` becomes
/// `m0`.
#[must_use]
pub fn rename(text: &str, ids: &[NodeId]) -> String {
    let place = |digits: &str| {
        let id = digits.parse().ok().map(NodeId).filter(|_| !digits.starts_with('0'));
        ids.iter().position(|known| Some(*known) == id)
    };
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut named = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        named.push_str(&rest[..start]);
        rest = &rest[start..];
        let first = digits(rest);
        let owner = rest[first..].strip_prefix('.').map_or(0, digits);
        let end = if owner > 0 { first + 1 + owner } else { first };
        let before = named.strip_suffix('n').filter(|head| !head.ends_with(char::is_alphanumeric));
        let ballot = (owner > 0).then(|| place(&rest[first + 1..end])).flatten();
        match (ballot, before, place(&rest[..first])) {
            (Some(place), _, _) => {
                named.push_str(&rest[..first]);
                named += &format!(".m{place}");
            }
            (None, Some(head), Some(place)) if owner == 0 => {
                named.truncate(head.len());
                named += &format!("m{place}");
            }
            (None, _, _) => named.push_str(&rest[..end]),
        }
        rest = &rest[end..];
    }
    named + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballots_are_named_by_their_members() {
        let ids = [NodeId(1), NodeId(20), NodeId(9_223_372_036_854_775_811)];
        for (text, named) in [
            ("1a 7.20 from=3", "1a 7.m1 from=3"),
            ("[3=noop@12.9223372036854775811 4=x@0.1]", "[3=noop@12.m2 4=x@0.m0]"),
            ("0..20 of 4, 1.5 and 3.", "0..20 of 4, 1.5 and 3."),
            ("until     12.020 ms", "until     12.020 ms"),
            ("ends in 8.1", "ends in 8.m0"),
            ("Some(n20) met n1 n9 on1 len20", "Some(m1) met m0 n9 on1 len20"),
            ("", ""),
        ] {
            // A time may look like a ballot, but no id begins with 0.
            assert_eq!(rename(text, &ids), named);
        }
    }
}
