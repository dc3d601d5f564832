//! The state machines of a run. The world knows no type of theirs: any [`StateMachine`] is put
//! into a [`Machine`], which tells the checkers what it applied, keeps what a durable one saved
//! over a crash, and asks the invariants of its user after every decree.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use synod_core::Slot;
use synod_core::service::{At, StateMachine};

use crate::app::{AnyReply, Tag};
use crate::checkers::{Applied, RequestKey, Sealed};

/// What a simulation can compare of replies: their hash, and their text in a story.
pub trait Reply: Hash + fmt::Debug + Clone + 'static {}

impl<T: Hash + fmt::Debug + Clone + 'static> Reply for T {}

/// What must hold of a state machine after every decree.
pub type Invariant<M> = Box<dyn Fn(&M) -> Result<(), String> + Send + Sync>;

/// What a disk keeps of a state machine.
type Save<M> = Box<dyn Fn(&M) -> Vec<u8> + Send + Sync>;

/// The state machine that a disk gives back.
type Load<M> = Box<dyn Fn(&[u8]) -> M + Send + Sync>;

/// What an operation asks for, in words.
type Show = Box<dyn Fn(&[u8]) -> String + Send + Sync>;

/// What a reply says, in words. None for a reply of another type.
type ShowReply = Box<dyn Fn(&dyn Any) -> Option<String> + Send + Sync>;

/// How machines of one kind are made, kept over crashes, shown and judged.
pub struct Recipe<M> {
    fresh: Box<dyn Fn() -> M + Send + Sync>,
    keep: Option<Keep<M>>,
    invariants: Vec<(String, Invariant<M>)>,
    show: Option<Show>,
    show_reply: Option<ShowReply>,
    /// Whether requests carry a tag that the machine must not see.
    tagged: bool,
}

/// How a durable machine is saved and loaded.
struct Keep<M> {
    save: Save<M>,
    load: Load<M>,
}

/// A state machine of any type, as a replica runs it.
pub struct Machine {
    inner: Box<dyn Erased>,
    applied: Vec<Applied>,
    sealed: Vec<Sealed>,
    broken: Option<(Slot, String)>,
}

impl<M> Recipe<M> {
    /// Machines that `fresh` makes, and that lose everything in a crash.
    #[must_use]
    pub fn new(fresh: impl Fn() -> M + Send + Sync + 'static) -> Self {
        Self {
            fresh: Box::new(fresh),
            keep: None,
            invariants: Vec::new(),
            show: None,
            show_reply: None,
            tagged: true,
        }
    }

    /// Requests carry no tag: the machine sees them whole.
    #[must_use]
    pub fn untagged(mut self) -> Self {
        self.tagged = false;
        self
    }

    /// In runs with durable machines, what `save` gives after each decree survives a crash, and
    /// `load` makes the machine of the next run out of it.
    #[must_use]
    pub fn durable(
        mut self,
        save: impl Fn(&M) -> Vec<u8> + Send + Sync + 'static,
        load: impl Fn(&[u8]) -> M + Send + Sync + 'static,
    ) -> Self {
        self.keep = Some(Keep { save: Box::new(save), load: Box::new(load) });
        self
    }

    /// Operations are shown so, in stories, transcripts and pictures. Otherwise as bytes.
    #[must_use]
    pub fn show(mut self, show: impl Fn(&[u8]) -> String + Send + Sync + 'static) -> Self {
        self.show = Some(Box::new(show));
        self
    }

    /// Replies are shown so. Otherwise with `Debug`.
    #[must_use]
    pub fn show_replies<R: 'static>(
        mut self,
        show: impl Fn(&R) -> String + Send + Sync + 'static,
    ) -> Self {
        self.show_reply = Some(Box::new(move |reply| reply.downcast_ref().map(&show)));
        self
    }

    /// Adds something that must hold after every decree, on every replica.
    #[must_use]
    pub fn invariant(
        mut self,
        name: impl Into<String>,
        holds: impl Fn(&M) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.invariants.push((name.into(), Box::new(holds)));
        self
    }
}

impl Machine {
    /// A fresh machine of this recipe. Whether it keeps its state over crashes is up to the run
    /// and to the recipe.
    #[must_use]
    pub fn new<M>(recipe: &Arc<Recipe<M>>, durable: bool) -> Self
    where
        M: StateMachine + 'static,
        M::Reply: Reply,
    {
        Self::of(Box::new(Live {
            machine: (recipe.fresh)(),
            recipe: Arc::clone(recipe),
            durable: durable && recipe.keep.is_some(),
            saved: None,
            replies: VecDeque::new(),
        }))
    }

