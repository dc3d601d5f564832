//! Each checker is shown a history that is sound, and then one that is not, and must tell them
//! apart. A checker that cannot fail proves nothing.

use bytes::Bytes;
use synod_core::{
    Ballot, Beat, Body, Boot, Incarnation, Instant, Kind, Limits, MemberIndex, Message, NodeId,
    NodeSet, Proposal, Quorums, Record, Recovered, Slot, Timeouts, WriteId,
};

use super::campaigns::Campaigns;
use super::{Applied, Caller, Checkers, Cursors, Heard, RequestKey, Taken};
use crate::violation::{Checked, Property};

const A: MemberIndex = MemberIndex(0);
const B: MemberIndex = MemberIndex(1);
const C: MemberIndex = MemberIndex(2);
const RUN: Boot = Boot(1);
const LIMITS: Limits = Limits {
    window: 4,
    past_bytes_max: 1 << 20,
    decree_bytes_max: 100,
    run_slots_max: 2,
    run_bytes_max: 100,
    writes_in_flight_max: 2,
};

/// Three members, and what happens to them.
struct History {
    checkers: Checkers,
    writes: [u64; 3],
    submits: u64,
}

impl History {
    /// All three have their vote, and may campaign.
    fn new() -> Self {
        let members = [NodeId(1), NodeId(2), NodeId(3)];
        let checkers = Checkers::new(&members, Quorums::majority(3), LIMITS, Timeouts::default());
        let mut history = Self { checkers, writes: [0; 3], submits: 0 };
        for member in [A, B, C] {
            let body = Body::Roster { votes: true, members: &[] };
            history.write(member, Ballot::ZERO, 0, body).expect("a roster");
            let agrees = Beat { hears: NodeSet::first(3), ..Beat::default() };
            let next = MemberIndex((member.0 + 1) % 3);
            history.checkers.on_taken(member, (next, Boot(1)), Some(&Taken::Beat(agrees)));
        }
        history
    }

    /// A record is handed out and reported durable.
    fn write(
        &mut self,
        member: MemberIndex,
        promised: Ballot,
        decided: u64,
        body: Body<'_, Bytes>,
    ) -> Checked {
        let id = self.hand_out(member, promised, decided, body)?;
        self.checkers.on_persisted(member, id)
    }

    /// A record is handed out, and nothing is reported.
    fn hand_out(
        &mut self,
        member: MemberIndex,
        promised: Ballot,
        decided: u64,
        body: Body<'_, Bytes>,
    ) -> Result<WriteId, crate::Violation> {
        self.writes[member.place()] += 1;
        let id = WriteId(self.writes[member.place()]);
        let record = Record { promised, decided: Slot(decided), body };
        self.checkers.on_persist(member, id, &record)?;
        Ok(id)
    }

    fn promise(&mut self, members: &[MemberIndex], ballot: Ballot) {
        for member in members {
            self.write(*member, ballot, 0, Body::Mark).expect("a promise");
        }
    }

    fn accept(&mut self, member: MemberIndex, proposal: &Proposal<Bytes>) -> Checked {
        let run = std::slice::from_ref(proposal);
        self.write(member, proposal.ballot, 0, Body::Accepted(run))
    }

    /// `value` is chosen in `slot` by A and B, in ballot 1.1.
    fn choose(&mut self, slot: u64, value: &'static str) {
        for member in [A, B] {
            self.accept(member, &proposal(slot, B1, value)).expect("a vote");
        }
    }

    fn send(&mut self, member: MemberIndex, message: &Message<'_, Bytes>) -> Checked {
        self.checkers.on_send(member, RUN, NodeSet::first(3), message)
    }

    fn submit(&mut self, member: MemberIndex, value: &'static str) {
        self.submit_on(Incarnation(1), self.submits + 1, member, value);
    }

    /// As number `number` of the first run on a disk.
    fn submit_on(
        &mut self,
        incarnation: Incarnation,
        number: u64,
        member: MemberIndex,
        value: &'static str,
    ) {
        self.submits += 1;
        let body = Bytes::from_static(value.as_bytes());
        let caller = Caller { node: member, incarnation, boot: RUN };
        self.checkers.on_submit(body, caller, number);
    }

