//! Stories: a cluster in which nothing goes wrong unless it is told to.
//!
//! ```
//! use synod_sim::{ms, scenario::Cluster};
//!
//! let mut t = Cluster::of(3).seed(0x5EED).with_leader();
//! let [leader, b, c] = t.by_role();
//!
//! t.cut(leader, [b, c]);
//! t.propose(leader, ["x", "y"]);
//! t.run_for(ms(200));
//! assert!(t.log(leader).is_empty());
//!
//! t.heal();
//! t.settle();
//! t.assert_one_log();
//! ```
//!
//! All checkers run throughout, and a violation panics with the end of the trace.

mod held;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use synod_core::service::Request;
use synod_core::wire::{self, Payload};
use synod_core::{Ballot, Header, MemberIndex, Message, NodeId, NodeSet, Slot, Standing};

use synod_log::Keep;

use crate::checkers::{Heard, RequestKey};
use crate::clock::{Moment, ms, nanos};
use crate::kinds::{Kinds, MessageKind};
use crate::network::{Envelope, Made, Verdict};
use crate::options::Options;
use crate::trace::Lines;
use crate::world::World;

/// A cluster of a story.
pub struct Cluster {
    options: Options,
    /// Built when the story begins, so that options can be set before.
    world: Option<World>,
}

/// A rule that holds messages, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held(u32);

/// Some members: one, several, or a set.
#[derive(Clone, Copy, Debug)]
pub struct Members(NodeSet);

impl Cluster {
    /// A cluster of so many members, with majority quorums.
    #[must_use]
    pub fn of(nodes: usize) -> Self {
        let mut options = Options::calm(nodes, 0);
        // One request, one decree: a story counts slots.
        options.service.batch_requests_max = 1;
        options.service.pipeline = options.limits.window;
        Self { options, world: None }
    }

    /// With this seed, which draws delays and the jitter of elections.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// With other options.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// Begins, and goes on until somebody leads and nothing is left to do.
    #[must_use]
    pub fn with_leader(mut self) -> Self {
        self.settle();
        self.run_for(ms(1));
        self
    }

    /// All members.
    #[must_use]
    pub fn members(&self) -> Vec<MemberIndex> {
        NodeSet::first(self.options.nodes).iter().collect()
    }

    /// All members but one.
    #[must_use]
    pub const fn members_but(&self, member: MemberIndex) -> NodeSet {
        NodeSet::first(self.options.nodes).without(member)
    }

    /// The leader, and then the others by index.
    ///
    /// # Panics
    /// When nobody leads, or the cluster does not have so many members.
    #[must_use]
    pub fn by_role<const N: usize>(&self) -> [MemberIndex; N] {
        let leader = self.leader().expect("somebody leads");
        let others = self.members().into_iter().filter(|member| *member != leader);
        let roles: Vec<MemberIndex> = std::iter::once(leader).chain(others).collect();
        roles.try_into().expect("as many roles as members")
    }

    /// The member that leads in the highest ballot, as it says itself.
    #[must_use]
    pub fn leader(&self) -> Option<MemberIndex> {
        let leading = |member: &MemberIndex| self.leads(*member);
        self.members().into_iter().filter(leading).max_by_key(|member| self.promised(*member))
    }

    /// The leader that every member that is up names.
    #[must_use]
    pub fn agreed_leader(&self) -> Option<Ballot> {
        let world = self.world.as_ref()?;
        let up = world.members().filter_map(|member| world.service(member));
        let mut named = up.map(|service| service.replica().leader());
        let first = named.next()??;
        named.all(|ballot| ballot == Some(first)).then_some(first)
    }

    // What members are.

    /// Whether this member leads, in its own eyes.
    #[must_use]
    pub fn leads(&self, member: MemberIndex) -> bool {
        self.standing(member) == Some(Standing::Leading)
    }

    /// Where the proposer of this member is; `None` while it is down.
    #[must_use]
    pub fn standing(&self, member: MemberIndex) -> Option<Standing> {
        Some(self.world.as_ref()?.service(member)?.replica().standing())
    }

