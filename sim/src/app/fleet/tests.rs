//! What clients do when all is well, when they are at the wrong member, when nobody answers, and
//! when they ask for too much.

use std::cell::RefCell;
use std::rc::Rc;

use synod_core::Standing;

use super::*;
use crate::clock::ms;
use crate::trace::Lines;
use crate::violation::Property;

/// What was chosen and heard, by session.
#[derive(Debug, Default)]
struct Notes {
    chosen: Vec<usize>,
    applied: usize,
    refused: usize,
    unknown: usize,
    sent: usize,
}

/// Clients that ask for anything, and note what becomes of it.
struct Noting {
    notes: Rc<RefCell<Notes>>,
    /// Whether each session waits.
    waits: Vec<bool>,
}

impl Crowd for Noting {
    fn choose(&mut self, chooser: Chooser, _chance: &mut Prng) -> Option<Vec<u8>> {
        let mut notes = self.notes.borrow_mut();
        if let Chooser::Session(session) = chooser {
            assert!(!self.waits[session], "session {session} has not heard of its last one");
            self.waits[session] = true;
            notes.chosen.push(session);
        }
        Some(b"anything".to_vec())
    }

    fn sent(&mut self, _tag: Tag, operation: &[u8]) {
        assert_eq!(operation, b"anything");
        self.notes.borrow_mut().sent += 1;
    }

    fn hear(&mut self, session: usize, ending: &Ending) {
        assert!(self.waits[session], "session {session} hears of nothing");
        self.waits[session] = false;
        let mut notes = self.notes.borrow_mut();
        match ending {
            Ending::Applied(_) => notes.applied += 1,
            Ending::Refused(_) => notes.refused += 1,
            Ending::Unknown => notes.unknown += 1,
        }
    }
}

/// A cluster, its clients, and what they note.
struct Scene {
    world: World,
    fleet: Fleet,
    notes: Rc<RefCell<Notes>>,
}

impl Scene {
    /// Three members and three sessions, and somebody leads.
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::calm(3, 5);
        options.client.sessions = 3;
        options.client.think_nanos = nanos(ms(5));
        options.client.patience_nanos = nanos(ms(5_000));
        options.client.retries_max = 50;
        change(&mut options);
        let notes = Rc::new(RefCell::new(Notes::default()));
        let waits = vec![false; options.client.sessions];
        let crowd = Noting { notes: Rc::clone(&notes), waits };
        let fleet = Fleet::new(&options, Box::new(crowd));
        let mut world = World::new(options, Lines::None);
        world.listen();
        let mut scene = Self { world, fleet, notes };
        while scene.leader().is_none() {
            let _ = scene.world.step().expect("it goes on");
        }
        scene
    }

    fn leader(&self) -> Option<MemberIndex> {
        let leads = |member: &MemberIndex| {
            let service = self.world.service(*member);
            service.is_some_and(|service| service.replica().standing() == Standing::Leading)
        };
        self.world.members().find(leads)
    }

    /// Goes on for so many milliseconds.
    fn run_for(&mut self, millis: u64) -> Checked {
        let end = self.world.now().after(ms(millis));
        while self.world.next_at().is_some_and(|at| at <= end) {
            if let Some(Some(token)) = self.world.step() {
                self.fleet.wake(&mut self.world, token);
            }
            self.fleet.listen(&mut self.world)?;
        }
        self.world.skip_to(end);
        Ok(())
    }
}

#[test]
fn sessions_ask_hear_and_ask_again() {
    let mut scene = Scene::new(|_| {});
    scene.fleet.begin(&mut scene.world);
    scene.run_for(1_000).expect("sound");
    let notes = scene.notes.borrow();
    assert!(notes.applied > 100, "{notes:?}");
    assert_eq!((notes.refused, notes.unknown), (0, 0));
    assert!((0..3).all(|session| notes.chosen.contains(&session)), "{notes:?}");
    assert!(notes.chosen.len() - notes.applied <= 3, "{notes:?}");
}

#[test]
fn sessions_follow_the_hint_to_the_leader() {
    let mut scene = Scene::new(|options| options.forward = false);
    scene.fleet.begin(&mut scene.world);
    scene.run_for(2_000).expect("sound");
    let leader = scene.leader().expect("one leads");
    assert!(scene.fleet.sessions.iter().all(|session| session.home == leader));
    let notes = scene.notes.borrow();
    assert!(notes.applied > 100, "{notes:?}");
    // Some had to be sent twice, and no client heard of that.
    assert!(notes.sent > notes.chosen.len(), "{notes:?}");
    // One that was at the wrong member was told at once where to go.
    assert!(notes.sent <= notes.chosen.len() + 3, "{notes:?}");
    assert_eq!(notes.refused, 0);
}

