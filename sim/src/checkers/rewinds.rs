//! Rewinds (R14): a forwarder goes on behind the last request that it handed on. It goes back only
//! when the leader tells it that something is missing, and once for each time that it went back:
//! an answer to what it sent before that says nothing about what it has sent again since. And once
//! it went back it sends what is missing, and does not ask on and on while callers wait for that.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_core::Ballot;
use synod_core::service::ServiceMessage;

use super::history::{Caller, History};
use crate::violation::{Checked, check};

/// How far each caller has handed on its requests.
#[derive(Clone, Debug, Default)]
pub struct Rewinds {
    lines: BTreeMap<Caller, Line>,
}

/// What one caller handed on in one ballot.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    ballot: Ballot,
    /// The number of its last forward.
    number: u64,
    /// The last request handed on, and not told to be missing since.
    last: u64,
    /// The number of its last forward when it was told so.
    rewound_at: u64,
    /// The last request that it was told to be missing.
    missing_to: u64,
    /// The first request that was missing, and had no outcome, when it asked last.
    asked_with: Option<u64>,
}

impl Rewinds {
    /// A run takes in what the owner of `ballot` says: that of the forwards up to `number` it took
    /// the requests up to `last`.
    pub fn on_taken(&mut self, by: Caller, (ballot, number, last): (Ballot, u64, u64)) {
        let Some(line) = self.lines.get_mut(&by).filter(|line| line.ballot == ballot) else {
            return;
        };
        let is_news = line.rewound_at == 0 || number > line.rewound_at;
        if is_news && last < line.last {
            line.missing_to = line.missing_to.max(line.last);
            (line.last, line.rewound_at) = (last, line.number);
        }
    }

    /// A service sends something to another one.
    ///
    /// # Errors
    /// Bounds.
    pub fn on_send(&mut self, history: &History, by: Caller, message: &ServiceMessage) -> Checked {
        let ServiceMessage::Forward { ballot, number, after, requests } = message else {
            return Ok(());
        };
        let line = self.lines.entry(by).or_default();
        if line.ballot != *ballot {
            *line = Line { ballot: *ballot, ..Line::default() };
        }
        check!(
            Bounds,
            *after == line.last,
            "member {} forwards what follows request {after} in {ballot}; what it handed on and \
             was not told to be missing ends with {}",
            by.node.0,
            line.last
        );
        line.number = *number;
        if let Some(last) = last_of(requests) {
            (line.last, line.asked_with) = (last, None);
            return Ok(());
        }
        line.ask(history, by)
    }
}

impl Line {
    /// A forward without requests. What is missing may just have ended, and its client hears of it
    /// later in the turn; so it counts when it is missing the next time, too.
    fn ask(&mut self, history: &History, by: Caller) -> Checked {
        let waits = if self.missing_to > self.last {
            let missing = self.last + 1..=self.missing_to;
            let of_line = history.all().map(|(_, request)| request).filter(|request| {
                request.caller == by && missing.contains(&request.number) && request.heard.is_none()
            });
            of_line.map(|request| request.number).min()
        } else {
            None
        };
        check!(
            Bounds,
            waits.is_none() || waits != self.asked_with,
            "member {} asks again in {}, and does not send what it was told to be missing, request \
             {waits:?}",
            by.node.0,
            self.ballot
        );
        self.asked_with = waits;
        Ok(())
    }
}

/// The number of the last request of a run, as `synod-core` documents its format.
fn last_of(run: &Bytes) -> Option<u64> {
    let word = |at: usize| run.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let base = u64::from(word(BASE_AT)?) | u64::from(word(BASE_AT + 4)?) << 32;
    let (mut at, mut last) = (RUN_HEAD_BYTES, None);
    for _ in 0..word(COUNT_AT)? {
        last = Some(base + u64::from(word(at)?));
        at += REQUEST_HEAD_BYTES + word(at + 4)? as usize;
    }
    last
}

