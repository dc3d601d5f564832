//! The copy of the workspace with all mutants in it, built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::cargo::{self, Built, CompileError, NO_LINTS};
use crate::copy;
use crate::ledger::{Fate, Ledger};
use crate::list::Mutant;
use crate::plant::{self, CORE, Part, Planted};
use crate::trial::Binary;

/// The copy, and where it is built.
pub(crate) struct Tree {
    folder: PathBuf,
    target: PathBuf,
    executables: Vec<PathBuf>,
    /// The function of each planted mutant, by the number of the mutant.
    functions: BTreeMap<usize, usize>,
}

impl Tree {
    /// Plants all mutants and leaves out those that do not compile, until the rest does.
    pub(crate) fn build(
        root: &Path,
        place: &Path,
        mutants: &[Mutant],
        ledger: &mut Ledger,
    ) -> Result<Self, String> {
        let (folder, target) = (place.join("tree"), place.join("target"));
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        for mutant in mutants.iter().filter(|mutant| mutant.function.is_some()) {
            let file = root.join(&mutant.file);
            let text = || fs::read_to_string(&file).map_err(|e| format!("{}: {e}", mutant.file));
            texts.insert(&mutant.file, text()?);
        }
        let functions =
            plant::functions(mutants, |file| texts.get(file).cloned().unwrap_or_default());
        let known = |fate: Fate| -> BTreeSet<usize> {
            let known = mutants.iter().filter(|mutant| ledger.get(&mutant.key) == Some(&fate));
            known.map(|mutant| mutant.number).collect()
        };
        let (mut dropped, mut left) = (known(Fate::Unviable), known(Fate::Left));
        let check = words("check -p synod-core --lib");
        let test = words("test -p synod-core --no-run --tests");
        let executables = loop {
            let out = dropped.union(&left).copied().collect();
            let planted = plant_all(&texts, &functions, &out);
            write(root, &folder, &planted, functions.len())?;
            let errors = match cargo::build(&folder, &target, &check, NO_LINTS)? {
                Built::Errors(errors) => errors,
                Built::Done(_) => match cargo::build(&folder, &target, &test, NO_LINTS)? {
                    Built::Errors(errors) => errors,
                    Built::Done(executables) => break executables,
                },
            };
            drop_what_fails(&errors, &planted, &mut dropped, &mut left)?;
            println!("{} do not compile, {} cannot be asked", dropped.len(), left.len());
        };
        for (out, fate) in [(&dropped, Fate::Unviable), (&left, Fate::Left)] {
            for mutant in mutants.iter().filter(|mutant| out.contains(&mutant.number)) {
                if ledger.get(&mutant.key) != Some(&fate) {
                    ledger.put(&mutant.key, fate.clone())?;
                }
            }
        }
        let mut numbers = BTreeMap::new();
        for (function, mutants) in functions.values().enumerate() {
            let stays = |number: &usize| !dropped.contains(number) && !left.contains(number);
            let stay = mutants.iter().map(|mutant| mutant.number).filter(stays);
            numbers.extend(stay.map(|number| (number, function)));
        }
        Ok(Self { folder, target, executables, functions: numbers })
    }

    /// The test binaries and what they do without any mutant, the quickest first.
    pub(crate) fn binaries(&self) -> Result<Vec<Binary>, String> {
        let look_at = |path: &PathBuf| Binary::look_at(path, &self.folder, Some(&self.target));
        let all = self.executables.iter();
        let apt = all.filter(|path| !path.to_string_lossy().contains(PROCESSES));
        let binaries: Result<Vec<Binary>, String> = apt.map(look_at).collect();
        let mut binaries = binaries?;
        binaries.sort_by_key(Binary::took);
        Ok(binaries)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The function of a mutant, if it is planted.
    pub(crate) fn function_of(&self, mutant: &Mutant) -> Option<usize> {
        self.functions.get(&mutant.number).copied()
    }
}

/// The test of an example, which runs cargo and starts processes of its own.
pub(crate) const PROCESSES: &str = "event_loop_example-";

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Each mutated file with its mutants, numbered as the functions are.
fn plant_all(
    texts: &BTreeMap<&str, String>,
    functions: &BTreeMap<(String, usize), Vec<&Mutant>>,
    out: &BTreeSet<usize>,
) -> BTreeMap<String, Planted> {
    let mut planted = BTreeMap::new();
    for (file, text) in texts {
        let here = functions.iter().enumerate().filter(|(_, ((name, _), _))| name == file);
        let here: Vec<(usize, &[&Mutant])> =
            here.map(|(number, (_, mutants))| (number, &mutants[..])).collect();
        planted.insert((*file).to_owned(), plant::plant(text, &here, out));
    }
    planted
}

fn write(
    root: &Path,
    folder: &Path,
    planted: &BTreeMap<String, Planted>,
    functions: usize,
) -> Result<(), String> {
    copy::copy(root, folder, |name, text| {
        let text = planted.get(name).map_or(text, |planted| planted.text.clone());
        Ok(if name == CORE { plant::with_switch(&text, functions) } else { text })
    })
}

/// Notes the mutants that the errors point to. An error where a function asks for its switch is
/// about the question: that function is called where a constant is made.
fn drop_what_fails(
    errors: &[CompileError],
    planted: &BTreeMap<String, Planted>,
    dropped: &mut BTreeSet<usize>,
    left: &mut BTreeSet<usize>,
) -> Result<(), String> {
    let before = dropped.len() + left.len();
    for error in errors {
        let mut parts =
            error.places.iter().filter_map(|(file, line)| planted.get(file)?.part_at(*line));
        match parts.next() {
            Some(Part::Body(mutant)) => drop(dropped.insert(*mutant)),
            Some(Part::Question(mutants)) => left.extend(mutants),
            None => {}
        }
    }
    if dropped.len() + left.len() == before {
        let texts: Vec<&str> = errors.iter().map(|error| error.text.as_str()).collect();
        return Err(format!("the copy does not build:\n{}", texts.join("\n")));
    }
    Ok(())
}
