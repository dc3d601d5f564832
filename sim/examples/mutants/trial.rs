//! Runs the tests of the copy with one mutant on, until one fails.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::plant::{REACHED, VARIABLE};

/// A test binary, and what it did with no mutant on.
pub(crate) struct Binary {
    path: PathBuf,
    /// As cargo names it.
    pub(crate) name: String,
    /// How long a mutant may take.
    patience: Duration,
    /// The functions that it calls, by number.
    called: Vec<bool>,
}

/// What a mutant did to the tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// This one failed.
    Failed(String),
    /// One of this binary did not end.
    Hung(String),
    /// None noticed.
    Passed,
}

impl Binary {
    /// Runs a binary with no mutant on, which must pass: how long it takes, and what it calls.
    pub(crate) fn look_at(path: &Path, tree: &Path, target: &Path) -> Result<Self, String> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name).to_owned();
        let report = target.join(format!("called-{name}"));
        let _ = fs::remove_file(&report);
        let mut binary =
            Self { path: path.to_owned(), name, patience: SOUND_PATIENCE, called: Vec::new() };
        let started = Instant::now();
        match binary.run(tree, 0, Some(&report))? {
            Trial::Passed => {}
            other => return Err(format!("the tests fail without any mutant: {other:?}")),
        }
        binary.patience = (started.elapsed() * 10).max(LEAST_PATIENCE);
        let called = fs::read(&report).map_err(|error| format!("{}: {error}", report.display()))?;
        binary.called = called.iter().map(|called| *called == 1).collect();
        Ok(binary)
    }

    pub(crate) fn calls(&self, function: usize) -> bool {
        self.called[function]
    }

    /// Runs the tests with one mutant on, until one fails.
    pub(crate) fn run(
        &self,
        tree: &Path,
        switch: usize,
        report: Option<&Path>,
    ) -> Result<Trial, String> {
        let failed = |error| format!("{}: {error}", self.path.display());
        let mut command = Command::new("sh");
        if let Some(report) = report {
            command.env(REACHED, report);
        }
        // A mutant may well ask for memory without end.
        let mut child = command
            .args(["-c", "ulimit -v 6000000; exec \"$0\""])
            .arg(&self.path)
            .env(VARIABLE, switch.to_string())
            .env("RUST_TEST_THREADS", "1")
            .env("RUST_BACKTRACE", "0")
            .env("BOLERO_RANDOM_SEED", "1")
            .current_dir(tree.join("core"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let output = child.stdout.take().ok_or("a child without output")?;
        let (sender, answer) = mpsc::channel();
        let reader = thread::spawn(move || drop(sender.send(first_failure(output))));
        let answer = answer.recv_timeout(self.patience);
        if !matches!(answer, Ok(None)) {
            child.kill().map_err(failed)?;
        }
        let status = child.wait().map_err(failed)?;
        let _ = reader.join();
        Ok(match answer {
            Ok(Some(test)) => Trial::Failed(test),
            Ok(None) if status.success() => Trial::Passed,
            Ok(None) => Trial::Failed(format!("{} was aborted", self.name)),
            Err(_) => Trial::Hung(self.name.clone()),
        })
    }
}

fn first_failure(output: ChildStdout) -> Option<String> {
    BufReader::new(output).lines().map_while(Result::ok).find_map(|line| failed_test(&line))
}

/// The name of the test, if the line says that one failed.
fn failed_test(line: &str) -> Option<String> {
    Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned())
}

/// How long the tests may take while no mutant is on.
const SOUND_PATIENCE: Duration = Duration::from_secs(300);

/// How long any mutant may take, at least: others may use the machine.
const LEAST_PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_which_test_failed() {
        assert_eq!(failed_test("test a::b ... FAILED"), Some("a::b".into()));
        assert_eq!(failed_test("test a::b ... ok"), None);
        assert_eq!(failed_test("test result: FAILED. 1 passed"), None);
    }
}
