//! Tries mutants that stand side by side behind switches: one build, many runs.

use std::sync::OnceLock;

use crate::Bench;
use crate::hunt::{self, Hunt};
use crate::ledger::Fate;
use crate::list::Mutant;
use crate::options::Options;
use crate::tree::Tree;
use crate::trial::{Binary, Trial};

/// The copy with all mutants in it, and its tests.
pub(crate) struct Switched {
    tree: Tree,
    /// Its tests; none, if the swarm alone is asked.
    binaries: Vec<Binary>,
    /// Whether the swarm is there, which takes a build.
    swarm: OnceLock<Result<(), String>>,
    seeds: u64,
}

impl Switched {
    /// Looks at the tests of the copy, which must pass without any mutant, if they are asked.
    pub(crate) fn look_at(tree: Tree, options: &Options) -> Result<Self, String> {
        let binaries = if options.swarm { Vec::new() } else { tree.binaries()? };
        Ok(Self { tree, binaries, swarm: OnceLock::new(), seeds: options.seeds })
    }

    /// The test that noticed a mutant in an earlier run, if it still does, which saves the others.
    fn noticed_again(&self, mutant: &Mutant, test: &str) -> Result<bool, String> {
        let Some(binary) = self.binaries.iter().find(|binary| binary.has(test)) else {
            return Ok(false);
        };
        let trial = binary.run(self.tree.folder(), mutant.number, Some(test), None)?;
        Ok(trial == Trial::Failed(test.to_owned()))
    }

    fn build_swarm(&self) -> Result<(), String> {
        hunt::build(self.tree.folder(), self.tree.target())?;
        let sound = hunt::hunt(self.tree.target(), 0, self.seeds)?;
        sound.how.map_or(Ok(()), |how| Err(format!("a seed fails without a mutant: {how}")))
    }
}

impl Bench for Switched {
    fn takes(&self, mutant: &Mutant) -> bool {
        self.tree.function_of(mutant).is_some()
    }

    fn fate_of(&self, mutant: &Mutant, noticed_by: Option<&str>) -> Result<Fate, String> {
        let function = self.tree.function_of(mutant).ok_or("a mutant that is not planted")?;
        if let Some(test) = noticed_by
            && self.noticed_again(mutant, test)?
        {
            return Ok(Fate::Caught(test.to_owned()));
        }
        for binary in self.binaries.iter().filter(|binary| binary.calls(function)) {
            match binary.run(self.tree.folder(), mutant.number, None, None)? {
                Trial::Failed(test) => return Ok(Fate::Caught(test)),
                Trial::Hung(binary) => return Ok(Fate::Hung(binary)),
                Trial::Passed => {}
            }
        }
        if self.seeds == 0 {
            return Ok(Fate::Survived);
        }
        self.swarm.get_or_init(|| self.build_swarm()).clone()?;
        let Hunt { seeds, seconds, how } =
            hunt::hunt(self.tree.target(), mutant.number, self.seeds)?;
        let noticed = |how| Fate::Swarm(format!("in {seeds} seeds and {seconds} s: {how}"));
        Ok(how.map_or(Fate::Survived, noticed))
    }
}
