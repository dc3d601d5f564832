//! A plan: everything that makes a run, in a few lines of text. A seed, what differs from what it
//! draws, and the faults that are withheld.
//!
//! ```
//! use synod_sim::plan::Plan;
//!
//! let text = "seed 17\nnodes 3\nfaults_for_us 800000\nwithhold loss 0..17 19 23..\n";
//! let plan: Plan = text.parse().expect("a plan");
//! assert_eq!(plan.options().nodes, 3);
//! assert_eq!(plan.to_string(), text);
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use synod_core::Quorums;

use crate::clock::nanos;
use crate::mischief::Withheld;
use crate::near;
use crate::options::Options;

/// Everything that makes a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The test whose state machine and clients it is a run of; those of the simulator if none.
    pub test: Option<String>,
    /// The faults that do not happen.
    pub withheld: Withheld,
    /// What differs from what the seed draws, by the place of the setting.
    settings: BTreeMap<usize, u64>,
}

/// Something that a plan can set.
#[derive(Debug)]
pub struct Setting {
    /// As plans write it.
    pub name: &'static str,
    /// The least and the largest value that makes sense.
    pub range: (u64, u64),
    /// The value with which a run is easiest to understand, when it has one.
    pub simplest: Option<u64>,
    get: fn(&Options) -> u64,
    set: fn(&mut Options, u64),
}

/// Something that is or is not, as options and plans call it.
macro_rules! flag {
    ($name:ident) => {
        setting(
            stringify!($name),
            (0, 1),
            Some(0),
            |o| u64::from(o.$name),
            |o, value| o.$name = value > 0,
        )
    };
}

/// A number of the options.
macro_rules! number {
    ($name:literal, $range:expr, $simplest:expr, $($field:ident).+) => {
        setting(
            $name,
            $range,
            $simplest,
            |o| o.$($field).+ as u64,
            |o, value| o.$($field).+ = value as _,
        )
    };
}

/// A time in microseconds, which the options have in nanoseconds.
macro_rules! micros {
    ($name:literal, $range:expr, $simplest:expr, $($field:ident).+) => {
        setting(
            $name,
            $range,
            $simplest,
            |o| us(o.$($field).+),
            |o, value| o.$($field).+ = value * 1_000,
        )
    };
}

/// What a plan can set, in the order in which it is applied and written.
pub static SETTINGS: [Setting; 28] = [
    // These two take part in the drawing itself.
    setting("nodes", (1, 9), None, |o| o.nodes as u64, |_, _| {}),
    setting("faults_for_us", (0, HOUR_US), None, |o| us(nanos(o.faults_for)), |_, _| {}),
    // Other chances of the same kind of run: every generator starts from this instead.
    setting("dice", (0, u64::MAX), None, |o| o.seed, |o, dice| o.seed = dice),
    setting("majorities", (0, 1), Some(1), has_majorities, set_majorities),
    flag!(sparse_ids),
    number!("drift_ppm", (0, 900_000), Some(0), process.drift_ppm),
    number!("clocks_apart_ns", (0, u64::MAX >> 4), Some(0), process.offset_nanos),
    micros!("turn_us", (0, SECOND_US), Some(10), process.turn_nanos),
    flag!(hints),
    flag!(forward),
    flag!(durable_machines),
    flag!(heal_core_only),
    flag!(over_the_limit),
    number!("uneven_ppm", (0, 1_000_000), Some(0), network.uneven_ppm),
    number!("capacity", (1, 1 << 30), Some(10_000), network.capacity),
    micros!("delay_us", (0, HOUR_US), Some(200), network.delay_nanos),
    micros!("sync_us", (0, HOUR_US), Some(100), disk.sync_nanos),
    micros!("read_us", (0, HOUR_US), Some(100), disk.read_nanos),
    number!("settle_ppm", (0, 1_000_000), Some(0), disk.settle_ppm),
    number!("segment_records", (1, 1 << 20), Some(64), disk.segment_records),
    micros!("faults_every_us", (0, HOUR_US), None, nemesis.every_nanos),
    micros!("faults_last_us", (1, HOUR_US), None, nemesis.lasts_nanos),
    micros!("clients_every_us", (1, HOUR_US), None, client.every_nanos),
    number!("burst_max", (1, 1 << 16), Some(1), client.burst_max),
    number!("body_max", (1, 1 << 20), Some(16), client.body_max),
    number!("sessions", (0, 1_000), Some(1), client.sessions),
    number!("keys", (1, 1 << 15), Some(1), client.keys),
    setting("special_requests", (0, 1), Some(0), has_special_requests, set_special_requests),
];

