//! The fleet: the clients of a run on their way. Sessions have one operation open each and choose
//! the next when they heard of it, or gave it up; bursts wait for nothing. Both go to any member,
//! also to one that is cut off, follow hints to the leader, and try again what was refused.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_core::MemberIndex;
use synod_core::service::{Request, Why};

use super::{Answer, Chooser, Crowd, Ending, Tag, Tally};
use crate::checkers::RequestKey;
use crate::clock::{Moment, nanos};
use crate::mischief::Cause;
use crate::node::Item;
use crate::options::{ClientOptions, Options};
use crate::prng::Prng;
use crate::trace::Told;
use crate::violation::{Checked, check};
use crate::world::World;

/// The clients of a run, and what they have under way.
pub struct Fleet {
    crowd: Box<dyn Crowd>,
    options: ClientOptions,
    request_bytes_max: usize,
    sessions: Vec<Session>,
    open: BTreeMap<RequestKey, Open>,
    /// Requests of bursts.
    passed: u32,
    /// Whether no request without any bytes is sent any more. Two could not be told apart.
    sent_void: bool,
    stopped: bool,
    /// What is drawn now is withheld: it is drawn all the same, and not sent.
    withheld: bool,
    /// When and where bursts go.
    bursts: Prng,
    /// What they ask for, and what sessions do.
    chance: Prng,
    tally: Tally,
}

/// A client that waits for each of its operations, for a while.
#[derive(Clone, Debug)]
struct Session {
    /// Where it submits.
    home: MemberIndex,
    /// Counts its requests.
    serial: u32,
    /// What it waits for, or is about to send again.
    asked: Option<Vec<u8>>,
    /// Whether `asked` is under way.
    waits: bool,
    /// How often it was refused.
    tries: u32,
    /// Only the newest of its timers counts.
    timer: u64,
}

/// A request that has no outcome yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    tag: Tag,
    member: MemberIndex,
    oversize: bool,
}

impl Fleet {
    /// The fleet of a run, with these clients in it.
    #[must_use]
    pub fn new(options: &Options, crowd: Box<dyn Crowd>) -> Self {
        let mut chance = Prng::new(options.seed, "sessions");
        let count = crowd.sessions().unwrap_or(options.client.sessions);
        let sent_void = !crowd.sends_void();
        let sessions = (0..count).map(|_| Session {
            home: MemberIndex(chance.below(options.nodes as u64) as u8),
            serial: 0,
            asked: None,
            waits: false,
            tries: 0,
            timer: 0,
        });
        Self {
            sessions: sessions.collect(),
            crowd,
            options: options.client,
            request_bytes_max: options.service.request_bytes_max,
            open: BTreeMap::new(),
            passed: 0,
            sent_void,
            stopped: false,
            withheld: false,
            bursts: Prng::new(options.seed, "clients"),
            chance,
            tally: Tally::default(),
        }
    }

    /// From now on the sessions do something.
    pub fn begin(&mut self, world: &mut World) {
        for session in 0..self.sessions.len() {
            self.think(world, session);
        }
    }

