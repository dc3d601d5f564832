//! The network: every link has a direction of its own, and faults of its own.
//!
//! A message is lost, doubled, damaged, delayed (exponentially, with a heavy tail, so that later
//! ones overtake it), held by a rule of the scenario, kept back while the link is clogged and
//! released in a burst, or cut. Old frames come back long after, also across restarts.

mod tamper;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use synod_core::{MemberIndex, NodeSet};
pub use tamper::{Made, Stranger};

use crate::clock::Moment;
use crate::kinds::{Kinds, MessageKind};
use crate::mischief::{Cause, Gate};
use crate::options::NetworkOptions;
use crate::prng::Prng;

/// One frame on its way.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Counts the frames of a run; a copy has the number of its original.
    pub number: u64,
    /// Who sent it.
    pub from: MemberIndex,
    /// Whom to.
    pub to: MemberIndex,
    /// What it holds, for rules and traces. The network does not look inside the frame.
    pub kind: MessageKind,
    /// The bytes.
    pub frame: Bytes,
    /// How the bytes came about.
    pub made: Made,
}

/// What became of a message that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrives.
    Sent,
    /// It was lost at random.
    Lost,
    /// The link is cut.
    Cut,
    /// A rule of the scenario dropped it.
    Dropped,
    /// A rule of the scenario holds it.
    Held,
    /// Too many are under way on this link.
    Full,
}

/// What a rule does to the messages it matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Keeps them until they are released.
    Hold,
    /// Drops so many, then lapses.
    Drop(u32),
    /// Lets them pass, and keeps a copy of so many until they are released.
    Copy(u32),
}

/// A rule of a scenario: matches by link and kind.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Names the rule.
    pub id: u32,
    /// Senders.
    pub from: NodeSet,
    /// Receivers.
    pub to: NodeSet,
    /// Kinds.
    pub kinds: Kinds,
    /// What happens.
    pub verdict: Verdict,
}

/// One direction between two members.
#[derive(Clone, Debug, Default)]
struct Link {
    cut: bool,
    clogged_until: Moment,
    in_flight: u32,
    /// What this link always does on top of the general network.
    own: Weather,
    /// What it does at present.
    present: Weather,
    past: VecDeque<Envelope>,
}

/// How bad one direction of a link is, on top of what is the same for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Weather {
    /// Loss.
    pub loss_ppm: u32,
    /// The mean of a further delay.
    pub slow_nanos: u64,
}

/// The order in which what was held is let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    /// As it was sent.
    InOrder,
    /// Drawn anew.
    Shuffled,
}

/// Counts of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Messages handed to the network.
    pub sent: u64,
    /// Lost, cut, dropped or crowded out.
    pub lost: u64,
    /// Copies made, at once or long after.
    pub doubled: u64,
    /// Damaged on the way.
    pub damaged: u64,
}

/// All links.
#[derive(Clone, Debug)]
pub struct Network {
    options: NetworkOptions,
    members: usize,
    links: Vec<Link>,
    rules: Vec<Rule>,
    held: Vec<(u32, Envelope)>,
    prng: Prng,
    /// What came later draws from a stream of its own.
    tampering: Prng,
    /// What was sent last, on any link.
    last_frame: Bytes,
    gate: Gate,
    counts: Counts,
    next_rule: u32,
    /// What became of links since it was last asked, when somebody watches.
    changes: Option<Vec<Change>>,
}

/// What became of one direction of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// From here.
    pub from: MemberIndex,
    /// To there.
    pub to: MemberIndex,
    /// `cuts`, `mends` or `clogs`.
    pub word: &'static str,
    /// When it is over by itself.
    pub until: Option<Moment>,
}

impl Network {
    /// A network between so many members.
    #[must_use]
    pub fn new(members: usize, options: NetworkOptions, seed: u64) -> Self {
        let mut links = vec![Link::default(); members * members];
        let mut weather = Prng::new(seed, "weather");
        for link in links.iter_mut().filter(|_| options.uneven_ppm > 0) {
            if weather.chance(options.uneven_ppm) {
                link.own.loss_ppm = weather.below(500_000) as u32;
                link.own.slow_nanos = weather.below(options.tail_nanos + 1);
            }
            link.present = link.own;
        }
        Self {
            options,
            members,
            links,
            rules: Vec::new(),
            held: Vec::new(),
            prng: Prng::new(seed, "network"),
            tampering: Prng::new(seed, "tampering"),
            last_frame: tamper::NO_FRAME,
            gate: Gate::default(),
            counts: Counts::default(),
            next_rule: 0,
            changes: None,
        }
    }

    /// Holds back the faults that the plan of the run withholds.
    #[must_use]
    pub fn behind(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// Remembers what becomes of links, when somebody watches.
    #[must_use]
    pub fn watched(mut self, watched: bool) -> Self {
        self.changes = watched.then(Vec::new);
        self
    }

    /// What became of links since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn change(
        &mut self,
        from: MemberIndex,
        to: MemberIndex,
        word: &'static str,
        until: Option<Moment>,
    ) {
        if let Some(changes) = &mut self.changes {
            changes.push(Change { from, to, word, until });
        }
    }

