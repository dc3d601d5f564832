//! The configuration of a replica: who the members are, the limits and the timeouts.

use alloc::vec::Vec;
use core::time::Duration;

use crate::{
    ClusterId, ConfigError, Epoch, GroupId, MEMBERS_MAX, MemberIndex, NodeId, NodeSet, Quorums,
    Slot,
};

/// The member set of one epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configuration {
    epoch: Epoch,
    /// Invariant: sorted, without doubles, 1 to [`MEMBERS_MAX`] of them.
    members: Vec<NodeId>,
    quorums: Quorums,
}

impl Configuration {
    /// The first configuration of a group: epoch 1 from slot 0, with majority quorums.
    ///
    /// # Errors
    /// When there are no members or more than [`MEMBERS_MAX`], when an id is 0 or occurs twice.
    pub fn first(members: &[NodeId]) -> Result<Self, ConfigError> {
        if members.is_empty() || members.len() > MEMBERS_MAX {
            return Err(ConfigError::MemberCount(members.len()));
        }
        let mut members = members.to_vec();
        members.sort_unstable();
        if members[0] == NodeId(0) {
            return Err(ConfigError::ReservedNodeId);
        }
        if let Some(pair) = members.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::DuplicateMember(pair[0]));
        }
        let quorums = Quorums::majority(members.len());
        let epoch = Epoch { number: 1, first: Slot::ZERO, digest: digest(&members, quorums) };
        Ok(Self { epoch, members, quorums })
    }

    /// The same members with other quorum sizes (C10).
    ///
    /// # Errors
    /// When a phase-1 and a phase-2 quorum could miss each other.
    pub fn with_quorums(mut self, quorums: Quorums) -> Result<Self, ConfigError> {
        quorums.check(self.members.len())?;
        self.quorums = quorums;
        self.epoch.digest = digest(&self.members, quorums);
        Ok(self)
    }

    /// The name of this configuration.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The members, sorted by id; [`MemberIndex`] counts in this order.
    #[must_use]
    pub fn members(&self) -> &[NodeId] {
        &self.members
    }

    /// The quorum sizes.
    #[must_use]
    pub const fn quorums(&self) -> Quorums {
        self.quorums
    }

    /// All members.
    #[must_use]
    pub const fn everyone(&self) -> NodeSet {
        NodeSet::first(self.members.len())
    }

    /// The place of `node`, if it is a member.
    #[must_use]
    pub fn index_of(&self, node: NodeId) -> Option<MemberIndex> {
        // At most nine members, so the place fits.
        self.members.binary_search(&node).ok().map(|place| MemberIndex(place as u8))
    }

    /// The member at `index`, if there is one.
    #[must_use]
    pub fn node_at(&self, index: MemberIndex) -> Option<NodeId> {
        self.members.get(index.place()).copied()
    }
}

/// What a replica is told when it starts. Every limit stands here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The cluster.
    pub cluster: ClusterId,
    /// The group.
    pub group: GroupId,
    /// This node.
    pub node: NodeId,
    /// The members.
    pub configuration: Configuration,
    /// Seeds the jitter of elections, the only chance in the core. Give each node another.
    pub seed: u64,
    /// The limits.
    pub limits: Limits,
    /// The timeouts.
    pub timeouts: Timeouts,
}

/// The limits of a replica. It holds decrees of at most `2 * window * decree_bytes_max` bytes that
/// are not yet decided, applied and durable, others only as `past_bytes_max` allows, and about 100
/// bytes for each of `2 * window` slots, which are reserved when it starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Decrees in flight: a leader proposes below `decided + window`. A power of two, 2 to 2^20,
    /// and the same on all members: one with a smaller window could not hold the tail of another.
    /// A replica keeps twice as many slots in memory: those decided lately serve laggards.
    pub window: usize,
    /// Once decrees in memory have more bytes, those are dropped that were decided first: applied
    /// and durable, they are read from the log for whoever still needs them. Any number will do.
    /// What is held for long comes back into no cache, so that much of it makes a replica slower.
    pub past_bytes_max: usize,
    /// The largest decree, in bytes.
    pub decree_bytes_max: usize,
    /// The most slots in one message or record.
    pub run_slots_max: usize,
    /// The most decree bytes in one message or record, unless a single decree is larger.
    pub run_bytes_max: usize,
    /// Log writes in flight. More are held back, and grow meanwhile (group commit).
    pub writes_in_flight_max: usize,
}

