//! A state machine that writes down what it is told.

use synod_core::service::{At, StateMachine};

#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) lines: Vec<(At, Vec<u8>)>,
    /// Decrees finished, with the number of lines so far.
    pub(crate) decrees: Vec<(At, usize)>,
    /// The decree at hand, between its brackets.
    open: Option<At>,
}

impl Journal {
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        self.lines.iter().map(|(_, line)| text(line)).collect()
    }

    /// How many requests each decree held, empty ones left out.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        let ends = self.decrees.iter().map(|(_, lines)| *lines);
        let starts = std::iter::once(0).chain(ends.clone());
        ends.zip(starts).map(|(end, start)| end - start).filter(|size| *size > 0).collect()
    }
}

impl StateMachine for Journal {
    type Reply = u64;

    fn apply(&mut self, at: At, request: &[u8]) -> u64 {
        assert_eq!(self.open, Some(at), "each request is applied inside the brackets of a decree");
        self.lines.push((at, request.to_vec()));
        self.lines.len() as u64
    }

    fn before_decree(&mut self, at: At) {
        assert_eq!(self.open, None, "decrees do not overlap");
        if let Some((last, _)) = self.decrees.last() {
            assert!(at.slot > last.slot, "slots grow");
            assert!(at.ballot >= last.ballot, "ballots never go back");
        }
        self.open = Some(at);
    }

    fn after_decree(&mut self, at: At) {
        assert_eq!(self.open.take(), Some(at));
        self.decrees.push((at, self.lines.len()));
    }

    fn applied(&self) -> Option<At> {
        self.decrees.last().map(|(at, _)| *at)
    }

    fn digest(&self) -> u64 {
        let bytes = self.lines.iter().flat_map(|(_, line)| line.iter().chain(&[0]));
        bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
        })
    }
}
