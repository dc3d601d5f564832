//! Damage at rest: what was durable and cannot be read any more. Repair from peers is not built:
//! today a member with a damaged log does not start, and says where; it never goes on as if it had
//! not voted for what is lost. The log is the production one, on a simulated device.

use bytes::Bytes;
use synod_core::{ClusterId, GroupId, Header, MemberIndex, Recovered};
use synod_log::{Damage, Device, FileLog, Identity, Keep, LogConfig, OpenError, SimDevice};
use synod_sim::kinds::Kinds;
use synod_sim::ms;
use synod_sim::scenario::Cluster;
use synod_sim::world::{CLUSTER, GROUP};

/// Where the records of a segment begin.
const RECORDS_AT: usize = 4096;

/// How every record begins; its length in four bytes follows.
const MAGIC: &[u8] = b"SyRe";

/// A record in a segment file.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    file: String,
    offset: usize,
    len: usize,
}

/// A member that went down in good order: everything it wrote is on its disk.
struct Down {
    member: MemberIndex,
    header: Header,
    config: LogConfig,
}

impl Down {
    fn take(t: &mut Cluster, member: MemberIndex) -> Self {
        t.run_for(ms(300));
        let world = t.world();
        let header = world.node(member).process.as_ref().expect("it is up").header;
        let config = LogConfig::for_limits(&world.options().limits);
        world.cut_power(member, Keep::Everything);
        Self { member, header, config }
    }

    /// The device of the member, with a copy of everything on it.
    fn device(&self, t: &mut Cluster) -> SimDevice {
        t.world().node(self.member).disk.device().fork()
    }

    /// All its records, in order.
    fn records(&self, t: &mut Cluster) -> Vec<Place> {
        let device = self.device(t);
        let mut found = Vec::new();
        for file in device.list().expect("a disk that works") {
            let bytes = device.contents(&file).expect("a file");
            let mut offset = RECORDS_AT;
            while bytes.get(offset..).is_some_and(|rest| rest.starts_with(MAGIC)) {
                let len = u32::from_le_bytes(bytes[offset + 4..][..4].try_into().expect("four"));
                found.push(Place { file: file.clone(), offset, len: len as usize });
                offset += len as usize;
            }
        }
        found
    }

    /// The record that holds `value`, first of all.
    fn record_of(&self, t: &mut Cluster, value: &str) -> Place {
        let device = self.device(t);
        let holds = |place: &Place| {
            let bytes = device.contents(&place.file).expect("a file");
            let record = &bytes[place.offset..][..place.len];
            record.windows(value.len()).any(|part| part == value.as_bytes())
        };
        self.records(t).into_iter().find(holds).expect("it has the value in its log")
    }

    /// Opens a copy of its disk as a start of the member would.
    fn open(&self, device: SimDevice) -> Result<Recovered<Bytes>, OpenError> {
        let Header { epoch, node, incarnation, .. } = self.header;
        let identity = Identity { cluster: ClusterId(CLUSTER), group: GroupId(GROUP), epoch, node };
        FileLog::open(device, identity, self.config, incarnation).map(|(_, recovered)| recovered)
    }

    /// Harms its disk, and starts it in vain: what it says.
    fn refuses(&self, t: &mut Cluster, harm: impl FnOnce(&SimDevice)) -> Damage {
        let disk = &mut t.world().node_mut(self.member).disk;
        harm(disk.device());
        match disk.recover() {
            Err(OpenError::Damaged(damage)) => damage,
            Err(other) => panic!("it says {other}"),
            Ok(_) => panic!("it starts without what it voted for"),
        }
    }
}

/// Decides values so that each has a record of its own.
fn one_by_one(t: &mut Cluster, values: &[&str]) {
    for value in values {
        t.decide([*value]);
        t.settle();
    }
}

/// Makes one record illegible.
fn spoil(place: &Place) -> impl FnOnce(&SimDevice) {
    move |device| assert!(device.rot(&place.file, (place.offset + place.len / 2) as u64, 4))
}

/// Writes `bytes` over what a file has at `offset`.
fn overwrite(device: &SimDevice, file: &str, offset: usize, bytes: &[u8]) {
    let mut contents = device.contents(file).expect("a file");
    contents[offset..][..bytes.len()].copy_from_slice(bytes);
    device.put(file, &contents);
}

/// Whether a start from a harmed disk names the damage. It may also take the last record of the
/// log, which nothing behind it proves, for a torn write; an idle log ends with a mark, so that
/// this costs no vote (R11).
fn is_named(t: &mut Cluster, down: &Down, device: SimDevice, place: &Place) -> bool {
    match down.open(device) {
        Err(OpenError::Damaged(damage)) => {
            assert!(damage.file.ends_with(&place.file), "{damage} instead of {place:?}");
            true
        }
        Err(other) => panic!("{place:?}: it says {other}"),
        Ok(recovered) => {
            assert_eq!(down.records(t).last(), Some(place), "it is not the last");
            let image = t.world().checkers().images().of(down.member);
            assert!(recovered.votes && recovered.promised >= image.promised, "{place:?}");
            let end = recovered.decided.plus(recovered.accepted.len() as u64);
            assert!(end >= image.decided, "{place:?}");
            false
        }
    }
}

