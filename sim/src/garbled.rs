//! Requests that a member garbles before it hands them on: the frame is whole, and what it carries
//! fits no decree. Nothing of it may be taken (F7).

use bytes::{Bytes, BytesMut};
use synod_core::service::ServiceMessage;
use synod_core::wire::Payload;
use synod_core::{Header, MemberIndex, NodeSet, PeerMisbehaved};

use crate::kinds::MessageKind;
use crate::mischief::Cause;
use crate::network::{Envelope, Made};
use crate::prng::Prng;
use crate::violation::{Checked, check};
use crate::world::World;

/// What is wrong with a run of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// The last request comes twice, under the same number.
    Repeated,
    /// The first request has a number above that of the next.
    Ahead,
    /// More requests are announced than follow.
    Missing,
    /// Bytes follow that nothing announces.
    Excess,
    /// The requests are numbered from 0.
    Zero,
    /// The requests are numbered beyond all bounds.
    Beyond,
    /// The format is of another version.
    Version,
}

impl Fault {
    /// All of them, the two first more often: the others hardly pass for requests.
    const ALL: [Self; 9] = [
        Self::Repeated,
        Self::Repeated,
        Self::Ahead,
        Self::Ahead,
        Self::Missing,
        Self::Excess,
        Self::Zero,
        Self::Beyond,
        Self::Version,
    ];

    /// A run with this fault, made of a sound one as `synod-core` documents its format.
    fn garble(self, run: &Bytes) -> Bytes {
        let mut bytes = BytesMut::from(&run[..]);
        let places = requests(run);
        let count = places.len() as u32;
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        match self {
            Self::Repeated => {
                put(COUNT_AT, &(count + 1).to_le_bytes());
                bytes.extend_from_slice(&run[places.last().copied().unwrap_or(run.len())..]);
            }
            Self::Ahead if count > 1 => put(RUN_HEAD_BYTES, &u32::MAX.to_le_bytes()),
            Self::Ahead | Self::Missing => put(COUNT_AT, &(count + 1).to_le_bytes()),
            Self::Excess => bytes.extend_from_slice(&[0]),
            Self::Zero => put(BASE_AT, &0_u64.to_le_bytes()),
            Self::Beyond => put(BASE_AT, &u64::MAX.to_le_bytes()),
            Self::Version => put(0, &[0xFF]),
        }
        bytes.freeze()
    }
}

