//! Linearizability of what clients heard, and of nothing else: is there an order of the operations
//! that explains every reply, and in which whatever ended before something else began lies before
//! it? An operation without a reply may lie anywhere behind its beginning, or nowhere.
//!
//! The search is that of Wing and Gong with the memory of Lowe: it puts one operation after the
//! other into the order, goes back when it is stuck, and never looks twice at the same operations
//! with the same state. Each object is searched for itself. What makes it fast on histories of
//! thousands of operations is what a [`Model`] says of its states:
//!
//! * An operation that can reply so in this state alone, and changes nothing, is taken at once and
//!   for good: whatever comes later can come behind it just as well.
//! * What leads from a state that nobody needs to another such state is taken at once, too.
//! * A state that some reply still needs, and that nothing left can bring back, is not left.
//! * An operation without a reply is taken only when another needs a state that it leads to. If
//!   none did, it could be left out. Of several that ask the same, the first is taken: they could
//!   change places.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::machine::digest_of;

/// What one object does, one operation at a time.
pub trait Model {
    /// Its state.
    type State: Clone + Eq + Hash;
    /// What is asked of it.
    type Call: PartialEq;
    /// What it replies.
    type Reply;

    /// Before anything is asked.
    fn initial(&self) -> Self::State;

    /// The state behind a call; `None` when the reply is not what it replies in `state`.
    fn step(&self, state: &Self::State, did: Did<'_, Self>) -> Option<Self::State>;

    /// Whether `call` replies the same, and leaves the same state, in every state.
    fn overwrites(&self, call: &Self::Call) -> bool;

    /// The family of a state. An operation without a reply leads within a family, or to the one
    /// that [`Model::makes`] names.
    fn family(&self, state: &Self::State) -> u64;

    /// The family that `call` may lead to from another.
    fn makes(&self, call: &Self::Call) -> Option<u64>;

    /// The only state in which `call` replies `reply`, or, without a reply, does anything at all.
    /// `None` when there are others; with a reply, only what overwrites may reply the same in two
    /// states.
    fn needs(&self, call: &Self::Call, reply: Option<&Self::Reply>) -> Option<Self::State>;

    /// Whether operations without a reply that need no particular state may lead from one state to
    /// the other, or need not, as they are the same.
    fn may_reach(&self, from: &Self::State, to: &Self::State) -> bool;
}

/// A call, and its reply if there is one.
pub type Did<'o, M> = (&'o <M as Model>::Call, Option<&'o <M as Model>::Reply>);

/// An operation of a client, with its times. No two times are equal.
#[derive(Clone, Debug)]
pub struct Operation<C, R> {
    /// What was asked.
    pub call: C,
    /// When.
    pub began: u64,
    /// What was heard, and when.
    pub ended: Option<(u64, R)>,
}

/// The operations on one object, as a model knows them.
pub type Operations<M> = [Operation<<M as Model>::Call, <M as Model>::Reply>];

/// What the search came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict<S> {
    /// There is an order.
    Ordered {
        /// How many times an operation was put into it, or tried in vain.
        steps: u64,
    },
    /// There is none.
    Impossible {
        /// The place, in the history, of the operation that the longest order has no room for.
        stuck: usize,
        /// The state behind that order.
        state: S,
        /// Its length.
        placed: usize,
    },
    /// The search gave up.
    Undecided,
}

/// Searches for an order of `history`, for at most so many steps.
#[must_use]
pub fn search<M: Model>(model: &M, history: &Operations<M>, steps_max: u64) -> Verdict<M::State> {
    Search::new(model, history).run(steps_max)
}

/// Numbers in a fixed order, from which any can be taken out, and put back in the reverse order.
struct Ring {
    /// The place in the history of each item. The item 0 is none: first and last of all.
    places: Vec<usize>,
    next: Vec<u32>,
    before: Vec<u32>,
}

/// The item of a ring that is none.
const HEAD: usize = 0;

