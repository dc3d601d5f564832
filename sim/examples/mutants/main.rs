//! Changes single operators and results in the core and asks whether a test notices.
//!
//! cargo-mutants says what can be changed; it builds the tests anew for each mutant, which takes
//! hours. This tool copies the workspace to `mutants-core/tree` in the target folder, plants all
//! mutants there side by side, each behind a switch (see `plant`), and builds once. What does not
//! compile is found by the errors of the compiler and left out. Then it runs the tests of the core
//! with one mutant after the other on; one that they do not notice meets some seeds of the swarm.
//! Test binaries that do not call the changed function are not run.
//!
//! `explained.txt` beside this file names the survivors that nothing can notice, or need not, and
//! why. Others make the tool fail. Results are kept in `mutants-core/results.txt`, and the next run
//! goes on from there. After the core or a test changed say `--afresh`, which asks first the test
//! that noticed a mutant before.
//!
//! ```sh
//! cargo run -p synod-sim --example mutants                        # all
//! cargo run -p synod-sim --example mutants -- --shard 3/20        # every twentieth
//! cargo run -p synod-sim --example mutants -- --file replica/phase2.rs --list
//! cargo run -p synod-sim --example mutants -- --again             # those that survived
//! ```
//!
//! Constants, and functions that return an `impl Trait`, cannot ask for a switch. They are left to
//! cargo-mutants itself; the tool says how many there are.

mod cargo;
#[path = "../mutate/copy.rs"]
mod copy;
#[path = "../mutate/hunt.rs"]
mod hunt;
mod ledger;
mod list;
mod options;
mod plant;
mod tree;
mod trial;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use hunt::Hunt;
use ledger::{Fate, Ledger};
use list::Mutant;
use options::Options;
use tree::Tree;
use trial::{Binary, Trial};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let options = Options::parse(std::env::args().skip(1))?;
    let mutants = list::read(root)?;
    let wanted: Vec<&Mutant> =
        mutants.iter().filter(|mutant| is_wanted(mutant, &options)).collect();
    if wanted.is_empty() {
        return Err("there is no such mutant".into());
    }
    if options.list {
        for mutant in &wanted {
            println!("{} {} (line {})", mutant.number, mutant.key, mutant.line);
        }
        return Ok(true);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let place = target.unwrap_or_else(|| root.join("target")).join("mutants-core");
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let results = place.join("results.txt");
    let mut ledger = Ledger::open(&results, options.afresh)?;
    let tree = Tree::build(root, &place, &mutants, &mut ledger)?;
    let laboratory = Laboratory {
        binaries: tree.binaries()?,
        tree,
        ledger: Mutex::new(ledger),
        swarm: OnceLock::new(),
        started: Instant::now(),
        options,
    };
    let waiting = laboratory.waiting(&wanted);
    println!("{} mutants are wanted, {} of them are to be run", wanted.len(), waiting.len());
    laboratory.run_all(&waiting)?;
    let explained = root.join("sim/examples/mutants/explained.txt");
    let explained = fs::read_to_string(&explained)
        .map_err(|error| format!("{}: {error}", explained.display()))?;
    Ok(laboratory.report(&mutants, &wanted, &ledger::explained(&explained)))
}

fn is_wanted(mutant: &Mutant, options: &Options) -> bool {
    let (shard, shards) = options.shard;
    mutant.number % shards == shard
        && (options.files.is_empty() || options.files.iter().any(|part| mutant.file.contains(part)))
        && (options.numbers.is_empty() || options.numbers.contains(&mutant.number))
}

/// All that it takes to try mutants.
struct Laboratory {
    tree: Tree,
    binaries: Vec<Binary>,
    ledger: Mutex<Ledger>,
    /// Whether the swarm is there, which takes a build.
    swarm: OnceLock<Result<(), String>>,
    started: Instant,
    options: Options,
}