    /// Everything below is decided as far as this member knows; zero while it is down.
    #[must_use]
    pub fn decided(&self, member: MemberIndex) -> Slot {
        self.replica(member, |replica| replica.decided())
    }

    /// The promise of this member; zero while it is down.
    #[must_use]
    pub fn promised(&self, member: MemberIndex) -> Ballot {
        self.replica(member, |replica| replica.promised())
    }

    /// The end of what this member holds: the slot that it proposes next, when it leads.
    #[must_use]
    pub fn next_slot(&self, member: MemberIndex) -> Slot {
        self.replica(member, |replica| replica.next_slot())
    }

    /// The members whose vote for the proposal of `ballot` in `slot` is, or once was, durable.
    #[must_use]
    pub fn voters(&self, slot: Slot, ballot: Ballot) -> NodeSet {
        let images = self.world.as_ref().map(|world| world.checkers().images());
        let all = images.map_or(&[][..], |images| images.votes(slot));
        all.iter().find(|votes| votes.ballot == ballot).map_or(NodeSet::EMPTY, |v| v.durable)
    }

    /// The values that this member applied, in order.
    #[must_use]
    pub fn log(&self, member: MemberIndex) -> Vec<String> {
        let end = self.replica(member, |replica| replica.applied());
        self.placed().into_iter().filter(|(slot, _)| *slot < end).map(|(_, value)| value).collect()
    }

    /// In which slot a value was applied, by anybody.
    #[must_use]
    pub fn slot_of(&self, value: &str) -> Option<Slot> {
        self.placed().into_iter().find(|(_, placed)| placed == value).map(|(slot, _)| slot)
    }

    /// What the one who submitted a value heard.
    #[must_use]
    pub fn heard(&self, value: &str) -> Option<Heard> {
        let history = self.world.as_ref()?.checkers().history();
        history.get(RequestKey::of(value.as_bytes()))?.heard
    }

    /// Whether the one who submitted a value heard that it was applied.
    #[must_use]
    pub fn is_acknowledged(&self, value: &str) -> bool {
        matches!(self.heard(value), Some(Heard::Applied { .. }))
    }

    // Faults.

    /// Cuts the links between `one` and `others`, both ways.
    pub fn cut(&mut self, one: impl Into<Members>, others: impl Into<Members>) {
        let (one, others) = (one.into(), others.into());
        self.cut_one_way(one, others);
        self.cut_one_way(others, one);
    }

    /// Cuts the links from `from` to `to`.
    pub fn cut_one_way(&mut self, from: impl Into<Members>, to: impl Into<Members>) {
        self.set_cut(from.into(), to.into(), true);
    }

    /// Mends the links between `one` and `others`, both ways.
    pub fn mend(&mut self, one: impl Into<Members>, others: impl Into<Members>) {
        let (one, others) = (one.into(), others.into());
        self.set_cut(one, others, false);
        self.set_cut(others, one, false);
    }

    /// Cuts a member off from all others.
    pub fn isolate(&mut self, member: MemberIndex) {
        let others = NodeSet::first(self.options.nodes).without(member);
        self.cut(member, Members(others));
    }

    /// Mends every link.
    pub fn heal(&mut self) {
        self.world().mend();
    }

    /// Loses so many in a million on the links from `from` to `to`.
    pub fn lose(&mut self, from: MemberIndex, to: MemberIndex, ppm: u32) {
        self.world().network.set_loss(from, to, ppm);
    }

    /// From now on holds messages of these kinds from `from` to `to`.
    pub fn hold(
        &mut self,
        from: impl Into<Members>,
        to: impl Into<Members>,
        kinds: impl Into<Kinds>,
    ) -> Held {
        let (from, to) = (from.into().0, to.into().0);
        Held(self.world().network.add_rule(from, to, kinds.into(), Verdict::Hold))
    }

