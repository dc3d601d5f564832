//! The faults that the nemesis begins and ends.

/// A fault of the nemesis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// One process dies and starts again later.
    Crash,
    /// All processes die.
    CrashAll,
    /// One process stops for a while.
    Pause,
    /// Two sides that do not hear each other.
    Partition,
    /// Some directions of some links are cut.
    OneWay,
    /// One link is cut and mended, again and again.
    Flap,
    /// Links are clogged and released in a burst.
    Clog,
    /// A disk stops answering for a while.
    Stall,
    /// A disk fails for good; the node is restarted.
    FailDisk,
    /// A clock jumps forward and changes its rate.
    Clock,
    /// Only one member still reaches all others.
    Hub,
    /// A node is shut down in order, and started again.
    ShutDown,
    /// A disk is replaced by an empty one: that member never votes again by itself (R10).
    Wipe,
    /// All messages of one kind are lost, of one member or of all.
    LoseKind,
    /// All messages of one kind are held, and let go later in their order or in another.
    HoldKind,
    /// Some directions of some links lose much and are slow.
    BadLinks,
    /// Members are clogged one by one, and let go in another order.
    Swizzle,
    /// The leader hears and reaches its clients and too few members.
    CutLeader,
    /// Each member reaches only its neighbours in a chain.
    Chain,
    /// A member gets once more everything that it got lately.
    Flood,
    /// Only a quorum gets any message, and then another quorum.
    MinimalQuorum,
    /// A process takes long for each turn.
    SlowNode,
    /// One process stops for longer than anything else takes.
    LongPause,
    /// A clock stands still, runs at a very different rate, or is set back, for a while.
    WildClock,
    /// There is no room on a disk for a while.
    FullDisk,
    /// A read shows other bytes than the disk has, once.
    Misread,
    /// Two nodes have the disks of each other for a while.
    ExchangeDisks,
    /// Bits of a disk flip, at rest or under a running process.
    BitRot,
    /// A write that was reported durable is not there.
    LostWrite,
    /// A write landed where another one was.
    StrayWrite,
    /// A sector reads as garbage.
    BadSector,
    /// A file of a disk is gone.
    LostFile,
    /// One leader after the other is cut off when its accepts have reached one member.
    Relay,
    /// A few members hear of no proposal for a while, and then one of them comes to lead.
    LeaveBehind,
    /// What one member left behind in two leaderships comes back behind a later one.
    Revive,
    /// A leader hears nobody but old answers, to rounds long past, that come once more.
    StaleAnswers,
    /// A member hears an old leader still, and learns of the next one from a third.
    Hearsay,
    /// One of those who lag by a ring of slots comes to lead, and the other one reports to it.
    RingBehind,
    /// Several writes are cut off by a crash, the first of them torn, and show again later.
    DeadTail,
}

impl Fault {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
    /// All of them, in the order of their weights.
    pub const ALL: [Self; 39] = [
        Self::Crash,
        Self::CrashAll,
        Self::Pause,
        Self::Partition,
        Self::OneWay,
        Self::Flap,
        Self::Clog,
        Self::Stall,
        Self::FailDisk,
        Self::Clock,
        Self::Hub,
        Self::ShutDown,
        Self::Wipe,
        Self::LoseKind,
        Self::HoldKind,
        Self::BadLinks,
        Self::Swizzle,
        Self::CutLeader,
        Self::Chain,
        Self::Flood,
        Self::MinimalQuorum,
        Self::SlowNode,
        Self::LongPause,
        Self::WildClock,
        Self::FullDisk,
        Self::Misread,
        Self::ExchangeDisks,
        Self::BitRot,
        Self::LostWrite,
        Self::StrayWrite,
        Self::BadSector,
        Self::LostFile,
        Self::Relay,
        Self::LeaveBehind,
        Self::Revive,
        Self::StaleAnswers,
        Self::Hearsay,
        Self::RingBehind,
        Self::DeadTail,
    ];
}

impl Fault {
    /// Whether a member loses its disk by it, sooner or later.
    #[must_use]
    pub const fn takes_a_disk(self) -> bool {
        matches!(
            self,
            Self::Wipe
                | Self::BitRot
                | Self::LostWrite
                | Self::StrayWrite
                | Self::BadSector
                | Self::LostFile
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_stands_where_its_weight_is() {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, place, "{fault:?}");
        }
    }
}
