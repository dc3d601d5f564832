//! The gate that every random fault passes: it numbers what strikes, and holds back what a plan
//! withholds.
//!
//! A fault draws its chance as ever; when it strikes, the gate gives it the next number of its
//! cause. A plan may withhold numbers: those faults do not happen, and the run goes on without
//! them. So a plain seed, which withholds nothing, is the run it always was, and the shrinker can
//! take faults away one by one.
//!
//! ```
//! use synod_sim::mischief::{Cause, Gate, Withheld};
//!
//! let mut gate = Gate::new("loss 1".parse::<Withheld>().expect("a cause and its numbers"));
//! let strikes = [true, false, true, true].map(|drawn| gate.strikes(Cause::Loss, drawn));
//! assert_eq!(strikes, [true, false, false, true]);
//! ```

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::coverage::{Coverage, Phase};
use crate::options::Fault;

/// Why something goes wrong. Each cause counts for itself, and belongs to one gate of a world:
/// those of the network to that of the network, all others to that of the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// A message is lost.
    Loss,
    /// A message comes twice.
    Double,
    /// An old frame comes once more.
    Replay,
    /// A frame is damaged on the way.
    Damage,
    /// A frame has the tail of another one.
    Splice,
    /// A frame reaches another member.
    Misdirect,
    /// A stranger says what a member says.
    Foreign,
    /// A member garbles requests before it hands them on.
    Garble,
    /// A message takes much longer than others.
    Tail,
    /// A sync fails.
    SyncFails,
    /// A sync takes much longer than others.
    SyncStalls,
    /// An operation of a device fails.
    IoFails,
    /// A read of a device fails.
    ReadFails,
    /// A device does less than it was asked to, which is no failure.
    ShortIo,
    /// A process is stopped between looking at its clock and reading its inputs.
    Doze,
    /// A timer is late.
    LateTimer,
    /// A process dies right behind an action.
    Death,
    /// Clients submit a burst of requests. Not a fault, but what a run can do without.
    Burst,
    /// A client submits one operation and waits. Not a fault either.
    Ask,
    /// The nemesis ends a fault, or one turn of it.
    End,
    /// The nemesis begins a fault.
    Begin(Fault),
}

impl Cause {
    /// How many there are.
    pub const COUNT: usize = Self::PLAIN.len() + Fault::COUNT;

    /// Those that are not faults of the nemesis.
    const PLAIN: [Self; 20] = [
        Self::Loss,
        Self::Double,
        Self::Replay,
        Self::Damage,
        Self::Splice,
        Self::Misdirect,
        Self::Foreign,
        Self::Garble,
        Self::Tail,
        Self::SyncFails,
        Self::SyncStalls,
        Self::IoFails,
        Self::ReadFails,
        Self::ShortIo,
        Self::Doze,
        Self::LateTimer,
        Self::Death,
        Self::Burst,
        Self::Ask,
        Self::End,
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::PLAIN.into_iter().chain(Fault::ALL.into_iter().map(Self::Begin))
    }

    /// Those that are faults: not what clients do, and not the ends of faults.
    pub fn faults() -> impl Iterator<Item = Self> {
        Self::all().filter(|cause| !matches!(cause, Self::Burst | Self::Ask | Self::End))
    }

    pub(crate) const fn place(self) -> usize {
        match self {
            Self::Loss => 0,
            Self::Double => 1,
            Self::Replay => 2,
            Self::Damage => 3,
            Self::Splice => 4,
            Self::Misdirect => 5,
            Self::Foreign => 6,
            Self::Garble => 7,
            Self::Tail => 8,
            Self::SyncFails => 9,
            Self::SyncStalls => 10,
            Self::IoFails => 11,
            Self::ReadFails => 12,
            Self::ShortIo => 13,
            Self::Doze => 14,
            Self::LateTimer => 15,
            Self::Death => 16,
            Self::Burst => 17,
            Self::Ask => 18,
            Self::End => 19,
            Self::Begin(fault) => Self::PLAIN.len() + fault as usize,
        }
    }
}

/// In words joined by `-`: `sync-fails`, `crash-all`.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let camel = match self {
            Self::Begin(fault) => format!("{fault:?}"),
            plain => format!("{plain:?}"),
        };
        let mut name = String::new();
        for letter in camel.chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        f.pad(&name)
    }
}

