//! Recovery: what the host reported durable is there after a crash, and nothing is there that was
//! never written.

use bytes::Bytes;
use synod_core::{Body, MemberIndex, Record, Recovered, Slot};

use super::images::{DecreeId, Images};
use crate::violation::{Checked, check};

/// Compares what a log gave back with what its disk is known to hold.
///
/// # Errors
/// Recovery.
pub fn check_recovered(
    images: &Images,
    node: MemberIndex,
    recovered: &Recovered<Bytes>,
) -> Checked {
    let image = images.of(node);
    check!(
        Recovery,
        recovered.promised >= image.promised,
        "member {} promised {} durably and came back with {}",
        node.0,
        image.promised,
        recovered.promised
    );
    check!(
        Recovery,
        recovered.votes || !image.votes,
        "member {} had the right to vote durably and came back without it",
        node.0
    );
    check!(
        Recovery,
        recovered.decided >= image.decided,
        "member {} had the mark {} durable and came back with {}",
        node.0,
        image.decided,
        recovered.decided
    );
    check!(
        Recovery,
        recovered.decided <= images.chosen_end(),
        "member {} came back with the mark {}, but only {} slots are chosen",
        node.0,
        recovered.decided,
        images.chosen_end()
    );
    keeps_votes(images, node, recovered)?;
    is_known(images, node, recovered)
}

/// A log is read back as far as it is durably known to hold what was chosen (R5). What lies above
/// may be a decree that a later ballot has replaced, in memory only so far.
///
/// # Errors
/// Recovery.
pub fn check_read(images: &Images, node: MemberIndex, from: Slot, end: Slot) -> Checked {
    let mark = images.of(node).decided;
    check!(
        Recovery,
        from < end && end <= mark,
        "member {} wants to read {from}..{end} from its log, which is marked up to {mark}",
        node.0
    );
    Ok(())
}

/// The mark of a record covers what the record says to be learned. So nothing learned is ever open
/// in a log, and recovery never has to choose between that and something accepted (R5).
///
/// # Errors
/// Recovery.
pub fn check_written(node: MemberIndex, record: &Record<'_, Bytes>) -> Checked {
    let Body::Learned(run) = record.body else { return Ok(()) };
    let end = run.last().map_or(Slot::ZERO, |last| last.slot.next());
    check!(
        Recovery,
        record.decided >= end,
        "member {} writes what it learned, up to {end}, with the mark {}",
        node.0,
        record.decided
    );
    Ok(())
}

/// Every open slot that was durable is there, as it was or better.
fn keeps_votes(images: &Images, node: MemberIndex, recovered: &Recovered<Bytes>) -> Checked {
    let image = images.of(node);
    let found = |slot| recovered.accepted.iter().find(|proposal| proposal.slot == slot);
    for (slot, vote) in image.accepted.range(recovered.decided..) {
        if image.learned.contains_key(slot) {
            continue;
        }
        let kept = found(*slot).is_some_and(|proposal| {
            proposal.ballot > vote.ballot
                || (proposal.ballot == vote.ballot && DecreeId::of(&proposal.decree) == vote.decree)
                || images.chosen(*slot).is_some_and(|c| c.decree == DecreeId::of(&proposal.decree))
        });
        check!(
            Recovery,
            kept,
            "member {} accepted {:?} in slot {slot} durably and came back with {:?}",
            node.0,
            vote,
            found(*slot)
        );
    }
    for (slot, decree) in image.learned.range(recovered.decided..) {
        let kept = found(*slot).is_some_and(|p| DecreeId::of(&p.decree) == *decree);
        check!(
            Recovery,
            kept,
            "member {} learned slot {slot} durably and came back with {:?}",
            node.0,
            found(*slot)
        );
    }
    Ok(())
}

/// Nothing is there that nobody ever wrote.
fn is_known(images: &Images, node: MemberIndex, recovered: &Recovered<Bytes>) -> Checked {
    for proposal in &recovered.accepted {
        let decree = DecreeId::of(&proposal.decree);
        let known = images.votes(proposal.slot).iter().any(|b| b.decree == decree)
            || images.chosen(proposal.slot).is_some_and(|c| c.decree == decree);
        check!(
            Recovery,
            known,
            "member {} came back with slot {} = {:?}, which nobody ever wrote",
            node.0,
            proposal.slot,
            proposal.decree
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use synod_core::{Ballot, Kind, NodeId, Proposal};

    use super::*;

    #[test]
    fn what_is_learned_is_marked_at_once() {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        let run = [4, 5].map(|slot| Proposal { slot: Slot(slot), ballot, decree: Kind::Noop });
        let record = |mark, body| Record { promised: ballot, decided: Slot(mark), body };
        let judge = |mark, body| check_written(MemberIndex(0), &record(mark, body));
        judge(6, Body::Learned(&run)).expect("all of it is marked");
        judge(5, Body::Learned(&run)).expect_err("the last slot is open");
        judge(5, Body::Accepted(&run)).expect("accepted slots are open for a while");
    }
}
