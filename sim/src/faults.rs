//! What can be done to the nodes of a world: they are stopped, killed, harmed and started again.

use synod_core::{ClusterId, GroupId, Incarnation, MemberIndex};
use synod_log::{Identity, Keep};

use crate::atlas::{self, Harm};
use crate::clock::Moment;
use crate::disk::Disk;
use crate::options::Options;
use crate::starting::Trouble;
use crate::trace::Told;
use crate::violation::Checked;
use crate::world::{CLUSTER, GROUP, Happening, World};

impl World {
    /// Stops the process at `member` until `until`.
    pub fn pause(&mut self, member: MemberIndex, until: Moment) {
        self.trace.tell(self.now, member, "pause", until.0, || {
            Told::from(format!("until {until}")).until(until)
        });
        self.nodes[member.place()].paused_until = until;
    }

    /// The process at `member` goes on at once, if it was stopped.
    pub fn resume(&mut self, member: MemberIndex) {
        self.pause(member, self.now);
        if let Some(process) = &mut self.nodes[member.place()].process {
            // The turn that is scheduled may be a long time off.
            process.turn_at = None;
        }
        self.wake(member);
    }

    /// The process at `member` dies. Of what its disk had not synced, any part may be lost.
    pub fn kill(&mut self, member: MemberIndex) {
        if self.end_process(member) {
            self.nodes[member.place()].disk.crash(&mut self.disk_prng);
        }
    }

    /// The power of `member` fails, and the first of several writes is torn. Whether there were
    /// several.
    pub fn tear(&mut self, member: MemberIndex) -> bool {
        self.end_process(member) && self.nodes[member.place()].disk.tear()
    }

    /// The power of `member` fails, and of what its disk had not synced this much is kept.
    pub fn cut_power(&mut self, member: MemberIndex, keep: Keep) {
        if self.end_process(member) {
            self.nodes[member.place()].disk.cut_power(keep);
        }
    }

    /// Whether there was a process.
    fn end_process(&mut self, member: MemberIndex) -> bool {
        self.audit(member);
        let node = &mut self.nodes[member.place()];
        let Some(process) = node.process.take() else { return false };
        node.machine = process.service.machine().reopened();
        node.life += 1;
        node.paused_until = Moment::ZERO;
        node.starved_until = Moment::ZERO;
        node.trouble.misread = false;
        node.kept_back.clear();
        self.stats.crashes += 1;
        let boot = process.header.boot.0;
        self.trace.note(self.now, member, "dies", boot, || format!("in run {boot}"));
        true
    }

    /// The disk of `member` is lost and replaced by an empty one, and the state machine with it.
    pub fn wipe(&mut self, member: MemberIndex) {
        self.kill(member);
        self.trace.note(self.now, member, "wiped", 0, String::new);
        let incarnation = Incarnation(self.disk_prng.bits().max(1));
        let identity = self.identity(member);
        let Options { limits, disk, .. } = &self.options;
        let node = &mut self.nodes[member.place()];
        node.disk = Disk::new(identity, limits, disk, incarnation);
        node.machine = node.machine.fresh();
        node.wiped = true;
        node.trouble = Trouble::default();
        self.checkers.on_wiped(member);
        self.count_loss();
    }

    /// Whether nothing of the disk of `member` was ever lost, so that it has its vote.
    #[must_use]
    pub fn is_whole(&self, member: MemberIndex) -> bool {
        let node = &self.nodes[member.place()];
        !node.wiped && node.trouble.harmed.is_none()
    }

    /// Whether the disk of `member` may be lost: the group has formed, and enough whole members
    /// are left for every quorum. Where the options go over the limit one whole member is enough,
    /// which remembers the others: then nothing is promised but that no answer is wrong.
    pub(crate) fn may_lose_disk(&self, member: MemberIndex) -> bool {
        let node = &self.nodes[member.place()];
        if node.trouble != Trouble::default() {
            return false;
        }
        let left = self.whole_members() - usize::from(self.is_whole(member));
        let limit = if self.options.over_the_limit { 1 } else { self.options.quorums.both() };
        self.has_formed() && left >= limit
    }

