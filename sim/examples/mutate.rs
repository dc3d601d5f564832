//! Breaks the protocol on purpose and counts how many seeds the simulator needs to notice.
//!
//! Each file in `sim/mutations` names a rule, a source file, a text to find there (exactly once)
//! and its replacement. The tool copies the workspace to `target/mutants/tree`, applies one
//! mutation at a time and runs the swarm on it until a seed fails. A mutation that no longer
//! applies is an error, and so is one that survives its budget. The committed code carries no
//! switches.
//!
//! ```sh
//! cargo run --release -p synod-sim --example mutate                  # all
//! cargo run --release -p synod-sim --example mutate -- r2 --seeds 20000
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// One way to break the protocol.
#[derive(Debug, PartialEq, Eq)]
struct Mutation {
    name: String,
    rule: String,
    story: String,
    file: String,
    find: String,
    replace: String,
}

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
    names: Vec<String>,
    seeds: u64,
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
    let options = parse(std::env::args().skip(1))?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let wanted = |mutation: &Mutation| {
        options.names.is_empty() || options.names.iter().any(|name| mutation.name.contains(name))
    };
    let mutations: Vec<Mutation> = read_all(root)?.into_iter().filter(wanted).collect();
    if mutations.is_empty() {
        return Err("no mutation has such a name; they are the files in sim/mutations".into());
    }
    let place = root.join("target/mutants");
    let (mut killed, mut survived) = (0, 0);
    println!("{:<44} {:<6} {:>8} {:>8}  caught by", "mutation", "rule", "seeds", "seconds");
    for mutation in &mutations {
        let tree = copy_tree(root, &place)?;
        apply(mutation, &tree)?;
        let row = format!("{:<44} {:<6}", mutation.name, mutation.rule);
        match hunt(&tree, &place, options.seeds)? {
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

fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { names: Vec::new(), seeds: 1500 };
    while let Some(word) = words.next() {
        if word == "--seeds" {
            let count = words.next().ok_or("--seeds needs a number")?;
            options.seeds = count.parse().map_err(|_| format!("--seeds {count}: not a number"))?;
        } else if word.starts_with('-') {
            return Err(format!("unknown option {word}; known: --seeds N"));
        } else {
            options.names.push(word);
        }
    }
    Ok(options)
}

fn read_all(root: &Path) -> Result<Vec<Mutation>, String> {
    let folder = root.join("sim/mutations");
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "mutation"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Mutation, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    parse_mutation(&name, &text).ok_or_else(|| {
        format!("{}: wants `rule:`, `file:`, `story:`, `--- find`, `--- replace`", path.display())
    })
}

fn parse_mutation(name: &str, text: &str) -> Option<Mutation> {
    let (head, rest) = text.split_once("--- find\n")?;
    let (find, replace) = rest.split_once("--- replace\n")?;
    let field = |key: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().to_string())
    };
    Some(Mutation {
        name: name.to_string(),
        rule: field("rule:")?,
        story: field("story:")?,
        file: field("file:")?,
        // The newline in front of a marker, and the last one, belong to the format.
        find: find.strip_suffix('\n')?.to_string(),
        replace: replace.strip_suffix('\n')?.to_string(),
    })
}

/// Copies what is tracked, as it stands in the working tree.
fn copy_tree(root: &Path, place: &Path) -> Result<PathBuf, String> {
    let tree = place.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(|error| format!("{}: {error}", tree.display()))?;
    }
    let listed = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output();
    let listed = listed.map_err(|error| format!("git ls-files: {error}"))?;
    for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|name| !name.is_empty())
    {
        let (from, to) = (root.join(name), tree.join(name));
        let folder = to.parent().ok_or("a file has a folder")?;
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    Ok(tree)
}

fn apply(mutation: &Mutation, tree: &Path) -> Result<(), String> {
    let path = tree.join(&mutation.file);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", mutation.file))?;
    let changed = replace_once(&text, &mutation.find, &mutation.replace)
        .map_err(|count| format!("{}: its text occurs {count} times, not once", mutation.name))?;
    fs::write(&path, changed).map_err(|error| format!("{}: {error}", mutation.file))
}

fn replace_once(text: &str, find: &str, replace: &str) -> Result<String, usize> {
    match text.matches(find).count() {
        1 => Ok(text.replacen(find, replace, 1)),
        count => Err(count),
    }
}

/// Runs the swarm on the mutant in growing ranges until a seed fails.
fn hunt(tree: &Path, place: &Path, budget: u64) -> Result<Fate, String> {
    let target = place.join("target");
    build(tree, &target)?;
    let started = Instant::now();
    let (mut done, mut step) = (0, 25);
    while done < budget {
        let end = (done + step).min(budget);
        let (passed, text) = sweep(tree, &target, done, end)?;
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
fn sweep(tree: &Path, target: &Path, from: u64, end: u64) -> Result<(bool, String), String> {
    let report = target.join("report.txt");
    let file = fs::File::create(&report).map_err(|error| format!("report: {error}"))?;
    let errors = file.try_clone().map_err(|error| format!("report: {error}"))?;
    let mut child = Command::new(target.join("release/synod-sim"))
        .args(["run", "--seeds", &format!("{from}..{end}")])
        .current_dir(tree)
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

fn build(tree: &Path, target: &Path) -> Result<(), String> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--quiet", "-p", "synod-sim", "--bin", "synod-sim"])
        .args(["--config", "profile.release.lto=false"])
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "-Awarnings")
        .current_dir(tree)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the mutant does not build".into()) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_applies_to_the_tree() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        let mutations = read_all(root).expect("readable mutations");
        assert!(mutations.len() >= 10, "only {} mutations", mutations.len());
        for mutation in mutations {
            let text = fs::read_to_string(root.join(&mutation.file)).expect("its file");
            let changed = replace_once(&text, &mutation.find, &mutation.replace);
            let changed = changed.unwrap_or_else(|count| {
                panic!("{}: its text occurs {count} times", mutation.name);
            });
            assert_ne!(changed, text, "{} changes nothing", mutation.name);
            assert!(!mutation.story.is_empty(), "{} has no story", mutation.name);
        }
    }

    #[test]
    fn a_failing_seed_is_found_in_the_output() {
        let text = "seed 17 failed: Agreement: slot 4\nseed 17: 3 nodes\n\
                    seed 9 failed: Order: slot 2\nmore";
        assert_eq!(failing_seed(text), Some((9, "Order: slot 2".into())));
        assert_eq!(failing_seed("all passed"), None);
    }
}
