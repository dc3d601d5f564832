//! What became of the mutants, in a file that the next run goes on with, and which survivors are
//! explained.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// This test failed.
    Caught(String),
    /// This test binary did not end.
    Hung(String),
    /// The tests passed, and the swarm failed like this.
    Swarm(String),
    /// Nothing noticed.
    Survived,
    /// It does not compile.
    Unviable,
    /// It cannot ask for a switch, since it is part of making a constant.
    Left,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught(test) => write!(f, "caught {test}"),
            Self::Hung(binary) => write!(f, "hung {binary}"),
            Self::Swarm(how) => write!(f, "swarm {how}"),
            Self::Survived => f.write_str("survived "),
            Self::Unviable => f.write_str("unviable "),
            Self::Left => f.write_str("left "),
        }
    }
}

impl Fate {
    fn parse(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(' ')?;
        match word {
            "caught" => Some(Self::Caught(rest.into())),
            "hung" => Some(Self::Hung(rest.into())),
            "swarm" => Some(Self::Swarm(rest.into())),
            "survived" => Some(Self::Survived),
            "unviable" => Some(Self::Unviable),
            "left" => Some(Self::Left),
            _ => None,
        }
    }
}

/// The fates so far, by the keys of the mutants.
pub(crate) struct Ledger {
    fates: BTreeMap<String, Fate>,
    /// The fates of runs before it began afresh.
    earlier: BTreeMap<String, Fate>,
    file: File,
}

impl Ledger {
    /// Goes on with the file of an earlier run, or begins `afresh` and lays aside what that holds.
    /// A line is a fate, a tab and a key; later lines win.
    pub(crate) fn open(path: &Path, afresh: bool) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", path.display());
        let aside = path.with_extension("earlier.txt");
        let mut earlier = read(&aside);
        if afresh {
            earlier.extend(read(path));
            let lines: String = earlier.iter().map(|(key, fate)| line(key, fate)).collect();
            fs::write(&aside, lines).map_err(failed)?;
            let _ = fs::remove_file(path);
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        Ok(Self { fates: read(path), earlier, file })
    }

    /// The test that noticed a mutant in an earlier run.
    pub(crate) fn noticed_by(&self, key: &str) -> Option<&str> {
        match self.earlier.get(key)? {
            Fate::Caught(test) => Some(test),
            Fate::Hung(_) | Fate::Swarm(_) | Fate::Survived | Fate::Unviable | Fate::Left => None,
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Fate> {
        self.fates.get(key)
    }

    pub(crate) fn put(&mut self, key: &str, fate: Fate) -> Result<(), String> {
        let line = line(key, &fate);
        self.file.write_all(line.as_bytes()).map_err(|error| format!("the ledger: {error}"))?;
        self.fates.insert(key.to_owned(), fate);
        Ok(())
    }
}

fn line(key: &str, fate: &Fate) -> String {
    // What a simulator says may hold anything.
    format!("{}\t{key}\n", fate.to_string().replace(['\t', '\n'], " "))
}

/// The fates in a file; none without one.
fn read(path: &Path) -> BTreeMap<String, Fate> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let (fate, key) = line.split_once('\t')?;
        Some((key.to_owned(), Fate::parse(fate)?))
    });
    lines.collect()
}

/// The keys of the survivors that are explained: lines that are neither empty nor begin with `#`.
pub(crate) fn explained(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_with_the_fates_of_an_earlier_one() {
        let path = std::env::temp_dir().join(format!("ledger-{}", std::process::id()));
        let fates = [
            Fate::Caught("a::b".into()),
            Fate::Hung("c".into()),
            Fate::Swarm("Agreement: slot 4".into()),
            Fate::Survived,
            Fate::Unviable,
            Fate::Left,
        ];
        for (number, fate) in fates.iter().enumerate() {
            let mut ledger = Ledger::open(&path, false).expect("a file");
            ledger.put("again", fate.clone()).expect("a line");
            ledger.put(&format!("key {number}"), fate.clone()).expect("a line");
        }
        let ledger = Ledger::open(&path, false).expect("a file");
        for (number, fate) in fates.iter().enumerate() {
            assert_eq!(ledger.get(&format!("key {number}")), Some(fate));
        }
        assert_eq!(ledger.get("again"), Some(&Fate::Left));
        assert_eq!(ledger.get("key"), None);

        for _ in 0..2 {
            let ledger = Ledger::open(&path, true).expect("a file");
            assert_eq!(ledger.get("key 0"), None);
            assert_eq!(ledger.noticed_by("key 0"), Some("a::b"));
            assert_eq!(ledger.noticed_by("key 1"), None);
        }
        fs::remove_file(path.with_extension("earlier.txt")).expect("a file");
        fs::remove_file(path).expect("a file");
    }

    #[test]
    fn reasons_stand_above_what_they_explain() {
        let keys = explained("# equivalent\na.rs: replace + with -\n\n# a text\nb.rs: c\n");
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["a.rs: replace + with -", "b.rs: c"]);
    }
}
