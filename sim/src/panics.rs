//! Panics of what is simulated: a broken contract of the core is something to report, not the end
//! of the simulator.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::violation::{Property, Violation};

/// Calls `run`. When it panics, the panic is not printed: what it said, and where, is the error.
///
/// # Errors
/// What the panic said.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                let story = info.to_string().replace('\n', " ");
                SAID.with(|said| *said.borrow_mut() = story);
            } else {
                before(info);
            }
        }));
    });
    // A run within a run hands its panic to the inner one.
    let outer = CATCHING.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(outer);
    outcome.map_err(|_| SAID.with(|said| said.borrow().clone()))
}

/// Whose panic it was, by where it happened. What the user of the library wrote runs inside the
/// core, and is not to be taken for it.
#[must_use]
pub fn blame(said: &str) -> Violation {
    // Compilers name all files of this workspace from the same folder on.
    let here = file!().replace('\\', "/");
    let root = here.strip_suffix(HERE);
    let file = said.strip_prefix("panicked at ").unwrap_or(said).replace('\\', "/");
    let within = |folder: &str| {
        root.and_then(|root| file.strip_prefix(root)?.strip_prefix(folder)).is_some()
    };
    let file = file.split(':').next().unwrap_or_default();
    if within("core/src/") || within("log/src/") {
        return Violation::new(Property::Contract, said);
    }
    let who = if within("sim/src/") {
        "the simulator"
    } else if ["/rustc/", "/registry/src/"].iter().any(|folder| file.contains(folder)) {
        "a library that the state machine, a client or the core calls"
    } else {
        "the state machine or a client"
    };
    Violation::new(Property::Panic, format!("{who} {said}"))
}

/// This file in its workspace.
const HERE: &str = "sim/src/panics.rs";

/// The hook is of the process, so it is installed once, and asks whose panic it is.
static INSTALLED: Once = Once::new();

thread_local! {
    /// Whether this thread is in a run whose panics are caught.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// What the last caught panic of this thread said.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

#[cfg(test)]
mod tests {
    use synod_core::{MemberIndex, NodeSet};

    use super::*;

    #[test]
    fn a_panic_is_an_error_that_says_what_and_where() {
        let said = caught(|| panic!("slot {}", 7)).expect_err("it panics");
        assert!(said.contains("slot 7") && said.contains("panics.rs"), "{said}");
        assert_eq!(caught(|| 3), Ok(3));
        let nested = caught(|| caught(|| panic!("inner")).map_err(|said| said.len()));
        assert!(matches!(nested, Ok(Err(1..))), "{nested:?}");
    }
    #[test]
    fn the_place_of_a_panic_tells_whose_it_is() {
        let root = file!().strip_suffix(HERE).expect("this file is where it says");
        for (file, property, who) in [
            (format!("{root}core/src/replica/acceptor.rs"), Property::Contract, ""),
            (format!("{root}log/src/read.rs"), Property::Contract, ""),
            (format!("{root}sim/src/world.rs"), Property::Panic, "the simulator "),
            (format!("{root}sim/tests/mine.rs"), Property::Panic, "the state machine or a client "),
            ("/mine/core/src/a.rs".into(), Property::Panic, "the state machine or a client "),
            ("src/core/src/a.rs".into(), Property::Panic, "the state machine or a client "),
            ("/rustc/1f2e/library/alloc/src/a.rs".into(), Property::Panic, "a library that "),
        ] {
            let violation = blame(&format!("panicked at {file}:12:5: core/src/ is wrong"));
            assert_eq!(violation.property, property, "{violation}");
            assert!(violation.story.starts_with(who), "{violation}");
            assert!(violation.story.ends_with(" is wrong"), "{violation}");
        }
        if cfg!(debug_assertions) {
            let none = std::hint::black_box(MemberIndex(200));
            let said = caught(|| NodeSet::of(none)).expect_err("there is no such member");
            assert_eq!(blame(&said).property, Property::Contract, "{said}");
        }
        let said = caught(|| panic!("here")).expect_err("it panics");
        assert!(blame(&said).story.starts_with("the simulator panicked at "), "{said}");
    }
}
