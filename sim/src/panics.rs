//! Panics of what is simulated: a broken contract of the core is something to report, not the end
//! of the simulator.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

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
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_says_what_and_where() {
        let said = caught(|| panic!("slot {}", 7)).expect_err("it panics");
        assert!(said.contains("slot 7") && said.contains("panics.rs"), "{said}");
        assert_eq!(caught(|| 3), Ok(3));
        let nested = caught(|| caught(|| panic!("inner")).map_err(|said| said.len()));
        assert!(matches!(nested, Ok(Err(1..))), "{nested:?}");
    }
}
