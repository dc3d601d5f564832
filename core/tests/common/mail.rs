//! Messages under way, with their content owned.

use synod_core::{Ballot, Header, Message, Proposal, Slot};

use super::Letter;

/// A message that waits for delivery.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    /// Who sent it.
    pub(crate) header: Header,
    pub(crate) text: String,
    pub(crate) name: &'static str,
    content: Content,
}

/// A message with its proposals owned.
#[derive(Clone, Debug)]
enum Content {
    Plain(Message<'static, Letter>),
    Promise(Ballot, Slot, Slot, Slot, Slot, Slot, Vec<Proposal<Letter>>),
    Accept(Ballot, Slot, Vec<Proposal<Letter>>, Slot),
    Learned(Slot, Vec<Proposal<Letter>>, Slot),
}

impl Parcel {
    pub(crate) fn new(header: Header, message: &Message<'_, Letter>) -> Self {
        let content = match *message {
            Message::Promise { ballot, from, end, limit, decided, retained, proposals } => {
                let proposals = proposals.to_vec();
                Content::Promise(ballot, from, end, limit, decided, retained, proposals)
            }
            Message::Accept { ballot, from, proposals, decided } => {
                Content::Accept(ballot, from, proposals.to_vec(), decided)
            }
            Message::Learned { from, proposals, decided } => {
                Content::Learned(from, proposals.to_vec(), decided)
            }
            Message::Beat(beat) => Content::Plain(Message::Beat(beat)),
            Message::Prepare { ballot, from } => Content::Plain(Message::Prepare { ballot, from }),
            Message::Accepted { ballot, end, resend } => {
                Content::Plain(Message::Accepted { ballot, end, resend })
            }
            Message::Nack { refused, promised } => {
                Content::Plain(Message::Nack { refused, promised })
            }
            Message::Learn { from } => Content::Plain(Message::Learn { from }),
        };
        Self { header, text: message.to_string(), name: message.name(), content }
    }

    pub(crate) fn with<R>(&self, act: impl FnOnce(Message<'_, Letter>) -> R) -> R {
        match &self.content {
            Content::Plain(message) => act(*message),
            Content::Promise(ballot, from, end, limit, decided, retained, proposals) => {
                act(Message::Promise {
                    ballot: *ballot,
                    from: *from,
                    end: *end,
                    limit: *limit,
                    decided: *decided,
                    retained: *retained,
                    proposals,
                })
            }
            Content::Accept(ballot, from, proposals, decided) => {
                let (ballot, from, decided) = (*ballot, *from, *decided);
                act(Message::Accept { ballot, from, proposals, decided })
            }
            Content::Learned(from, proposals, decided) => {
                act(Message::Learned { from: *from, proposals, decided: *decided })
            }
        }
    }

    pub(crate) fn is_beat(&self) -> bool {
        matches!(self.content, Content::Plain(Message::Beat(_)))
    }
}