    fn apply(&mut self, member: MemberIndex, slot: u64, value: &str) -> Checked {
        self.checkers.on_applied(member, &applied(slot, value))
    }

    fn start(&mut self, member: MemberIndex, recovered: &Recovered<Bytes>) -> Checked {
        self.checkers.on_start(member, recovered, Slot::ZERO)
    }
}

const B1: Ballot = Ballot { round: 1, node: NodeId(1) };
const B2: Ballot = Ballot { round: 2, node: NodeId(2) };

fn proposal(slot: u64, ballot: Ballot, value: &'static str) -> Proposal<Bytes> {
    let decree = Kind::App(Bytes::from_static(value.as_bytes()));
    Proposal { slot: Slot(slot), ballot, decree }
}

fn applied(slot: u64, value: &str) -> Applied {
    let key = RequestKey::of(value.as_bytes());
    Applied { slot: Slot(slot), ballot: B1, key, reply: key.0 ^ slot }
}

fn recovered(promised: Ballot, decided: u64, accepted: &[Proposal<Bytes>]) -> Recovered<Bytes> {
    let mut recovered = Recovered::formatted(Incarnation(1));
    recovered.promised = promised;
    recovered.decided = Slot(decided);
    recovered.accepted = accepted.to_vec();
    recovered.votes = true;
    recovered
}

#[track_caller]
fn breaks(checked: Checked, property: Property) {
    match checked {
        Ok(()) => panic!("{property:?} was broken and nobody noticed"),
        Err(violation) => assert_eq!(violation.property, property, "{violation}"),
    }
}

#[test]
fn two_decrees_chosen_in_one_slot_break_agreement() {
    let mut history = History::new();
    history.choose(0, "x");
    history.accept(C, &proposal(0, B2, "y")).expect("one vote chooses nothing");
    breaks(history.accept(B, &proposal(0, B2, "y")), Property::Agreement);
}

#[test]
fn votes_of_different_ballots_choose_nothing() {
    let mut history = History::new();
    history.accept(A, &proposal(0, B1, "x")).expect("a vote");
    history.accept(B, &proposal(0, B2, "x")).expect("a vote");
    breaks(history.apply(A, 0, "x"), Property::Durability);
}

#[test]
fn a_vote_that_is_not_durable_chooses_nothing() {
    let mut history = History::new();
    history.accept(A, &proposal(0, B1, "x")).expect("a vote");
    let run = [proposal(0, B1, "x")];
    history.hand_out(B, B1, 0, Body::Accepted(&run)).expect("handed out");
    history.submit(A, "x");
    breaks(history.apply(A, 0, "x"), Property::Durability);
}

#[test]
fn different_requests_in_one_place_break_agreement() {
    let mut history = History::new();
    history.choose(0, "xy");
    history.submit(A, "x");
    history.submit(A, "y");
    history.apply(A, 0, "x").expect("sound");
    breaks(history.apply(B, 0, "y"), Property::Agreement);
}

#[test]
fn another_state_breaks_agreement() {
    let mut history = History::new();
    history.choose(0, "x");
    history.submit(A, "x");
    history.apply(A, 0, "x").expect("sound");
    let mut other = applied(0, "x");
    other.reply ^= 1;
    breaks(history.checkers.on_applied(B, &other), Property::Agreement);
}

#[test]
fn going_back_leaving_out_and_passing_over_break_order() {
    let sound = || {
        let mut history = History::new();
        history.choose(0, "x");
        history.choose(1, "y");
        history.submit(A, "x");
        history.submit(A, "y");
        history.apply(A, 0, "x").expect("sound");
        history.apply(A, 1, "y").expect("sound");
        history
    };
    breaks(sound().apply(A, 0, "x"), Property::Order);
    breaks(sound().apply(B, 1, "y"), Property::Order);
    let mut history = History::new();
    history.choose(0, "x");
    history.choose(1, "y");
    history.submit(A, "y");
    history.apply(A, 1, "y").expect("the decree of slot 0 is void for A");
    breaks(history.apply(B, 0, "x"), Property::Order);
}

#[test]
fn a_leadership_that_goes_back_breaks_order() {
    let mut history = History::new();
    history.choose(0, "x");
    history.choose(1, "y");
    history.submit(A, "x");
    history.submit(A, "y");
    let mut first = applied(0, "x");
    first.ballot = B2;
    history.checkers.on_applied(A, &first).expect("sound");
    breaks(history.apply(A, 1, "y"), Property::Order);
}