/// S36 (ii): a flipped bit in the middle of what was durable is damage, not the end of the log:
/// the member does not start, and says where. The others go on.
#[test]
fn damage_in_the_middle_is_not_taken_for_the_end() {
    let mut t = Cluster::of(3).seed(1_200).with_leader();
    let [r1, r2, _] = t.by_role();
    one_by_one(&mut t, &["one", "two", "three", "four", "five", "six"]);
    t.settle();
    let down = Down::take(&mut t, r2);
    let place = down.record_of(&mut t, "two");
    let damage = down.refuses(&mut t, spoil(&place));
    assert!(damage.file.ends_with(&place.file));
    assert_eq!(damage.offset, place.offset as u64);
    assert!(damage.from <= t.slot_of("two").expect("decided"));
    t.propose(r1, ["seven"]);
    t.run_until(|t| t.is_acknowledged("seven"));
    t.ends_well();
}

/// S36 (ii): any bit of any record, but the last one.
#[test]
fn any_flipped_bit_is_named_or_costs_nothing() {
    let mut t = Cluster::of(3).seed(1_210).with_leader();
    let [_, r2, _] = t.by_role();
    one_by_one(&mut t, &["one", "two", "three", "four"]);
    t.crash(r2);
    t.restart(r2);
    t.settle();
    one_by_one(&mut t, &["five", "six"]);
    t.settle();
    let down = Down::take(&mut t, r2);
    let (mut named, mut harmless) = (0, 0);
    for place in down.records(&mut t) {
        for offset in (place.offset..place.offset + place.len).step_by(3) {
            let device = down.device(&mut t);
            assert!(device.rot(&place.file, offset as u64, 1 << (offset % 8)));
            if is_named(&mut t, &down, device, &place) {
                named += 1;
            } else {
                harmless += 1;
            }
        }
    }
    assert!(named > 10 * harmless, "{named} named, {harmless} harmless");
    t.restart(r2);
    t.settle();
    t.assert_same_log(["one", "two", "three", "four", "five", "six"]);
    t.ends_well();
}

/// S36 (iv): the length of a record is wrong: nothing, too short, too long, beyond the file. The
/// records behind it are still found, and so it is no end of the log.
#[test]
fn a_wrong_length_is_not_taken_for_the_end() {
    let mut t = Cluster::of(3).seed(1_220).with_leader();
    let [_, r2, _] = t.by_role();
    one_by_one(&mut t, &["one", "two", "three", "four", "five"]);
    t.settle();
    let down = Down::take(&mut t, r2);
    let records = down.records(&mut t);
    let proven = &records[..records.len() - 1];
    for (place, next) in proven.iter().zip(&records[1..]) {
        let len = place.len as u32;
        let both = len + next.len as u32;
        for wrong in [0, 8, len - 8, len + 1, len + 8, both, 1 << 20, u32::MAX] {
            let device = down.device(&mut t);
            overwrite(&device, &place.file, place.offset + 4, &wrong.to_le_bytes());
            let named = is_named(&mut t, &down, device, place);
            assert!(named, "{place:?} as one of {wrong} bytes passes");
        }
    }
    t.ends_well();
}

/// S37: the vote of a member is damaged. It does not campaign, promise or accept as if it had never
/// voted: the cluster waits for the other one that has the decree, and then it is there.
#[test]
fn a_damaged_vote_is_not_denied() {
    for seed in 0..4 {
        let mut t = Cluster::of(3).seed(1_230 + seed).with_leader();
        let [r1, r2, r3] = t.by_role();
        one_by_one(&mut t, &["one", "two", "three"]);
        t.settle();
        let missed = t.hold([r1, r2], r3, Kinds::ALL);
        t.decide(["four"]);
        let slot = t.slot_of("four").expect("decided");
        let down = Down::take(&mut t, r2);
        t.crash(r1);
        t.discard(missed);
        let place = down.record_of(&mut t, "four");
        let damage = down.refuses(&mut t, spoil(&place));
        assert!(damage.from <= slot, "{damage}");
        let promised = t.promised(r3);
        let limit = t.now().plus(20 * t.election_nanos());
        while t.now() < limit {
            t.step();
            assert!(!t.leads(r3), "it leads without a quorum that knows");
        }
        assert_eq!(t.promised(r3), promised);
        t.restart(r1);
        t.run_until(|t| t.leads(r1) || t.leads(r3));
        t.decide(["five"]);
        t.settle();
        assert_eq!(t.slot_of("four"), Some(slot));
        t.assert_same_log(["one", "two", "three", "four", "five"]);
        t.ends_well();
    }
}

