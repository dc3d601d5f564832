//! Runs the swarm with something broken in it, until a seed fails.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The environment variable that names what is broken, in the copy of the tree.
pub(crate) const VARIABLE: &str = "SYNOD_MUTATION";

/// What the swarm made of it.
pub(crate) struct Hunt {
    /// How many seeds it took to fail, or how many passed.
    pub(crate) seeds: u64,
    pub(crate) seconds: u64,
    /// The last line that the simulator printed about the failing seed.
    pub(crate) how: Option<String>,
}

/// Cargo, in a copy of the workspace: what is broken may well be unused.
pub(crate) fn cargo(tree: &Path, target: &Path) -> Command {
    let mut command = Command::new("cargo");
    command
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "--cap-lints=allow")
        .current_dir(tree)
        .stdin(Stdio::null());
    command
}

/// Builds the simulator of a copy of the workspace.
pub(crate) fn build(tree: &Path, target: &Path) -> Result<(), String> {
    let status = cargo(tree, target)
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
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the mutants do not build".into()) }
}

/// Runs the swarm with one switch on, in growing ranges, until a seed fails.
pub(crate) fn hunt(target: &Path, switch: usize, budget: u64) -> Result<Hunt, String> {
    let started = Instant::now();
    let (mut done, mut step) = (0, 25);
    while done < budget {
        let end = (done + step).min(budget);
        let (ended, text) = sweep(target, switch, done, end)?;
        let seconds = started.elapsed().as_secs();
        if let Some((seed, how)) = verdict(ended, &text)? {
            let seeds = seed.unwrap_or(done).saturating_add(1);
            return Ok(Hunt { seeds, seconds, how: Some(how) });
        }
        done = end;
        step = (step * 2).min(500);
    }
    Ok(Hunt { seeds: done, seconds: started.elapsed().as_secs(), how: None })
}

/// What a sweep shows that ended so and said this: the seed that failed and why; none when all
/// passed. A mutant that hangs is caught, and no seed can be named.
///
/// # Errors
/// Whatever is neither: the sweep did not work, or the simulator itself panicked. That tells
/// nothing of what is broken.
fn verdict(ended: Ended, text: &str) -> Result<Option<(Option<u64>, String)>, String> {
    let failure = failing_seed(text);
    match (ended, failure) {
        (Ended::Well, None) => Ok(None),
        (Ended::Never, None) => Ok(Some((None, "it never ended".into()))),
        (Ended::Failing | Ended::Never, Some((seed, how))) if !how.starts_with(OWN_PANIC) => {
            Ok(Some((Some(seed), how)))
        }
        (Ended::Well | Ended::Failing | Ended::Never | Ended::Badly, _) => {
            let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
            let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            Err(format!("a sweep ended in another way than by a violation:\n{}", last.join("\n")))
        }
    }
}

/// How a sweep ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    /// All passed.
    Well,
    /// It says that a seed failed.
    Failing,
    /// In any other way: a mistake on the command line, a crash, a signal.
    Badly,
    /// It was stopped.
    Never,
}

/// Runs some seeds on all cores; one that hangs is stopped after five minutes.
fn sweep(target: &Path, switch: usize, from: u64, end: u64) -> Result<(Ended, String), String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let report = target.join(format!("report-{switch}.txt"));
    let file = fs::File::create(&report).map_err(|error| format!("report: {error}"))?;
    let errors = file.try_clone().map_err(|error| format!("report: {error}"))?;
    let mut child = Command::new(target.join("release/synod-sim"))
        .args(["run", "--seeds", &format!("{from}..{end}"), "--fail-fast"])
        .args(["--jobs", &jobs.to_string()])
        .env(VARIABLE, switch.to_string())
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
    fs::remove_file(&report).map_err(|error| format!("report: {error}"))?;
    let ended = match status.map(|status| status.code()) {
        Some(Some(0)) => Ended::Well,
        Some(Some(1)) => Ended::Failing,
        Some(_) => Ended::Badly,
        None => Ended::Never,
    };
    Ok((ended, text))
}

/// The lowest failing seed in a report, from the lines `seed N failed: what`.
fn failing_seed(text: &str) -> Option<(u64, String)> {
    let failures = text.lines().filter_map(|line| {
        let (seed, how) = line.strip_prefix("seed ")?.split_once(" failed: ")?;
        Some((seed.parse().ok()?, how.chars().take(90).collect()))
    });
    failures.min()
}

/// How a failure begins that is of the simulator and not of what it tests.
const OWN_PANIC: &str = "Panic: the simulator";

/// How much of a sweep is shown that did not work.
const LINES_SHOWN: usize = 12;

/// How long one sweep may take.
const PATIENCE: Duration = Duration::from_secs(300);

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

    #[test]
    fn only_a_failing_seed_and_a_hang_count() {
        let failed = "seed 3 failed: Order: slot 2\n0 passed, 1 failed";
        let caught = Ok(Some((Some(3), "Order: slot 2".into())));
        assert_eq!(verdict(Ended::Failing, failed), caught);
        assert_eq!(verdict(Ended::Never, failed), caught);
        assert_eq!(verdict(Ended::Never, ""), Ok(Some((None, "it never ended".into()))));
        assert_eq!(verdict(Ended::Well, "25 passed, 0 failed"), Ok(None));
        for (ended, text) in [
            (Ended::Badly, "memory allocation of 7 bytes failed"),
            (Ended::Badly, failed),
            (Ended::Failing, "failed: 500 seeds never put to the test: C5"),
            (Ended::Failing, "seed 3 failed: Panic: the simulator panicked at sim/src/world.rs"),
        ] {
            let error = verdict(ended, text).expect_err(text);
            assert!(error.ends_with(text), "{error}");
        }
    }
}
