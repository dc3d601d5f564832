//! Code contracts: named, counted, beside what they guard.
//!
//! `requires!`, `ensures!` and `invariant!` take a [`Contract`] and a condition, or a premise and a
//! conclusion: `invariant!(R5Mark, premise => conclusion)`. They run under `debug_assertions` and
//! with the feature `contracts`, and are compiled out of a plain release build. Each counts how
//! often it was evaluated and how often its premise was true, so that a run can show which
//! contracts were ever put to the test ([`report`]).

use core::sync::atomic::{AtomicU64, Ordering};

/// Whether contracts run in this build.
pub const ENABLED: bool = cfg!(any(debug_assertions, feature = "contracts"));

macro_rules! contract_names {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// The contracts of the core. `R1` to `R14` are the rules of ARCHITECTURE.md.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Contract {
            $($(#[$doc])* $name,)+
        }

        impl Contract {
            /// Every contract, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name, as reports show it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

contract_names! {
    /// R1: the accepts of a ballot are taken in the order of slots; the window has no gap.
    R1InOrder,
    /// R2: an accepted message names durable slots only, from the durable `decided` on.
    R2CursorsDurable,
    /// R3: a notice of ballot b moves `decided` at most to the own accepted end in b.
    R3NoticeWithinBallot,
    /// R4: a leader's `decided` moves by its own count only.
    R4LeaderCountsItself,
    /// R5: a decided mark covers written slots only.
    R5MarkCoversWritten,
    /// R6: a proposer starts at or above every `decided` of its quorum.
    R6NothingBelowDecided,
    /// R6, P2c: an open slot gets the reported decree of the highest ballot.
    R6HighestBallotWins,
    /// R7: a part of a promise reports on each slot that it covers.
    R7ReportsDurable,
    /// R8: the own promise is durable before the ballot is used.
    R8OwnPromiseFirst,
    /// R8: the leader's own vote counts once its write is durable.
    R8OwnVoteDurable,
    /// R10: a replica without a vote leads nothing, and answers no prepare and no accept.
    R10NoVote,
    /// R10: a vote counts only under the incarnation on durable record.
    R10KnownIncarnation,
    /// R11: marks never go back from one record to the next.
    R11MarkMonotonic,
    /// R12: a campaign has a quorum of both phases that hears it and knows no leader.
    R12QuorumAgrees,
    /// R12: a leader has an answer of a quorum no older than `step_down`, or steps down.
    R12LeaderProven,
    /// R14: a forwarded request is taken in the ballot that it names, in order.
    R14ForwardInOrder,
    /// C1: the durable promise never exceeds the promise, and neither goes back.
    C1PromiseMonotonic,
    /// C2: a new ballot exceeds every ballot heard of.
    C2BallotFresh,
    /// C3: nothing is proposed behind an open barrier.
    C3BarrierFirst,
    /// C4: a replica that says that nothing is due has forgotten nothing.
    C4NothingForgotten,
    /// C7: slots are delivered once, in order, and only when decided.
    C7DeliveredInOrder,
    /// C7: `base <= marked <= decided <= end` and `applied <= delivered`.
    C7CursorsOrdered,
    /// C5: what is out to a peer, and what a leader proposes, lies within the window.
    C5WithinWindow,
    /// A1: each submit has exactly one outcome.
    A1OneOutcome,
    /// A3: the requests of an origin are applied in the order of their numbers.
    A3OriginOrder,
}

/// How often one contract was evaluated, and how often its premise was true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tally {
    /// The contract.
    pub contract: Contract,
    /// Evaluations.
    pub evaluated: u64,
    /// Evaluations whose premise held, so that the conclusion was put to the test.
    pub tested: u64,
}

static EVALUATED: [AtomicU64; Contract::ALL.len()] = [const { AtomicU64::new(0) }; _];
static TESTED: [AtomicU64; Contract::ALL.len()] = [const { AtomicU64::new(0) }; _];

/// The counters of all contracts, over all replicas of this process.
pub fn report() -> impl Iterator<Item = Tally> {
    Contract::ALL.iter().map(|contract| Tally {
        contract: *contract,
        evaluated: EVALUATED[*contract as usize].load(Ordering::Relaxed),
        tested: TESTED[*contract as usize].load(Ordering::Relaxed),
    })
}

/// Counts an evaluation. Not for use outside the macros.
#[doc(hidden)]
pub fn count(contract: Contract, tested: bool) {
    EVALUATED[contract as usize].fetch_add(1, Ordering::Relaxed);
    if tested {
        TESTED[contract as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The common part of the three macros.
macro_rules! contract {
    ($word:literal, $name:ident, $premise:expr => $conclusion:expr) => {
        if $crate::contracts::ENABLED {
            let premise: bool = $premise;
            $crate::contracts::count($crate::contracts::Contract::$name, premise);
            if premise {
                assert!(
                    $conclusion,
                    concat!($word, " ", stringify!($name), " broken: ", stringify!($conclusion))
                );
            }
        }
    };
}

/// A pre-condition.
macro_rules! requires {
    ($name:ident, $premise:expr => $conclusion:expr) => {
        $crate::contracts::contract!("requires", $name, $premise => $conclusion)
    };
    ($name:ident, $condition:expr) => {
        $crate::contracts::contract!("requires", $name, true => $condition)
    };
}

/// A post-condition.
macro_rules! ensures {
    ($name:ident, $premise:expr => $conclusion:expr) => {
        $crate::contracts::contract!("ensures", $name, $premise => $conclusion)
    };
    ($name:ident, $condition:expr) => {
        $crate::contracts::contract!("ensures", $name, true => $condition)
    };
}

/// A condition that holds between any two events.
macro_rules! invariant {
    ($name:ident, $premise:expr => $conclusion:expr) => {
        $crate::contracts::contract!("invariant", $name, $premise => $conclusion)
    };
    ($name:ident, $condition:expr) => {
        $crate::contracts::contract!("invariant", $name, true => $condition)
    };
}

pub(crate) use {contract, ensures, invariant, requires};
