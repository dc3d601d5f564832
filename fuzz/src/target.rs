//! All targets, by name: what replays an input of one, and what makes inputs to start from.

use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};

use crate::plan::{Many, RecordPlan};
use crate::shorten::{Story, attempt, shortest};
use crate::{cluster, log, record, replay, replica, resp, service, wire};

/// A target, as cargo-fuzz names it.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Runs an input. Each bit of the result stands for something that the input reached.
    pub run: fn(&[u8]) -> u64,
    /// An input in words. A story that ends badly is told in its shortest form.
    pub tell: fn(&[u8]) -> String,
    /// Makes an input out of chance: honest bytes, for a target that takes bytes.
    pub make: fn(&[u8]) -> Vec<u8>,
    /// Longer inputs show nothing new.
    pub longest: usize,
}

/// All of them.
pub const ALL: [Target; 12] = [
    Target {
        name: "wire_bytes",
        run: |bytes| of_kind(wire::bytes(bytes) > 0, bytes.get(7)),
        tell: |bytes| format!("{bytes:?}"),
        make: |chance| make(chance, |case: wire::Case| case.frame().to_vec()),
        longest: 512,
    },
    Target {
        name: "wire_message",
        run: |bytes| run(bytes, |case| bits([true, wire::message(case)])),
        tell: tell::<wire::Case>,
        make: <[u8]>::to_vec,
        longest: 2048,
    },
    Target {
        name: "record_bytes",
        run: |bytes| of_kind(record::bytes(bytes) > 0, bytes.get(13)),
        tell: |bytes| format!("{bytes:?}"),
        make: |chance| make(chance, |case: record::Case| case.bytes().to_vec()),
        longest: 512,
    },
    Target {
        name: "record",
        run: |bytes| run(bytes, |case| bits([true, record::record(case)])),
        tell: tell::<record::Case>,
        make: <[u8]>::to_vec,
        longest: 2048,
    },
    Target {
        name: "replay",
        run: |bytes| {
            run(bytes, |plans: &Many<RecordPlan>| {
                let open = replay::replay(&plans.0);
                bits([open.is_none(), open == Some(0), open.is_some_and(|open| open > 0)])
            })
        },
        tell: tell::<Many<RecordPlan>>,
        make: <[u8]>::to_vec,
        longest: 2048,
    },
    Target {
        name: "replica",
        run: |bytes| run(bytes, |case| replica::replica(case).bits()),
        tell: |bytes| tell_story(bytes, replica::replica),
        make: <[u8]>::to_vec,
        longest: 4096,
    },
    Target {
        name: "log",
        run: |bytes| run(bytes, |case| log::log(case).bits()),
        tell: |bytes| tell_story(bytes, log::log),
        make: <[u8]>::to_vec,
        longest: 1024,
    },
    Target {
        name: "log_forged",
        run: |bytes| run(bytes, |case| bits([true, log::forged(case)])),
        tell: tell::<log::Forged>,
        make: <[u8]>::to_vec,
        longest: 2048,
    },
    Target {
        name: "resp",
        run: |bytes| run(bytes, |case| resp::resp(case).bits()),
        tell: tell::<resp::Case>,
        make: <[u8]>::to_vec,
        longest: 1024,
    },
    Target {
        name: "resp_bytes",
        run: |bytes| {
            let (request, replies) = (resp::request(bytes), resp::replies(bytes));
            of_kind(request || replies > 0, bytes.first())
        },
        tell: |bytes| format!("{bytes:?}"),
        make: |chance| make(chance, |case: resp::Case| case.talk()),
        longest: 512,
    },
    Target {
        name: "service",
        run: |bytes| run(bytes, |case| service::service(case).bits()),
        tell: |bytes| tell_story(bytes, service::service),
        make: <[u8]>::to_vec,
        longest: 2048,
    },
    Target {
        name: "cluster",
        run: |bytes| run(bytes, |case| cluster::cluster(case).bits()),
        tell: |bytes| tell_story(bytes, cluster::cluster),
        make: <[u8]>::to_vec,
        longest: 1024,
    },
];

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    ALL.into_iter().find(|target| target.name == name)
}

/// One bit for each thing reached.
pub(crate) fn bits<const N: usize>(reached: [bool; N]) -> u64 {
    let all = reached.iter().enumerate();
    all.fold(0, |bits, (place, reached)| bits | u64::from(*reached) << place)
}

/// A bit for each kind of what was taken.
fn of_kind(taken: bool, kind: Option<&u8>) -> u64 {
    kind.map_or(0, |kind| u64::from(taken) << (kind % 64))
}

/// The case that cargo-fuzz makes of `bytes`.
fn case<'a, C: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<C> {
    C::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

fn run<C: for<'a> Arbitrary<'a>>(bytes: &[u8], run: impl FnOnce(&C) -> u64) -> u64 {
    case(bytes).map_or(0, |case| run(&case))
}

fn make<C: for<'a> Arbitrary<'a>>(chance: &[u8], make: impl FnOnce(C) -> Vec<u8>) -> Vec<u8> {
    case(chance).map(make).unwrap_or_default()
}

fn tell<C: for<'a> Arbitrary<'a> + Debug>(bytes: &[u8]) -> String {
    case::<C>(bytes).map_or_else(|| "too short to be a case".into(), |case| format!("{case:#?}"))
}

fn tell_story<C, R>(bytes: &[u8], run: impl Fn(&C) -> R) -> String
where
    C: for<'a> Arbitrary<'a> + Debug + Story,
{
    let Some(case) = case::<C>(bytes) else { return "too short to be a case".into() };
    if attempt(&case, &run).is_ok() {
        return format!("{case:#?}");
    }
    format!("the shortest story: {:#?}", shortest(&case, &run))
}