/// S37, the decree is damaged on two of three and the third is alone: no service, and nothing is
/// cut off.
#[test]
fn two_damaged_votes_stop_the_cluster() {
    let mut t = Cluster::of(3).seed(1_240).with_leader();
    let [r1, r2, r3] = t.by_role();
    one_by_one(&mut t, &["one", "two", "three", "four"]);
    t.settle();
    for member in [r2, r3] {
        let down = Down::take(&mut t, member);
        let place = down.record_of(&mut t, "three");
        let before: Vec<usize> = down.records(&mut t).iter().map(|place| place.offset).collect();
        let damage = down.refuses(&mut t, spoil(&place));
        assert_eq!(damage.offset, place.offset as u64);
        let after: Vec<usize> = down.records(&mut t).iter().map(|place| place.offset).collect();
        assert_eq!(before, after, "a refused start changed the log");
    }
    t.propose(r1, ["five"]);
    t.run_until(|t| !t.leads(r1));
    t.run_for(ms(10_000));
    assert!(!t.leads(r1) && !t.is_acknowledged("five"));
    assert_eq!(t.log(r1), ["one", "two", "three", "four"]);
}

/// S38: the same slot is damaged everywhere. Every member refuses to start, and names the file, the
/// place in it and the slots; none of them skips the slot.
#[test]
fn the_same_slot_damaged_everywhere_is_named_everywhere() {
    let mut t = Cluster::of(3).seed(1_250).with_leader();
    one_by_one(&mut t, &["one", "two", "three", "four"]);
    t.settle();
    let slot = t.slot_of("one").expect("decided");
    let members: Vec<Down> =
        t.members().into_iter().map(|member| Down::take(&mut t, member)).collect();
    for down in members {
        let place = down.record_of(&mut t, "one");
        let damage = down.refuses(&mut t, spoil(&place));
        assert_eq!((damage.from, damage.offset), (slot, place.offset as u64), "{damage}");
        assert!(damage.legible_again.is_some_and(|legible| legible > slot), "{damage}");
        let text = OpenError::Damaged(damage).to_string();
        assert!(text.contains(&format!("slots from {} on", slot.0)), "{text}");
        assert!(text.contains(&place.file), "{text}");
    }
}

/// S39: a record was written to the place of another one: it is sound, and says itself that it does
/// not belong there.
#[test]
fn a_record_at_the_place_of_another_is_not_believed() {
    let mut t = Cluster::of(3).seed(1_260).with_leader();
    let [_, r2, _] = t.by_role();
    one_by_one(&mut t, &["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8"]);
    t.settle();
    let down = Down::take(&mut t, r2);
    let (three, seven) = (down.record_of(&mut t, "r3"), down.record_of(&mut t, "r7"));
    assert_eq!(three.len, seven.len);
    let device = down.device(&mut t);
    let whole = device.contents(&seven.file).expect("a file");
    let record = &whole[seven.offset..][..seven.len];
    overwrite(&device, &three.file, three.offset, record);
    assert!(is_named(&mut t, &down, device, &three), "slot 7 passes for slot 3");
    // And its own place kept what was there before: nothing, or an older record.
    let whole = device_contents(&mut t, &down, &three.file);
    let older = whole[three.offset..][..three.len].to_vec();
    for there in [vec![0; seven.len], older] {
        let device = down.device(&mut t);
        overwrite(&device, &seven.file, seven.offset, &there);
        assert!(is_named(&mut t, &down, device, &seven), "a lost write goes unnoticed");
    }
    t.ends_well();
}

/// S39, the record of another member: it is sound, of the same run and for the same place, and not
/// this member's. Nor is all of its disk.
#[test]
fn a_record_of_another_member_is_not_believed() {
    let mut tried = 0;
    for seed in 0..8 {
        let mut t = Cluster::of(3).seed(1_270 + seed).with_leader();
        let [_, r2, r3] = t.by_role();
        one_by_one(&mut t, &["r1", "r2", "r3", "r4"]);
        t.settle();
        let (ours, theirs) = (Down::take(&mut t, r2), Down::take(&mut t, r3));
        let (mine, others) = (ours.records(&mut t), theirs.records(&mut t));
        // The last one of ours is proven by nothing.
        for place in mine[..mine.len() - 1].iter().filter(|place| others.contains(place)) {
            let whole = device_contents(&mut t, &theirs, &place.file);
            let device = ours.device(&mut t);
            overwrite(&device, &place.file, place.offset, &whole[place.offset..][..place.len]);
            assert!(is_named(&mut t, &ours, device, place), "a record of r3 passes: {place:?}");
            tried += 1;
        }
        match ours.open(theirs.device(&mut t)) {
            Err(OpenError::OtherNode { .. }) => {}
            Err(other) => panic!("it says {other}"),
            Ok(_) => panic!("r2 starts from the disk of r3"),
        }
    }
    assert!(tried > 8, "only {tried} records stand at the same place");
}

fn device_contents(t: &mut Cluster, down: &Down, file: &str) -> Vec<u8> {
    down.device(t).contents(file).expect("a file")
}
