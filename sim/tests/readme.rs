//! What the README tells about a state machine of one's own is true: its code is the code here,
//! the simulator finds its mistake, and nothing is found when that is mended.

#[path = "tickets/lib.rs"]
#[expect(unreachable_pub, reason = "it is a library of its own in the README")]
mod tickets;

use synod_sim::Property;
use synod_sim::Simulation;
use tickets::Tickets;

const README: &str = include_str!("../README.md");

/// As in the README, but for its end.
fn simulation() -> Simulation<Tickets> {
    Simulation::new(Tickets::default)
        .operations(|chance| match chance.below(2) {
            0 => b"buy".to_vec(),
            _ => vec![b'-', chance.within(1, 9) as u8],
        })
        .invariant("what was given back was sold", Tickets::check)
        .seeds(0..200)
}

#[test]
fn the_code_is_that_of_the_readme() {
    assert!(README.contains(include_str!("tickets/lib.rs")), "the state machine differs");
    let block = README.split("```rust").find(|block| block.contains("Simulation::new(Tickets"));
    let block = block.and_then(|block| block.split("```").next()).expect("the test");
    let chain = block.lines().skip_while(|line| !line.contains("Simulation::new"));
    let chain: Vec<&str> = chain.take_while(|line| line.starts_with("    ")).collect();
    assert!(chain.len() > 5, "{chain:?}");
    for line in chain.iter().filter(|line| !line.contains(".run()")) {
        assert!(include_str!("readme.rs").contains(line.trim()), "{line}");
    }
}

#[test]
fn the_mistake_is_found() {
    let simulation = simulation();
    let failure = simulation
        .durable(Tickets::save, Tickets::load)
        .check()
        .expect_err("it forgets what was given back");
    let property = failure.violation.property;
    assert!(matches!(property, Property::Agreement | Property::Linearizable), "{failure}");
}

#[test]
fn operations_and_replies_are_shown_as_the_user_wants() {
    let failure = simulation()
        .durable(Tickets::save, Tickets::load)
        .show(|operation| match operation {
            [b'-', number] => format!("gives {number} back"),
            _ => "buys".into(),
        })
        .show_replies(|reply| reply.map_or("in vain".into(), |number| format!("ticket {number}")))
        .check()
        .expect_err("it forgets what was given back");
    let told = failure.to_string();
    assert!(told.contains(": buys") && told.contains(": ticket 1"), "{told}");
    assert!(!told.contains("Some("), "{told}");
    // The picture has what clients did in its story, too.
    let page = failure.picture_file.as_ref().map(std::fs::read_to_string);
    let page = page.expect("a picture").expect("a readable one");
    let story = page.split("\"story\":[").nth(1).and_then(|rest| rest.split("\"events\"").next());
    let story = story.expect("a story in the data");
    assert!(story.contains(": buys") && story.contains("ticket 1"));
}

#[test]
fn nothing_is_found_without_it() {
    // What the log brings back is whole.
    let summary = simulation().seeds(0..40).check().unwrap_or_else(|failure| panic!("{failure}"));
    assert!(summary.applied > 1_000 && summary.crashes > 20, "{summary}");
}
