//! Disks that fail, fill up, forget, or are another's: what a node does then.

use synod_core::{MemberIndex, Slot};
use synod_log::{DeviceFault, Operation};
use synod_sim::atlas::Harm;
use synod_sim::options::{DiskOptions, Fault};
use synod_sim::scenario::Cluster;
use synod_sim::trace::Lines;
use synod_sim::{Options, Property, ms, swarm};

fn member(place: u8) -> MemberIndex {
    MemberIndex(place)
}

/// Three members with a leader, twelve decided values, and logs of several small segments.
fn loaded(seed: u64) -> Cluster {
    let small = |options: &mut Options| {
        options.disk = DiskOptions { segment_records: 1, ..DiskOptions::default() };
    };
    let mut t = Cluster::of(3).seed(seed).with(small).with_leader();
    for round in 0..12 {
        t.decide([format!("value {round} {}", "x".repeat(300)).as_str()]);
    }
    t.settle();
    t
}

/// Damage where a log must see it keeps the node down; the others go on.
#[test]
fn a_damaged_disk_keeps_its_node_down_and_nobody_else() {
    for (seed, harm) in [Harm::Rot, Harm::LostWrite, Harm::StrayWrite, Harm::BadSector]
        .into_iter()
        .chain([Harm::LostFile])
        .enumerate()
    {
        let mut t = loaded(seed as u64);
        let [leader, _, c] = t.by_role();
        t.crash(c);
        while !t.world().harm(c, harm) {}
        t.restart(c);
        t.run_for(ms(2_000));
        assert!(t.world().node(c).process.is_none(), "{harm:?}");
        assert_eq!(t.world().stats().refusals, 1);
        assert!(t.leads(leader));
        t.decide(["and on"]);
    }
}

/// The checker sees a log that opens over damage.
#[test]
fn a_start_on_a_damaged_disk_is_a_violation() {
    let mut t = loaded(7);
    let [_, _, c] = t.by_role();
    t.crash(c);
    let before = t.world().node(c).disk.device().fork();
    while !t.world().harm(c, Harm::LostWrite) {}
    // As if the log did not look: its disk is whole, and said to be damaged.
    for (name, bytes) in before.media() {
        t.world().node_mut(c).disk.device().put(&name, &bytes);
    }
    let now = t.now();
    t.world().start_at(c, now);
    let violation = loop {
        assert!(t.world().step().is_some() || t.world().violation().is_some());
        if let Some(violation) = t.world().violation() {
            break violation.clone();
        }
    };
    assert_eq!(violation.property, Property::Recovery);
    assert!(violation.story.contains("as if nothing had happened"), "{violation}");
}

/// S36 (identity): a node does not start on the disk of another, and takes its own back.
#[test]
fn exchanged_disks_are_refused() {
    let mut t = loaded(3);
    let [_, b, c] = t.by_role();
    t.crash(b);
    t.crash(c);
    t.world().exchange_disks(b, c);
    t.restart(b);
    t.restart(c);
    t.run_for(ms(1_000));
    assert!([b, c].iter().all(|m| t.world().node(*m).process.is_none()));
    assert_eq!(t.world().stats().refusals, 2);
    t.world().exchange_disks(b, c);
    t.restart(b);
    t.restart(c);
    t.settle();
    t.assert_one_log();
}

/// A full disk stops its node and loses nothing; with room it goes on.
#[test]
fn a_full_disk_stops_its_node_until_there_is_room() {
    let mut t = loaded(4);
    let [_, _, c] = t.by_role();
    t.world().fill_disk(c, true);
    for round in 0..12 {
        t.decide([format!("more {round} {}", "x".repeat(900)).as_str()]);
    }
    t.run_for(ms(500));
    let failed = |t: &mut Cluster| {
        t.world().node(c).process.as_ref().is_some_and(|process| process.log_failed)
    };
    assert!(failed(&mut t), "its log needed another segment");
    t.crash(c);
    t.restart(c);
    t.run_for(ms(300));
    assert!(t.world().node(c).process.is_none(), "still no room");
    t.world().fill_disk(c, false);
    t.run_for(ms(2_000));
    t.settle();
    assert!(t.world().node(c).process.is_some(), "it was started again and again");
    t.assert_one_log();
}

