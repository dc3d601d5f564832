//! Other programs that a workload runs: built with this one, and ended with it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

/// Builds a program of this workspace, by itself: no feature of another package gets into it.
///
/// # Errors
/// When it does not build.
pub(crate) fn build(package: &str) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--quiet", "-p", package]);
    let built = command.status().map_err(|error| format!("cargo: {error}"))?;
    if built.success() { Ok(()) } else { Err(format!("{package} does not build")) }
}

/// Where a program of this workspace lies: beside this one.
///
/// # Errors
/// When the system does not say where this one lies.
pub(crate) fn program(name: &str) -> Result<PathBuf, String> {
    let this = env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    Ok(this.with_file_name(name))
}

/// A program that runs, until this is dropped.
pub(crate) struct Running(Child);

impl Running {
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = quiet.spawn();
        started.map(Self).map_err(|error| format!("{:?}: {error}", command.get_program()))
    }

    /// The processor time of each of its threads so far, by name, in milliseconds.
    pub(crate) fn threads(&self) -> Vec<(String, u64)> {
        let tasks = format!("/proc/{}/task", self.0.id());
        let Ok(tasks) = fs::read_dir(tasks) else { return Vec::new() };
        let stat = |task: fs::DirEntry| fs::read_to_string(task.path().join("stat")).ok();
        let mut threads: Vec<(String, u64)> = tasks
            .filter_map(Result::ok)
            .filter_map(stat)
            .filter_map(|stat| thread(&stat))
            .collect();
        threads.sort();
        threads
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A program that has ended already has nothing to be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Name and processor time, user and system, out of a line of the kernel.
fn thread(stat: &str) -> Option<(String, u64)> {
    let (begin, end) = (stat.find('(')?, stat.rfind(')')?);
    let mut fields = stat[end + 1..].split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((stat[begin + 1..end].to_owned(), (user + system) * TICK_MS))
}

/// Linux counts in hundredths of a second towards programs, whatever it counts in itself.
const TICK_MS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let stat = "7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 21 9 0 0 20 0 1 0 5";
        assert_eq!(thread(stat), Some(("a (b) c".to_owned(), 300)));
        assert_eq!(thread("7 S"), None);
    }

    #[test]
    fn a_program_ends_with_its_handle() {
        let running = Running::start(Command::new("sleep").arg("60")).expect("it starts");
        let process = format!("/proc/{}", running.0.id());
        assert!(fs::exists(&process).expect("a look"));
        assert_eq!(running.threads().len(), 1);
        drop(running);
        assert!(!fs::exists(&process).expect("a look"));
    }
}