/// The timeouts of a replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// How often a replica beats.
    pub heartbeat: Duration,
    /// A member not heard for so long counts as silent. At least three heartbeats.
    pub election: Duration,
    /// A campaign waits up to so much longer, drawn per attempt from the seed (B1).
    pub election_jitter: Duration,
    /// A leader steps down when no phase-2 quorum answered a round it sent within so long (B4).
    /// Answers to rounds older than 64 heartbeats prove nothing.
    pub step_down: Duration,
    /// What was not answered for so long is sent again.
    pub resend: Duration,
    /// A leader whose oldest log write takes longer steps down (B4).
    pub disk_stall: Duration,
    /// How long a leader may keep back the news that slots are decided, so that the next accept
    /// brings it: a message less for each command of a lone client, and other members apply later.
    /// At most a heartbeat; zero, the default, tells at once (C8). Whoever waits for the news is
    /// told at once in any case ([`Replica::tell_promptly`](crate::Replica::tell_promptly)).
    pub notice: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: 1024,
            past_bytes_max: 4 << 20,
            decree_bytes_max: 1 << 20,
            run_slots_max: 256,
            run_bytes_max: 1 << 20,
            writes_in_flight_max: 8,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(50),
            election: Duration::from_millis(500),
            election_jitter: Duration::from_millis(300),
            step_down: Duration::from_millis(500),
            resend: Duration::from_millis(200),
            disk_stall: Duration::from_secs(2),
            notice: Duration::ZERO,
        }
    }
}

impl Config {
    /// A configuration with the default limits and timeouts, and the node id as seed.
    #[must_use]
    pub fn new(cluster: ClusterId, group: GroupId, node: NodeId, members: Configuration) -> Self {
        let (limits, timeouts) = (Limits::default(), Timeouts::default());
        Self { cluster, group, node, configuration: members, seed: node.0, limits, timeouts }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.configuration.index_of(self.node).is_none() {
            return Err(ConfigError::NotAMember(self.node));
        }
        self.limits.check()?;
        self.timeouts.check()
    }
}

impl Limits {
    fn check(&self) -> Result<(), ConfigError> {
        let window = self.window;
        if !window.is_power_of_two() || !(2..=1 << 20).contains(&window) {
            return Err(ConfigError::Limit("window"));
        }
        if self.decree_bytes_max == 0 || self.decree_bytes_max > 1 << 30 {
            return Err(ConfigError::Limit("decree_bytes_max"));
        }
        if self.run_slots_max == 0 || self.run_slots_max > 1 << 16 {
            return Err(ConfigError::Limit("run_slots_max"));
        }
        if self.run_bytes_max == 0 || self.run_bytes_max > 1 << 30 {
            return Err(ConfigError::Limit("run_bytes_max"));
        }
        if self.writes_in_flight_max == 0 || self.writes_in_flight_max > 1 << 10 {
            return Err(ConfigError::Limit("writes_in_flight_max"));
        }
        Ok(())
    }
}

impl Timeouts {
    /// The longest of any timeout: a day.
    pub const MAX: Duration = Duration::from_secs(86_400);

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let named = [
            (self.heartbeat, "heartbeat"),
            (self.election, "election"),
            (self.step_down, "step_down"),
            (self.resend, "resend"),
            (self.disk_stall, "disk_stall"),
        ];
        let is_bad = |time: Duration| time.is_zero() || time > Self::MAX;
        if let Some((_, name)) = named.into_iter().find(|(time, _)| is_bad(*time)) {
            return Err(ConfigError::Timeout(name));
        }
        if self.election_jitter > Self::MAX {
            return Err(ConfigError::Timeout("election_jitter"));
        }
        if self.notice > self.heartbeat {
            return Err(ConfigError::Timeout("notice"));
        }
        if self.election < self.heartbeat * 3 {
            return Err(ConfigError::Timeout("election"));
        }
        if self.step_down < self.heartbeat * 3 {
            return Err(ConfigError::Timeout("step_down"));
        }
        Ok(())
    }
}

