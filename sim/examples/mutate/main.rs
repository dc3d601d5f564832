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

mod copy;
mod hunt;
mod mutation;
mod plant;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use hunt::{Hunt, hunt};
use mutation::Mutation;

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
    hunt::build(&tree, &target)?;
    let sound = hunt(&target, plant::NONE, SOUND_SEEDS)?;
    if let Some(how) = sound.how {
        return Err(format!("seed {} fails without any mutation: {how}", sound.seeds - 1));
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
        let Hunt { seeds, seconds, how } = fate;
        if how.is_some() {
            killed += 1
        } else {
            survived += 1
        }
        println!("{row} {seeds:>8} {seconds:>8}  {}", how.as_deref().unwrap_or("SURVIVED"));
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

/// Runs one test with the mutation off, where it must pass, and with the mutation on.
fn try_test(tree: &Path, target: &Path, switch: usize, test: &[String; 3]) -> Result<Hunt, String> {
    let started = Instant::now();
    if !passes(tree, target, plant::NONE, test)? {
        return Err(format!("{} fails without any mutation", test.join(" ")));
    }
    let passes = passes(tree, target, switch, test)?;
    let seconds = started.elapsed().as_secs();
    let how = format!("test {} of {}", test[2], test[0]);
    Ok(Hunt { seeds: 0, seconds, how: (!passes).then_some(how) })
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
        .env(hunt::VARIABLE, switch.to_string())
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "--cap-lints=allow")
        .current_dir(tree)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    Ok(status.success())
}

/// How many seeds must pass while no mutation is switched on.
const SOUND_SEEDS: u64 = 50;