impl Ring {
    /// These places, in order, and for each the item that it becomes.
    fn of(places: impl Iterator<Item = usize>, items: &mut [usize]) -> Self {
        let places: Vec<usize> = std::iter::once(usize::MAX).chain(places).collect();
        for (item, place) in places.iter().enumerate().skip(1) {
            items[*place] = item;
        }
        let last = places.len() as u32 - 1;
        let next = (1..=last).chain([0]).collect();
        let before = std::iter::once(last).chain(0..last).collect();
        Self { places, next, before }
    }

    fn after(&self, item: usize) -> usize {
        self.next[item] as usize
    }

    fn take_out(&mut self, item: usize) {
        let (before, next) = (self.before[item], self.next[item]);
        self.next[before as usize] = next;
        self.before[next as usize] = before;
    }

    fn put_back(&mut self, item: usize) {
        let (before, next) = (self.before[item], self.next[item]);
        self.next[before as usize] = item as u32;
        self.before[next as usize] = item as u32;
    }
}

/// What is tried next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spot {
    /// Of the operations that need just this state and leave it, this one.
    Reader(usize),
    /// Of the operations that need just this state and change it, this one.
    Changer(usize),
    /// This item of those that need no state.
    Blind(usize),
    /// One of those without a reply that are of use here.
    Open,
    /// There is nothing left to try here.
    Nowhere,
}

/// An operation that was put into the order, and how things were before.
struct Frame<S> {
    place: usize,
    state: S,
    hash: u128,
    was_open: bool,
    /// What else is to be tried in its place.
    next: Spot,
    /// How many choices among operations without a reply there were left, of all spots before.
    choices: usize,
}

struct Search<'h, M: Model> {
    model: &'h M,
    history: &'h Operations<M>,
    /// The operations with a reply: by their end; those that need a state, and those that do not,
    /// by their beginning; and the item of each in the first and in one of the other two.
    ends: Ring,
    needy: Ring,
    blind: Ring,
    items: (Vec<usize>, Vec<usize>),
    /// Those that need a state, by that state: those that leave it, and those that change it.
    readers: HashMap<M::State, Vec<usize>>,
    changers: HashMap<M::State, Vec<usize>>,
    /// The operations without a reply that lead to another family, by that family, and those that
    /// do not; by their beginning. What leads to a family that nobody needs is left out.
    open_makers: HashMap<u64, Vec<usize>>,
    open_others: Vec<usize>,
    /// Replies that are not explained yet and need a state of this family.
    needed: HashMap<u64, u32>,
    /// Operations without a reply, not yet in the order, that need a state of this family.
    hoped: HashMap<u64, u32>,
    /// Operations not yet in the order that may lead to this family.
    makers: HashMap<u64, u32>,
    /// Whether the operation at a place is in the order.
    taken: Vec<bool>,
    state: M::State,
    /// Of the operations in the order, whatever their order is.
    hash: u128,
    /// Whether the last one had no reply.
    was_open: bool,
    order: Vec<Frame<M::State>>,
    /// Operations without a reply that are still to be tried, of all spots on the way.
    choices: Vec<usize>,
    seen: HashSet<u128, BuildHasherDefault<Plain>>,
    /// Operations with a reply that are not in the order.
    left: usize,
}

