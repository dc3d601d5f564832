//! A history of one key, and whether it is linearizable.
//!
//! The search is the one of Wing and Gong with the memory of Lowe: try each operation that could
//! come next, remember every set of operations done with the state it led to, never go there twice.

use std::collections::HashSet;

/// What an operation does to a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// It read this.
    Get(Option<String>),
    /// It wrote this.
    Set(String),
    /// It wrote this, and what it read before, if that is known.
    GetSet(String, Option<Option<String>>),
}

/// One operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Operation {
    /// When it was sent.
    pub(crate) start: u64,
    /// When its answer came; `u64::MAX` when none came, so that it may take effect at any time
    /// after it was sent, or never.
    pub(crate) end: u64,
    /// What it did.
    pub(crate) deed: Deed,
}

/// Whether the operations can be put into one order that keeps to real time and in which each saw
/// what it says it saw. At most 128 operations.
pub(crate) fn is_linearizable(operations: &[Operation]) -> bool {
    assert!(operations.len() <= 128, "more than the search remembers");
    let finished = |set: u128| {
        // Those without an answer need not have taken effect.
        let open = |(place, op): (usize, &Operation)| op.end != u64::MAX && set & 1 << place == 0;
        !operations.iter().enumerate().any(open)
    };
    let mut seen: HashSet<(u128, Option<&str>)> = HashSet::new();
    let mut stack: Vec<(u128, Option<&str>)> = vec![(0, None)];
    while let Some((set, state)) = stack.pop() {
        if finished(set) {
            return true;
        }
        if !seen.insert((set, state)) {
            continue;
        }
        let left = || operations.iter().enumerate().filter(|(place, _)| set & 1 << place == 0);
        // None that is left may come after one whose answer had come before it was sent.
        let earliest_end = left().map(|(_, op)| op.end).min().unwrap_or(u64::MAX);
        for (place, operation) in left().filter(|(_, op)| op.start <= earliest_end) {
            let next = match &operation.deed {
                Deed::Get(read) if read.as_deref() == state => state,
                Deed::Set(written) => Some(written.as_str()),
                Deed::GetSet(written, read)
                    if read.as_ref().is_none_or(|read| read.as_deref() == state) =>
                {
                    Some(written.as_str())
                }
                Deed::Get(_) | Deed::GetSet(_, _) => continue,
            };
            stack.push((set | 1 << place, next));
        }
    }
    false
}