    fn of(inner: Box<dyn Erased>) -> Self {
        Self { inner, applied: Vec::new(), sealed: Vec::new(), broken: None }
    }

    /// What is left of it after a crash.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self::of(self.inner.reopened())
    }

    /// An empty one of its kind.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::of(self.inner.fresh())
    }

    /// The end of what it holds.
    #[must_use]
    pub fn end(&self) -> Slot {
        self.inner.applied().map_or(Slot::ZERO, |at| at.slot.next())
    }

    /// The machine inside, when it is of this type.
    #[must_use]
    pub fn get<M: 'static>(&self) -> Option<&M> {
        self.inner.machine().downcast_ref()
    }

    /// The reply to a request of this turn, for the client that waits for it. They are asked for
    /// in the order of application.
    #[must_use]
    pub fn take_reply(&mut self, key: RequestKey) -> Option<Box<dyn AnyReply>> {
        self.inner.take_reply(key)
    }

    /// The turn is over: nobody waits for the replies of it that are left.
    pub(crate) fn forget_replies(&mut self) {
        self.inner.forget_replies();
    }

    /// Swaps out what was applied since the last call, and what it came to.
    pub(crate) fn take_journal(&mut self, applied: &mut Vec<Applied>, sealed: &mut Vec<Sealed>) {
        applied.clear();
        sealed.clear();
        std::mem::swap(applied, &mut self.applied);
        std::mem::swap(sealed, &mut self.sealed);
    }

    /// The operation in the body of a request, in words.
    #[must_use]
    pub fn show(&self, operation: &[u8]) -> String {
        self.inner.show(operation).unwrap_or_else(|| escaped(operation))
    }

    /// A reply, in words.
    #[must_use]
    pub fn show_reply(&self, reply: &dyn AnyReply) -> String {
        self.inner.show_reply(reply.whatever()).unwrap_or_else(|| format!("{reply:?}"))
    }

    /// The reply that was given `back` replies before the last one of this turn, in words.
    pub(crate) fn tell_reply(&self, back: usize) -> Option<String> {
        self.inner.recent(back).map(|reply| self.show_reply(reply))
    }

    /// The first invariant that did not hold, after which slot, and why.
    #[must_use]
    pub fn broken(&self) -> Option<(Slot, &str)> {
        self.broken.as_ref().map(|(slot, why)| (*slot, why.as_str()))
    }
}

impl StateMachine for Machine {
    type Reply = u64;

    fn apply(&mut self, at: At, request: &[u8]) -> u64 {
        let key = RequestKey::of(request);
        let reply = self.inner.apply(at, request, key);
        self.applied.push(Applied { slot: at.slot, ballot: at.ballot, key, reply });
        reply
    }

    fn before_decree(&mut self, at: At) {
        self.inner.before_decree(at);
    }

    fn after_decree(&mut self, at: At) {
        self.inner.after_decree(at);
        self.sealed.push(Sealed { at, digest: self.inner.digest() });
        if self.broken.is_none() {
            self.broken = self.inner.judge().map(|why| (at.slot, why));
        }
    }

    fn applied(&self) -> Option<At> {
        self.inner.applied()
    }

    fn digest(&self) -> u64 {
        self.inner.digest()
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("end", &self.end()).finish_non_exhaustive()
    }
}

/// A [`StateMachine`] without its types.
trait Erased {
    fn apply(&mut self, at: At, request: &[u8], key: RequestKey) -> u64;
    fn before_decree(&mut self, at: At);
    fn after_decree(&mut self, at: At);
    fn applied(&self) -> Option<At>;
    fn digest(&self) -> u64;
    fn judge(&self) -> Option<String>;
    fn reopened(&self) -> Box<dyn Erased>;
    fn fresh(&self) -> Box<dyn Erased>;
    fn machine(&self) -> &dyn Any;
    fn take_reply(&mut self, key: RequestKey) -> Option<Box<dyn AnyReply>>;
    fn forget_replies(&mut self);
    fn recent(&self, back: usize) -> Option<&dyn AnyReply>;
    fn show(&self, operation: &[u8]) -> Option<String>;
    fn show_reply(&self, reply: &dyn Any) -> Option<String>;
}