#[test]
fn what_nobody_submitted_or_was_not_in_the_decree_breaks_validity() {
    let mut history = History::new();
    history.choose(0, "x");
    breaks(history.apply(A, 0, "x"), Property::Validity);
    let mut history = History::new();
    history.choose(0, "x");
    history.submit(A, "z");
    breaks(history.apply(A, 0, "z"), Property::Validity);
}

#[test]
fn applying_twice_breaks_validity() {
    let mut history = History::new();
    history.choose(0, "x");
    history.choose(1, "x");
    history.submit(A, "x");
    history.apply(A, 0, "x").expect("sound");
    let again = Applied { slot: Slot(1), ..applied(1, "x") };
    breaks(history.checkers.on_applied(A, &again), Property::Validity);
}

#[test]
fn speaking_before_the_promise_is_durable_breaks_promises() {
    let mut history = History::new();
    history.hand_out(A, B1, 0, Body::Mark).expect("handed out");
    let prepare = Message::Prepare { ballot: B1, from: Slot(0) };
    breaks(history.send(A, &prepare), Property::Promises);
    let id = WriteId(history.writes[0]);
    history.checkers.on_persisted(A, id).expect("durable");
    history.send(A, &prepare).expect("sound");
}

#[test]
fn speaking_below_a_promise_breaks_promises() {
    let mut history = History::new();
    history.promise(&[A], B2);
    let (end, resend) = (Slot(0), false);
    breaks(history.send(A, &Message::Accepted { ballot: B1, end, resend }), Property::Promises);
    breaks(history.send(A, &Message::Prepare { ballot: B1, from: end }), Property::Promises);
}

#[test]
fn a_ballot_of_another_or_of_an_earlier_run_breaks_promises() {
    let mut history = History::new();
    history.promise(&[A, B], B1);
    let prepare = Message::Prepare { ballot: B1, from: Slot(0) };
    breaks(history.send(B, &prepare), Property::Promises);
    history.send(A, &prepare).expect("sound");
    breaks(history.checkers.on_send(A, Boot(2), NodeSet::of(B), &prepare), Property::Promises);
}

#[test]
fn a_vote_that_is_not_durable_breaks_promises() {
    let mut history = History::new();
    history.promise(&[B], B1);
    let accepted = Message::Accepted { ballot: B1, end: Slot(1), resend: false };
    breaks(history.send(B, &accepted), Property::Promises);
    history.accept(B, &proposal(0, B1, "x")).expect("a vote");
    history.send(B, &accepted).expect("sound");
    // A vote of an older ballot is no vote of this one.
    history.promise(&[B], B2);
    let accepted = Message::Accepted { ballot: B2, end: Slot(1), resend: false };
    breaks(history.send(B, &accepted), Property::Promises);
}

#[test]
fn a_promise_that_leaves_out_or_makes_up_a_vote_breaks_promises() {
    let mut history = History::new();
    history.accept(B, &proposal(0, B1, "x")).expect("a vote");
    history.promise(&[B], B2);
    let (held, made_up) = ([proposal(0, B1, "x")], [proposal(0, B1, "y")]);
    let part = |proposals, limit| Message::Promise {
        ballot: B2,
        from: Slot(0),
        end: Slot(limit),
        limit: Slot(limit),
        decided: Slot(0),
        retained: Slot(0),
        proposals,
    };
    breaks(history.send(B, &part(&[], 1)), Property::Promises);
    breaks(history.send(B, &part(&[], 0)), Property::Promises);
    breaks(history.send(B, &part(&made_up, 1)), Property::Promises);
    history.send(B, &part(&held, 1)).expect("sound");
}

#[test]
fn voting_without_the_right_breaks_promises() {
    let members = [NodeId(1), NodeId(2), NodeId(3)];
    let checkers = Checkers::new(&members, Quorums::majority(3), LIMITS, Timeouts::default());
    let mut history = History { checkers, writes: [0; 3], submits: 0 };
    history.promise(&[A], B1);
    let prepare = Message::Prepare { ballot: B1, from: Slot(0) };
    breaks(history.send(A, &prepare), Property::Promises);
}