const fn setting(
    name: &'static str,
    range: (u64, u64),
    simplest: Option<u64>,
    get: fn(&Options) -> u64,
    set: fn(&mut Options, u64),
) -> Setting {
    Setting { name, range, simplest, get, set }
}

const SECOND_US: u64 = 1_000_000;
const HOUR_US: u64 = 3_600 * SECOND_US;

const fn us(nanos: u64) -> u64 {
    nanos / 1_000
}

fn has_majorities(options: &Options) -> u64 {
    u64::from(options.quorums == Quorums::majority(options.nodes))
}

fn set_majorities(options: &mut Options, wanted: u64) {
    if wanted > 0 {
        options.quorums = Quorums::majority(options.nodes);
    }
}

fn has_special_requests(options: &Options) -> u64 {
    let client = options.client;
    let shares = [
        client.exclusive_ppm,
        client.deadline_ppm,
        client.only_in_ppm,
        client.oversize_ppm,
        client.empty_ppm,
    ];
    u64::from(shares.iter().any(|share| *share > 0))
}

fn set_special_requests(options: &mut Options, wanted: u64) {
    if wanted == 0 {
        options.client.exclusive_ppm = 0;
        options.client.deadline_ppm = 0;
        options.client.only_in_ppm = 0;
        options.client.oversize_ppm = 0;
        options.client.empty_ppm = 0;
    }
}

impl Setting {
    /// Its value in these options.
    #[must_use]
    pub fn of(&self, options: &Options) -> u64 {
        (self.get)(options)
    }

    fn place(name: &str) -> Result<usize, String> {
        let known = || SETTINGS.iter().map(|setting| setting.name);
        known().position(|setting| setting == name).ok_or_else(|| {
            let words = known().chain(["seed", "test", "withhold"]);
            format!("a plan sets no `{name}`{}", near::hint(name, words))
        })
    }
}

impl Plan {
    /// The run that a seed draws, and nothing else.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Sets something.
    ///
    /// # Errors
    /// When nothing is called so, or it cannot have that value.
    pub fn set(&mut self, name: &str, value: u64) -> Result<(), String> {
        let place = Setting::place(name)?;
        let (least, most) = SETTINGS[place].range;
        if !(least..=most).contains(&value) {
            return Err(format!("`{name} {value}`: {least} to {most} is possible"));
        }
        self.settings.insert(place, value);
        Ok(())
    }

    /// Leaves to the seed what it set.
    pub fn unset(&mut self, name: &str) {
        if let Ok(place) = Setting::place(name) {
            self.settings.remove(&place);
        }
    }

