//! Records on a disk, with their content owned, and what a log makes of them.

use synod_core::record::Replay;
use synod_core::{
    Ballot, Body, Boot, Incarnation, NodeId, Proposal, Record, Recovered, Slot, WriteId,
};

use super::Letter;

/// A record with its content owned.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) id: WriteId,
    pub(crate) promised: Ballot,
    pub(crate) decided: Slot,
    body: OwnedBody,
}

#[derive(Clone, Debug)]
enum OwnedBody {
    Mark,
    Accepted(Vec<Proposal<Letter>>),
    Learned(Vec<Proposal<Letter>>),
    Roster(bool, Vec<(NodeId, Incarnation)>),
}

impl Written {
    /// The roster record of a group in which all of `members` have met.
    pub(crate) fn roster(members: Vec<(NodeId, Incarnation)>) -> Self {
        let body = OwnedBody::Roster(true, members);
        Self { id: WriteId(0), promised: Ballot::ZERO, decided: Slot::ZERO, body }
    }

    pub(crate) fn new(id: WriteId, record: &Record<'_, Letter>) -> Self {
        let body = match record.body {
            Body::Mark => OwnedBody::Mark,
            Body::Accepted(run) => OwnedBody::Accepted(run.to_vec()),
            Body::Learned(run) => OwnedBody::Learned(run.to_vec()),
            Body::Roster { votes, members } => OwnedBody::Roster(votes, members.to_vec()),
        };
        Self { id, promised: record.promised, decided: record.decided, body }
    }

    fn record(&self) -> Record<'_, Letter> {
        let body = match &self.body {
            OwnedBody::Mark => Body::Mark,
            OwnedBody::Accepted(run) => Body::Accepted(run),
            OwnedBody::Learned(run) => Body::Learned(run),
            OwnedBody::Roster(votes, members) => Body::Roster { votes: *votes, members },
        };
        Record { promised: self.promised, decided: self.decided, body }
    }
}

/// What a log would give back.
///
/// `retained` is the first slot that the log still holds; a state machine holds what lies below.
pub(crate) fn recover(
    disk: &[Written],
    (incarnation, boot): (Incarnation, Boot),
    retained: Slot,
) -> Recovered<Letter> {
    let mut replay = Replay::new();
    for written in disk {
        replay.push(&written.record());
    }
    let recovered = replay.finish(incarnation, boot, retained).expect("a contiguous log");
    Recovered { applied: retained, ..recovered }
}

/// The decided slots `from..end` as the log has them: the last record wins, a learned one most.
pub(crate) fn read_back(disk: &[Written], from: Slot, end: Slot) -> Vec<Proposal<Letter>> {
    let mut found: Vec<Option<(bool, Proposal<Letter>)>> = vec![None; (end - from) as usize];
    for written in disk {
        let (learned, run) = match &written.body {
            OwnedBody::Accepted(run) => (false, run),
            OwnedBody::Learned(run) => (true, run),
            OwnedBody::Mark | OwnedBody::Roster(..) => continue,
        };
        for proposal in run.iter().filter(|p| p.slot >= from && p.slot < end) {
            let place = &mut found[(proposal.slot - from) as usize];
            if learned || place.as_ref().is_none_or(|(known_learned, _)| !known_learned) {
                *place = Some((learned, proposal.clone()));
            }
        }
    }
    found.into_iter().map(|found| found.expect("decided slots are in the log").1).collect()
}

pub(crate) fn show_record(record: &Record<'_, Letter>) -> String {
    let body = match record.body {
        Body::Mark => "mark".to_string(),
        Body::Accepted(run) => format!("accepted {}", show_run(run)),
        Body::Learned(run) => format!("learned {}", show_run(run)),
        Body::Roster { votes, members } => {
            let met = members.iter().filter(|(_, incarnation)| *incarnation != Incarnation::NONE);
            format!("roster of {} votes={votes}", met.count())
        }
    };
    format!("{body} promised={} decided={}", record.promised, record.decided)
}

fn show_run(run: &[Proposal<Letter>]) -> String {
    let run: Vec<String> = run.iter().map(ToString::to_string).collect();
    format!("[{}]", run.join(" "))
}