#[test]
fn claiming_or_teaching_what_is_not_chosen_is_noticed() {
    let mut history = History::new();
    history.promise(&[A], B1);
    let beat = |decided| Message::Beat(Beat { decided: Slot(decided), ..Beat::default() });
    breaks(history.send(A, &beat(1)), Property::Durability);
    history.choose(0, "x");
    history.send(A, &beat(1)).expect("sound");
    let (from, decided) = (Slot(0), Slot(1));
    let wrong = [proposal(0, B1, "y")];
    let learned = Message::Learned { from, proposals: &wrong, decided };
    breaks(history.send(A, &learned), Property::Promises);
}

#[test]
fn two_decrees_of_one_ballot_in_one_slot_are_noticed() {
    let mut history = History::new();
    history.promise(&[A, B], B1);
    let accept =
        |proposals| Message::Accept { ballot: B1, from: Slot(0), proposals, decided: Slot(0) };
    let (x, y) = ([proposal(0, B1, "x")], [proposal(0, B1, "y")]);
    history.send(A, &accept(&x)).expect("sound");
    history.send(A, &accept(&x)).expect("sent again");
    breaks(history.send(A, &accept(&y)), Property::OneDecree);
}

#[test]
fn a_proposal_against_what_may_still_be_chosen_is_noticed() {
    let propose = |history: &mut History, value| {
        let proposals = [proposal(0, B2, value)];
        let (from, decided) = (Slot(0), Slot(0));
        history.send(B, &Message::Accept { ballot: B2, from, proposals: &proposals, decided })
    };
    // A voted for x in b1, and C has promised nothing: it may still vote for x there.
    let mut history = History::new();
    history.accept(A, &proposal(0, B1, "x")).expect("a vote");
    history.promise(&[B], B2);
    breaks(propose(&mut history, "y"), Property::Choosable);
    history.promise(&[C], B2);
    propose(&mut history, "y").expect("now x can no longer be chosen");
    // What is chosen stays.
    let mut history = History::new();
    history.choose(0, "x");
    history.promise(&[B, C], B2);
    breaks(propose(&mut history, "y"), Property::Choosable);
}

#[test]
fn a_proposal_without_a_quorum_of_promises_is_noticed() {
    let mut history = History::new();
    history.promise(&[A], B1);
    let proposals = [proposal(0, B1, "x")];
    let (from, decided) = (Slot(0), Slot(0));
    let accept = Message::Accept { ballot: B1, from, proposals: &proposals, decided };
    breaks(history.send(A, &accept), Property::Choosable);
}

#[test]
fn a_log_that_lost_or_made_up_something_breaks_recovery() {
    let x = proposal(0, B1, "x");
    let sound = || {
        let mut history = History::new();
        history.accept(A, &x).expect("a vote");
        history
    };
    let all = std::slice::from_ref(&x);
    sound().start(A, &recovered(B1, 0, all)).expect("sound");
    breaks(sound().start(A, &recovered(Ballot::ZERO, 0, all)), Property::Recovery);
    breaks(sound().start(A, &recovered(B1, 0, &[])), Property::Recovery);
    breaks(sound().start(A, &recovered(B1, 0, &[proposal(0, B1, "y")])), Property::Recovery);
    breaks(sound().start(A, &recovered(B1, 1, &[])), Property::Recovery);
    let mut voteless = recovered(B1, 0, all);
    voteless.votes = false;
    breaks(sound().start(A, &voteless), Property::Recovery);
}

#[test]
fn a_write_that_was_lost_in_a_crash_is_no_vote() {
    let mut history = History::new();
    history.accept(A, &proposal(0, B1, "x")).expect("a vote");
    let run = [proposal(0, B1, "x")];
    history.hand_out(B, B1, 0, Body::Accepted(&run)).expect("handed out");
    let mut kept = history.checkers.clone();
    history.start(B, &recovered(Ballot::ZERO, 0, &[])).expect("nothing was durable");
    assert!(history.checkers.images().chosen(Slot(0)).is_none());
    kept.on_start(B, &recovered(B1, 0, &run), Slot::ZERO).expect("the disk kept it");
    assert!(kept.images().chosen(Slot(0)).is_some());
}

