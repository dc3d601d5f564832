//! Breaks the protocol on purpose and counts how many seeds the simulator needs to notice.
//!
//! Each file in `sim/mutations` names a rule, a source file, a text to find there (exactly once)
//! and its replacement. The tool copies the workspace to `mutants/tree` in the target folder,
//! plants all mutations there side by side, each behind a switch (see `plant`), builds once, and
//! then runs the swarm with one mutation after the other switched on, until a seed fails. Seeds
//! that fail without any mutation prove nothing, so those are run first. Where no seed can notice,
//! the file names a test that does (`test:`); that one has to pass with the mutation off and to
//! fail with it on. A mutation that no longer applies is an error, and so is one that survives its
//! budget. The committed code carries no switches.
//!
//! ```sh
//! cargo run --release -p synod-sim --example mutate                  # all
//! cargo run --release -p synod-sim --example mutate -- r2 --seeds 20000
//! cargo run --release -p synod-sim --example mutate -- --from ideas        # others than those
//! ```

mod mutation;
mod plant;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use mutation::Mutation;

/// What became of a mutation.
enum Fate {
    /// Caught: the last line that the simulator printed about the failing seed, and which it was.
    Killed {
        seeds: u64,
        seconds: u64,
        how: String,
    },
    Survived {
        seeds: u64,
        seconds: u64,
    },
}

struct Options {
    /// Parts of names; all mutations without any.
    names: Vec<String>,
    /// The budget of each mutation.
    seeds: u64,
    /// The folder with the mutations.
    from: PathBuf,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutate: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let options = parse(root, std::env::args().skip(1))?;
    let wanted = |mutation: &Mutation| {
        options.names.is_empty() || options.names.iter().any(|name| mutation.name.contains(name))
    };
    let mutations: Vec<Mutation> =
        mutation::read_all(&options.from)?.into_iter().filter(wanted).collect();
    if mutations.is_empty() {
        let folder = options.from.display();
        return Err(format!("no mutation has such a name; they are the files in {folder}"));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let place = target.unwrap_or_else(|| root.join("target")).join("mutants");
    let tree = place.join("tree");
    plant::plant(root, &tree, &mutations)?;
    let target = place.join("target");
    build(&tree, &target)?;
    let sound = hunt(&target, plant::NONE, SOUND_SEEDS)?;
    if let Fate::Killed { seeds, how, .. } = sound {
        return Err(format!("seed {} fails without any mutation: {how}", seeds - 1));
    }
    let (mut killed, mut survived) = (0, 0);
    println!("{:<48} {:<6} {:>8} {:>8}  caught by", "mutation", "rule", "seeds", "seconds");
    for (place, mutation) in mutations.iter().enumerate() {
        let row = format!("{:<48} {:<6}", mutation.name, mutation.rule);
        let switch = plant::switch_of(place);
        let fate = match &mutation.test {
            Some(test) => try_test(&tree, &target, switch, test)?,
            None => hunt(&target, switch, options.seeds)?,
        };
        match fate {
            Fate::Killed { seeds, seconds, how } => {
                killed += 1;
                println!("{row} {seeds:>8} {seconds:>8}  {how}");
            }
            Fate::Survived { seeds, seconds } => {
                survived += 1;
                println!("{row} {seeds:>8} {seconds:>8}  SURVIVED");
            }
        }
    }
    println!("{killed} killed, {survived} survived");
    Ok(survived == 0)
}

fn parse(root: &Path, mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { names: Vec::new(), seeds: 1500, from: root.join("sim/mutations") };
    while let Some(word) = words.next() {
        if word == "--seeds" {
            let count = words.next().ok_or("--seeds needs a number")?;
            options.seeds = count.parse().map_err(|_| format!("--seeds {count}: not a number"))?;
        } else if word == "--from" {
            options.from = PathBuf::from(words.next().ok_or("--from needs a folder")?);
        } else if word.starts_with('-') {
            return Err(format!("unknown option {word}; known: --seeds N, --from FOLDER"));
        } else {
            options.names.push(word);
        }
    }
    Ok(options)
}

/// Runs the swarm with one mutation switched on, in growing ranges, until a seed fails.
fn hunt(target: &Path, switch: usize, budget: u64) -> Result<Fate, String> {
    let started = Instant::now();
    let (mut done, mut step) = (0, 25);
    while done < budget {
        let end = (done + step).min(budget);
        let (passed, text) = sweep(target, switch, done, end)?;
        let seconds = started.elapsed().as_secs();
        if !passed {
            let (seed, how) = failing_seed(&text).unwrap_or((done, "it never ended".into()));
            return Ok(Fate::Killed { seeds: seed.saturating_add(1), seconds, how });
        }
        done = end;
        step = (step * 2).min(500);
    }
    Ok(Fate::Survived { seeds: done, seconds: started.elapsed().as_secs() })
}

/// Runs some seeds; a mutant that hangs is stopped after five minutes and counts as caught.
fn sweep(target: &Path, switch: usize, from: u64, end: u64) -> Result<(bool, String), String> {
    let report = target.join("report.txt");
    let file = fs::File::create(&report).map_err(|error| format!("report: {error}"))?;
    let errors = file.try_clone().map_err(|error| format!("report: {error}"))?;
    let mut child = Command::new(target.join("release/synod-sim"))
        .args(["run", "--seeds", &format!("{from}..{end}"), "--fail-fast"])
        .env(plant::VARIABLE, switch.to_string())
        .stdout(file)
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("synod-sim: {error}"))?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| format!("synod-sim: {error}"))? {
            break Some(status);
        }
        if started.elapsed() > PATIENCE {
            child.kill().map_err(|error| format!("synod-sim: {error}"))?;
            child.wait().map_err(|error| format!("synod-sim: {error}"))?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let text = fs::read_to_string(&report).map_err(|error| format!("report: {error}"))?;
    Ok((status.is_some_and(|status| status.success()), text))
}