    /// Sends no more. What is under way is still listened for.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.options.deadline_ppm = 0;
        self.options.only_in_ppm = 0;
    }

    /// What was looked at, for the report.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The tally, to add to.
    pub const fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Judges what the clients of the run heard.
    ///
    /// # Errors
    /// The violation found.
    pub fn judge(&mut self) -> Checked {
        self.crowd.judge(&mut self.tally)
    }

    /// A burst of requests at one member, and when the next comes.
    pub fn burst(&mut self, world: &mut World) -> Moment {
        let member = MemberIndex(self.bursts.below(world.nodes.len() as u64) as u8);
        self.withheld = !world.gate.strikes(Cause::Burst, true);
        for _ in 0..self.bursts.within(1, self.options.burst_max.max(1)) {
            if self.options.burst_max > 0 {
                self.pass(world, member);
            }
        }
        self.withheld = false;
        world.now().plus(self.bursts.exponential(self.options.every_nanos).max(1))
    }

    /// A request that nobody waits for.
    fn pass(&mut self, world: &mut World, member: MemberIndex) {
        if self.chance.chance(self.options.oversize_ppm) {
            return self.pass_oversize(world, member);
        }
        if !self.sent_void && self.chance.chance(self.options.empty_ppm) {
            self.sent_void = true;
            let void = Request::new(Bytes::new());
            return self.submit(world, member, void);
        }
        let Some(operation) = self.crowd.choose(Chooser::Passer, &mut self.chance) else { return };
        let tag = self.pass_tag();
        self.send(world, member, tag, &operation);
    }

    /// A request that is too large, and must not be taken.
    fn pass_oversize(&mut self, world: &mut World, member: MemberIndex) {
        let most = self.request_bytes_max as u64;
        let len = most + 1 + self.chance.below(most);
        let tag = self.pass_tag();
        let body = Bytes::from(tag.body(&vec![b'x'; len as usize - Tag::LEN]));
        self.open.insert(RequestKey::of(&body), Open { tag, member, oversize: true });
        self.submit(world, member, Request::new(body));
    }

    fn pass_tag(&mut self) -> Tag {
        self.passed += 1;
        Tag { client: PASSER, serial: self.passed }
    }

    /// One more request at `member`, which must be applied, as all faults are over. None, when no
    /// client has anything left to ask for.
    pub fn prove(&mut self, world: &mut World, member: MemberIndex) -> Option<RequestKey> {
        let mut operation = self.crowd.choose(Chooser::Passer, &mut self.chance);
        for session in 0..self.sessions.len() {
            if operation.is_none() {
                self.give_up(world, session);
                let chooser = Chooser::Session(session);
                operation = self.crowd.choose(chooser, &mut self.chance);
                if operation.is_some() {
                    // The checkers wait for it. The client does not: it may be asked again.
                    self.crowd.hear(session, &Ending::Unknown);
                }
            }
        }
        let operation = operation?;
        let tag = self.pass_tag();
        let mut request = self.request(world, member, tag, &operation);
        request.deadline = Some(synod_core::Instant::NEVER);
        let key = self.note(member, tag, &operation, &request);
        world.give(member, Item::Submit(request));
        Some(key)
    }

    /// Hears what members said since the last call.
    ///
    /// # Errors
    /// Bounds, when a request was taken that is too large.
    pub fn listen(&mut self, world: &mut World) -> Checked {
        let mut answers = world.take_answers();
        for answer in answers.drain(..) {
            self.hear(world, &answer)?;
        }
        world.give_back_answers(answers);
        Ok(())
    }

    /// A timer of the fleet goes off.
    pub fn wake(&mut self, world: &mut World, token: u64) {
        let place = (token % SESSIONS_MAX) as usize;
        let Some(session) = self.sessions.get_mut(place) else { return };
        if self.stopped || session.timer != token {
            return;
        }
        if session.waits {
            self.give_up(world, place);
            if self.chance.chance(MOVE_PPM) {
                self.move_on(world, place, None);
            }
            return self.think(world, place);
        }
        if session.asked.is_none() {
            session.tries = 0;
            session.asked = self.crowd.choose(Chooser::Session(place), &mut self.chance);
            if session.asked.is_some() && !world.gate.strikes(Cause::Ask, true) {
                session.asked = None;
                self.crowd.hear(place, &Ending::Refused(Why::NoLeader));
                return self.think(world, place);
            }
        }
        self.ask(world, place);
    }

    /// Sends what a session asks for.
    fn ask(&mut self, world: &mut World, place: usize) {
        let wander = self.chance.chance(self.options.wander_ppm);
        let any = MemberIndex(self.chance.below(world.nodes.len() as u64) as u8);
        let session = &mut self.sessions[place];
        let Some(operation) = session.asked.take() else { return };
        let member = if wander { any } else { session.home };
        if world.node(member).process.is_none() {
            // Nobody answers there: it looks for another.
            session.asked = Some(operation);
            return self.try_again(world, place, Why::NoLeader);
        }
        session.serial += 1;
        session.waits = true;
        let tag = Tag { client: place as u32, serial: session.serial };
        self.send(world, member, tag, &operation);
        self.sessions[place].asked = Some(operation);
        let patience = self.chance.exponential(self.options.patience_nanos).max(1);
        self.set_timer(world, place, patience);
    }

    fn hear(&mut self, world: &mut World, answer: &Answer) -> Checked {
        let Some(Open { tag, oversize, .. }) = self.open.remove(&answer.key) else { return Ok(()) };
        if oversize {
            check!(
                Bounds,
                matches!(
                    answer.ending,
                    Ending::Refused(Why::TooLarge | Why::ShuttingDown | Why::Stopped)
                ) && !answer.taken,
                "member {} says {:?} to a request that is too large",
                answer.member.0,
                answer.ending
            );
            return Ok(());
        }
        self.crowd.ended(tag, &answer.ending);
        let place = tag.client as usize;
        let Some(session) = self.sessions.get_mut(place) else { return Ok(()) };
        if !session.waits || session.serial != tag.serial {
            return Ok(());
        }
        session.waits = false;
        match &answer.ending {
            Ending::Refused(why) if *why != Why::TooLarge && !self.stopped => {
                self.try_again(world, place, *why);
            }
            Ending::Applied(_) | Ending::Refused(_) | Ending::Unknown => {
                session.asked = None;
                self.crowd.hear(place, &answer.ending);
                self.think(world, place);
            }
        }
        Ok(())
    }

    /// The operation of a session was refused: it sends it again, somewhere else, or gives in.
    fn try_again(&mut self, world: &mut World, place: usize, why: Why) {
        let session = &mut self.sessions[place];
        session.tries += 1;
        if session.tries > self.options.retries_max {
            session.asked = None;
            self.crowd.hear(place, &Ending::Refused(why));
            self.move_on(world, place, None);
            return self.think(world, place);
        }
        let hint = match why {
            Why::NotLeader(Some(leader)) => {
                world.members().find(|member| world.node(*member).id == leader)
            }
            Why::NotLeader(None)
            | Why::NoLeader
            | Why::OtherBallot(_)
            | Why::Busy
            | Why::TooLarge
            | Why::DeadlinePassed
            | Why::ShuttingDown
            | Why::Stopped => None,
        };
        self.move_on(world, place, hint);
        let election = nanos(world.options.timeouts.election);
        let mean = if hint.is_some() { election / 64 } else { election / 4 };
        let wait = self.chance.exponential(mean).max(1);
        self.set_timer(world, place, wait);
    }

    /// A session stops waiting: what it asked for stays open for ever.
    fn give_up(&mut self, world: &mut World, place: usize) {
        let session = &mut self.sessions[place];
        let tag = Tag { client: place as u32, serial: session.serial };
        if session.waits && world.trace.is_watched() {
            let open = self.open.iter().find(|(_, open)| open.tag == tag);
            if let Some((key, Open { member, .. })) = open {
                let told = || Told::from(format!("{key:?} from client {place}")).request(*key);
                world.trace.remark(world.now(), *member, "gives-up", told);
            }
        }
        session.waits = false;
        if session.asked.take().is_some() {
            self.crowd.hear(place, &Ending::Unknown);
        }
    }

    /// A session goes to the leader it was told of, or to any member.
    fn move_on(&mut self, world: &World, place: usize, hint: Option<MemberIndex>) {
        let any = MemberIndex(self.chance.below(world.nodes.len() as u64) as u8);
        self.sessions[place].home = hint.unwrap_or(any);
    }

    fn think(&mut self, world: &mut World, place: usize) {
        let wait = self.chance.exponential(self.options.think_nanos).max(1);
        self.set_timer(world, place, wait);
    }

    fn set_timer(&mut self, world: &mut World, place: usize, wait: u64) {
        if self.stopped {
            return;
        }
        let session = &mut self.sessions[place];
        session.timer = session.timer.max(TIMERS + place as u64) + SESSIONS_MAX;
        world.tell(world.now().plus(wait), session.timer);
    }

    fn send(&mut self, world: &mut World, member: MemberIndex, tag: Tag, operation: &[u8]) {
        let request = self.request(world, member, tag, operation);
        if world.node(member).process.is_some() && !self.withheld {
            let _ = self.note(member, tag, operation, &request);
            self.submit(world, member, request);
        }
    }

    fn submit(&self, world: &mut World, member: MemberIndex, request: Request) {
        if !self.withheld {
            world.submit(member, request);
        }
    }

    /// Notes that a request is under way.
    fn note(
        &mut self,
        member: MemberIndex,
        tag: Tag,
        operation: &[u8],
        request: &Request,
    ) -> RequestKey {
        let key = RequestKey::of(&request.body);
        self.crowd.sent(tag, operation);
        self.open.insert(key, Open { tag, member, oversize: false });
        key
    }

    /// A request with the conditions that chance gives it.
    fn request(
        &mut self,
        world: &World,
        member: MemberIndex,
        tag: Tag,
        operation: &[u8],
    ) -> Request {
        let mut request = Request::new(Bytes::from(tag.body(operation)));
        request.exclusive = self.chance.chance(self.options.exclusive_ppm);
        let patience = self.chance.exponential(nanos(world.options.timeouts.election));
        if self.chance.chance(self.options.deadline_ppm) {
            let local = world.node(member).clock.at(world.now());
            request.deadline = Some(synod_core::Instant(local.0 + patience));
        }
        if self.chance.chance(self.options.only_in_ppm) {
            request.only_in = world.service(member).and_then(|s| s.replica().leader());
        }
        request
    }
}

/// The client number of those who do not wait.
pub const PASSER: u32 = u32::MAX;

/// No run has so many sessions.
pub const SESSIONS_MAX: u64 = 1 << 10;

/// The tokens of the fleet's timers begin here.
pub const TIMERS: u64 = 1 << 40;

/// How often a session that gave up looks for another member.
const MOVE_PPM: u32 = 500_000;

#[cfg(test)]
mod tests;
