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
    file: File,
}

impl Ledger {
    /// Goes on with the file of an earlier run. A line is a fate, a tab and a key; later lines win.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", path.display());
        let text = fs::read_to_string(path).unwrap_or_default();
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        let lines = text.lines().filter_map(|line| {
            let (fate, key) = line.split_once('\t')?;
            Some((key.to_owned(), Fate::parse(fate)?))
        });
        Ok(Self { fates: lines.collect(), file })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Fate> {
        self.fates.get(key)
    }

    pub(crate) fn put(&mut self, key: &str, fate: Fate) -> Result<(), String> {
        // What a simulator says may hold anything.
        let line = fate.to_string().replace(['\t', '\n'], " ");
        writeln!(self.file, "{line}\t{key}").map_err(|error| format!("the ledger: {error}"))?;
        self.fates.insert(key.to_owned(), fate);
        Ok(())
    }
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
            let mut ledger = Ledger::open(&path).expect("a file");
            ledger.put("again", fate.clone()).expect("a line");
            ledger.put(&format!("key {number}"), fate.clone()).expect("a line");
        }
        let ledger = Ledger::open(&path).expect("a file");
        for (number, fate) in fates.iter().enumerate() {
            assert_eq!(ledger.get(&format!("key {number}")), Some(fate));
        }
        assert_eq!(ledger.get("again"), Some(&Fate::Left));
        assert_eq!(ledger.get("key"), None);
        fs::remove_file(path).expect("a file");
    }

    #[test]
    fn reasons_stand_above_what_they_explain() {
        let keys = explained("# equivalent\na.rs: replace + with -\n\n# a text\nb.rs: c\n");
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["a.rs: replace + with -", "b.rs: c"]);
    }
}
