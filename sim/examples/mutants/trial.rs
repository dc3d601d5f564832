//! Runs the tests of the copy with one mutant on, until one fails.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
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
    /// How long it took.
    took: Duration,
    /// The functions that it calls, by number.
    called: Vec<bool>,
    /// The names of its tests.
    tests: BTreeSet<String>,
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
    /// Runs a binary with no mutant on, which must pass: how long it takes, and what it calls, if
    /// there is a folder for its report.
    pub(crate) fn look_at(path: &Path, tree: &Path, target: Option<&Path>) -> Result<Self, String> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name).to_owned();
        let report = target.map(|target| target.join(format!("called-{name}")));
        if let Some(report) = &report {
            let _ = fs::remove_file(report);
        }
        let mut binary = Self {
            path: path.to_owned(),
            name,
            took: MOST_TIME,
            called: Vec::new(),
            tests: tests_of(path)?,
        };
        let started = Instant::now();
        match binary.run(tree, 0, None, report.as_deref())? {
            Trial::Passed => {}
            other => return Err(format!("the tests fail without any mutant: {other:?}")),
        }
        binary.took = started.elapsed();
        if let Some(report) = report {
            let called = fs::read(&report);
            let called = called.map_err(|error| format!("{}: {error}", report.display()))?;
            binary.called = called.iter().map(|called| *called == 1).collect();
        }
        Ok(binary)
    }

    /// Whether this is its file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }

    /// How long it takes without any mutant.
    pub(crate) const fn took(&self) -> Duration {
        self.took
    }

    pub(crate) fn calls(&self, function: usize) -> bool {
        self.called[function]
    }

    pub(crate) fn has(&self, test: &str) -> bool {
        self.tests.contains(test)
    }

    /// Runs the tests, or one of them, with one mutant on, until one fails.
    pub(crate) fn run(
        &self,
        tree: &Path,
        switch: usize,
        test: Option<&str>,
        report: Option<&Path>,
    ) -> Result<Trial, String> {
        let failed = |error| format!("{}: {error}", self.path.display());
        let mut command = Command::new("sh");
        if let Some(report) = report {
            command.env(REACHED, report);
        }
        // A mutant may well run, or ask for memory, without end. What counts is the time of the
        // processor, so that a busy machine makes nobody look as if it hung.
        let seconds = (self.took * 3).as_secs().max(LEAST_SECONDS);
        let limits = format!("ulimit -v 6000000; ulimit -t {seconds}; exec \"$0\" \"$@\"");
        let mut child = command
            .args(["-c", &limits])
            .arg(&self.path)
            .args(test.map_or(vec![], |test| vec![test, "--exact"]))
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
        let answer = answer.recv_timeout(MOST_TIME);
        if !matches!(answer, Ok(None)) {
            child.kill().map_err(failed)?;
        }
        let status = child.wait().map_err(failed)?;
        let _ = reader.join();
        Ok(match answer {
            Ok(Some(test)) => Trial::Failed(test),
            Ok(None) if status.success() => Trial::Passed,
            Ok(None) if status.signal().is_some_and(|signal| OUT_OF_TIME.contains(&signal)) => {
                Trial::Hung(self.name.clone())
            }
            Ok(None) => Trial::Failed(format!("{} was aborted", self.name)),
            Err(_) => Trial::Hung(self.name.clone()),
        })
    }
}

/// The names of the tests of a binary.
fn tests_of(path: &Path) -> Result<BTreeSet<String>, String> {
    let listed = Command::new(path).args(["--list", "--format=terse"]).output();
    let listed = listed.map_err(|error| format!("{}: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&listed.stdout);
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

fn first_failure(output: ChildStdout) -> Option<String> {
    BufReader::new(output).lines().map_while(Result::ok).find_map(|line| failed_test(&line))
}

/// The name of the test, if the line says that one failed.
fn failed_test(line: &str) -> Option<String> {
    Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned())
}

/// How long tests may take in all, if they wait for something.
const MOST_TIME: Duration = Duration::from_secs(120);

/// How many seconds of the processor any mutant may take, at least.
const LEAST_SECONDS: u64 = 2;

/// The signals that end whoever used up its time: SIGXCPU, and SIGKILL where that did not help.
const OUT_OF_TIME: [i32; 2] = [24, 9];

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