/// After any failed operation a log calls nothing durable any more; its node comes back whole.
#[test]
fn a_failed_operation_ends_the_run_and_loses_nothing() {
    for (seed, operation) in
        [Operation::Write, Operation::Sync, Operation::Create, Operation::Rename]
            .into_iter()
            .chain([Operation::Truncate, Operation::SyncDirectory])
            .enumerate()
    {
        let mut t = loaded(seed as u64);
        let [_, _, c] = t.by_role();
        t.world().node_mut(c).disk.inject(operation, 0, DeviceFault::Error);
        for round in 0..12 {
            t.decide([format!("more {round} {}", "x".repeat(900)).as_str()]);
        }
        t.run_for(ms(500));
        let process = t.world().node(c).process.as_ref().expect("up");
        assert!(process.log_failed, "{operation:?}");
        let (durable, upto) = (t.world().node(c).disk.durable(), t.decided(c));
        t.run_for(ms(500));
        assert_eq!(t.world().node(c).disk.durable(), durable, "{operation:?}");
        assert!(t.decided(c) >= upto);
        t.crash(c);
        t.restart(c);
        t.settle();
        t.assert_one_log();
    }
}

/// Short and interrupted calls are no failures.
#[test]
fn short_and_interrupted_calls_are_not_noticed() {
    let mut t = loaded(5);
    for nth in 0..20 {
        for place in 0..3 {
            let disk = &mut t.world().node_mut(member(place)).disk;
            disk.inject(Operation::Write, nth, DeviceFault::Short(1 + nth as usize));
            disk.inject(Operation::Write, nth, DeviceFault::Interrupted);
            disk.inject(Operation::Read, nth, DeviceFault::Short(5));
        }
    }
    for round in 0..12 {
        t.decide([format!("more {round}").as_str()]);
    }
    for place in 0..3 {
        t.crash(member(place));
        t.restart(member(place));
    }
    t.settle();
    t.assert_one_log();
}

/// A read that shows other bytes is noticed; whoever lags is served by the next read.
#[test]
fn a_misread_is_noticed_and_the_next_read_is_good() {
    let mut struck = 0;
    for seed in 0..8 {
        let mut t = loaded(seed);
        let [leader, _, c] = t.by_role();
        t.crash(c);
        for round in 0..80 {
            t.decide([format!("more {round}").as_str()]);
        }
        t.world().misread(leader);
        struck += u32::from(t.world().node(leader).trouble.misread);
        t.restart(c);
        t.settle();
        t.assert_one_log();
    }
    assert!(struck > 0);
}

/// A disk that is set back to what it was some runs ago has forgotten: the checkers see it.
#[test]
fn a_disk_set_back_is_a_violation() {
    let mut t = loaded(6);
    let [_, _, c] = t.by_role();
    t.crash(c);
    let old = t.world().node(c).disk.device().fork();
    for _ in 0..3 {
        t.restart(c);
        t.settle();
        t.crash(c);
    }
    let image: Vec<_> = old.media();
    let device = t.world().node(c).disk.device().clone();
    for (name, _) in device.media() {
        assert!(device.lose_file(&name));
    }
    for (name, bytes) in image {
        device.put(&name, &bytes);
    }
    t.restart(c);
    let now = t.now();
    while t.world().violation().is_none() && t.now() < now.after(ms(50)) {
        let _ = t.world().step();
    }
    let violation = t.world().violation().cloned().expect("what was durable is gone");
    assert!(matches!(violation.property, Property::Recovery | Property::Monotonic), "{violation}");
}

/// Beyond the promise no progress is asked for, and still no answer is wrong.
#[test]
fn over_the_limit_no_answer_is_wrong() {
    let (mut refusals, mut stuck) = (0, 0);
    for seed in 0..40 {
        let mut options = Options::draw(seed, Some(3), Some(ms(4_000)));
        options.over_the_limit = true;
        options.nemesis.weights = [0; Fault::COUNT];
        for fault in [Fault::Crash, Fault::Wipe, Fault::BitRot, Fault::LostWrite, Fault::LostFile] {
            options.nemesis.weights[fault as usize] = 1;
        }
        options.nemesis.every_nanos = 200_000_000;
        let report = swarm::run(options, Lines::None);
        assert_eq!(report.violation, None, "seed {seed}");
        refusals += report.stats.refusals;
        stuck += u32::from(report.chosen > Slot::ZERO && report.is_beyond);
    }
    assert!(refusals > 20 && stuck > 20, "{refusals} {stuck}");
}
