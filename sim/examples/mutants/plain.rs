//! Tries mutants that cannot stand behind a switch: each alone in a copy, which is built for it.
//!
//! The unit tests are built and run first, since they notice most and build quickly; then the other
//! tests, and at last the swarm.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::Bench;
use crate::cargo::{self, Built, KEEP_ERRORS};
use crate::copy;
use crate::hunt::{self, Hunt};
use crate::ledger::Fate;
use crate::list::Mutant;
use crate::options::Options;
use crate::tree::PROCESSES;
use crate::trial::{Binary, Trial};

/// The copy for one mutant, and its tests.
pub(crate) struct Plain {
    root: PathBuf,
    folder: PathBuf,
    target: PathBuf,
    seeds: u64,
    /// The unit tests, and the others, the quickest first; none, if the swarm alone is asked.
    tests: [Vec<Binary>; 2],
    /// The copy holds one mutant at a time.
    turn: Mutex<()>,
}

impl Plain {
    /// Builds the copy and looks at its tests, which must pass without any mutant.
    pub(crate) fn build(root: &Path, place: &Path, options: &Options) -> Result<Self, String> {
        let mut plain = Self {
            root: root.to_owned(),
            folder: place.join("plain"),
            target: place.join("plain-target"),
            seeds: options.seeds,
            tests: [Vec::new(), Vec::new()],
            turn: Mutex::new(()),
        };
        if options.swarm {
            return Ok(plain);
        }
        plain.write(None)?;
        let unit_tests = plain.executables(UNIT_TESTS)?.map_err(nothing_planted)?;
        for path in plain.executables(ALL_TESTS)?.map_err(nothing_planted)? {
            if path.to_string_lossy().contains(PROCESSES) {
                continue;
            }
            let others = usize::from(!unit_tests.contains(&path));
            plain.tests[others].push(Binary::look_at(&path, &plain.folder, None)?);
        }
        plain.tests[1].sort_by_key(Binary::took);
        Ok(plain)
    }

    /// Brings the copy up to date, with one mutant in it or none.
    fn write(&self, mutant: Option<&Mutant>) -> Result<(), String> {
        copy::copy(&self.root, &self.folder, |name, text| {
            Ok(mutant.filter(|mutant| mutant.file == name).map_or(text.clone(), |mutant| {
                let (before, after) = (&text[..mutant.span.start], &text[mutant.span.end..]);
                format!("{before}{}{after}", mutant.replacement)
            }))
        })
    }

    /// The test binaries, or what the compiler says.
    fn executables(&self, words: &str) -> Result<Result<Vec<PathBuf>, String>, String> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        Ok(match cargo::build(&self.folder, &self.target, &words, KEEP_ERRORS)? {
            Built::Done(paths) => Ok(paths),
            Built::Errors(errors) => Err(errors.into_iter().map(|error| error.text).collect()),
        })
    }

    /// What the tests make of the mutant that is in the copy; nothing, if they pass.
    fn tested(&self) -> Result<Option<Fate>, String> {
        let asked = self.tests.iter().zip([UNIT_TESTS, ALL_TESTS]);
        for (binaries, words) in asked.filter(|(binaries, _)| !binaries.is_empty()) {
            let built = match self.executables(words)? {
                Ok(paths) => paths,
                Err(_) if words == UNIT_TESTS => return Ok(Some(Fate::Unviable)),
                Err(_) => {
                    return Ok(Some(Fate::Caught("one that does not compile with it".into())));
                }
            };
            for binary in binaries {
                if !built.iter().any(|path| binary.is_at(path)) {
                    return Err(format!("cargo built {} in another place", binary.name));
                }
                match binary.run(&self.folder, 0, None, None)? {
                    Trial::Failed(test) => return Ok(Some(Fate::Caught(test))),
                    Trial::Hung(binary) => return Ok(Some(Fate::Hung(binary))),
                    Trial::Passed => {}
                }
            }
        }
        Ok(None)
    }
}

impl Bench for Plain {
    fn takes(&self, _: &Mutant) -> bool {
        true
    }

    fn fate_of(&self, mutant: &Mutant, _: Option<&str>) -> Result<Fate, String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(Some(mutant))?;
        if let Some(fate) = self.tested()? {
            return Ok(fate);
        }
        if self.seeds == 0 {
            return Ok(Fate::Survived);
        }
        hunt::build(&self.folder, &self.target)?;
        let Hunt { seeds, seconds, how } = hunt::hunt(&self.target, 0, self.seeds)?;
        let noticed = |how| Fate::Swarm(format!("in {seeds} seeds and {seconds} s: {how}"));
        Ok(how.map_or(Fate::Survived, noticed))
    }
}

const UNIT_TESTS: &str = "test -p synod-core --no-run --lib";
const ALL_TESTS: &str = "test -p synod-core --no-run --tests";

fn nothing_planted(errors: String) -> String {
    format!("the copy does not build without any mutant:\n{errors}")
}
