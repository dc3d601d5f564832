//! Looks at a disk while its process is sound: whether the log on it says what it must say, and
//! whether what is read wrong once is noticed.

use synod_core::MemberIndex;

use crate::atlas;
use crate::checkers::DecreeId;
use crate::prng::Prng;
use crate::starting::Trouble;
use crate::violation::{Property, Violation};
use crate::world::World;

impl World {
    /// Looks at the disk of `member`, if its process and its disk are sound.
    pub(crate) fn audit(&mut self, member: MemberIndex) {
        if !self.may_look(member) {
            return;
        }
        let lag = self.options.limits.writes_in_flight_max;
        let is_quiet = self.checkers.is_quiet(member);
        let device = self.nodes[member.place()].disk.device();
        if let Err(story) = atlas::audit(device, lag, is_quiet) {
            let story = format!("the log of member {}: {story}", member.0);
            self.fail(Violation::new(Property::Recovery, story));
        }
    }

    /// Looks at the disk of `member`, whose log was settled, if its last record was a mark: who
    /// settles a log proves what stands in it, also where that is no more than a promise.
    pub(crate) fn audit_settled(&mut self, member: MemberIndex) {
        let node = &self.nodes[member.place()];
        let is_mark = node.process.as_ref().is_some_and(|process| process.tail_is_mark);
        if !is_mark || !self.may_look(member) {
            return;
        }
        if let Err(story) = atlas::audit_settled(node.disk.device()) {
            let story = format!("the log of member {}: {story}", member.0);
            self.fail(Violation::new(Property::Recovery, story));
        }
    }

    /// A decided slot of `member` is read back while another record of the same length shows in
    /// the place of its own: the reader must notice.
    pub(crate) fn probe_reader(&mut self, member: MemberIndex, prng: &mut Prng) {
        if !self.may_look(member) {
            return;
        }
        let decided = self.checkers.images().of(member).decided;
        let node = &mut self.nodes[member.place()];
        let Some(slot) = atlas::misread_slot(node.disk.device(), decided, prng) else { return };
        node.trouble.misread = true;
        let read = node.disk.read(slot, slot.next());
        self.trace.note(self.now, member, "probes", slot.0, || format!("slot {slot}: {read:?}"));
        let chosen = self.checkers.images().chosen(slot).map(|chosen| chosen.decree);
        let is_right = match &read {
            // The damage, or a fault of the device that was to come anyway.
            Err(_) => true,
            Ok(run) => {
                run.first().map(|p| (p.slot, Some(DecreeId::of(&p.decree)))) == Some((slot, chosen))
            }
        };
        if !is_right {
            let story = format!(
                "member {} reads slot {slot} from another record, and gets {read:?}",
                member.0
            );
            self.fail(Violation::new(Property::Recovery, story));
        }
    }

    /// Whether nothing is known to be wrong with process and disk.
    fn may_look(&self, member: MemberIndex) -> bool {
        let node = &self.nodes[member.place()];
        let is_sound = node.process.as_ref().is_some_and(|process| !process.log_failed);
        is_sound && node.trouble == Trouble::default() && !node.disk.is_failing()
    }
}