#[test]
fn untrue_and_second_outcomes_are_noticed() {
    let key = RequestKey::of(b"x");
    let heard = |slot, reply| Heard::Applied { slot: Slot(slot), reply };
    let sound = || {
        let mut history = History::new();
        history.choose(0, "x");
        history.submit(A, "x");
        history
    };
    let mut history = sound();
    history.apply(A, 0, "x").expect("sound");
    let reply = applied(0, "x").reply;
    let mut wrong = history.checkers.clone();
    breaks(wrong.on_outcome(key, heard(1, reply)), Property::Outcomes);
    let mut wrong = history.checkers.clone();
    breaks(wrong.on_outcome(key, heard(0, reply + 1)), Property::Outcomes);
    let mut wrong = history.checkers.clone();
    breaks(wrong.on_outcome(key, Heard::Refused), Property::Outcomes);
    history.checkers.on_outcome(key, heard(0, reply)).expect("true");
    breaks(history.checkers.on_outcome(key, Heard::Unknown), Property::Outcomes);

    let mut history = sound();
    breaks(history.checkers.on_outcome(key, heard(0, reply)), Property::Outcomes);
    let mut history = sound();
    history.checkers.on_outcome(key, Heard::Refused).expect("not applied so far");
    breaks(history.apply(A, 0, "x"), Property::Outcomes);
    breaks(history.checkers.on_outcome(RequestKey::of(b"q"), Heard::Unknown), Property::Outcomes);
}

#[test]
fn requests_out_of_order_are_noticed() {
    let mut history = History::new();
    history.choose(0, "y");
    history.choose(1, "x");
    history.submit(A, "x");
    history.submit(A, "y");
    history.apply(A, 0, "y").expect("the first was left out");
    breaks(history.apply(A, 1, "x"), Property::OriginOrder);
}

/// Runs are counted anew on a disk that replaced another, and so are their requests.
#[test]
fn another_disk_is_another_caller() {
    let mut history = History::new();
    history.choose(0, "x");
    history.choose(1, "y");
    history.submit_on(Incarnation(1), 5, A, "x");
    history.submit_on(Incarnation(2), 1, A, "y");
    history.apply(A, 0, "x").expect("the fifth of the first disk");
    history.apply(A, 1, "y").expect("the first of the second disk");
}

#[test]
fn a_request_before_what_was_known_when_it_was_submitted_is_noticed() {
    let mut history = History::new();
    history.choose(0, "xy");
    history.choose(1, "z");
    history.submit(A, "z");
    history.checkers.on_applied(A, &applied(1, "z")).expect("slot 0 is void");
    let reply = applied(1, "z").reply;
    let heard = Heard::Applied { slot: Slot(1), reply };
    history.checkers.on_outcome(RequestKey::of(b"z"), heard).expect("true");
    history.submit(B, "x");
    let request = history.checkers.history().get(RequestKey::of(b"x")).expect("submitted");
    assert!(request.floor.is_some_and(|floor| floor.slot == Slot(1)));
    breaks(history.apply(B, 0, "x"), Property::Order);
}

#[test]
fn cursors_that_go_back_are_noticed() {
    let mut history = History::new();
    history.choose(0, "x");
    history.submit(A, "x");
    history.apply(A, 0, "x").expect("sound");
    let slot = Slot(1);
    let now = Cursors { boot: RUN, promised: B1, decided: slot, delivered: slot, applied: slot };
    history.checkers.on_turn(A, now).expect("sound");
    let back = |change: fn(&mut Cursors)| {
        let mut cursors = now;
        change(&mut cursors);
        history.checkers.clone().on_turn(A, cursors)
    };
    breaks(back(|c| c.promised = Ballot::ZERO), Property::Monotonic);
    breaks(back(|c| c.decided = Slot(0)), Property::Monotonic);
    breaks(back(|c| c.applied = Slot(0)), Property::Monotonic);
    breaks(back(|c| c.boot = Boot(0)), Property::Monotonic);
    breaks(back(|c| c.decided = Slot(2)), Property::Durability);
}