impl<'h, M: Model> Search<'h, M> {
    fn new(model: &'h M, history: &'h Operations<M>) -> Self {
        let reply = |place: usize| history[place].ended.as_ref().map(|(_, reply)| reply);
        let needs = |place: usize| model.needs(&history[place].call, reply(place));
        let mut by_end: Vec<(u64, usize)> = Vec::new();
        let mut by_begin: Vec<usize> = (0..history.len()).collect();
        by_begin.sort_by_key(|place| history[*place].began);
        let (mut needed, mut hoped) = (HashMap::new(), HashMap::new());
        let mut makers = HashMap::new();
        let (mut readers, mut changers) = (HashMap::new(), HashMap::new());
        for place in by_begin.iter().copied() {
            if let Some(family) = model.makes(&history[place].call) {
                *makers.entry(family).or_default() += 1;
            }
            by_end.extend(history[place].ended.as_ref().map(|(at, _)| (*at, place)));
            let Some(state) = needs(place) else { continue };
            let family = model.family(&state);
            let is_open = reply(place).is_none();
            *if is_open { &mut hoped } else { &mut needed }.entry(family).or_default() += 1;
            if !is_open {
                let after = model.step(&state, (&history[place].call, reply(place)));
                let reads = after.is_some_and(|after| after == state);
                let map: &mut HashMap<_, Vec<usize>> =
                    if reads { &mut readers } else { &mut changers };
                map.entry(state).or_default().push(place);
            }
        }
        by_end.sort_unstable();
        let (mut open_makers, mut open_others) = (HashMap::<_, Vec<usize>>::new(), Vec::new());
        for place in by_begin.iter().copied().filter(|place| reply(*place).is_none()) {
            match model.makes(&history[place].call) {
                Some(family) if needed.contains_key(&family) || hoped.contains_key(&family) => {
                    open_makers.entry(family).or_default().push(place);
                }
                Some(_) => {}
                None => open_others.push(place),
            }
        }
        let mut items = (vec![HEAD; history.len()], vec![HEAD; history.len()]);
        let ended = || by_begin.iter().copied().filter(|place| reply(*place).is_some());
        let needy = ended().filter(|place| needs(*place).is_some());
        let blind = ended().filter(|place| needs(*place).is_none());
        Self {
            model,
            history,
            left: by_end.len(),
            ends: Ring::of(by_end.into_iter().map(|(_, place)| place), &mut items.0),
            needy: Ring::of(needy, &mut items.1),
            blind: Ring::of(blind, &mut items.1),
            items,
            readers,
            changers,
            open_makers,
            open_others,
            needed,
            hoped,
            makers,
            taken: vec![false; history.len()],
            state: model.initial(),
            hash: 0,
            was_open: false,
            order: Vec::new(),
            choices: Vec::new(),
            seen: HashSet::default(),
        }
    }

    fn run(mut self, steps_max: u64) -> Verdict<M::State> {
        let stuck = |search: &Self| search.ends.places[search.ends.after(HEAD)];
        let mut longest = (0, stuck(&self), self.state.clone());
        let mut spot = Spot::Reader(0);
        let mut steps = 0;
        while self.left > 0 {
            steps += 1;
            if steps > steps_max {
                return Verdict::Undecided;
            }
            spot = match spot {
                Spot::Reader(nth) => self.try_reader(nth),
                Spot::Changer(nth) => self.try_changer(nth),
                Spot::Blind(item) => self.try_blind(item),
                Spot::Open => self.try_open(),
                Spot::Nowhere => {
                    if self.order.len() > longest.0 {
                        longest = (self.order.len(), stuck(&self), self.state.clone());
                    }
                    let Some(spot) = self.go_back() else {
                        let (placed, stuck, state) = longest;
                        return Verdict::Impossible { stuck, state, placed };
                    };
                    spot
                }
            };
        }
        Verdict::Ordered { steps }
    }

    /// The first end of what is not in the order: what begins later comes later.
    fn first_end(&self) -> u64 {
        let place = self.ends.places[self.ends.after(HEAD)];
        self.history[place].ended.as_ref().map_or(u64::MAX, |(at, _)| *at)
    }

    fn may_be_next(&self, place: usize) -> bool {
        !self.taken[place] && self.history[place].began < self.first_end()
    }

    /// Puts the nth of those that need the state as it is, and leave it, into the order.
    fn try_reader(&mut self, nth: usize) -> Spot {
        let known = self.readers.get(&self.state);
        let Some(place) = known.and_then(|list| list.get(nth)).copied() else {
            return Spot::Changer(0);
        };
        if self.may_be_next(place) {
            // It need not be tried anywhere else.
            let _ = self.put(place, self.state.clone(), Spot::Nowhere);
        }
        Spot::Reader(nth + 1)
    }