#[test]
fn sessions_give_up_when_nobody_answers_and_go_on() {
    let mut scene = Scene::new(|options| options.client.patience_nanos = nanos(ms(50)));
    let leader = scene.leader().expect("one leads");
    let others = scene.world.members().filter(|member| *member != leader);
    for other in others.collect::<Vec<_>>() {
        scene.world.pause(other, Moment::NEVER);
    }
    scene.fleet.begin(&mut scene.world);
    scene.run_for(1_000).expect("sound");
    let notes = scene.notes.borrow();
    assert_eq!(notes.applied, 0);
    assert!(notes.unknown > 10, "{notes:?}");
    // What they gave up stays open: nobody knows.
    assert!(scene.fleet.open.len() >= notes.unknown, "{notes:?}");
}

#[test]
fn sessions_look_for_another_when_a_member_is_down_and_give_in_when_all_are() {
    let mut scene = Scene::new(|options| options.client.retries_max = 5);
    for member in scene.world.members() {
        scene.world.kill(member);
    }
    scene.fleet.begin(&mut scene.world);
    scene.run_for(5_000).expect("sound");
    let notes = scene.notes.borrow();
    assert!(notes.refused > 3, "{notes:?}");
    assert_eq!((notes.applied, notes.unknown, notes.sent), (0, 0, 0));
}

#[test]
fn a_fleet_that_stopped_sends_no_more() {
    let mut scene = Scene::new(|_| {});
    scene.fleet.begin(&mut scene.world);
    scene.run_for(100).expect("sound");
    scene.fleet.stop();
    let sent = scene.notes.borrow().sent;
    scene.run_for(1_000).expect("sound");
    assert_eq!(scene.notes.borrow().sent, sent);
    // What was under way was heard of all the same.
    assert_eq!(scene.notes.borrow().applied, scene.notes.borrow().chosen.len());
}

#[test]
fn what_is_too_large_must_not_be_taken() {
    let mut scene = Scene::new(|options| {
        options.client.oversize_ppm = 1_000_000;
        options.client.burst_max = 4;
    });
    for _ in 0..20 {
        let _ = scene.fleet.burst(&mut scene.world);
    }
    let key = *scene.fleet.open.keys().next().expect("some are under way");
    scene.run_for(100).expect("all are refused");
    assert!(scene.fleet.open.is_empty());
    assert!(scene.world.stats().rejected >= 20);

    let open =
        Open { tag: Tag { client: PASSER, serial: 1 }, member: MemberIndex(0), oversize: true };
    let member = MemberIndex(1);
    for (taken, ending) in [
        (true, Ending::Applied(Box::new(0u64))),
        (true, Ending::Refused(Why::NoLeader)),
        (true, Ending::Refused(Why::TooLarge)),
        (false, Ending::Refused(Why::Busy)),
    ] {
        scene.fleet.open.insert(key, open);
        let answer = Answer { key, member, taken, ending };
        let checked = scene.fleet.hear(&mut scene.world, &answer);
        assert_eq!(checked.expect_err("it was looked at").property, Property::Bounds);
    }
}

/// Clients of which only one has anything to ask for.
struct Waiting(Noting);

impl Crowd for Waiting {
    fn choose(&mut self, chooser: Chooser, chance: &mut Prng) -> Option<Vec<u8>> {
        match chooser {
            Chooser::Session(2) => self.0.choose(chooser, chance),
            Chooser::Session(_) | Chooser::Passer => None,
        }
    }

    fn hear(&mut self, session: usize, ending: &Ending) {
        self.0.hear(session, ending);
    }
}

#[test]
fn a_proof_is_asked_of_a_session_when_nobody_else_has_anything_to_ask() {
    let mut scene = Scene::new(|_| {});
    let crowd = Noting { notes: Rc::clone(&scene.notes), waits: vec![false; 3] };
    scene.fleet.crowd = Box::new(Waiting(crowd));
    let members: Vec<MemberIndex> = scene.world.members().collect();
    let proofs = members.iter().map(|member| scene.fleet.prove(&mut scene.world, *member));
    let proofs: Vec<RequestKey> = proofs.map(|proof| proof.expect("session 2 asks")).collect();
    scene.run_for(500).expect("sound");
    let history = scene.world.checkers().history();
    let is_applied = |key: &RequestKey| history.get(*key).is_some_and(|r| r.applied.is_some());
    assert!(proofs.iter().all(is_applied));
    assert_eq!(scene.notes.borrow().chosen, [2, 2, 2]);
}
