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
//! cargo run -p synod-sim --example mutants -- --swarm             # those too, by the swarm alone
//! cargo run -p synod-sim --example mutants -- --plain             # those without a switch
//! ```
//!
//! Constants, what computes them, and functions that return an `impl Trait` cannot ask for a
//! switch. With `--plain` the tool finds out which those are and tries them, each in a build of its
//! own (see `plain`); what became of them is kept in `mutants-core/plain.txt`.

mod cargo;
#[path = "../mutate/copy.rs"]
mod copy;
#[path = "../mutate/hunt.rs"]
mod hunt;
mod ledger;
mod list;
mod options;
mod plain;
mod plant;
mod switched;
mod tree;
mod trial;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use ledger::{Fate, Ledger};
use list::Mutant;
use options::Options;
use plain::Plain;
use switched::Switched;
use tree::Tree;

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
    let mut wanted: Vec<&Mutant> =
        mutants.iter().filter(|mutant| is_wanted(mutant, &options)).collect();
    if options.list && !options.plain {
        return print(&wanted);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let place = target.unwrap_or_else(|| root.join("target")).join("mutants-core");
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let mut ledger = Ledger::open(&place.join("results.txt"), options.afresh && !options.plain)?;
    let tree = Tree::build(root, &place, &mutants, &mut ledger)?;
    let bench: Box<dyn Bench> = if options.plain {
        wanted.retain(|mutant| {
            tree.function_of(mutant).is_none() && ledger.get(&mutant.key) != Some(&Fate::Unviable)
        });
        if options.list {
            return print(&wanted);
        }
        ledger = Ledger::open(&place.join("plain.txt"), options.afresh)?;
        Box::new(Plain::build(root, &place, &options)?)
    } else {
        Box::new(Switched::look_at(tree, &options)?)
    };
    let ledger = Mutex::new(ledger);
    let laboratory = Laboratory { bench, ledger, started: Instant::now(), options };
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

fn print(wanted: &[&Mutant]) -> Result<bool, String> {
    for mutant in wanted {
        println!("{} {} (line {})", mutant.number, mutant.key, mutant.line);
    }
    if wanted.is_empty() { Err(NONE.into()) } else { Ok(true) }
}

const NONE: &str = "there is no such mutant";

/// Where mutants are tried.
trait Bench: Sync {
    /// Whether this one can be tried here.
    fn takes(&self, mutant: &Mutant) -> bool;

    /// What becomes of a mutant that can be tried here, which this test noticed in an earlier run.
    fn fate_of(&self, mutant: &Mutant, noticed_by: Option<&str>) -> Result<Fate, String>;
}

/// All that it takes to try mutants.
struct Laboratory {
    bench: Box<dyn Bench>,
    ledger: Mutex<Ledger>,
    started: Instant,
    options: Options,
}

impl Laboratory {
    /// The mutants of which nothing is known yet, or no more than that they survived earlier.
    fn waiting<'a>(&self, wanted: &[&'a Mutant]) -> Vec<&'a Mutant> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let is_waiting = |mutant: &&&Mutant| match ledger.get(&mutant.key) {
            None => !self.options.swarm,
            Some(Fate::Survived) => self.options.again || self.options.swarm,
            Some(Fate::Caught(_) | Fate::Hung(_) | Fate::Swarm(_)) => false,
            Some(Fate::Unviable | Fate::Left) => false,
        };
        let takes = wanted.iter().filter(|mutant| self.bench.takes(mutant));
        takes.filter(is_waiting).copied().collect()
    }

    fn run_all(&self, waiting: &[&Mutant]) -> Result<(), String> {
        let queue = Mutex::new(waiting.iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let in_time = || self.options.time.is_none_or(|time| self.started.elapsed() < time);
        let work = || -> Result<(), String> {
            while let Some(mutant) = in_time().then(next).flatten() {
                let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                let test = ledger.noticed_by(&mutant.key).map(str::to_owned);
                drop(ledger);
                let fate = self.bench.fate_of(mutant, test.as_deref())?;
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

    /// Prints what became of the mutants. Whether all survivors are explained.
    fn report(&self, all: &[Mutant], wanted: &[&Mutant], explained: &BTreeSet<String>) -> bool {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut caught, mut hung, mut swarm, mut survived) = (0, 0, 0, 0);
        let (mut unviable, mut left, mut not_run) = (0, 0, 0);
        let mut unexplained = Vec::new();
        for mutant in wanted {
            match ledger.get(&mutant.key) {
                Some(Fate::Unviable) => unviable += 1,
                _ if !self.bench.takes(mutant) => left += 1,
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
             survived; {unviable} do not compile, {left} cannot stand behind a switch, {not_run} \
             were not run ({} s)",
            self.started.elapsed().as_secs()
        );
        println!("{} survivors are not explained", unexplained.len());
        unexplained.is_empty()
    }
}