#[test]
fn a_campaign_that_no_quorum_let_happen_is_noticed() {
    let mut history = History::new();
    let members = [NodeId(1), NodeId(2), NodeId(3)];
    let mut campaigns = Campaigns::new(&members, Quorums::majority(3));
    breaks(campaigns.on_prepare(A, B1), Property::Campaigns);
    let hears = NodeSet::of(A);
    let follows = Beat { leader: B2, hears, ..Beat::default() };
    let deaf = Beat::default();
    let agrees = Beat { hears, ..Beat::default() };
    for beat in [follows, deaf] {
        campaigns.on_beat(Instant::ZERO, A, B, &beat);
        breaks(campaigns.on_prepare(A, B1), Property::Campaigns);
    }
    campaigns.on_beat(Instant::ZERO, A, B, &agrees);
    campaigns.on_beat(Instant::ZERO, A, B, &follows);
    campaigns.on_prepare(A, B1).expect("a quorum had agreed");
    campaigns.on_prepare(A, B1).expect("asked again");
    let next = Ballot { round: 2, node: NodeId(1) };
    breaks(campaigns.on_prepare(A, next), Property::Campaigns);
    campaigns.on_beat(Instant::ZERO, A, B, &agrees);
    campaigns.on_start(A);
    breaks(campaigns.on_prepare(A, next), Property::Campaigns);
    // The same by the door of all checkers.
    history.promise(&[A], B1);
    history.start(A, &recovered(B1, 0, &[])).expect("sound");
    let prepare = Message::Prepare { ballot: B1, from: Slot(0) };
    breaks(history.send(A, &prepare), Property::Campaigns);
}

#[test]
fn campaigns_without_chance_are_noticed() {
    let members = [NodeId(1), NodeId(2), NodeId(3)];
    let agrees = Beat { hears: NodeSet::of(A), ..Beat::default() };
    let campaign = |campaigns: &mut Campaigns, round: u64, wait: u64| {
        let (at, promised) = (Instant(100 * round), Ballot { round, node: NodeId(1) });
        campaigns.on_beat(at, A, B, &Beat::default());
        campaigns.on_beat(at, A, B, &agrees);
        campaigns.on_promised(Instant(at.0 + wait), A, promised)
    };
    let mut campaigns = Campaigns::new(&members, Quorums::majority(3));
    for round in 1..10 {
        campaign(&mut campaigns, round, 1).expect("it waits");
    }
    for round in 10..12 {
        campaign(&mut campaigns, round, 0).expect("it may be chance");
    }
    breaks(campaign(&mut campaigns, 12, 0), Property::Campaigns);
}

#[test]
fn limits_that_are_passed_are_noticed() {
    let mut history = History::new();
    history.hand_out(A, B1, 0, Body::Mark).expect("one");
    history.hand_out(A, B1, 0, Body::Mark).expect("two");
    breaks(history.hand_out(A, B1, 0, Body::Mark).map(|_| ()), Property::Bounds);

    let send = |run: &[Proposal<Bytes>]| {
        let mut history = History::new();
        history.promise(&[A, B], B1);
        let (from, decided) = (run[0].slot, Slot(0));
        history.send(A, &Message::Accept { ballot: B1, from, proposals: run, decided })
    };
    send(&[proposal(0, B1, "x"), proposal(1, B1, "y")]).expect("two slots");
    let three = [0, 1, 2].map(|slot| proposal(slot, B1, "x"));
    breaks(send(&three), Property::Bounds);
    breaks(send(&[proposal(4, B1, "x")]), Property::Bounds);
    let large = Kind::App(Bytes::from(vec![b'x'; 60]));
    let two = [0, 1].map(|slot| Proposal { slot: Slot(slot), ballot: B1, decree: large.clone() });
    breaks(send(&two), Property::Bounds);
}

#[test]
fn a_log_is_read_back_up_to_its_durable_mark() {
    let mut history = History::new();
    history.choose(0, "x");
    history.choose(1, "y");
    history.write(A, B1, 1, Body::Mark).expect("a mark");
    let read = |history: &History, from, end| history.checkers.on_read(A, Slot(from), Slot(end));
    read(&history, 0, 1).expect("below the mark");
    breaks(read(&history, 0, 2), Property::Recovery);
    breaks(read(&history, 1, 1), Property::Recovery);
    let id = history.hand_out(A, B1, 2, Body::Mark).expect("a mark");
    breaks(read(&history, 0, 2), Property::Recovery);
    history.checkers.on_persisted(A, id).expect("durable");
    read(&history, 0, 2).expect("now it is durable");
}