    fn whole_members(&self) -> usize {
        self.members().filter(|member| self.is_whole(*member)).count()
    }

    /// A disk was lost or damaged: perhaps one too many, where that may be.
    fn count_loss(&mut self) {
        let enough = self.whole_members() >= self.options.quorums.both();
        self.is_beyond |= self.options.over_the_limit && !enough;
    }

    /// The disk of `member` is damaged at rest. `false` when there was nothing to damage.
    pub fn harm(&mut self, member: MemberIndex, harm: Harm) -> bool {
        let sector = self.options.disk.sector_bytes as u64;
        let node = &mut self.nodes[member.place()];
        let harmed = harm.strike(node.disk.device(), sector, &mut self.quirk_prng);
        let Some(harmed) = harmed else { return false };
        self.trace.note(self.now, member, "harm", harm as u64, || format!("{harmed:?}"));
        node.trouble.harmed = Some(harmed);
        self.count_loss();
        true
    }

    /// The next read of some durable record of `member` shows other bytes, once.
    pub fn misread(&mut self, member: MemberIndex) {
        let node = &mut self.nodes[member.place()];
        if node.trouble == Trouble::default() {
            node.trouble.misread = atlas::misread(node.disk.device(), &mut self.quirk_prng);
            let done = u64::from(node.trouble.misread);
            self.trace.note(self.now, member, "misread", done, String::new);
        }
    }

    /// Two members that are down get the disks of each other, or their own back.
    pub fn exchange_disks(&mut self, one: MemberIndex, other: MemberIndex) {
        let (low, high) = (one.place().min(other.place()), one.place().max(other.place()));
        let (before, from) = self.nodes.split_at_mut(high);
        let (low, high) = (&mut before[low], &mut from[0]);
        low.disk.exchange(&mut high.disk);
        low.trouble.exchanged = !low.trouble.exchanged;
        high.trouble.exchanged = !high.trouble.exchanged;
        self.trace.note(self.now, one, "swaps", u64::from(other.0), || {
            format!("disks with m{}", other.0)
        });
    }

    /// There is no room on the disk of `member` for another segment, or there is again.
    pub fn fill_disk(&mut self, member: MemberIndex, full: bool) {
        let word = if full { "full" } else { "room" };
        self.trace.note(self.now, member, word, 0, String::new);
        self.nodes[member.place()].disk.set_full(full);
    }

    /// The process at `member` dies right behind the `nth` of its coming actions, from 0, and its
    /// power fails: of what was not synced this much is kept. It is not started again.
    pub fn die_behind(&mut self, member: MemberIndex, nth: u64, keep: Keep) {
        let node = &mut self.nodes[member.place()];
        node.dies_behind = Some((node.actions + nth + 1, keep));
    }

    /// Counts an action, and says whether it was the last one.
    pub(crate) fn is_doomed(&mut self, member: MemberIndex) -> bool {
        let node = &mut self.nodes[member.place()];
        node.actions += 1;
        node.dies_behind.is_some_and(|(action, _)| node.actions == action)
    }

    pub(crate) fn meet_doom(&mut self, member: MemberIndex) {
        if let Some((_, keep)) = self.nodes[member.place()].dies_behind.take() {
            self.cut_power(member, keep);
        }
    }

    /// Whoever runs `member` starts it again some time after its process could not go on.
    pub(crate) fn restart_later(&mut self, member: MemberIndex) {
        let later = self.quirk_prng.exponential(self.options.nemesis.lasts_nanos);
        let life = self.nodes[member.place()].life;
        self.schedule(self.now.plus(later), Happening::Restart { member, life });
    }

    pub(crate) fn restart(&mut self, member: MemberIndex, life: u32) -> Checked {
        if self.nodes[member.place()].life != life {
            return Ok(());
        }
        self.kill(member);
        self.start(member)
    }

    /// Whether every member has, or had before it was wiped, its vote.
    #[must_use]
    pub fn has_formed(&self) -> bool {
        let images = self.checkers.images();
        self.members().all(|member| images.of(member).votes || self.node(member).wiped)
    }

