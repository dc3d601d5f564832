//! Torn tails: a disk is slow until several writes are under way, and then the power fails. The
//! first of them is torn and the others are whole, so a start cuts them all off (S62).

use synod_core::MemberIndex;

use super::{End, Nemesis};
use crate::clock::{Moment, nanos};
use crate::world::World;

impl Nemesis {
    /// The disk of `member` stalls, and it is looked how much is under way there.
    pub(super) fn dead_tail(
        &mut self,
        world: &mut World,
        member: MemberIndex,
        ends: &mut Vec<(Moment, End)>,
    ) -> Option<End> {
        world.set_stalled(member, true);
        self.look_for_tail(world, (member, LOOKS_MAX), ends);
        None
    }

    fn look_for_tail(
        &mut self,
        world: &World,
        (member, left): (MemberIndex, u32),
        ends: &mut Vec<(Moment, End)>,
    ) {
        let mean = nanos(world.options.timeouts.heartbeat) / 2;
        let at = world.now().plus(self.tails.exponential(mean).max(1));
        ends.push((at, End::Tear { member, left }));
    }

    /// The power of `member` fails, if several writes are under way.
    pub(super) fn look_at_tail(
        &mut self,
        world: &mut World,
        (member, left): (MemberIndex, u32),
        ends: &mut Vec<(Moment, End)>,
    ) {
        let enough = world.checkers.images().in_flight(member) > 1;
        if !enough && left > 0 {
            return self.look_for_tail(world, (member, left - 1), ends);
        }
        if enough && world.is_whole(member) {
            let torn = world.tear(member);
            let note = || format!("the first of several writes: {torn}");
            world.trace.note(world.now, member, "tears", u64::from(torn), note);
            world.start_at(member, world.now());
        }
        world.set_stalled(member, false);
    }
}

/// How often it is looked whether several writes are under way.
const LOOKS_MAX: u32 = 12;
