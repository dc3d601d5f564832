//! The tail of a log in memory, for the peers: what is long decided is forgotten, so that nobody
//! is slowed down by memory that only grows.

use std::collections::VecDeque;

/// The last items of a list, by their place in the whole of it.
#[derive(Debug)]
pub(crate) struct Tail<T> {
    /// The place of the first item that is left.
    base: u64,
    items: VecDeque<T>,
    items_max: usize,
}

impl<T: Clone> Tail<T> {
    /// An empty list whose first item will have place `base`. At least half of `items_max` are
    /// kept.
    pub(crate) fn new(base: u64, items_max: usize) -> Self {
        Self { base, items: VecDeque::with_capacity(items_max.min(SHORT)), items_max }
    }

    /// The place behind the last item.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.items.len() as u64
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.items.len() == self.items_max {
            self.items.drain(..self.items_max / 2);
            self.base += self.items_max as u64 / 2;
        }
        self.items.push_back(item);
    }

    pub(crate) fn get(&self, place: u64) -> Option<&T> {
        let offset = usize::try_from(place.checked_sub(self.base)?).ok()?;
        self.items.get(offset)
    }

    /// Copies of the items of `from..end`, as far as there are any.
    pub(crate) fn range(&self, from: u64, end: u64) -> Vec<T> {
        let offset = |place: u64| place.saturating_sub(self.base).min(self.items.len() as u64);
        let (from, end) = (offset(from) as usize, offset(end) as usize);
        self.items.range(from..end.max(from)).cloned().collect()
    }

    /// Drops everything from `end` on.
    pub(crate) fn truncate(&mut self, end: u64) {
        self.items.truncate(end.saturating_sub(self.base) as usize);
    }
}

/// For replicas in step: four times the largest window of any workload.
pub(crate) const SHORT: usize = 1 << 15;
/// For replicas on threads of their own, of which the system may hold one up for a while. Much more
/// would fit no cache of the machine, and each command would pay for cold memory.
pub(crate) const LONG: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_when_the_oldest_are_forgotten() {
        let mut tail = Tail::new(1, SHORT);
        let count = 3 * SHORT as u64;
        for place in 1..=count {
            assert_eq!(tail.end(), place);
            tail.push(place);
        }
        assert_eq!(tail.get(count), Some(&count));
        assert_eq!(tail.get(count + 1), None);
        assert_eq!(tail.get(1), None);
        assert_eq!(tail.range(count - 2, count + 1), [count - 2, count - 1, count]);
        tail.truncate(count - 1);
        assert_eq!(tail.range(count - 2, count + 9), [count - 2]);
    }
}
