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

/// Builds the simulator of a copy of the workspace.
pub(crate) fn build(tree: &Path, target: &Path) -> Result<(), String> {
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

/// Runs the swarm with one switch on, in growing ranges, until a seed fails.
pub(crate) fn hunt(target: &Path, switch: usize, budget: u64) -> Result<Hunt, String> {
    let started = Instant::now();
    let (mut done, mut step) = (0, 25);
    while done < budget {
        let end = (done + step).min(budget);
        let (passed, text) = sweep(target, switch, done, end)?;
        let seconds = started.elapsed().as_secs();
        if !passed {
            let (seed, how) = failing_seed(&text).unwrap_or((done, "it never ended".into()));
            return Ok(Hunt { seeds: seed.saturating_add(1), seconds, how: Some(how) });
        }
        done = end;
        step = (step * 2).min(500);
    }
    Ok(Hunt { seeds: done, seconds: started.elapsed().as_secs(), how: None })
}

/// Runs some seeds; a mutant that hangs is stopped after five minutes and counts as caught.
fn sweep(target: &Path, switch: usize, from: u64, end: u64) -> Result<(bool, String), String> {
    let report = target.join(format!("report-{switch}.txt"));
    let file = fs::File::create(&report).map_err(|error| format!("report: {error}"))?;
    let errors = file.try_clone().map_err(|error| format!("report: {error}"))?;
    let mut child = Command::new(target.join("release/synod-sim"))
        .args(["run", "--seeds", &format!("{from}..{end}"), "--fail-fast"])
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
    Ok((status.is_some_and(|status| status.success()), text))
}

/// The lowest failing seed in a report, from the lines `seed N failed: what`.
fn failing_seed(text: &str) -> Option<(u64, String)> {
    let failures = text.lines().filter_map(|line| {
        let (seed, how) = line.strip_prefix("seed ")?.split_once(" failed: ")?;
        Some((seed.parse().ok()?, how.chars().take(90).collect()))
    });
    failures.min()
}

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
}