    fn identity(&self, member: MemberIndex) -> Identity {
        Identity {
            cluster: ClusterId(CLUSTER),
            group: GroupId(GROUP),
            epoch: self.configuration.epoch(),
            node: self.nodes[member.place()].id,
        }
    }

    /// Schedules the start of `member` at `at`; nothing happens when it is up then.
    pub fn start_at(&mut self, member: MemberIndex, at: Moment) {
        self.schedule(at, Happening::Start { member });
    }

    /// Keeps the completions of a disk back, or gives them out.
    pub fn set_stalled(&mut self, member: MemberIndex, stalled: bool) {
        let word = if stalled { "stall" } else { "flow" };
        self.trace.note(self.now, member, word, 0, String::new);
        let node = &mut self.nodes[member.place()];
        node.stalled = stalled;
        if stalled {
            return;
        }
        let kept_back = std::mem::take(&mut node.kept_back);
        let life = node.life;
        for ticket in kept_back {
            self.schedule(self.now, Happening::Synced { member, life, ticket });
        }
    }

    /// A sync of `member` that takes long is over now.
    pub fn finish_sync(&mut self, member: MemberIndex) {
        let now = self.now;
        let node = &mut self.nodes[member.place()];
        let life = node.life;
        let Some(process) = &mut node.process else { return };
        if let Some(ticket) = process.last_write.filter(|_| process.sync_at > now) {
            process.sync_at = now;
            self.schedule(now, Happening::Synced { member, life, ticket });
        }
    }

    /// Every sync of `member` fails from now on, until it starts anew.
    pub fn fail_disk(&mut self, member: MemberIndex) {
        self.trace.note(self.now, member, "fails", 0, String::new);
        self.nodes[member.place()].disk.fail();
    }

    /// The disk of `member`, which is down, works again.
    pub fn repair_disk(&mut self, member: MemberIndex) {
        self.nodes[member.place()].disk.repair();
    }

    /// The clock of `member` jumps forward and changes its rate.
    pub fn adjust_clock(&mut self, member: MemberIndex, nanos: u64, rate_ppm: u64) {
        self.trace.note(self.now, member, "clock", nanos, || format!("+{nanos} ns {rate_ppm} ppm"));
        let node = &mut self.nodes[member.place()];
        node.clock.adjust(self.now, nanos, rate_ppm);
        // What its timer was set to means another moment now.
        if let Some(process) = &mut node.process {
            process.timer_at = Moment::NEVER;
        }
        self.wake(member);
    }

    /// The clock of `member` is set back.
    pub fn set_clock_back(&mut self, member: MemberIndex, nanos: u64) {
        let rate_ppm = self.nodes[member.place()].clock.rate_ppm();
        self.nodes[member.place()].clock.set_back(self.now, nanos);
        self.trace.note(self.now, member, "clock", nanos, || format!("-{nanos} ns"));
        self.adjust_clock(member, 0, rate_ppm);
    }

    /// The clock of `member` is right again, as far as clocks are: it has the rate that clocks
    /// have, and shows no less than its host has seen.
    pub fn mend_clock(&mut self, member: MemberIndex) {
        let drift = self.options.process.drift_ppm;
        let node = &self.nodes[member.place()];
        let told = node.process.as_ref().map_or(0, |process| process.told.0);
        let behind = told.saturating_sub(node.clock.at(self.now).0);
        let sane = (1_000_000 - drift..=1_000_000 + drift).contains(&node.clock.rate_ppm());
        if behind > 0 || !sane {
            let rate = if sane { node.clock.rate_ppm() } else { 1_000_000 };
            self.adjust_clock(member, behind, rate);
        }
    }

    /// Each turn of `member` takes so much longer, in the mean.
    pub fn slow_down(&mut self, member: MemberIndex, nanos: u64) {
        self.trace.note(self.now, member, "slow", nanos, || format!("by {nanos} ns"));
        self.nodes[member.place()].slow_nanos = nanos;
    }
}