/// A machine in a replica, and what its disk holds of it.
struct Live<M: StateMachine> {
    machine: M,
    recipe: Arc<Recipe<M>>,
    durable: bool,
    /// State and place in one, so that they cannot part in a crash (S42).
    saved: Option<Arc<[u8]>>,
    /// Of this turn, in the order of application, up to the last that was asked for.
    replies: VecDeque<(RequestKey, M::Reply)>,
}

impl<M> Erased for Live<M>
where
    M: StateMachine + 'static,
    M::Reply: Reply,
{
    fn apply(&mut self, at: At, request: &[u8], key: RequestKey) -> u64 {
        let operation = if self.recipe.tagged { Tag::strip(request) } else { request };
        let reply = self.machine.apply(at, operation);
        let digest = digest_of(&reply);
        self.replies.push_back((key, reply));
        digest
    }

    fn before_decree(&mut self, at: At) {
        self.machine.before_decree(at);
    }

    fn after_decree(&mut self, at: At) {
        self.machine.after_decree(at);
        if let Some(keep) = self.recipe.keep.as_ref().filter(|_| self.durable) {
            self.saved = Some((keep.save)(&self.machine).into());
        }
    }

    fn applied(&self) -> Option<At> {
        self.machine.applied()
    }

    fn digest(&self) -> u64 {
        self.machine.digest()
    }

    fn judge(&self) -> Option<String> {
        let mut judged = self.recipe.invariants.iter().map(|(name, holds)| {
            holds(&self.machine).map_err(|why| format!("\"{name}\" does not hold: {why}"))
        });
        judged.find_map(Result::err)
    }

    fn reopened(&self) -> Box<dyn Erased> {
        let keep = self.recipe.keep.as_ref();
        let loaded = keep.zip(self.saved.as_ref()).map(|(keep, saved)| (keep.load)(saved));
        Box::new(Self {
            machine: loaded.unwrap_or_else(|| (self.recipe.fresh)()),
            recipe: Arc::clone(&self.recipe),
            durable: self.durable,
            saved: self.saved.clone(),
            replies: VecDeque::new(),
        })
    }

    fn fresh(&self) -> Box<dyn Erased> {
        Box::new(Self {
            machine: (self.recipe.fresh)(),
            recipe: Arc::clone(&self.recipe),
            durable: self.durable,
            saved: None,
            replies: VecDeque::new(),
        })
    }

    fn machine(&self) -> &dyn Any {
        &self.machine
    }

    fn take_reply(&mut self, key: RequestKey) -> Option<Box<dyn AnyReply>> {
        // Outcomes come in the order of application: what lies before is of other members.
        loop {
            let (known, reply) = self.replies.pop_front()?;
            if known == key {
                return Some(Box::new(reply));
            }
        }
    }

    fn forget_replies(&mut self) {
        self.replies.clear();
    }

    fn recent(&self, back: usize) -> Option<&dyn AnyReply> {
        self.replies.iter().nth_back(back).map(|(_, reply)| reply as &dyn AnyReply)
    }

    fn show(&self, operation: &[u8]) -> Option<String> {
        self.recipe.show.as_ref().map(|show| show(operation))
    }

    fn show_reply(&self, reply: &dyn Any) -> Option<String> {
        self.recipe.show_reply.as_ref().and_then(|show| show(reply))
    }
}

/// The bytes of an operation, those at the beginning.
fn escaped(operation: &[u8]) -> String {
    let shown = &operation[..operation.len().min(SHOWN)];
    let dots = if shown.len() < operation.len() { "…" } else { "" };
    format!("\"{}{dots}\"", shown.escape_ascii())
}

/// How many bytes of an operation a trace shows.
const SHOWN: usize = 32;

/// A digest of a reply, the same on every machine.
#[must_use]
pub fn digest_of(reply: &impl Hash) -> u64 {
    let mut mixer = Mixer(0);
    reply.hash(&mut mixer);
    mixer.finish()
}