const COUNT_AT: usize = 4;
const BASE_AT: usize = 8;
const RUN_HEAD_BYTES: usize = 16;
const REQUEST_HEAD_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use synod_core::{Boot, Incarnation, MemberIndex, NodeId};

    use super::super::history::{Heard, RequestKey};
    use super::*;
    use crate::violation::Property;

    const A: Caller = Caller { node: MemberIndex(0), incarnation: Incarnation(1), boot: Boot(1) };
    /// A leadership of somebody else.
    const BALLOT: Ballot = Ballot { round: 2, node: NodeId(8) };

    /// A run of the requests `first..=last`, with bodies of different lengths.
    fn run(first: u64, last: u64) -> Bytes {
        let mut run = vec![1, 0, 0, 0];
        run.extend_from_slice(&((last - first + 1) as u32).to_le_bytes());
        run.extend_from_slice(&first.to_le_bytes());
        for offset in 0..=(last - first) as u32 {
            run.extend_from_slice(&offset.to_le_bytes());
            run.extend_from_slice(&offset.to_le_bytes());
            run.extend_from_slice(&vec![7; offset as usize]);
        }
        run.into()
    }

    fn forward(rewinds: &mut Rewinds, number: u64, after: u64, requests: Bytes) -> Checked {
        forward_of(&History::default(), rewinds, number, after, requests)
    }

    fn forward_of(
        history: &History,
        rewinds: &mut Rewinds,
        number: u64,
        after: u64,
        requests: Bytes,
    ) -> Checked {
        let message = ServiceMessage::Forward { ballot: BALLOT, number, after, requests };
        rewinds.on_send(history, A, &message)
    }

    /// Three forwards, of which the leader got the first and the third.
    fn with_a_gap() -> Rewinds {
        let mut rewinds = Rewinds::default();
        for (number, first, last) in [(1, 1, 3), (2, 4, 4), (3, 5, 9)] {
            forward(&mut rewinds, number, first - 1, run(first, last)).expect("in order");
        }
        rewinds.on_taken(A, (BALLOT, 3, 3));
        rewinds
    }

    #[test]
    fn forwards_follow_each_other() {
        let mut rewinds = Rewinds::default();
        forward(&mut rewinds, 1, 0, run(1, 3)).expect("the first");
        forward(&mut rewinds.clone(), 2, 3, Bytes::new()).expect("a question");
        forward(&mut rewinds.clone(), 2, 2, run(3, 4)).expect_err("nobody misses request 3");
        forward(&mut rewinds.clone(), 2, 4, run(5, 5)).expect_err("a gap");
        let broken = forward(&mut rewinds, 2, 0, run(1, 3)).expect_err("all of it again");
        assert_eq!(broken.property, Property::Bounds);
        let later = Ballot { round: 3, ..BALLOT };
        let anew =
            ServiceMessage::Forward { ballot: later, number: 1, after: 0, requests: run(1, 3) };
        let history = History::default();
        rewinds.on_send(&history, A, &anew).expect("another leadership");
        rewinds.on_send(&history, Caller { boot: Boot(2), ..A }, &anew).expect("another run");
    }

    #[test]
    fn what_is_missing_is_sent_again_once() {
        let mut rewinds = with_a_gap();
        forward(&mut rewinds.clone(), 4, 9, run(10, 10)).expect_err("it was told of a gap");
        forward(&mut rewinds, 4, 3, run(4, 9)).expect("what is missing, and all behind it");
        for number in [2, 3] {
            rewinds.on_taken(A, (BALLOT, number, 3));
            forward(&mut rewinds.clone(), 5, 3, run(4, 9))
                .expect_err("that was before it went back");
        }
        rewinds.on_taken(A, (Ballot { round: 1, ..BALLOT }, 4, 3));
        forward(&mut rewinds.clone(), 5, 3, run(4, 9)).expect_err("of another leadership");
        rewinds.on_taken(A, (BALLOT, 4, 9));
        forward(&mut rewinds.clone(), 5, 9, run(10, 10)).expect("all of it was taken");
        rewinds.on_taken(A, (BALLOT, 4, 3));
        forward(&mut rewinds, 5, 3, run(4, 9)).expect("it was lost once more");
    }

    #[test]
    fn what_is_missing_and_still_waited_for_is_not_asked_about_twice() {
        let mut history = History::default();
        let body = |number: u64| Bytes::from(vec![number as u8; 8]);
        (1..=9).for_each(|number| history.on_submit(body(number), A, number));
        let mut rewinds = with_a_gap();
        let ask = |history: &History, rewinds: &mut Rewinds, number| {
            forward_of(history, rewinds, number, 3, Bytes::new())
        };
        ask(&history, &mut rewinds, 4).expect("request 4 may have ended in this turn");
        let broken = ask(&history, &mut rewinds.clone(), 5).expect_err("and has not");
        assert_eq!(broken.property, Property::Bounds);
        let key = RequestKey::of(&body(4));
        history.hear(key, Heard::Unknown).expect("its only outcome");
        ask(&history, &mut rewinds, 5).expect("now request 5 may have ended");
        forward_of(&history, &mut rewinds, 6, 3, run(5, 7)).expect("a part of what is missing");
        rewinds.on_taken(A, (BALLOT, 6, 7));
        forward_of(&history, &mut rewinds, 7, 7, Bytes::new()).expect("requests 8 and 9 are left");
        forward_of(&history, &mut rewinds.clone(), 8, 7, Bytes::new()).expect_err("and stay so");
        forward_of(&history, &mut rewinds, 8, 7, run(8, 9)).expect("all of it");
        for number in 9..12 {
            let asked = forward_of(&history, &mut rewinds, number, 9, Bytes::new());
            asked.expect("nothing is known to be missing");
        }
    }
}