impl FromStr for Cause {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::all().find(|cause| cause.to_string() == name).ok_or_else(|| {
            let names: Vec<String> = Self::all().map(|cause| cause.to_string()).collect();
            format!("no cause is called `{name}`; there are {}", names.join(", "))
        })
    }
}

/// How many faults of each cause struck, whether they were withheld or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Strikes([u64; Cause::COUNT]);

impl Default for Strikes {
    fn default() -> Self {
        Self([0; Cause::COUNT])
    }
}

impl Strikes {
    /// How many there were of `cause`.
    #[must_use]
    pub const fn of(&self, cause: Cause) -> u64 {
        self.0[cause.place()]
    }

    /// How many there were of all causes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// These and those of another gate.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
        self
    }
}

/// The faults that do not happen although they were drawn: numbers, by cause.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Withheld {
    /// For each cause, in the order of their places, ranges that ascend and do not touch. Empty
    /// as a whole when nothing is withheld.
    spans: Vec<Vec<Range<u64>>>,
}

impl Withheld {
    /// Whether nothing is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Withholds these numbers of `cause` too; [`u64::MAX`] as the end means all from there on.
    pub fn add(&mut self, cause: Cause, numbers: Range<u64>) {
        if numbers.start >= numbers.end {
            return;
        }
        self.spans.resize(Cause::COUNT, Vec::new());
        let spans = &mut self.spans[cause.place()];
        spans.push(numbers);
        spans.sort_by_key(|span| span.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(spans.len());
        for span in spans.drain(..) {
            match merged.last_mut() {
                Some(last) if last.end >= span.start => last.end = last.end.max(span.end),
                Some(_) | None => merged.push(span),
            }
        }
        *spans = merged;
    }

    /// Withholds nothing of `cause`.
    pub fn clear(&mut self, cause: Cause) {
        if let Some(spans) = self.spans.get_mut(cause.place()) {
            spans.clear();
        }
        if self.spans.iter().all(Vec::is_empty) {
            self.spans.clear();
        }
    }

    /// Whether this one is withheld.
    #[must_use]
    pub fn has(&self, cause: Cause, number: u64) -> bool {
        let spans = self.of(cause);
        let later = spans.partition_point(|span| span.start <= number);
        later > 0 && number < spans[later - 1].end
    }

    /// The numbers of `cause`, in ranges that ascend and do not touch.
    #[must_use]
    pub fn of(&self, cause: Cause) -> &[Range<u64>] {
        self.spans.get(cause.place()).map_or(&[], Vec::as_slice)
    }
}

/// One line for each cause: `loss 0..17 19 23..`.
impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for cause in Cause::all().filter(|cause| !self.of(*cause).is_empty()) {
            write!(f, "{gap}{cause}")?;
            gap = "\n";
            for Range { start, end } in self.of(cause) {
                match *end {
                    u64::MAX => write!(f, " {start}..")?,
                    end if end == start + 1 => write!(f, " {start}")?,
                    end => write!(f, " {start}..{end}")?,
                }
            }
        }
        Ok(())
    }
}

impl FromStr for Withheld {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut withheld = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let cause: Cause = words.next().unwrap_or_default().parse()?;
            let mut some = false;
            for word in words {
                withheld.add(cause, span(word)?);
                some = true;
            }
            if !some {
                return Err(format!("`{line}` names no numbers, such as `0..17 19 23..`"));
            }
        }
        Ok(withheld)
    }
}

fn span(word: &str) -> Result<Range<u64>, String> {
    let mistake = || format!("`{word}` is not a number, nor a range as `3..7` or `3..`");
    let number = |text: &str| text.parse::<u64>().map_err(|_| mistake());
    let Some((from, end)) = word.split_once("..") else {
        let number = number(word)?;
        return Ok(number..number.checked_add(1).ok_or_else(mistake)?);
    };
    let end = if end.is_empty() { u64::MAX } else { number(end)? };
    let span = number(from)?..end;
    if span.start < span.end { Ok(span) } else { Err(format!("`{word}` is an empty range")) }
}

/// Numbers what strikes, and holds back what is withheld.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    withheld: Withheld,
    struck: Strikes,
    happened: Strikes,
    phase: Phase,
    coverage: Coverage,
}

