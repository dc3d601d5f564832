//! The bytes of the peers' messages that have no format of their own. Commands are not copied when
//! they are read.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use omnipaxos::ballot_leader_election::Ballot;
use omnipaxos::messages::Message;
use omnipaxos::messages::ballot_leader_election::{
    BLEMessage, HeartbeatMsg, HeartbeatReply, HeartbeatRequest,
};
use omnipaxos::messages::sequence_paxos::{
    AcceptDecide, AcceptSync, Accepted, Decide, NotAccepted, PaxosMessage, PaxosMsg, Prepare,
    PrepareReq, Promise,
};
use omnipaxos::util::{LogSync, SequenceNumber};

use crate::core::omnipaxos::Command;

/// Appends a message of omnipaxos.
///
/// # Panics
/// When it is of a kind that a healthy group does not send.
pub(super) fn put_omnipaxos(message: &Message<Command>, out: &mut BytesMut) {
    match message {
        Message::SequencePaxos(PaxosMessage { from, to, msg }) => {
            out.put_u8(*from as u8);
            out.put_u8(*to as u8);
            put_paxos(msg, out);
        }
        Message::BLE(BLEMessage { from, to, msg }) => {
            out.put_u8(*from as u8);
            out.put_u8(*to as u8);
            match msg {
                HeartbeatMsg::Request(HeartbeatRequest { round }) => {
                    out.put_u8(8);
                    out.put_u32_le(*round);
                }
                HeartbeatMsg::Reply(HeartbeatReply { round, ballot, leader, happy }) => {
                    out.put_u8(9);
                    out.put_u32_le(*round);
                    put_ballot(ballot, out);
                    put_ballot(leader, out);
                    out.put_u8(u8::from(*happy));
                }
            }
        }
    }
}

fn put_paxos(message: &PaxosMsg<Command>, out: &mut BytesMut) {
    match message {
        PaxosMsg::AcceptDecide(AcceptDecide { n, seq_num, decided_idx, entries }) => {
            out.put_u8(0);
            put_ballot(n, out);
            put_sequence(*seq_num, out);
            out.put_u64_le(*decided_idx as u64);
            put_commands(entries, out);
        }
        PaxosMsg::Accepted(Accepted { n, accepted_idx }) => {
            out.put_u8(1);
            put_ballot(n, out);
            out.put_u64_le(*accepted_idx as u64);
        }
        PaxosMsg::Decide(Decide { n, seq_num, decided_idx }) => {
            out.put_u8(2);
            put_ballot(n, out);
            put_sequence(*seq_num, out);
            out.put_u64_le(*decided_idx as u64);
        }
        PaxosMsg::PrepareReq(PrepareReq { n }) => {
            out.put_u8(3);
            put_ballot(n, out);
        }
        PaxosMsg::Prepare(Prepare { n, decided_idx, n_accepted, accepted_idx }) => {
            out.put_u8(4);
            put_ballot(n, out);
            out.put_u64_le(*decided_idx as u64);
            put_ballot(n_accepted, out);
            out.put_u64_le(*accepted_idx as u64);
        }
        PaxosMsg::Promise(Promise { n, n_accepted, decided_idx, accepted_idx, log_sync }) => {
            out.put_u8(5);
            put_ballot(n, out);
            put_ballot(n_accepted, out);
            out.put_u64_le(*decided_idx as u64);
            out.put_u64_le(*accepted_idx as u64);
            out.put_u8(u8::from(log_sync.is_some()));
            if let Some(sync) = log_sync {
                put_sync(sync, out);
            }
        }
        PaxosMsg::AcceptSync(AcceptSync { n, seq_num, decided_idx, log_sync }) => {
            out.put_u8(6);
            put_ballot(n, out);
            put_sequence(*seq_num, out);
            out.put_u64_le(*decided_idx as u64);
            put_sync(log_sync, out);
        }
        PaxosMsg::NotAccepted(NotAccepted { n }) => {
            out.put_u8(7);
            put_ballot(n, out);
        }
        PaxosMsg::ProposalForward(_)
        | PaxosMsg::Compaction(_)
        | PaxosMsg::AcceptStopSign(_)
        | PaxosMsg::ForwardStopSign(_) => panic!("a healthy group does not send {message:?}"),
    }
}

