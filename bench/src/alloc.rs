//! An allocator that counts: exactly for one thread, nearly so for the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, counting.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// What all threads made, in steps: a counter that all of them touched each time would be what is
/// measured.
static ALL: AtomicU64 = AtomicU64::new(0);
const STEP: u64 = 256;

fn count() {
    // A thread that is being torn down has no counter any more, and nothing left to count.
    let _ = ALLOCATIONS.try_with(|allocations| {
        let made = allocations.get() + 1;
        allocations.set(made);
        if made.is_multiple_of(STEP) {
            ALL.fetch_add(STEP, Ordering::Relaxed);
        }
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing, since
// the counter is a constant-initialised cell without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations of this thread so far.
pub(crate) fn of_this_thread() -> u64 {
    ALLOCATIONS.get()
}

/// The allocations of all threads so far, short of at most a few hundred for each.
pub(crate) fn of_all_threads() -> u64 {
    ALL.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_counted() {
        let before = of_this_thread();
        for _ in 0..STEP {
            drop(std::hint::black_box(Box::new(1_u64)));
        }
        assert_eq!(of_this_thread() - before, STEP);
        assert!(of_all_threads() >= STEP);
    }
}
