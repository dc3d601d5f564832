//! The story of a run that failed: what led to it, in a dozen lines of plain words.

mod clues;

use synod_core::MemberIndex;

use crate::clock::Moment;
use crate::swarm::Report;

pub use clues::Clues;

/// The lines of a story.
#[derive(Clone, Debug, Default)]
pub struct Story {
    lines: Vec<Line>,
}

/// A line of a story.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// When.
    pub at: Moment,
    /// Where.
    pub member: MemberIndex,
    /// What.
    pub text: String,
    /// Whether it is the violation.
    pub last: bool,
}

/// The story of a run whose trace was kept.
#[must_use]
pub fn of(report: &Report) -> Story {
    let mut story = Story::default();
    if let Some(violation) = &report.violation {
        let clues = Clues::of_run(report);
        let member = clues.members.first().copied().unwrap_or(MemberIndex(0));
        let text = format!("{:?}: {}", violation.property, clues.story);
        story.lines.push(Line { at: report.lasted, member, text, last: true });
    }
    story
}

impl Story {
    /// Its lines, in the order of time.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}
