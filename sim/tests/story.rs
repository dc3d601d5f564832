//! The transcript and the story of runs: what they say, word for word where it matters.

use synod_sim::plan::Plan;
use synod_sim::swarm;
use synod_sim::trace::Lines;
use synod_sim::{Property, Violation, story};

fn calm() -> Plan {
    let text = "seed 1\nnodes 3\nfaults_for_us 100000\ndelay_us 200\nsync_us 100\nturn_us 0\n\
                withhold loss 0..\nwithhold tail 0..\nwithhold double 0..\nwithhold replay 0..";
    text.parse().expect("a plan")
}

#[test]
fn the_transcript_has_a_line_for_each_thing_said() {
    let report = swarm::run_caught(calm().options(), Lines::Keep);
    assert_eq!(report.violation, None);
    let text = story::transcript(&report.events, false);
    let prepares: Vec<&str> = text.lines().filter(|line| line.contains(" 1a ")).collect();
    let first = prepares.iter().find(|line| line.contains("→")).expect("somebody prepares");
    assert!(first.contains("→ m"), "{first}");
    let receivers = first.split("→").nth(1).expect("an arrow").split("  ").next();
    let receivers = receivers.expect("members").split_whitespace().count();
    assert_eq!(receivers, 2, "one line for both: {first}");
    assert!(text.contains(".m"), "ballots are named by members");
    assert!(text.contains("⇒ disk w1 ") && text.contains("⇐ disk w1"), "{text}");
    assert!(!text.contains(" beat"), "heartbeats were not asked for");
    assert!(story::transcript(&report.events, true).contains(" beat"));
}

#[test]
fn a_story_tells_of_what_the_violation_names() {
    let mut report = swarm::run_caught(calm().options(), Lines::Keep);
    assert!(story::of(&report).lines().is_empty(), "a run that passed has no story");
    let violation =
        Violation::new(Property::Agreement, "member 1 applied another decree in slot 0");
    report.violation = Some(violation);
    let story = story::of(&report);
    let text = story.to_string();
    assert!(text.contains("leads in"), "{text}");
    assert!(text.contains("(2a)") && text.contains("[0="), "nobody proposes in slot 0:\n{text}");
    assert!(text.ends_with("Agreement: m1 applied another decree in slot 0"), "{text}");
    assert!(story.lines().len() <= 17, "{text}");
}