/// A hasher that no seed and no version of the standard library changes.
struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, part: u64) {
        let mixed = u128::from(self.0 ^ part) * 0xE703_7ED1_A0B4_28DB;
        self.0 = (mixed as u64 ^ (mixed >> 64) as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    fn write_u64(&mut self, part: u64) {
        self.mix(part);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The state machine of stories: its state is a digest of the requests applied, in order, and so
/// is its reply. Two replicas that differ in anything reply differently.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger {
    digest: u64,
    count: u64,
    at: Option<At>,
}

impl Ledger {
    /// How ledgers are made.
    #[must_use]
    pub fn recipe() -> Arc<Recipe<Self>> {
        Arc::new(Recipe::new(Self::default).untagged().durable(Self::save, Self::load))
    }

    /// How many requests were applied.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    fn save(&self) -> Vec<u8> {
        let at = self.at.unwrap_or_default();
        let parts = [self.digest, self.count, at.slot.0, at.ballot.round, at.ballot.node.0];
        parts.iter().flat_map(|part| part.to_le_bytes()).collect()
    }

    fn load(saved: &[u8]) -> Self {
        let mut parts =
            saved.chunks_exact(8).map(|part| part.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || parts.next().unwrap_or_default();
        let (digest, count, slot) = (next(), next(), Slot(next()));
        let (round, node) = (next(), synod_core::NodeId(next()));
        let ballot = synod_core::Ballot { round, node };
        Self { digest, count, at: Some(At { slot, ballot }) }
    }
}

impl StateMachine for Ledger {
    type Reply = u64;

    fn apply(&mut self, at: At, request: &[u8]) -> u64 {
        let key = RequestKey::of(request);
        let mixed = u128::from(self.digest ^ key.0) * 0xE703_7ED1_A0B4_28DB;
        self.digest = mixed as u64 ^ (mixed >> 64) as u64 ^ at.slot.0;
        self.count += 1;
        self.digest
    }

    fn after_decree(&mut self, at: At) {
        self.at = Some(at);
    }

    fn applied(&self) -> Option<At> {
        self.at
    }

    fn digest(&self) -> u64 {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use synod_core::{Ballot, NodeId};

    use super::*;

    const AT: At = At { slot: Slot(4), ballot: Ballot { round: 2, node: NodeId(3) } };

    fn applied(durable: bool) -> Machine {
        let mut machine = Machine::new(&Ledger::recipe(), durable);
        machine.before_decree(AT);
        let _ = machine.apply(AT, b"x");
        machine.after_decree(AT);
        machine
    }

    #[test]
    fn a_durable_machine_comes_back_as_it_was_after_its_last_whole_decree() {
        let mut machine = applied(true);
        let (digest, next) = (machine.digest(), At { slot: Slot(5), ..AT });
        let _ = machine.apply(next, b"half of a decree");
        assert_ne!(machine.digest(), digest);
        // What is on the disk stays there, however often it is opened.
        for reopened in [machine.reopened(), machine.reopened().reopened()] {
            assert_eq!(reopened.digest(), digest);
            assert_eq!(reopened.applied(), Some(AT));
            assert_eq!(reopened.end(), Slot(5));
        }
        assert_eq!(machine.fresh().end(), Slot::ZERO);
        assert_eq!(machine.fresh().reopened().applied(), None);
    }

    #[test]
    fn another_machine_begins_anew() {
        let machine = applied(false);
        assert_eq!(machine.end(), Slot(5));
        let reopened = machine.reopened();
        assert_eq!((reopened.end(), reopened.digest()), (Slot::ZERO, Ledger::default().digest()));
    }

    #[test]
    fn the_journal_says_what_was_applied_and_what_it_came_to() {
        let mut machine = applied(false);
        let (mut requests, mut sealed) = (Vec::new(), Vec::new());
        machine.take_journal(&mut requests, &mut sealed);
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].key, RequestKey::of(b"x"));
        assert_eq!(sealed, [Sealed { at: AT, digest: machine.digest() }]);
        machine.take_journal(&mut requests, &mut sealed);
        assert!(requests.is_empty() && sealed.is_empty());
    }

    #[test]
    fn replies_are_told_apart() {
        let words = ["a", "b", "ab", ""].map(|word| digest_of(&word));
        let pairs = [("a", "b"), ("ab", ""), ("", "ab")].map(|pair| digest_of(&pair));
        let all: std::collections::BTreeSet<u64> = words.into_iter().chain(pairs).collect();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn the_first_broken_invariant_is_remembered() {
        let recipe = Recipe::new(Ledger::default).untagged();
        let recipe = recipe.invariant("there is one at most", |ledger: &Ledger| {
            if ledger.count() < 2 { Ok(()) } else { Err(format!("there are {}", ledger.count())) }
        });
        let mut machine = Machine::new(&Arc::new(recipe), false);
        for value in [b"1", b"2", b"3"] {
            assert_eq!(machine.broken().is_some(), value == b"3");
            let _ = machine.apply(AT, value);
            machine.after_decree(AT);
        }
        let broken = machine.broken().expect("it does not hold");
        // A machine that does not say where it is is told where it went wrong all the same.
        assert_eq!(broken, (AT.slot, "\"there is one at most\" does not hold: there are 2"));
    }
}