impl Gate {
    /// A gate that holds these back.
    #[must_use]
    pub fn new(withheld: Withheld) -> Self {
        Self { withheld, ..Self::default() }
    }

    /// Whether a fault happens: it was `drawn`, and it is not withheld. Draw first, always, so
    /// that a fault withheld moves no other draw.
    pub fn strikes(&mut self, cause: Cause, drawn: bool) -> bool {
        if !drawn {
            return false;
        }
        let number = self.struck.0[cause.place()];
        self.struck.0[cause.place()] += 1;
        let happens = self.withheld.is_empty() || !self.withheld.has(cause, number);
        if happens {
            self.happened.0[cause.place()] += 1;
            self.coverage.count(cause, self.phase);
        }
        happens
    }

    /// The last fault of this cause found nothing to do: it was drawn, and did not happen.
    pub fn in_vain(&mut self, cause: Cause) {
        let happened = &mut self.happened.0[cause.place()];
        *happened = happened.saturating_sub(1);
        self.coverage.uncount(cause, self.phase);
    }

    /// How many struck, withheld ones included.
    #[must_use]
    pub const fn struck(&self) -> &Strikes {
        &self.struck
    }

    /// From now on the cluster is in `phase`.
    pub const fn enter(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// What happened in which phase.
    pub const fn coverage(&mut self) -> &mut Coverage {
        &mut self.coverage
    }

    /// How many happened.
    #[must_use]
    pub const fn happened(&self) -> &Strikes {
        &self.happened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_place_and_a_name_of_its_own() {
        let places: Vec<usize> = Cause::all().map(Cause::place).collect();
        assert_eq!(places, (0..Cause::COUNT).collect::<Vec<_>>());
        for cause in Cause::all() {
            assert_eq!(cause.to_string().parse(), Ok(cause));
        }
        assert_eq!(Cause::Begin(Fault::CrashAll).to_string(), "crash-all");
        let error = "los".parse::<Cause>().expect_err("no such cause");
        assert!(error.contains("`los`") && error.contains("sync-fails"), "{error}");
    }

    #[test]
    fn what_is_withheld_is_what_was_added() {
        let mut withheld = Withheld::default();
        let added = [5..7, 2..3, 7..9, 20..21, 0..1, 6..8, 40..u64::MAX, 3..3];
        for span in &added {
            withheld.add(Cause::Loss, span.clone());
        }
        for number in 0..100 {
            let expected = added.iter().any(|span| span.contains(&number));
            assert_eq!(withheld.has(Cause::Loss, number), expected, "{number}");
            assert!(!withheld.has(Cause::Damage, number));
        }
        assert_eq!(withheld.to_string(), "loss 0 2 5..9 20 40..");
    }

    #[test]
    fn the_text_says_it_all() {
        let text = "loss 0 2..5 9..\nsync-fails 0..\ncrash-all 3";
        let withheld: Withheld = text.parse().expect("well formed");
        assert_eq!(withheld.to_string(), text);
        for (wrong, said) in [
            ("loss", "names no numbers"),
            ("loss x", "`x` is not a number"),
            ("loss 5..3", "empty range"),
            ("lost 1", "no cause is called `lost`"),
            ("loss 18446744073709551615", "is not a number"),
        ] {
            let error = wrong.parse::<Withheld>().expect_err(wrong);
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_gate_counts_by_cause_and_holds_back() {
        let mut gate = Gate::new("damage 1..3".parse().expect("well formed"));
        let struck: Vec<bool> = (0..5).map(|_| gate.strikes(Cause::Damage, true)).collect();
        assert_eq!(struck, [true, false, false, true, true]);
        assert!(!gate.strikes(Cause::Damage, false));
        assert!(gate.strikes(Cause::Loss, true));
        assert_eq!((gate.struck().of(Cause::Damage), gate.struck().of(Cause::Loss)), (5, 1));
        assert_eq!(gate.happened().of(Cause::Damage), 3);
        gate.in_vain(Cause::Damage);
        assert_eq!((gate.struck().of(Cause::Damage), gate.happened().of(Cause::Damage)), (5, 2));
        assert_eq!(gate.coverage().sum(Cause::Damage), 2);
    }
}