    /// Puts the nth of those that need the state as it is, and change it, into the order.
    fn try_changer(&mut self, nth: usize) -> Spot {
        let known = self.changers.get(&self.state);
        let Some(place) = known.and_then(|list| list.get(nth)).copied() else {
            return Spot::Blind(self.blind.after(HEAD));
        };
        let next = Spot::Changer(nth + 1);
        let Operation { call, ended, .. } = &self.history[place];
        let reply = ended.as_ref().map(|(_, reply)| reply);
        let after = self.model.step(&self.state, (call, reply));
        let fits = after.filter(|_| self.may_be_next(place));
        let is_in = fits.is_some_and(|after| self.put(place, after, next));
        if is_in { Spot::Reader(0) } else { next }
    }

    /// Puts one of those that need no state into the order.
    fn try_blind(&mut self, item: usize) -> Spot {
        let place = self.blind.places[item];
        if item == HEAD || !self.may_be_next(place) {
            self.choose_open();
            return Spot::Open;
        }
        let next = Spot::Blind(self.blind.after(item));
        let Operation { call, ended, .. } = &self.history[place];
        let reply = ended.as_ref().map(|(_, reply)| reply);
        // What was left without a trace could be left out.
        if self.was_open && self.model.overwrites(call) {
            return next;
        }
        let Some(after) = self.model.step(&self.state, (call, reply)) else { return next };
        // From one state that nobody needs to another: that may as well be now.
        let forced = self.is_idle(&self.state) && self.is_idle(&after);
        let instead = if forced { Spot::Nowhere } else { next };
        if self.put(place, after, instead) { Spot::Reader(0) } else { next }
    }

    /// Whether nothing that is not in the order needs `state`, or any other of its family.
    fn is_idle(&self, state: &M::State) -> bool {
        let family = self.model.family(state);
        count(&self.needed, family) == 0 && count(&self.hoped, family) == 0
    }

    /// Puts one of those without a reply into the order that are of use and were not tried yet.
    fn try_open(&mut self) -> Spot {
        let here = self.order.last().map_or(0, |frame| frame.choices);
        if self.choices.len() <= here {
            return Spot::Nowhere;
        }
        let Some(place) = self.choices.pop() else { return Spot::Nowhere };
        let after = self.model.step(&self.state, (&self.history[place].call, None));
        let is_in = after.is_some_and(|after| self.put(place, after, Spot::Open));
        if is_in { Spot::Reader(0) } else { Spot::Open }
    }

    /// Looks for the operations without a reply that are of use: those that lead to a state that
    /// one of the next operations needs, and those that lead to one from which such a one does.
    fn choose_open(&mut self) {
        let (model, history) = (self.model, self.history);
        let mut choices = std::mem::take(&mut self.choices);
        let first = choices.len();
        let mut wanted: Vec<M::State> = Vec::new();
        let mut item = self.needy.after(HEAD);
        while item != HEAD && self.may_be_next(self.needy.places[item]) {
            let Operation { call, ended, .. } = &history[self.needy.places[item]];
            wanted.extend(model.needs(call, ended.as_ref().map(|(_, reply)| reply)));
            item = self.needy.after(item);
        }
        let mut looked = 0;
        while let Some(state) = wanted.get(looked).cloned() {
            looked += 1;
            let family = model.family(&state);
            let makers = self.open_makers.get(&family).map_or(&[][..], Vec::as_slice);
            let is_near = family == model.family(&self.state) && state != self.state;
            let others = if is_near { &self.open_others[..] } else { &[] };
            for place in makers.iter().chain(others).filter(|place| self.may_be_next(**place)) {
                let call = &history[*place].call;
                let leads = model
                    .step(&self.state, (call, None))
                    .is_some_and(|after| after != self.state && model.may_reach(&after, &state));
                let in_vain = self.was_open && model.overwrites(call);
                let known = |choice: &usize| history[*choice].call == *call;
                if leads && !in_vain && !choices[first..].iter().any(known) {
                    choices.push(*place);
                }
                let needed = model.needs(call, None);
                wanted.extend(needed.filter(|needed| !wanted.contains(needed)));
            }
        }
        self.choices = choices;
    }