impl Laboratory {
    /// The mutants of which nothing is known yet, or no more than that they survived earlier.
    fn waiting<'a>(&self, wanted: &[&'a Mutant]) -> Vec<&'a Mutant> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let is_waiting = |mutant: &&&Mutant| match ledger.get(&mutant.key) {
            None => true,
            Some(Fate::Survived) => self.options.again,
            Some(Fate::Caught(_) | Fate::Hung(_) | Fate::Swarm(_)) => false,
            Some(Fate::Unviable | Fate::Left) => false,
        };
        let planted = wanted.iter().filter(|mutant| self.tree.function_of(mutant).is_some());
        planted.filter(is_waiting).copied().collect()
    }

    fn run_all(&self, waiting: &[&Mutant]) -> Result<(), String> {
        let queue = Mutex::new(waiting.iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let in_time = || self.options.time.is_none_or(|time| self.started.elapsed() < time);
        let work = || -> Result<(), String> {
            while let Some(mutant) = in_time().then(next).flatten() {
                let fate = self.fate_of(mutant)?;
                println!("{:>5} {fate}: {} (line {})", mutant.number, mutant.key, mutant.line);
                let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                ledger.put(&mutant.key, fate)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> =
                (0..self.options.workers.max(1)).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| Err("a worker panicked".into()))
            })
        })
    }

    fn fate_of(&self, mutant: &Mutant) -> Result<Fate, String> {
        let function = self.tree.function_of(mutant).ok_or("a mutant that is not planted")?;
        if let Some(test) = self.noticed_again(mutant)? {
            return Ok(Fate::Caught(test));
        }
        for binary in self.binaries.iter().filter(|binary| binary.calls(function)) {
            match binary.run(self.tree.folder(), mutant.number, None, None)? {
                Trial::Failed(test) => return Ok(Fate::Caught(test)),
                Trial::Hung(binary) => return Ok(Fate::Hung(binary)),
                Trial::Passed => {}
            }
        }
        if self.options.seeds == 0 {
            return Ok(Fate::Survived);
        }
        self.swarm.get_or_init(|| self.build_swarm()).clone()?;
        let Hunt { seeds, seconds, how } =
            hunt::hunt(self.tree.target(), mutant.number, self.options.seeds)?;
        let noticed = |how| Fate::Swarm(format!("in {seeds} seeds and {seconds} s: {how}"));
        Ok(how.map_or(Fate::Survived, noticed))
    }

    /// The test that noticed a mutant in an earlier run, if it still does, which saves the others.
    fn noticed_again(&self, mutant: &Mutant) -> Result<Option<String>, String> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let test = ledger.noticed_by(&mutant.key).map(str::to_owned);
        drop(ledger);
        let Some(test) = test else { return Ok(None) };
        let Some(binary) = self.binaries.iter().find(|binary| binary.has(&test)) else {
            return Ok(None);
        };
        let trial = binary.run(self.tree.folder(), mutant.number, Some(&test), None)?;
        Ok((trial == Trial::Failed(test.clone())).then_some(test))
    }

    fn build_swarm(&self) -> Result<(), String> {
        hunt::build(self.tree.folder(), self.tree.target())?;
        let sound = hunt::hunt(self.tree.target(), 0, self.options.seeds)?;
        sound.how.map_or(Ok(()), |how| Err(format!("a seed fails without a mutant: {how}")))
    }

    /// Prints what became of the mutants. Whether all survivors are explained.
    fn report(&self, all: &[Mutant], wanted: &[&Mutant], explained: &BTreeSet<String>) -> bool {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut caught, mut hung, mut swarm, mut survived) = (0, 0, 0, 0);
        let (mut unviable, mut left, mut not_run) = (0, 0, 0);
        let mut unexplained = Vec::new();
        for mutant in wanted {
            match ledger.get(&mutant.key) {
                Some(Fate::Unviable) => unviable += 1,
                _ if self.tree.function_of(mutant).is_none() => left += 1,
                None => not_run += 1,
                Some(Fate::Survived) => {
                    survived += 1;
                    if !explained.contains(&mutant.key) {
                        unexplained.push(mutant);
                    }
                }
                Some(fate) => {
                    match fate {
                        Fate::Hung(_) => hung += 1,
                        Fate::Swarm(_) => swarm += 1,
                        Fate::Caught(_) => caught += 1,
                        Fate::Survived | Fate::Unviable | Fate::Left => {}
                    }
                    if explained.contains(&mutant.key) {
                        println!("explained, but something notices it: {}", mutant.key);
                    }
                }
            }
        }
        let keys: BTreeSet<&str> = all.iter().map(|mutant| mutant.key.as_str()).collect();
        for key in explained.iter().filter(|key| !keys.contains(key.as_str())) {
            println!("explained, but there is no such mutant: {key}");
        }
        for mutant in &unexplained {
            println!("SURVIVED {} {} (line {})", mutant.number, mutant.key, mutant.line);
        }
        println!(
            "{caught} failed a test, {hung} hung one, {swarm} failed in the swarm, {survived} \
             survived; {unviable} do not compile, {left} are left to cargo-mutants, {not_run} were \
             not run ({} s)",
            self.started.elapsed().as_secs()
        );
        println!("{} survivors are not explained", unexplained.len());
        unexplained.is_empty()
    }
}