    /// Lets go what was held, at once, and holds no more.
    pub fn release(&mut self, held: Held) {
        let world = self.world();
        let now = world.now;
        for envelope in world.network.remove_rule(held.0) {
            world.network.force(now, envelope, &mut world.arrivals);
        }
        world.post_arrivals();
    }

    /// Forgets what was held, and holds no more. Returns how many there were.
    pub fn discard(&mut self, held: Held) -> usize {
        self.world().network.remove_rule(held.0).len()
    }

    /// What a rule holds now.
    #[must_use]
    pub fn held(&self, held: Held) -> usize {
        self.world.as_ref().map_or(0, |world| world.network.held(held.0).count())
    }

    /// Drops the next so many messages of these kinds.
    pub fn drop_next(
        &mut self,
        count: u32,
        from: impl Into<Members>,
        to: impl Into<Members>,
        kinds: impl Into<Kinds>,
    ) {
        let (from, to) = (from.into().0, to.into().0);
        self.world().network.add_rule(from, to, kinds.into(), Verdict::Drop(count));
    }

    /// Kills a member. Of what its disk had not synced, any part may be lost.
    pub fn crash(&mut self, member: MemberIndex) {
        self.world().kill(member);
    }

    /// Cuts the power of a member: what its disk had not synced is lost, all of it.
    pub fn crash_losing_all(&mut self, member: MemberIndex) {
        self.world().cut_power(member, Keep::Nothing);
    }

    /// Starts a member again.
    pub fn restart(&mut self, member: MemberIndex) {
        let now = self.world().now;
        self.world().start_at(member, now);
        self.run_for(Duration::from_nanos(1));
    }

    /// Stops a process for so long. Its clock goes on.
    pub fn pause(&mut self, member: MemberIndex, duration: Duration) {
        let until = self.world().now.after(duration);
        self.world().pause(member, until);
    }

    /// The disk of a member takes writes and answers none of them.
    pub fn stall_disk(&mut self, member: MemberIndex) {
        self.world().set_stalled(member, true);
    }

    /// The disk goes on, and answers what it owes.
    pub fn resume_disk(&mut self, member: MemberIndex) {
        self.world().set_stalled(member, false);
    }

    /// The stalled disk of a member completes the oldest so many of the writes that it owes, and
    /// stalls on.
    pub fn complete_writes(&mut self, member: MemberIndex, count: usize) {
        let kept_back = &mut self.world().node_mut(member).kept_back;
        let rest = kept_back.split_off(count.min(kept_back.len()));
        self.resume_disk(member);
        // They complete now, and are taken in a moment later.
        self.run_for(Duration::from_nanos(1));
        self.stall_disk(member);
        self.world().node_mut(member).kept_back = rest;
        self.run_for(ms(1));
    }

    /// The next sync of a member's disk fails.
    pub fn fail_disk(&mut self, member: MemberIndex) {
        self.world().fail_disk(member);
    }

    /// The world below, for what has no word of its own here.
    pub fn world(&mut self) -> &mut World {
        let Self { options, world } = self;
        world.get_or_insert_with(|| World::new(options.clone(), Lines::Keep))
    }

    // Clients.