    /// Puts an operation into the order, unless that leads nowhere.
    fn put(&mut self, place: usize, after: M::State, next: Spot) -> bool {
        let is_open = self.history[place].ended.is_none();
        self.count(place, false);
        let family = self.model.family(&self.state);
        let leaves = self.model.family(&after) != family;
        let is_lost = leaves && count(&self.needed, family) > 0 && count(&self.makers, family) == 0;
        let hash = self.hash ^ mark(place as u64);
        let state_mark = mark(digest_of(&(is_open, &after)));
        if is_lost || !self.seen.insert(hash.wrapping_add(state_mark.rotate_left(1))) {
            self.count(place, true);
            return false;
        }
        self.taken[place] = true;
        if !is_open {
            let needs = self.items_need(place);
            self.ends.take_out(self.items.0[place]);
            let ring = if needs { &mut self.needy } else { &mut self.blind };
            ring.take_out(self.items.1[place]);
            self.left -= 1;
        }
        self.order.push(Frame {
            place,
            state: std::mem::replace(&mut self.state, after),
            hash: std::mem::replace(&mut self.hash, hash),
            was_open: std::mem::replace(&mut self.was_open, is_open),
            next,
            choices: self.choices.len(),
        });
        true
    }

    /// Takes the last one out of the order, and returns what is to be tried in its place.
    fn go_back(&mut self) -> Option<Spot> {
        let Frame { place, state, hash, was_open, next, choices } = self.order.pop()?;
        (self.state, self.hash, self.was_open) = (state, hash, was_open);
        self.choices.truncate(choices);
        self.count(place, true);
        self.taken[place] = false;
        if self.history[place].ended.is_some() {
            let needs = self.items_need(place);
            let ring = if needs { &mut self.needy } else { &mut self.blind };
            ring.put_back(self.items.1[place]);
            self.ends.put_back(self.items.0[place]);
            self.left += 1;
        }
        Some(next)
    }

    /// Whether the operation at `place`, which has a reply, is in the ring of the needy.
    fn items_need(&self, place: usize) -> bool {
        self.needy.places.get(self.items.1[place]) == Some(&place)
    }

    /// Counts what the operation at `place` needs and makes, in or out.
    fn count(&mut self, place: usize, is_in: bool) {
        let Operation { call, ended, .. } = &self.history[place];
        let change = |counts: &mut HashMap<u64, u32>, family: u64| {
            let count = counts.entry(family).or_default();
            *count = if is_in { *count + 1 } else { count.saturating_sub(1) };
        };
        if let Some(family) = self.model.makes(call) {
            change(&mut self.makers, family);
        }
        let reply = ended.as_ref().map(|(_, reply)| reply);
        if let Some(state) = self.model.needs(call, reply) {
            let counts = if reply.is_some() { &mut self.needed } else { &mut self.hoped };
            change(counts, self.model.family(&state));
        }
    }
}

fn count(counts: &HashMap<u64, u32>, family: u64) -> u32 {
    counts.get(&family).copied().unwrap_or_default()
}

/// 128 bits that stand for a number: the exclusive or of those of a set stands for the set.
fn mark(number: u64) -> u128 {
    let half = |salt: u64| {
        let mixed = (number ^ salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        mixed ^ (mixed >> 29)
    };
    u128::from(half(0x5157)) << 64 | u128::from(half(0xA076_1D64_78BD_642F))
}

/// The hasher of what is a hash already.
#[derive(Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64 ^ (hash >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
