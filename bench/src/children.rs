//! Other programs that a workload runs: built with this one, and ended with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
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

    /// Its threads that run now, by name.
    pub(crate) fn threads(&self) -> Vec<Thread> {
        let tasks = format!("/proc/{}/task", self.0.id());
        let Ok(tasks) = fs::read_dir(tasks) else { return Vec::new() };
        let mut threads: Vec<Thread> =
            tasks.filter_map(Result::ok).filter_map(|task| Thread::of(&task.path())).collect();
        threads.sort_by(|left, right| (&left.name, left.id).cmp(&(&right.name, right.id)));
        threads
    }
}

/// A thread of another program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Thread {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// The processor time that it has used.
    pub(crate) used: Duration,
}

impl Thread {
    /// The thread that the kernel describes in this directory, unless it has ended.
    fn of(directory: &Path) -> Option<Self> {
        let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
        let mut thread = Self::of_stat(&read("stat")?)?;
        // In nanoseconds, where the kernel counts them.
        let exact = read("schedstat").and_then(|stat| stat.split_whitespace().next()?.parse().ok());
        thread.used = exact.map_or(thread.used, Duration::from_nanos);
        Some(thread)
    }

    /// Number, name and processor time, user and system, out of a line of the kernel.
    fn of_stat(stat: &str) -> Option<Self> {
        let (begin, end) = (stat.find('(')?, stat.rfind(')')?);
        let mut fields = stat[end + 1..].split_whitespace();
        let user: u64 = fields.nth(11)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(Self {
            id: stat[..begin].trim().parse().ok()?,
            name: stat[begin + 1..end].to_owned(),
            used: Duration::from_millis((user + system) * TICK_MS),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A program that has ended already has nothing to be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Linux counts in hundredths of a second towards programs, whatever it counts in itself.
const TICK_MS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let stat = "7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 21 9 0 0 20 0 1 0 5";
        let thread = Thread { id: 7, name: "a (b) c".to_owned(), used: Duration::from_millis(300) };
        assert_eq!(Thread::of_stat(stat), Some(thread));
        assert_eq!(Thread::of_stat("7 S"), None);
    }

    #[test]
    fn the_time_of_a_thread_goes_on() {
        let mut looping = Command::new("sh");
        let running = Running::start(looping.args(["-c", "while :; do :; done"])).expect("a shell");
        // It works until it is dropped.
        while running.threads()[0].used.is_zero() {}
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
