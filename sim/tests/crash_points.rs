//! Every point at which a member can die: right behind each of its actions, in the middle of each
//! change of its disk, and again in the middle of the recovery from that. Each point is a run of
//! its own, on a small load; the checkers watch, and in the end all logs are one.

use synod_core::MemberIndex;
use synod_log::Keep;
use synod_sim::options::DiskOptions;
use synod_sim::scenario::Cluster;
use synod_sim::{Options, ms};

/// Who dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Leader,
    Other,
}

/// A cluster of three with small segments, so that the load makes new ones.
fn cluster() -> Cluster {
    let small = |options: &mut Options| {
        options.disk = DiskOptions { segment_records: 1, ..DiskOptions::default() };
    };
    Cluster::of(3).seed(0xC4A5).with(small)
}

fn led(who: Who) -> (Cluster, MemberIndex) {
    let mut t = cluster().with_leader();
    t.decide(["before"]);
    let [leader, b, _] = t.by_role();
    (t, if who == Who::Leader { leader } else { b })
}

/// Eight values, through the leader and through another member, in two bursts.
fn load(t: &mut Cluster) {
    let [leader, b, _] = t.by_role();
    let value = |name: &str| format!("{name} {}", "x".repeat(700));
    for (burst, at) in [("first", leader), ("second", b)] {
        for nth in 0..4 {
            t.propose(at, [value(&format!("{burst} {nth}")).as_str()]);
        }
        t.run_for(ms(20));
    }
    t.run_for(ms(60));
}

/// Brings the dead back; everybody must agree, and go on.
fn mend(t: &mut Cluster, dead: MemberIndex) {
    t.run_for(ms(30));
    t.restart(dead);
    t.run_until(|t| t.standing(dead).is_some());
    t.ends_well();
}

/// Kills `who` behind each action in turn, until there is none left. Returns how many there were.
fn behind_every_action(who: Who, keep: Keep) -> u64 {
    for nth in 0.. {
        let (mut t, member) = led(who);
        t.world().die_behind(member, nth, keep);
        load(&mut t);
        if t.world().node(member).process.is_some() {
            return nth;
        }
        mend(&mut t, member);
    }
    0
}

#[test]
fn a_leader_may_die_behind_every_action() {
    let points = behind_every_action(Who::Leader, Keep::Nothing);
    assert!(points >= 20, "{points}");
    assert_eq!(behind_every_action(Who::Leader, Keep::Everything), points);
}

#[test]
fn another_member_may_die_behind_every_action() {
    let points = behind_every_action(Who::Other, Keep::Nothing);
    assert!(points > 20, "{points}");
    assert_eq!(behind_every_action(Who::Other, Keep::Everything), points);
}

/// From the very first action on: formats, meetings, the right to vote, the first election.
#[test]
fn any_member_may_die_behind_every_action_of_the_beginning() {
    for place in 0..3 {
        let member = MemberIndex(place);
        let mut points = 0;
        for nth in 0..40 {
            let mut t = cluster();
            t.world().die_behind(member, nth, Keep::Nothing);
            t.run_for(ms(400));
            if t.world().node(member).process.is_some() {
                break;
            }
            points += 1;
            mend(&mut t, member);
        }
        assert!(points >= 10, "member {place}: {points}");
    }
}

/// The power of `member` fails in the middle of its `nth` change from now on. Whether it comes to
/// that under load.
fn fails_at_change(t: &mut Cluster, member: MemberIndex, nth: u64) -> bool {
    let device = t.world().node(member).disk.device().clone();
    device.power_fails_at(nth);
    let [leader, b, _] = t.by_role();
    for nth in 0..8 {
        let value = format!("value {nth} {}", "x".repeat(700));
        t.propose(if nth % 3 == 0 { b } else { leader }, [value.as_str()]);
    }
    let end = t.now().after(ms(60));
    while t.now() < end {
        t.step();
        if !device.has_power() {
            t.world().cut_power(member, Keep::Some(nth));
            return true;
        }
    }
    false
}

#[test]
fn the_power_may_fail_in_every_change_of_a_disk_and_again_in_the_recovery() {
    for who in [Who::Leader, Who::Other] {
        let (mut points, mut again) = (0, 0);
        for nth in 0.. {
            let (mut t, member) = led(who);
            if !fails_at_change(&mut t, member, nth) {
                break;
            }
            points += 1;
            mend(&mut t, member);
            for second in 0.. {
                let (mut t, member) = led(who);
                assert!(fails_at_change(&mut t, member, nth));
                t.world().node(member).disk.device().power_fails_at(second);
                t.restart(member);
                if t.standing(member).is_some() {
                    // The recovery makes no more changes than that.
                    break;
                }
                again += 1;
                mend(&mut t, member);
            }
        }
        assert!(points >= 10 && again > 4 * points, "{who:?}: {points} {again}");
    }
}