    /// What it sets, if it does.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.settings.get(&Setting::place(name).ok()?).copied()
    }

    /// Whether it is a seed and nothing else.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.settings.is_empty() && self.withheld.is_empty()
    }

    /// The options of the run.
    #[must_use]
    pub fn options(&self) -> Options {
        let nodes = self.get("nodes").map(|nodes| nodes as usize);
        let faults_for = self.get("faults_for_us").map(Duration::from_micros);
        let mut options = Options::draw(self.seed, nodes, faults_for);
        for (place, value) in &self.settings {
            (SETTINGS[*place].set)(&mut options, *value);
        }
        options.withheld = self.withheld.clone();
        options
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        if let Some(test) = &self.test {
            writeln!(f, "test {test}")?;
        }
        for (place, value) in &self.settings {
            writeln!(f, "{} {value}", SETTINGS[*place].name)?;
        }
        for line in self.withheld.to_string().lines() {
            writeln!(f, "withhold {line}")?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = String;

    /// Reads what [`fmt::Display`] writes; empty lines and what is behind a `#` do not count.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        let mut seed = None;
        let mut withheld = String::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let mistake = |error: String| format!("line {}: {error}", number + 1);
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            if word == "withhold" {
                // Judged by itself, so that a mistake is told with its line.
                let _: Withheld = rest.parse().map_err(mistake)?;
                withheld += rest;
                withheld.push('\n');
                continue;
            }
            if word == "test" && !rest.trim().is_empty() {
                plan.test = Some(rest.trim().to_owned());
                continue;
            }
            if word == "seed" && seed.is_some() {
                return Err(mistake("a plan has one seed".into()));
            }
            if word != "seed" {
                Setting::place(word).map_err(mistake)?;
            }
            let value = rest.trim().parse::<u64>();
            let value = value.map_err(|_| mistake(format!("`{line}`: a number is wanted")))?;
            match word {
                "seed" => seed = Some(value),
                name => plan.set(name, value).map_err(mistake)?,
            }
        }
        plan.seed = seed.ok_or("a plan needs a line `seed N`")?;
        plan.withheld = withheld.parse()?;
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    #[test]
    fn a_plan_is_its_text() {
        let mut prng = Prng::new(5, "test");
        for seed in 0..200 {
            let mut plan = Plan::of(seed);
            for setting in &SETTINGS {
                if prng.chance(300_000) {
                    let (least, most) = setting.range;
                    let value = least + prng.below((most - least).saturating_add(1));
                    plan.set(setting.name, value).expect("in range");
                }
            }
            let from = prng.below(50);
            plan.withheld.add(crate::mischief::Cause::Loss, from..from + prng.below(9));
            assert_eq!(plan.to_string().parse(), Ok(plan));
        }
    }

    #[test]
    fn every_setting_sets_what_it_names() {
        for setting in &SETTINGS {
            for value in [setting.simplest.unwrap_or(setting.range.0), setting.range.0] {
                let mut plan = Plan::of(3);
                plan.set(setting.name, value).expect("in range");
                let options = plan.options();
                let off = ["majorities", "special_requests"].contains(&setting.name);
                if !off || Some(value) == setting.simplest {
                    assert_eq!(setting.of(&options), value, "{}", setting.name);
                }
                assert_eq!(options.quorums.check(options.nodes), Ok(()), "{}", setting.name);
            }
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_its_mend() {
        for (text, said) in [
            ("nodes 3", "needs a line `seed N`"),
            ("seed 1\nnods 3", "line 2: a plan sets no `nods`; did you mean `nodes`?"),
            ("seed 1\nnodes 30", "line 2: `nodes 30`: 1 to 9 is possible"),
            ("seed 1\n\nnodes", "line 3: `nodes`: a number is wanted"),
            ("seed x", "line 1: `seed x`: a number is wanted"),
            ("seed 1\nwithhold loss 5..3", "line 2: `5..3` is an empty range"),
            ("seed 1\nseed 2", "line 2: a plan has one seed"),
            ("seed 1\nwithold loss 5", "did you mean `withhold`?"),
        ] {
            let error = text.parse::<Plan>().expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
        }
        assert_eq!("# mine\nseed 4 # four\n".parse(), Ok(Plan::of(4)));
        let text = "seed 4\ntest mine::counts\n";
        let plan: Plan = text.parse().expect("a plan");
        assert_eq!((plan.test.as_deref(), plan.to_string()), (Some("mine::counts"), text.into()));
    }
}
