//! The report of a long sweep, in Markdown: what was run and how fast, what went wrong, and what
//! was put to the test how often.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::shrink::Shrunk;
use crate::sweep::{self, Failure, Goal, Speed, Summary};

/// A kind of failure: the seeds that fail so, and the smallest run of one of them.
#[derive(Clone, Debug)]
pub struct Finding<'s> {
    /// The seeds, the first one leading.
    pub failures: Vec<&'s Failure>,
    /// Its smallest run, when it was shrunk.
    pub shrunk: Option<Shrunk>,
    /// What led to it.
    pub story: String,
    /// Files beside the report: names and what they are.
    pub files: Vec<(String, &'static str)>,
}

/// The failures of a sweep by kind, those of the most seeds first. Failures are of a kind when
/// they break the same property and begin to tell it in the same words.
#[must_use]
pub fn kinds(summary: &Summary) -> Vec<Vec<&Failure>> {
    let mut kinds: BTreeMap<(crate::Property, String), Vec<&Failure>> = BTreeMap::new();
    for failure in &summary.failures {
        let letters = failure.violation.story.chars().filter(|c| !c.is_ascii_digit());
        let key = (failure.violation.property, letters.take(KIND_LETTERS).collect());
        kinds.entry(key).or_default().push(failure);
    }
    let mut kinds: Vec<Vec<&Failure>> = kinds.into_values().collect();
    kinds.sort_by_key(|failures| std::cmp::Reverse(failures.len()));
    kinds
}

/// The report.
#[must_use]
pub fn markdown(
    heading: &str,
    goal: &Goal,
    summary: &Summary,
    speed: &Speed,
    findings: &[Finding<'_>],
) -> String {
    let mut text = format!("# {heading}\n\n");
    let (passed, failed) = (summary.passed, summary.failures.len());
    let from = match goal {
        Goal::Seeds(seeds) => seeds.start,
        Goal::Time { from, .. } => *from,
    };
    let verdict = if failed == 0 { "No seed failed." } else { "**Seeds failed.**" };
    let end = from + summary.seeds();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "{verdict} {passed} passed, {failed} failed: seeds {from}..{end}.\n");
    for (place, finding) in findings.iter().enumerate() {
        finding.tell(place + 1, &mut text);
    }
    text += "## What was run, and how fast\n\n";
    block(&mut text, &format!("{summary}\n{speed}"));
    text += "## Contracts of the core\n\n";
    block(&mut text, &sweep::contracts());
    text += "## Faults, by the state of the cluster\n\n";
    block(&mut text, &summary.coverage.to_string());
    text
}

fn block(text: &mut String, inside: &str) {
    let _ = write!(text, "```text\n{}\n```\n\n", inside.trim_end());
}

impl Finding<'_> {
    fn tell(&self, number: usize, text: &mut String) {
        let Some(first) = self.failures.first() else { return };
        let seeds: Vec<String> =
            self.failures.iter().take(SEEDS_TOLD).map(|one| one.plan.seed.to_string()).collect();
        let more = if self.failures.len() > SEEDS_TOLD { ", ..." } else { "" };
        let _ = writeln!(text, "## Failure {number}: {:?}\n", first.violation.property);
        let _ = writeln!(text, "{} seeds: {}{more}\n", self.failures.len(), seeds.join(", "));
        block(text, &first.violation.to_string());
        if let Some(shrunk) = &self.shrunk {
            text.push_str("Shrunk:\n\n");
            block(text, &shrunk.to_string());
        }
        if !self.story.is_empty() {
            text.push_str("What led to it:\n\n");
            block(text, &self.story);
        }
        for (name, what) in &self.files {
            let _ = writeln!(text, "- [{what}]({name})");
        }
        text.push('\n');
    }
}

/// Enough of a sentence to tell kinds of failures apart.
const KIND_LETTERS: usize = 60;

/// So many seeds of a kind are named.
const SEEDS_TOLD: usize = 12;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::Plan;
    use crate::violation::{Property, Violation};

    fn failure(seed: u64, property: Property, story: &str) -> Failure {
        let plan = Plan::of(seed);
        let options = plan.options();
        Failure { plan, options, violation: Violation::new(property, story) }
    }

    #[test]
    fn failures_are_told_by_kind_and_nothing_is_left_out() {
        let failures = vec![
            failure(3, Property::Order, "member 1 applied slot 4 twice"),
            failure(5, Property::Agreement, "slot 9"),
            failure(8, Property::Order, "member 2 applied slot 17 twice"),
        ];
        let summary = Summary { passed: 7, failures, ..Summary::default() };
        let kinds = kinds(&summary);
        let seeds = |kind: &[&Failure]| kind.iter().map(|one| one.plan.seed).collect::<Vec<_>>();
        assert_eq!(kinds.iter().map(|kind| seeds(kind)).collect::<Vec<_>>(), [vec![3, 8], vec![5]]);
        let findings: Vec<Finding<'_>> = kinds
            .into_iter()
            .map(|failures| Finding {
                failures,
                shrunk: None,
                story: "1.000 ms  m0 dies".into(),
                files: vec![("seed-3.html".into(), "picture")],
            })
            .collect();
        let goal = Goal::Seeds(0..10);
        let speed = summary.speed(Duration::from_secs(2));
        let text = markdown("Report", &goal, &summary, &speed, &findings);
        for part in [
            "7 passed, 3 failed: seeds 0..10",
            "## Failure 1: Order\n\n2 seeds: 3, 8\n",
            "Order: member 1 applied slot 4 twice",
            "[picture](seed-3.html)",
            "m0 dies",
            "## Failure 2: Agreement",
            "R2CursorsDurable",
            "seeds a minute",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(text.matches("```").count() % 2, 0);
    }
}
