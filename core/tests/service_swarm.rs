//! Made-up histories: loss, doubling, delay, reordering, cut links, crashes and impatient callers.
//! Whatever happens, each request has one outcome, the outcome is true, and order holds.

mod service_cluster;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use service_cluster::{Cluster, Fate};
use synod_core::service::{Outcome, Request, RequestId, ServiceConfig};

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn place(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// One run of one member: what was accepted, and what came of it.
#[derive(Default)]
struct Run {
    accepted: BTreeMap<RequestId, String>,
    outcomes: BTreeMap<RequestId, Outcome<u64>>,
    crashed: bool,
}

struct Swarm {
    t: Cluster,
    random: Random,
    runs: Vec<Run>,
    /// The run that each member is in; `None` while it is down.
    current: Vec<Option<usize>>,
}

impl Swarm {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let members = [3, 3, 5][random.place(3)];
        let small = random.percent(50);
        let forward = !random.percent(15);
        let t = Cluster::with(members, |config: &mut ServiceConfig| {
            config.replica.seed = seed.wrapping_mul(31) + config.replica.node.0;
            config.forward = forward;
            config.limits.request_timeout = Duration::from_secs(3);
            if small {
                config.replica.limits.window = 8;
                config.replica.limits.run_slots_max = 3;
                config.limits.requests_pending_max = 10;
                config.limits.batch_requests_max = 3;
                config.limits.batch_bytes_max = 150;
                config.limits.pipeline = 4;
                config.limits.forward_requests_max = 4;
                config.limits.forward_bytes_max = 100;
            }
        });
        let current = (0..members).map(Some).collect();
        let runs = (0..members).map(|_| Run::default()).collect();
        Self { t, random, runs, current }
    }

    fn submit(&mut self) {
        let place = self.random.place(self.current.len());
        let Some(run) = self.current[place] else { return };
        for _ in 0..=self.random.below(3) {
            let number = self.runs[run].accepted.len();
            let text = format!("{run}.{number:04}");
            let mut request = Request::new(Bytes::from(text.clone().into_bytes()));
            request.exclusive = self.random.percent(10);
            if self.random.percent(10) {
                request.deadline =
                    Some(self.t.now.after(Duration::from_millis(self.random.below(700))));
            }
            if self.random.percent(10) {
                request.only_in = self.t.service(place).replica().leader();
            }
            if let Ok(id) = self.t.offer(place, request) {
                self.runs[run].accepted.insert(id, text);
            }
        }
        if self.random.percent(70) {
            self.t.drain(place);
        }
    }

    /// One packet of those at the front, with everything a network does to packets.
    fn move_packet(&mut self) {
        let t = &mut self.t;
        if t.packets.is_empty() || self.random.percent(5) {
            return t.step();
        }
        let place = self.random.place(t.packets.len().min(6));
        t.packets.swap(0, place);
        match self.random.below(100) {
            0..5 => drop(t.packets.pop_front()),
            5..10 => {
                let again = t.packets[0].clone();
                t.packets.push_back(again);
                t.step();
            }
            10..13 => t.held.extend(t.packets.pop_front()),
            13 if !t.held.is_empty() => {
                let late = self.random.place(t.held.len());
                let late = t.held.swap_remove(late);
                if self.current[late.to].is_some() {
                    t.deliver(&late);
                }
            }
            _ => t.step(),
        }
    }

    fn trouble(&mut self) {
        let members = self.current.len();
        let place = self.random.place(members);
        match self.random.below(8) {
            0 | 1 => self.t.cut_off(place),
            2 => {
                let other = self.random.place(members);
                self.t.cut.insert((place, other));
            }
            3 | 4 => self.t.cut.clear(),
            5 => {
                if let Some(run) = self.current[place]
                    && self.current.iter().flatten().count() > 1
                {
                    self.collect(place, run);
                    self.runs[run].crashed = true;
                    self.t.crash(place);
                    self.current[place] = None;
                }
            }
            _ => self.restart(place),
        }
    }

    fn restart(&mut self, place: usize) {
        if self.current[place].is_none() {
            self.current[place] = Some(self.runs.len());
            self.runs.push(Run::default());
            self.t.start(place);
        }
    }

    fn collect(&mut self, place: usize, run: usize) {
        self.runs[run].outcomes = self.t.members[place].outcomes.clone();
    }

    fn run(mut self) {
        for _ in 0..1500 {
            match self.random.below(100) {
                0..12 => self.submit(),
                12 => self.trouble(),
                _ => self.move_packet(),
            }
        }
        self.heal();
        self.check();
    }

    /// No more trouble and no more requests: everybody gets to the same state.
    fn heal(&mut self) {
        self.t.cut.clear();
        self.t.fate = Box::new(|_| Fate::Pass);
        (0..self.current.len()).for_each(|place| self.restart(place));
        let held = std::mem::take(&mut self.t.held);
        self.t.packets.extend(held);
        self.t.run_until(|t| {
            let done = |place: usize| t.service(place).is_drained();
            let decided = |place: usize| t.service(place).replica().decided();
            let end = (0..t.members.len()).map(decided).max();
            let level = |place: usize| Some(t.service(place).status().applied) == end;
            // What an earlier run had decided may be open again after a restart.
            let closed = |place: usize| Some(t.service(place).replica().next_slot()) == end;
            t.leader().is_some_and(closed)
                && (0..t.members.len()).all(|place| done(place) && level(place))
        });
        for place in 0..self.current.len() {
            let run = self.current[place].expect("everybody is up");
            self.collect(place, run);
        }
    }

    fn check(&self) {
        self.t.assert_same_journals();
        let machine = self.t.service(0).machine();
        let texts = machine.texts();
        for (number, run) in self.runs.iter().enumerate() {
            let prefix = format!("{number}.");
            let own: Vec<&String> = texts.iter().filter(|text| text.starts_with(&prefix)).collect();
            assert!(own.is_sorted(), "A3: run {number} was applied as {own:?}");
            for (id, text) in &run.accepted {
                let place = texts.iter().position(|line| line == text);
                match run.outcomes.get(id) {
                    None => assert!(run.crashed, "A1: {text} has no outcome"),
                    Some(Outcome::Unknown { .. }) => {}
                    Some(Outcome::Refused(why)) => {
                        assert_eq!(place, None, "{text} was refused ({why}) and applied");
                    }
                    Some(Outcome::Applied { reply, slot, ballot }) => {
                        let place = place.unwrap_or_else(|| panic!("{text} is lost"));
                        assert_eq!(*reply, place as u64 + 1, "{text} got another's reply");
                        let (at, _) = machine.lines[place];
                        assert_eq!((*slot, *ballot), (at.slot, at.ballot), "{text}");
                    }
                }
            }
        }
    }
}

#[test]
fn made_up_histories_keep_every_promise() {
    let from: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    for seed in from..from + count {
        // Shown when a history breaks a promise: run it again with SEED and SEEDS=1.
        eprintln!("SEED={seed}");
        Swarm::new(seed).run();
    }
}