/// Reads a message of omnipaxos.
///
/// # Panics
/// When it is none.
pub(super) fn get_omnipaxos(mut frame: Bytes) -> Message<Command> {
    let from = u64::from(frame.get_u8());
    let to = u64::from(frame.get_u8());
    let bytes = &mut frame;
    let msg = match bytes.get_u8() {
        0 => PaxosMsg::AcceptDecide(AcceptDecide {
            n: get_ballot(bytes),
            seq_num: get_sequence(bytes),
            decided_idx: get_place(bytes),
            entries: get_commands(bytes),
        }),
        1 => PaxosMsg::Accepted(Accepted { n: get_ballot(bytes), accepted_idx: get_place(bytes) }),
        2 => PaxosMsg::Decide(Decide {
            n: get_ballot(bytes),
            seq_num: get_sequence(bytes),
            decided_idx: get_place(bytes),
        }),
        3 => PaxosMsg::PrepareReq(PrepareReq { n: get_ballot(bytes) }),
        4 => PaxosMsg::Prepare(Prepare {
            n: get_ballot(bytes),
            decided_idx: get_place(bytes),
            n_accepted: get_ballot(bytes),
            accepted_idx: get_place(bytes),
        }),
        5 => PaxosMsg::Promise(Promise {
            n: get_ballot(bytes),
            n_accepted: get_ballot(bytes),
            decided_idx: get_place(bytes),
            accepted_idx: get_place(bytes),
            log_sync: (bytes.get_u8() == 1).then(|| get_sync(bytes)),
        }),
        6 => PaxosMsg::AcceptSync(AcceptSync {
            n: get_ballot(bytes),
            seq_num: get_sequence(bytes),
            decided_idx: get_place(bytes),
            log_sync: get_sync(bytes),
        }),
        7 => PaxosMsg::NotAccepted(NotAccepted { n: get_ballot(bytes) }),
        8 => {
            let msg = HeartbeatMsg::Request(HeartbeatRequest { round: bytes.get_u32_le() });
            return Message::BLE(BLEMessage { from, to, msg });
        }
        9 => {
            let msg = HeartbeatMsg::Reply(HeartbeatReply {
                round: bytes.get_u32_le(),
                ballot: get_ballot(bytes),
                leader: get_ballot(bytes),
                happy: bytes.get_u8() == 1,
            });
            return Message::BLE(BLEMessage { from, to, msg });
        }
        kind => panic!("{kind} is no kind of message"),
    };
    Message::SequencePaxos(PaxosMessage { from, to, msg })
}

fn put_ballot(ballot: &Ballot, out: &mut BytesMut) {
    let Ballot { config_id, n, priority, pid } = *ballot;
    out.put_u32_le(config_id);
    out.put_u32_le(n);
    out.put_u32_le(priority);
    out.put_u64_le(pid);
}

fn get_ballot(bytes: &mut Bytes) -> Ballot {
    Ballot {
        config_id: bytes.get_u32_le(),
        n: bytes.get_u32_le(),
        priority: bytes.get_u32_le(),
        pid: bytes.get_u64_le(),
    }
}

fn put_sequence(number: SequenceNumber, out: &mut BytesMut) {
    out.put_u64_le(number.session);
    out.put_u64_le(number.counter);
}

fn get_sequence(bytes: &mut Bytes) -> SequenceNumber {
    SequenceNumber { session: bytes.get_u64_le(), counter: bytes.get_u64_le() }
}

fn get_place(bytes: &mut Bytes) -> usize {
    bytes.get_u64_le() as usize
}

fn put_commands(commands: &[Command], out: &mut BytesMut) {
    out.put_u32_le(commands.len() as u32);
    for Command(command) in commands {
        out.put_u32_le(command.len() as u32);
        out.put_slice(command);
    }
}

fn get_commands(bytes: &mut Bytes) -> Vec<Command> {
    let count = bytes.get_u32_le();
    let command = |_| {
        let len = bytes.get_u32_le() as usize;
        Command(bytes.split_to(len))
    };
    (0..count).map(command).collect()
}

fn put_sync(sync: &LogSync<Command>, out: &mut BytesMut) {
    out.put_u64_le(sync.sync_idx as u64);
    put_commands(&sync.suffix, out);
}

fn get_sync(bytes: &mut Bytes) -> LogSync<Command> {
    let sync_idx = get_place(bytes);
    let suffix = get_commands(bytes);
    LogSync { decided_snapshot: None, suffix, sync_idx, stopsign: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        let n = Ballot { config_id: 1, n: 2, priority: 3, pid: 1 };
        let seq_num = SequenceNumber { session: 4, counter: 5 };
        let entries = vec![Command(Bytes::from_static(b"one")), Command(Bytes::new())];
        let sync = LogSync {
            decided_snapshot: None,
            suffix: entries.clone(),
            sync_idx: 9,
            stopsign: None,
        };
        let all = [
            PaxosMsg::AcceptDecide(AcceptDecide { n, seq_num, decided_idx: 6, entries }),
            PaxosMsg::Accepted(Accepted { n, accepted_idx: 7 }),
            PaxosMsg::Decide(Decide { n, seq_num, decided_idx: 8 }),
            PaxosMsg::PrepareReq(PrepareReq { n }),
            PaxosMsg::Prepare(Prepare { n, decided_idx: 1, n_accepted: n, accepted_idx: 2 }),
            PaxosMsg::Promise(Promise {
                n,
                n_accepted: n,
                decided_idx: 1,
                accepted_idx: 2,
                log_sync: Some(sync.clone()),
            }),
            PaxosMsg::AcceptSync(AcceptSync { n, seq_num, decided_idx: 3, log_sync: sync }),
            PaxosMsg::NotAccepted(NotAccepted { n }),
        ];
        let reply = HeartbeatReply { round: 1, ballot: n, leader: n, happy: true };
        let beats =
            [HeartbeatMsg::Request(HeartbeatRequest { round: 7 }), HeartbeatMsg::Reply(reply)];
        let paxos = |msg| Message::SequencePaxos(PaxosMessage { from: 1, to: 2, msg });
        let beat = |msg| Message::BLE(BLEMessage { from: 3, to: 1, msg });
        for message in all.into_iter().map(paxos).chain(beats.into_iter().map(beat)) {
            let mut frame = BytesMut::new();
            put_omnipaxos(&message, &mut frame);
            let read = get_omnipaxos(frame.freeze());
            assert_eq!(format!("{read:?}"), format!("{message:?}"));
        }
    }
}
