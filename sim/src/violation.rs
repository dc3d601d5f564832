//! What a checker says when it has seen a run go wrong.

use std::fmt;

/// The properties that the checkers watch, one per file of `checkers`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Property {
    /// One slot, one decree, for ever.
    Agreement,
    /// What is applied was chosen by votes that were durable at the time.
    Durability,
    /// Slots are applied in order, none left out, none twice in a run.
    Order,
    /// Only what a client submitted is applied, and each at most once.
    Validity,
    /// No message contradicts an earlier promise, and none runs ahead of the disk.
    Promises,
    /// One decree per ballot and slot.
    OneDecree,
    /// P2c: a new proposal cannot contradict what an earlier ballot may still choose.
    Choosable,
    /// A member campaigns only when a quorum let it (R12), learns first what it was told to be
    /// decided (R6), and is answered however often it asks (C4).
    Campaigns,
    /// A member follows the leader that it hears, and gives whom it promised a chance (B1).
    Patience,
    /// A member leads only while a quorum proves it and its disk keeps up (R12, B4).
    Reigns,
    /// A leader tells whoever lags, and is told what is durable (C4).
    Notices,
    /// What was reported durable is there after a crash.
    Recovery,
    /// What the user of the library demands of the state machine holds after every decree.
    Invariant,
    /// What clients heard has an order that explains it, and that keeps the order of time.
    Linearizable,
    /// Each submit has one outcome, and a true one.
    Outcomes,
    /// Conditions on the leadership hold, and exclusive requests are alone.
    Demands,
    /// The requests of an origin are applied in the order of their submission.
    OriginOrder,
    /// Cursors never go back.
    Monotonic,
    /// Limits hold.
    Bounds,
    /// A healed cluster converges, with no further traffic.
    Convergence,
    /// A contract of the core was broken, or a part of it or of the log panicked.
    Contract,
    /// Something else panicked: the state machine, an invariant or a client, as a rule.
    Panic,
}

/// A property that was broken, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// How, in a sentence that names nodes, slots and ballots.
    pub story: String,
}

/// What every checker returns.
pub type Checked = Result<(), Violation>;

impl Violation {
    /// A violation of `property`.
    #[must_use]
    pub fn new(property: Property, story: impl Into<String>) -> Self {
        Self { property, story: story.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.property, self.story)
    }
}

impl std::error::Error for Violation {}

/// Fails with a story unless the condition holds.
macro_rules! check {
    ($property:ident, $condition:expr, $($story:tt)+) => {
        if !$condition {
            return Err($crate::violation::Violation::new(
                $crate::violation::Property::$property,
                format!($($story)+),
            ));
        }
    };
}

pub(crate) use check;
/// So many of something: `1 member`, `3 members`.
#[must_use]
pub fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
