//! The plans that once found a fault: each is a small run, which a test plays for ever.
//!
//! A plan in `tests/plans` begins with its story, in lines that begin with `#`. It was made by
//! `shrink` while the fault was there. It says by name what the fault needs, and so stays closer
//! to what it was than a bare seed does when the draws change.

use std::fs;
use std::path::Path;

use synod_sim::plan::Plan;
use synod_sim::swarm;
use synod_sim::trace::Lines;

#[test]
fn plans_that_once_found_something_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let files = fs::read_dir(&folder).expect("a folder of plans");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    assert!(paths.len() >= 3, "only {} plans", paths.len());
    for path in paths {
        let name = path.display();
        let text = fs::read_to_string(&path).expect("a plan");
        let story = text.lines().take_while(|line| line.starts_with("# ")).count();
        assert!(story > 0, "{name} begins with no story");
        let plan: Plan = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let run = || swarm::run_caught(plan.options(), Lines::None);
        let (first, second) = (run(), run());
        assert_eq!(first.violation, None, "{name}\n{text}");
        assert_eq!(first.hash, second.hash, "{name}");
        // A plan in which nothing happens would pass too.
        assert!(first.chosen.0 > 0 && first.stats.leaders > 0, "{name}: {first}");
    }
}