/// FNV-1a over the sorted ids and the quorum sizes: two nodes that disagree on either refuse each
/// other. Names a set, protects nothing.
fn digest(members: &[NodeId], quorums: Quorums) -> u64 {
    let sizes = [quorums.phase1 as u64, quorums.phase2 as u64];
    let words = members.iter().map(|node| node.0).chain(sizes);
    words.flat_map(u64::to_le_bytes).fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_sets_are_named() {
        let first = |ids: &[u64]| {
            let ids: Vec<NodeId> = ids.iter().copied().map(NodeId).collect();
            Configuration::first(&ids)
        };
        assert_eq!(first(&[]), Err(ConfigError::MemberCount(0)));
        assert_eq!(first(&[1; 10]), Err(ConfigError::MemberCount(10)));
        assert_eq!(first(&[1, 0]), Err(ConfigError::ReservedNodeId));
        assert_eq!(first(&[3, 1, 3]), Err(ConfigError::DuplicateMember(NodeId(3))));
        let set = first(&[900, 7, 1 << 60]).expect("three sparse ids");
        assert_eq!(set.index_of(NodeId(900)), Some(MemberIndex(1)));
        assert_eq!(set.node_at(MemberIndex(1)), Some(NodeId(900)));
        assert_eq!(set.node_at(MemberIndex(3)), None);
        assert_ne!(set.epoch(), first(&[900, 7]).expect("two ids").epoch());
    }

    #[test]
    fn bad_limits_are_named() {
        let members = Configuration::first(&[NodeId(1)]).expect("one member");
        let sound = Config::new(ClusterId(1), GroupId(0), NodeId(1), members);
        assert_eq!(sound.check(), Ok(()));
        let broken = |change: fn(&mut Config)| {
            let mut config = sound.clone();
            change(&mut config);
            config.check()
        };
        let limit = |name| Err(ConfigError::Limit(name));
        let timeout = |name| Err(ConfigError::Timeout(name));
        assert_eq!(broken(|c| c.limits.window = 3), limit("window"));
        assert_eq!(broken(|c| c.limits.window = 1), limit("window"));
        assert_eq!(broken(|c| c.limits.decree_bytes_max = 0), limit("decree_bytes_max"));
        assert_eq!(broken(|c| c.limits.run_slots_max = 0), limit("run_slots_max"));
        assert_eq!(broken(|c| c.limits.run_bytes_max = 0), limit("run_bytes_max"));
        assert_eq!(broken(|c| c.limits.writes_in_flight_max = 0), limit("writes_in_flight_max"));
        assert_eq!(broken(|c| c.timeouts.heartbeat = Duration::ZERO), timeout("heartbeat"));
        assert_eq!(broken(|c| c.timeouts.election = c.timeouts.heartbeat), timeout("election"));
        assert_eq!(broken(|c| c.timeouts.step_down = Duration::ZERO), timeout("step_down"));
        assert_eq!(broken(|c| c.timeouts.resend = Duration::ZERO), timeout("resend"));
        assert_eq!(broken(|c| c.timeouts.disk_stall = Duration::ZERO), timeout("disk_stall"));
        assert_eq!(broken(|c| c.timeouts.notice = Duration::from_secs(1)), timeout("notice"));
        assert_eq!(broken(|c| c.timeouts.notice = c.timeouts.heartbeat), Ok(()));
        assert_eq!(broken(|c| c.timeouts.resend = Duration::MAX), timeout("resend"));
        let jitter = broken(|c| c.timeouts.election_jitter = Duration::MAX);
        assert_eq!(jitter, timeout("election_jitter"));
        assert_eq!(broken(|c| c.node = NodeId(2)), Err(ConfigError::NotAMember(NodeId(2))));
    }

    #[test]
    fn the_largest_limits_are_sound_and_larger_ones_are_named() {
        let largest = Limits {
            window: 1 << 20,
            past_bytes_max: usize::MAX,
            decree_bytes_max: 1 << 30,
            run_slots_max: 1 << 16,
            run_bytes_max: 1 << 30,
            writes_in_flight_max: 1 << 10,
        };
        assert_eq!(largest.check(), Ok(()));
        let limit = |name| Err(ConfigError::Limit(name));
        assert_eq!(Limits { window: 1 << 21, ..largest }.check(), limit("window"));
        for more in [|bytes: usize| bytes + 1, |bytes: usize| bytes * 4] {
            let bytes = more(1 << 30);
            let decree = Limits { decree_bytes_max: bytes, ..largest };
            assert_eq!(decree.check(), limit("decree_bytes_max"));
            let run = Limits { run_bytes_max: bytes, ..largest };
            assert_eq!(run.check(), limit("run_bytes_max"));
            let run = Limits { run_slots_max: more(1 << 16), ..largest };
            assert_eq!(run.check(), limit("run_slots_max"));
            let writes = Limits { writes_in_flight_max: more(1 << 10), ..largest };
            assert_eq!(writes.check(), limit("writes_in_flight_max"));
        }
    }

    #[test]
    fn a_timeout_may_be_as_long_as_a_day_and_as_short_as_three_heartbeats() {
        let day = Timeouts {
            election: Timeouts::MAX,
            election_jitter: Timeouts::MAX,
            step_down: Timeouts::MAX,
            resend: Timeouts::MAX,
            disk_stall: Timeouts::MAX,
            ..Timeouts::default()
        };
        assert_eq!(day.check(), Ok(()));
        let three = Timeouts::default().heartbeat * 3;
        let short = Timeouts { election: three, step_down: three, ..Timeouts::default() };
        assert_eq!(short.check(), Ok(()));
        let less = three - Duration::from_nanos(1);
        let election = Timeouts { election: less, ..short };
        assert_eq!(election.check(), Err(ConfigError::Timeout("election")));
        let step_down = Timeouts { step_down: less, ..short };
        assert_eq!(step_down.check(), Err(ConfigError::Timeout("step_down")));
    }
}
