//! What goes wrong, and when.

use std::io;

/// A kind of operation on a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Making a file.
    Create,
    /// Reading from a file.
    Read,
    /// Writing into a file.
    Write,
    /// Making a file durable.
    Sync,
    /// Cutting a file.
    Truncate,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Making names durable.
    SyncDirectory,
}

/// How an operation goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceFault {
    /// It fails. What it was to change is undefined from then on: any part of it may be on the
    /// disk, all of it may be read back, and no later sync brings it there.
    Error,
    /// There is no space. Nothing is changed.
    Full,
    /// Only so many bytes are read or written, and nothing else is wrong.
    Short(usize),
    /// Nothing is read or written, and nothing is wrong: the call is to be made again.
    Interrupted,
    /// A write is reported done, and the disk keeps its old bytes.
    Lost,
    /// A write is reported done, and lands so many bytes further, where the file has room.
    Misdirected(u64),
}

/// The faults that are planned.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    planned: Vec<(Operation, u64, DeviceFault)>,
    changes: u64,
    power_fails_at: Option<u64>,
}

impl Faults {
    pub(super) fn inject(&mut self, operation: Operation, nth: u64, fault: DeviceFault) {
        self.planned.push((operation, nth, fault));
    }

    pub(super) const fn power_fails_at(&mut self, nth: u64) {
        self.power_fails_at = Some(self.changes + nth);
    }

    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether the power has failed.
    pub(super) const fn is_dead(&self) -> bool {
        matches!(self.power_fails_at, Some(at) if self.changes > at)
    }

    pub(super) fn clear(&mut self) {
        self.planned.clear();
        self.power_fails_at = None;
    }

    /// Counts an operation and says whether it goes wrong.
    pub(super) fn next(&mut self, operation: Operation) -> Option<DeviceFault> {
        if operation != Operation::Read {
            self.changes += 1;
        }
        let mut due = None;
        self.planned.retain_mut(|(planned, left, fault)| {
            if *planned != operation {
                return true;
            }
            if *left == 0 && due.is_none() {
                due = Some(*fault);
                return false;
            }
            *left = left.saturating_sub(1);
            true
        });
        due
    }

    /// Fails when the power went during the operation just counted.
    pub(super) fn finish(&self) -> io::Result<()> {
        if self.is_dead() {
            return Err(io::Error::other("the power is cut"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_operation_of_its_kind_goes_wrong() {
        let mut faults = Faults::default();
        faults.inject(Operation::Sync, 1, DeviceFault::Error);
        assert_eq!(faults.next(Operation::Write), None);
        assert_eq!(faults.next(Operation::Sync), None);
        assert_eq!(faults.next(Operation::Read), None);
        assert_eq!(faults.next(Operation::Sync), Some(DeviceFault::Error));
        assert_eq!(faults.next(Operation::Sync), None);
        assert_eq!(faults.changes(), 4, "reading changes nothing");
    }

    #[test]
    fn the_power_stays_away() {
        let mut faults = Faults::default();
        faults.power_fails_at(1);
        faults.next(Operation::Write);
        assert!(faults.finish().is_ok());
        faults.next(Operation::Write);
        assert!(faults.finish().is_err());
        assert!(faults.is_dead());
        faults.clear();
        assert!(!faults.is_dead());
    }
}