/// Where each request of a sound run begins.
fn requests(run: &Bytes) -> Vec<usize> {
    let word = |at: usize| {
        let bytes = run.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let mut at = RUN_HEAD_BYTES;
    let count = word(COUNT_AT);
    let places = (0..count).map(|_| {
        let place = at;
        at += REQUEST_HEAD_BYTES + word(at + 4) as usize;
        place
    });
    places.collect()
}

/// The number of requests, and the number that they are counted from.
const COUNT_AT: usize = 4;
const BASE_AT: usize = 8;
const RUN_HEAD_BYTES: usize = 16;
const REQUEST_HEAD_BYTES: usize = 8;

/// Sometimes a run with a fault, of so many bytes at most, and what fault.
fn draw(prng: &mut Prng, (ppm, most): (u32, usize), run: &Bytes) -> Option<(Fault, Bytes)> {
    if run.is_empty() || !prng.chance(ppm) {
        return None;
    }
    let fault = prng.pick(&Fault::ALL);
    let garbled = fault.garble(run);
    (garbled.len() <= most).then_some((fault, garbled))
}

impl World {
    /// Sometimes `member` sends a garbled copy of what it has just handed on.
    pub(crate) fn send_garbled(
        &mut self,
        (member, to): (MemberIndex, NodeSet),
        header: &Header,
        payload: &Payload<'_>,
    ) {
        let Payload::Service(ServiceMessage::Forward { ballot, number, after, requests }) = payload
        else {
            return;
        };
        let (ppm, ballot, number, after) =
            (self.options.network.garble_ppm, *ballot, *number, *after);
        // What no decree could hold would not even be decoded.
        let most = self.options.limits.decree_bytes_max;
        let drawn = draw(&mut self.garble_prng, (ppm, most), requests);
        let Some(receiver) = to.iter().find(|receiver| receiver.place() < self.nodes.len()) else {
            return;
        };
        if !self.gate.strikes(Cause::Garble, drawn.is_some()) {
            return;
        }
        let Some((fault, requests)) = drawn else { return };
        let message = ServiceMessage::Forward { ballot, number, after, requests };
        let payload = Payload::Service(message);
        let way = (member, receiver);
        let what = format_args!("{}: {fault:?}", MessageKind::Forward);
        self.send_made_up(way, (header, &payload), Made::Garbled, ("garbles", what));
    }
}

/// Garbled requests are refused for what they are, unless their sender's run is over, or the
/// receiver looks at nothing any more.
pub(crate) fn is_refused(
    envelope: &Envelope,
    taken: &Result<(), PeerMisbehaved>,
    (is_late, is_stopped): (bool, bool),
) -> Checked {
    let refused = match taken {
        Err(PeerMisbehaved::MalformedRequests(_) | PeerMisbehaved::TooLarge(_)) => true,
        Err(_) => is_late,
        Ok(()) => is_stopped,
    };
    check!(
        Contract,
        refused,
        "{envelope} carries requests that fit no decree, and what is said of it is {taken:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use synod_core::{Boot, NodeId};

    use super::*;
    use crate::violation::Property;

    /// The requests 5 and 7.
    fn run() -> Bytes {
        let mut run = vec![1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
        run.extend_from_slice(b"\0\0\0\0\x03\0\0\0abc");
        run.extend_from_slice(b"\x02\0\0\0\x01\0\0\0x");
        run.into()
    }

    #[test]
    fn every_fault_changes_what_it_says() {
        let sound = run();
        assert_eq!(requests(&sound), [16, 27]);
        for fault in Fault::ALL {
            let garbled = fault.garble(&sound);
            assert_ne!(garbled, sound, "{fault:?}");
            assert!(garbled.len() >= sound.len(), "{fault:?}");
        }
        let repeated = Fault::Repeated.garble(&sound);
        assert_eq!((requests(&repeated).len(), &repeated[36..]), (3, &sound[27..]));
        let ahead = Fault::Ahead.garble(&sound);
        assert_eq!((&ahead[16..20], &ahead[20..]), (&[0xFF; 4][..], &sound[20..]));
    }

    #[test]
    fn requests_are_garbled_as_often_as_asked() {
        let prng = &mut Prng::new(1, "garbling");
        let mut count =
            |limits, run: &Bytes| (0..1_000).filter(|_| draw(prng, limits, run).is_some()).count();
        assert_eq!(count((0, 99), &run()), 0);
        assert_eq!(count((1_000_000, 99), &Bytes::new()), 0, "a question carries none");
        assert!((400..600).contains(&count((500_000, 99), &run())));
        assert_eq!(count((1_000_000, 16), &run()), 0, "there is no room");
    }

    #[test]
    fn whoever_takes_them_is_noticed() {
        let (from, to) = (MemberIndex(0), MemberIndex(1));
        let (kind, made) = (MessageKind::Forward, Made::Garbled);
        let envelope = Envelope { number: 1, from, to, kind, frame: Bytes::new(), made };
        let judge = |taken, late, stopped| is_refused(&envelope, &taken, (late, stopped));
        let node = NodeId(1);
        judge(Err(PeerMisbehaved::MalformedRequests(node)), false, false).expect("refused");
        judge(Err(PeerMisbehaved::TooLarge(node)), false, false).expect("refused");
        let broken = judge(Ok(()), false, false).expect_err("they were taken");
        assert_eq!(broken.property, Property::Contract);
        judge(Ok(()), false, true).expect("nobody looked at them");
        let late = PeerMisbehaved::StaleBoot(node, Boot(1));
        judge(Err(late), true, false).expect("an earlier run");
        judge(Err(late), false, false).expect_err("for no reason");
    }
}