    /// Where its chance stands.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.prng.fingerprint()
    }

    /// The gate that its faults pass, to tell it what the cluster is busy with.
    pub(crate) const fn gate_mut(&mut self) -> &mut Gate {
        &mut self.gate
    }

    /// The gate that its faults pass.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Takes a message; what arrives, and when, is added to `arrivals`.
    pub fn send(
        &mut self,
        now: Moment,
        envelope: Envelope,
        arrivals: &mut Vec<(Moment, Envelope)>,
    ) -> Fate {
        self.counts.sent += 1;
        let fate = self.judge(&envelope);
        match fate {
            Fate::Sent => {}
            Fate::Held => return fate,
            Fate::Lost | Fate::Cut | Fate::Dropped | Fate::Full => {
                self.counts.lost += 1;
                return fate;
            }
        }
        self.replay_old(now, &envelope, arrivals);
        if self.gate.strikes(Cause::Double, self.prng.chance(self.options.double_ppm)) {
            self.counts.doubled += 1;
            let copy = envelope.clone();
            self.post(now, copy, arrivals);
        }
        let envelope = self.tamper(envelope);
        self.post(now, envelope, arrivals);
        fate
    }

    /// A message reached its end of the link. False when the link was cut meanwhile.
    pub fn arrive(&mut self, envelope: &Envelope) -> bool {
        let link = self.link(envelope.from, envelope.to);
        link.in_flight = link.in_flight.saturating_sub(1);
        let cut = link.cut;
        self.counts.lost += u64::from(cut);
        !cut
    }

    /// Cuts or mends one direction.
    pub fn set_cut(&mut self, from: MemberIndex, to: MemberIndex, cut: bool) {
        let was = std::mem::replace(&mut self.link(from, to).cut, cut);
        if was != cut {
            self.change(from, to, if cut { "cuts" } else { "mends" }, None);
        }
    }

    /// Whether one direction is cut.
    #[must_use]
    pub fn is_cut(&self, from: MemberIndex, to: MemberIndex) -> bool {
        self.links[from.place() * self.members + to.place()].cut
    }

    /// Sets the loss of one direction, on top of the general loss.
    pub fn set_loss(&mut self, from: MemberIndex, to: MemberIndex, ppm: u32) {
        self.link(from, to).present.loss_ppm = ppm;
    }

    /// Sets how bad one direction is, until the links are mended.
    pub fn set_weather(&mut self, from: MemberIndex, to: MemberIndex, weather: Weather) {
        self.link(from, to).present = weather;
    }

    /// Keeps everything back on one direction until `until`, then releases it in a burst.
    pub fn clog(&mut self, from: MemberIndex, to: MemberIndex, until: Moment) {
        self.link(from, to).clogged_until = until;
        self.change(from, to, "clogs", Some(until));
    }

    /// `to` gets once more everything that its links remember, all at once. Returns how much.
    pub fn flood(
        &mut self,
        now: Moment,
        to: MemberIndex,
        arrivals: &mut Vec<(Moment, Envelope)>,
    ) -> usize {
        let before = arrivals.len();
        for from in 0..self.members {
            let past = self.link(MemberIndex(from as u8), to).past.clone();
            for envelope in past {
                self.counts.doubled += 1;
                self.post(now, envelope, arrivals);
            }
        }
        arrivals.len() - before
    }

    /// Mends every link, and makes the network sound from now on. Rules stay.
    pub fn heal(&mut self) {
        self.mend();
        for link in &mut self.links {
            link.own = Weather::default();
            link.present = Weather::default();
            link.past.clear();
        }
        self.options = self.options.sound();
    }

    /// Mends every link and leaves the general faults as they are.
    pub fn mend(&mut self) {
        for from in NodeSet::first(self.members).iter() {
            for to in NodeSet::first(self.members).iter() {
                let link = self.link(from, to);
                let was = link.cut || link.clogged_until > Moment::ZERO;
                link.cut = false;
                link.clogged_until = Moment::ZERO;
                link.present = link.own;
                if was {
                    self.change(from, to, "mends", None);
                }
            }
        }
    }

    /// Adds a rule and names it.
    pub fn add_rule(&mut self, from: NodeSet, to: NodeSet, kinds: Kinds, verdict: Verdict) -> u32 {
        self.next_rule += 1;
        let id = self.next_rule;
        self.rules.push(Rule { id, from, to, kinds, verdict });
        id
    }

    /// Removes a rule and gives back what it held.
    pub fn remove_rule(&mut self, id: u32) -> Vec<Envelope> {
        self.rules.retain(|rule| rule.id != id);
        let (mine, rest) = self.held.drain(..).partition(|(rule, _)| *rule == id);
        self.held = rest;
        let mine: Vec<(u32, Envelope)> = mine;
        mine.into_iter().map(|(_, envelope)| envelope).collect()
    }

    /// A rule matches nothing more. What it holds stays until it is lifted.
    pub fn close_rule(&mut self, id: u32) {
        self.rules.retain(|rule| rule.id != id);
    }

    /// Lifts a rule, and lets go what it held: all at once, in this order.
    pub fn release(
        &mut self,
        now: Moment,
        id: u32,
        order: Release,
        arrivals: &mut Vec<(Moment, Envelope)>,
    ) {
        let mut held = self.remove_rule(id);
        if order == Release::Shuffled {
            self.tampering.shuffle(&mut held);
        }
        for (place, envelope) in held.into_iter().enumerate() {
            self.link(envelope.from, envelope.to).in_flight += 1;
            let later = self.options.delay_least_nanos + place as u64;
            arrivals.push((now.plus(later), envelope));
        }
    }

    /// Takes the `nth` of what a rule holds out of its hands.
    pub fn take_held(&mut self, id: u32, nth: usize) -> Option<Envelope> {
        let mut places = self.held.iter().enumerate().filter(|(_, (rule, _))| *rule == id);
        let (place, _) = places.nth(nth)?;
        Some(self.held.remove(place).1)
    }

    /// What a rule holds.
    pub fn held(&self, id: u32) -> impl Iterator<Item = &Envelope> {
        self.held.iter().filter(move |(rule, _)| *rule == id).map(|(_, envelope)| envelope)
    }

    /// Delivers an envelope whatever the links say.
    pub fn force(
        &mut self,
        now: Moment,
        envelope: Envelope,
        arrivals: &mut Vec<(Moment, Envelope)>,
    ) {
        self.post(now, envelope, arrivals);
    }

    /// The counts so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn link(&mut self, from: MemberIndex, to: MemberIndex) -> &mut Link {
        &mut self.links[from.place() * self.members + to.place()]
    }

    fn judge(&mut self, envelope: &Envelope) -> Fate {
        let loss = self.options.loss_ppm;
        let capacity = self.options.capacity;
        let lost = self.prng.chance(loss);
        let link = self.link(envelope.from, envelope.to);
        let link_loss = link.present.loss_ppm;
        if link.cut {
            return Fate::Cut;
        }
        if link.in_flight >= capacity {
            return Fate::Full;
        }
        let lost = lost || (link_loss > 0 && self.prng.chance(link_loss));
        if self.gate.strikes(Cause::Loss, lost) {
            return Fate::Lost;
        }
        let matching = self.rules.iter_mut().find(|rule| {
            rule.from.contains(envelope.from)
                && rule.to.contains(envelope.to)
                && rule.kinds.has(envelope.kind)
                && !matches!(rule.verdict, Verdict::Drop(0) | Verdict::Copy(0))
        });
        let Some(rule) = matching else { return Fate::Sent };
        match &mut rule.verdict {
            Verdict::Hold => {
                self.held.push((rule.id, envelope.clone()));
                Fate::Held
            }
            Verdict::Drop(left) => {
                *left -= 1;
                Fate::Dropped
            }
            Verdict::Copy(left) => {
                *left -= 1;
                self.held.push((rule.id, envelope.clone()));
                Fate::Sent
            }
        }
    }

    fn post(&mut self, now: Moment, envelope: Envelope, arrivals: &mut Vec<(Moment, Envelope)>) {
        let mut delay = self.delay();
        let slow = self.link(envelope.from, envelope.to).present.slow_nanos;
        if slow > 0 {
            delay += self.tampering.exponential(slow);
        }
        let link = self.link(envelope.from, envelope.to);
        link.in_flight += 1;
        let start = now.max(link.clogged_until);
        arrivals.push((start.plus(delay), envelope));
    }

    fn delay(&mut self) -> u64 {
        let options = self.options;
        let tail = self.gate.strikes(Cause::Tail, self.prng.chance(options.tail_ppm));
        let mean = if tail { options.tail_nanos } else { options.delay_nanos };
        options.delay_least_nanos + self.prng.exponential(mean)
    }

    /// Sometimes sends a frame of long ago once more.
    fn replay_old(
        &mut self,
        now: Moment,
        envelope: &Envelope,
        arrivals: &mut Vec<(Moment, Envelope)>,
    ) {
        if self.options.replay_ppm == 0 && !self.options.remembers {
            return;
        }
        if self.gate.strikes(Cause::Replay, self.prng.chance(self.options.replay_ppm)) {
            let len = self.link(envelope.from, envelope.to).past.len() as u64;
            let place = self.prng.below(len) as usize;
            let late = self.prng.exponential(self.options.replay_nanos);
            let past = self.link(envelope.from, envelope.to).past.get(place).cloned();
            if let Some(old) = past {
                self.counts.doubled += 1;
                self.post(now.plus(late), old, arrivals);
            } else {
                self.gate.in_vain(Cause::Replay);
            }
        }
        let slot = self.prng.below(PAST as u64) as usize;
        let link = self.link(envelope.from, envelope.to);
        if link.past.len() < PAST {
            link.past.push_back(envelope.clone());
        } else {
            link.past[slot] = envelope.clone();
        }
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} m{}→m{}", self.number, self.kind, self.from.0, self.to.0)
    }
}

/// Frames that each link remembers for late replay.
const PAST: usize = 32;