    /// Submits values at a member, in order. Each value may be submitted once in a story.
    ///
    /// # Panics
    /// When a value was submitted before: then nobody could tell the two apart.
    pub fn propose<'v>(&mut self, at: MemberIndex, values: impl IntoIterator<Item = &'v str>) {
        for value in values {
            let known = self.world().checkers().history().get(RequestKey::of(value.as_bytes()));
            assert!(known.is_none(), "{value} was submitted before");
            let request = Request::new(Bytes::copy_from_slice(value.as_bytes()));
            self.world().submit(at, request);
        }
    }

    /// Submits values at the leader, and waits until they are applied there.
    ///
    /// # Panics
    /// When nobody leads, or they are not applied in time.
    pub fn decide<'v>(&mut self, values: impl IntoIterator<Item = &'v str>) {
        let values: Vec<&str> = values.into_iter().collect();
        let leader = self.leader().expect("somebody leads");
        self.propose(leader, values.iter().copied());
        self.run_until(|t| values.iter().all(|value| t.is_acknowledged(value)));
    }

    /// Sends a message as if `from` had sent it. The checkers do not hold it against `from`.
    pub fn forge(&mut self, from: MemberIndex, to: MemberIndex, message: Message<'_, Bytes>) {
        let process = self.world().node(from).process.as_ref();
        let header = process.expect("a node that is up has a header").header;
        self.forge_as(header, to, message);
    }

    /// Sends a message under a header of one's own.
    ///
    /// # Panics
    /// When the header names no member.
    pub fn forge_as(&mut self, header: Header, to: MemberIndex, message: Message<'_, Bytes>) {
        let payload = Payload::Replica(message);
        let kind = MessageKind::of(&payload);
        let mut frame = BytesMut::new();
        wire::encode(&header, &payload, &mut frame);
        let from = self.member(header.node).expect("a member");
        let frame = frame.freeze();
        let envelope = Envelope { number: 0, from, to, kind, frame, made: Made::Forged };
        let world = self.world();
        let now = world.now;
        world.network.force(now, envelope, &mut world.arrivals);
        world.post_arrivals();
    }

    /// The member of this id.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<MemberIndex> {
        let world = self.world.as_ref()?;
        world.members().find(|member| world.node(*member).id == id)
    }

    // Time.

    /// Goes on for so long.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.world().now.after(duration);
        while self.world().next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.world().skip_to(end);
    }

    /// Goes on until `holds`, for at most a minute of simulated time.
    ///
    /// # Panics
    /// When it does not hold by then.
    pub fn run_until(&mut self, holds: impl FnMut(&Self) -> bool) {
        self.run_until_within(ms(60_000), holds);
    }

    /// Goes on until `holds`, for at most so many of the longest election timeouts.
    ///
    /// # Panics
    /// When it does not hold by then.
    pub fn within_timeouts(&mut self, count: u32, holds: impl FnMut(&Self) -> bool) {
        let timeouts = self.options.timeouts;
        self.run_until_within((timeouts.election + timeouts.election_jitter) * count, holds);
    }

    fn run_until_within(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) {
        let end = self.world().now.after(limit);
        while !holds(self) {
            let next = self.world().next_at();
            if next.is_none_or(|at| at > end) {
                self.give_up("what the story waits for does not come");
            }
            self.step();
        }
    }

    /// Goes on until `member` leads. Others may campaign, but what they ask for is lost.
    ///
    /// # Panics
    /// When it does not lead within a minute of simulated time.
    pub fn elect(&mut self, member: MemberIndex) {
        let others = self.members_but(member);
        let asked = self.hold(others, NodeSet::first(self.options.nodes), MessageKind::Prepare);
        self.run_until(|t| t.leads(member));
        self.discard(asked);
    }

    /// Goes on until every member that is up has decided and applied the same, everything that was
    /// chosen, and every request has its outcome. No client says anything meanwhile.
    ///
    /// # Panics
    /// When that takes more than a minute of simulated time.
    pub fn settle(&mut self) {
        self.run_until(Self::is_settled);
    }

    /// How a story ends: all that is up settles without a word from a client, within twenty of the
    /// longest election timeouts; then one request more at each member is applied, and all have
    /// applied the same. (Nobody takes a request from a member whose disk was replaced.)
    ///
    /// # Panics
    /// When that is not so.
    pub fn ends_well(&mut self) {
        self.within_timeouts(20, Self::is_settled);
        let mut members = self.members();
        members.retain(|m| self.standing(*m).is_some() && !self.world().node(*m).wiped);
        let last = |member: &MemberIndex| format!("the last words at m{}", member.0);
        for member in &members {
            self.propose(*member, [last(member).as_str()]);
        }
        self.within_timeouts(10, |t| members.iter().all(|m| t.is_acknowledged(&last(m))));
        self.within_timeouts(10, Self::is_settled);
        self.assert_one_log();
    }

    /// Whether every member that is up has decided and applied everything that was chosen.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let Some(world) = self.world.as_ref() else { return false };
        let chosen = world.checkers().images().chosen_end();
        self.agreed_leader().is_some()
            && world.members().filter_map(|member| world.node(member).process.as_ref()).all(
                |process| {
                    let replica = process.service.replica();
                    process.requests.is_empty()
                        && process.inbox.is_empty()
                        && replica.applied() == replica.decided()
                        && replica.decided() >= chosen
                        && (replica.standing() != Standing::Leading
                            || replica.next_slot() <= replica.decided())
                },
            )
    }

    /// Lets one thing happen.
    pub fn step(&mut self) {
        let _ = self.world().step();
        if let Some(violation) = self.world().violation() {
            let violation = violation.to_string();
            self.give_up(&violation);
        }
    }

    /// Panics with the end of the trace.
    fn give_up(&mut self, why: &str) -> ! {
        let shown = |line: &String| !line.contains(" beat");
        let events = self.world().trace().kept().iter();
        let lines: Vec<String> = events.map(ToString::to_string).filter(shown).collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        panic!("{why}\nThe end of the story:\n{}", tail.join("\n"));
    }

    // What must hold.

    /// All members that are up applied the same values.
    ///
    /// # Panics
    /// When they did not.
    pub fn assert_one_log(&self) {
        let up = |member: &MemberIndex| self.standing(*member).is_some();
        let logs: Vec<Vec<String>> =
            self.members().into_iter().filter(up).map(|member| self.log(member)).collect();
        assert!(logs.windows(2).all(|pair| pair[0] == pair[1]), "{logs:#?}");
    }

    /// All members that are up applied exactly these values.
    ///
    /// # Panics
    /// When they did not.
    pub fn assert_same_log<'v>(&self, values: impl IntoIterator<Item = &'v str>) {
        self.assert_one_log();
        let values: Vec<&str> = values.into_iter().collect();
        let one = self.members().into_iter().find(|member| self.standing(*member).is_some());
        assert_eq!(self.log(one.expect("somebody is up")), values);
    }

    fn set_cut(&mut self, from: Members, to: Members, cut: bool) {
        for from in from.0.iter() {
            for to in to.0.iter().filter(|to| *to != from) {
                self.world().network.set_cut(from, to, cut);
            }
        }
    }

    fn replica<T: Default>(
        &self,
        member: MemberIndex,
        ask: impl FnOnce(&synod_core::Replica<Bytes>) -> T,
    ) -> T {
        let service = self.world.as_ref().and_then(|world| world.service(member));
        service.map_or_else(T::default, |service| ask(service.replica()))
    }

    /// Every value that was applied, in order.
    fn placed(&self) -> Vec<(Slot, String)> {
        let Some(world) = self.world.as_ref() else { return Vec::new() };
        let all = world.checkers().history().all();
        let applied = all.filter_map(|(_, request)| Some((request.applied?.0, &request.body)));
        let mut placed: Vec<_> = applied.collect();
        placed.sort_by_key(|(place, _)| *place);
        let text = |body: &Bytes| String::from_utf8_lossy(body).into_owned();
        placed.into_iter().map(|(place, body)| (place.slot, text(body))).collect()
    }

    /// The time of the story.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.world.as_ref().map_or(Moment::ZERO, World::now)
    }

    /// The longest election timeout.
    #[must_use]
    pub fn election_nanos(&self) -> u64 {
        nanos(self.options.timeouts.election + self.options.timeouts.election_jitter)
    }
}

impl From<MemberIndex> for Members {
    fn from(member: MemberIndex) -> Self {
        Self(NodeSet::of(member))
    }
}

impl From<NodeSet> for Members {
    fn from(set: NodeSet) -> Self {
        Self(set)
    }
}

impl<const N: usize> From<[MemberIndex; N]> for Members {
    fn from(members: [MemberIndex; N]) -> Self {
        Self(members.into_iter().fold(NodeSet::EMPTY, NodeSet::with))
    }
}

/// How much of the trace a story that fails shows.
const TAIL: usize = 120;