/// Runs one test with the mutation off, where it must pass, and with the mutation on.
fn try_test(tree: &Path, target: &Path, switch: usize, test: &[String; 3]) -> Result<Fate, String> {
    let started = Instant::now();
    if !passes(tree, target, plant::NONE, test)? {
        return Err(format!("{} fails without any mutation", test.join(" ")));
    }
    let passes = passes(tree, target, switch, test)?;
    let seconds = started.elapsed().as_secs();
    let how = format!("test {} of {}", test[2], test[0]);
    Ok(if passes {
        Fate::Survived { seeds: 0, seconds }
    } else {
        Fate::Killed { seeds: 0, seconds, how }
    })
}

fn passes(tree: &Path, target: &Path, switch: usize, test: &[String; 3]) -> Result<bool, String> {
    let [package, binary, name] = test;
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "--locked", "-p", package]);
    match binary.as_str() {
        "lib" => command.arg("--lib"),
        binary => command.args(["--test", binary]),
    };
    let status = command
        .arg(name)
        .env(plant::VARIABLE, switch.to_string())
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "-Awarnings")
        .current_dir(tree)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    Ok(status.success())
}

fn build(tree: &Path, target: &Path) -> Result<(), String> {
    let status = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--quiet",
            "--locked",
            "-p",
            "synod-sim",
            "--bin",
            "synod-sim",
        ])
        .args(["--config", "profile.release.lto=false"])
        .args(["--config", "profile.release.debug=false"])
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "-Awarnings")
        .current_dir(tree)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the mutants do not build".into()) }
}

/// The lowest failing seed in a report, from the lines `seed N failed: what`.
fn failing_seed(text: &str) -> Option<(u64, String)> {
    let failures = text.lines().filter_map(|line| {
        let (seed, how) = line.strip_prefix("seed ")?.split_once(" failed: ")?;
        Some((seed.parse().ok()?, how.chars().take(90).collect()))
    });
    failures.min()
}

/// How long one sweep of a mutant may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many seeds must pass while no mutation is switched on.
const SOUND_SEEDS: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_seed_is_found_in_the_output() {
        let text = "seed 17 failed: Agreement: slot 4\nseed 17: 3 nodes\n\
                    seed 9 failed: Order: slot 2\nmore";
        assert_eq!(failing_seed(text), Some((9, "Order: slot 2".into())));
        assert_eq!(failing_seed("all passed"), None);
    }
}
