//! Whether a fault that was drawn found anything to do.

use synod_core::MemberIndex;

use crate::mischief::Cause;
use crate::options::Fault;
use crate::starting::Trouble;
use crate::world::World;

/// What a fault could change, as it was before.
pub(super) struct Before {
    running: Vec<bool>,
    cuts: Vec<bool>,
    doubled: u64,
    trouble: Trouble,
}

impl Before {
    /// Looks before a fault strikes `member`.
    pub(super) fn look(world: &World, member: MemberIndex) -> Self {
        let every = || world.members().flat_map(|from| world.members().map(move |to| (from, to)));
        Self {
            running: world.members().map(|member| world.service(member).is_some()).collect(),
            cuts: every().map(|(from, to)| world.network.is_cut(from, to)).collect(),
            doubled: world.network.counts().doubled,
            trouble: world.node(member).trouble.clone(),
        }
    }

    /// Counts the fault that began meanwhile as one that did not happen, if it changed nothing.
    pub(super) fn compare(&self, fault: Fault, world: &mut World, member: MemberIndex) {
        if self.is_in_vain(fault, world, member) {
            world.gate.in_vain(Cause::Begin(fault));
        }
    }

    /// Whether the fault that began meanwhile changed nothing: the process was down already, the
    /// links cut, nothing there to come again, no place found for damage. What begins later, or
    /// lies in wait for messages, counts as done.
    fn is_in_vain(&self, fault: Fault, world: &World, member: MemberIndex) -> bool {
        let ran = self.running[member.place()];
        let now = Self::look(world, member);
        match fault {
            Fault::Crash | Fault::Pause | Fault::LongPause | Fault::ShutDown => !ran,
            Fault::CrashAll => !self.running.contains(&true),
            Fault::Partition | Fault::OneWay | Fault::Hub | Fault::CutLeader | Fault::Chain => {
                self.cuts == now.cuts
            }
            Fault::Flood => self.doubled == now.doubled,
            // A reader is probed as long as there is one.
            Fault::Misread => !ran && self.trouble == now.trouble,
            Fault::ExchangeDisks
            | Fault::BitRot
            | Fault::LostWrite
            | Fault::StrayWrite
            | Fault::BadSector
            | Fault::LostFile => self.trouble == now.trouble,
            Fault::Flap
            | Fault::Clog
            | Fault::Stall
            | Fault::FailDisk
            | Fault::Clock
            | Fault::Wipe
            | Fault::LoseKind
            | Fault::HoldKind
            | Fault::BadLinks
            | Fault::Swizzle
            | Fault::MinimalQuorum
            | Fault::SlowNode
            | Fault::WildClock
            | Fault::FullDisk
            | Fault::Relay
            | Fault::LeaveBehind
            | Fault::Revive
            | Fault::DeadTail
            // A plot says so itself.
            | Fault::StaleAnswers
            | Fault::Hearsay
            | Fault::RingBehind => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ms;
    use crate::options::Options;
    use crate::trace::Lines;

    #[test]
    fn what_is_done_already_is_in_vain() {
        let (member, other) = (MemberIndex(0), MemberIndex(1));
        let mut world = World::new(Options::draw(1, Some(3), Some(ms(100))), Lines::None);
        while world.service(member).is_none() {
            world.step().expect("it starts");
        }
        let mut vain = |fault: Fault, act: &dyn Fn(&mut World)| {
            let before = Before::look(&world, member);
            act(&mut world);
            before.is_in_vain(fault, &world, member)
        };
        for (fault, act) in [
            (Fault::Crash, &(|world: &mut World| world.kill(member)) as &dyn Fn(&mut World)),
            (Fault::Partition, &|world| world.network.set_cut(member, other, true)),
            (Fault::ExchangeDisks, &|world| world.node_mut(member).trouble.exchanged = true),
        ] {
            assert!(!vain(fault, act), "{fault:?} the first time");
            assert!(vain(fault, act), "{fault:?} once more");
        }
        assert!(vain(Fault::Flood, &|_| {}) && vain(Fault::BitRot, &|_| {}));
        assert!(!vain(Fault::SlowNode, &|_| {}));
    }
}
