//! The command line of the simulator: `run` sweeps over seeds, `replay` shows one.

use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

use synod_sim::sweep::{self, Failure, Pace, Sweep};
use synod_sim::trace::Lines;
use synod_sim::{Options, swarm};

const USAGE: &str = "\
The simulator of Synod: seeded runs of a cluster under faults, watched by checkers.

  synod-sim run [--seeds A..B] [--nodes N] [--for SECONDS] [--jobs J] [--fail-fast]
      Runs the seeds A to B - 1 (default 0..1000) and prints a summary. Exit code 1 if one failed.
  synod-sim replay --seed N [--nodes N] [--for SECONDS] [--trace]
      Runs one seed and prints its options and its end, with --trace every event.

  --nodes N      N members (1 to 9) instead of what each seed draws
  --for SECONDS  faults for so long, in simulated seconds, instead of what each seed draws
  --jobs J       threads (default: 2, or 1 on a machine with one core)
  --fail-fast    stop at the first seed that fails";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("run") => Flags::parse(&arguments[1..]).map(|flags| run(&flags)),
        Some("replay") => Flags::parse(&arguments[1..]).and_then(|flags| replay(&flags)),
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => Err(format!("no command `{other}`: it is `run` or `replay`")),
        None => Err("a command is missing: `run` or `replay`".to_owned()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(mistake) => {
            eprintln!("{mistake}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// What the command line says.
#[derive(Debug, Default)]
struct Flags {
    seeds: Option<Range<u64>>,
    seed: Option<u64>,
    nodes: Option<usize>,
    faults_for: Option<Duration>,
    jobs: Option<usize>,
    trace: bool,
    fail_fast: bool,
}

impl Flags {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut flags = Self::default();
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            if flag == "--trace" {
                flags.trace = true;
                continue;
            }
            if flag == "--fail-fast" {
                flags.fail_fast = true;
                continue;
            }
            let value = rest.next().ok_or_else(|| format!("`{flag}` needs a value"))?;
            let number = || -> Result<u64, String> {
                value.parse().map_err(|_| format!("`{flag} {value}`: a number is wanted"))
            };
            match flag.as_str() {
                "--seeds" => flags.seeds = Some(range(value)?),
                "--seed" => flags.seed = Some(number()?),
                "--for" => flags.faults_for = Some(Duration::from_secs(number()?)),
                "--jobs" => flags.jobs = Some(number()?.clamp(1, 256) as usize),
                "--nodes" => match number()? {
                    count @ 1..=9 => flags.nodes = Some(count as usize),
                    count => return Err(format!("`--nodes {count}`: 1 to 9 members")),
                },
                other => return Err(format!("no flag `{other}`")),
            }
        }
        Ok(flags)
    }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let mistake = || format!("`--seeds {text}`: a range such as 0..1000 is wanted");
    let (from, end) = text.split_once("..").ok_or_else(mistake)?;
    let from = from.parse().map_err(|_| mistake())?;
    let end = end.parse().map_err(|_| mistake())?;
    if from < end { Ok(from..end) } else { Err(mistake()) }
}

/// Whether all seeds passed.
fn run(flags: &Flags) -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let sweep = Sweep {
        seeds: flags.seeds.clone().unwrap_or(0..1_000),
        nodes: flags.nodes,
        faults_for: flags.faults_for,
        jobs: flags.jobs.unwrap_or(cores.min(2)),
        fail_fast: flags.fail_fast,
    };
    let total = sweep.seeds.end - sweep.seeds.start;
    let live = io::stderr().is_terminal();
    let pace = Pace::every(if live { Duration::from_millis(200) } else { PROGRESS_EVERY });
    let summary = sweep.run(&|done, failed, failure| {
        if let Some(failure) = failure {
            report(failure, flags);
        }
        let Some(passed) = pace.due() else { return };
        let rate = done as f64 / passed.as_secs_f64();
        let (start, end) = if live { ("\r", "") } else { ("", "\n") };
        eprint!("{start}{done} of {total} seeds, {failed} failed, {rate:.0} a second{end}");
        let _ = io::stderr().flush();
    });
    if live {
        eprintln!();
    }
    println!("{summary}");
    let seconds = pace.elapsed().as_secs_f64();
    let events = summary.happenings as f64 / seconds / 1e6;
    println!("took              {seconds:>12.1} s, {events:.2} million events a second\n");
    println!("{}", sweep::contracts());
    println!("{} passed, {} failed", summary.passed, summary.failures.len());
    summary.failures.is_empty()
}

fn report(failure: &Failure, flags: &Flags) {
    let Failure { options, violation } = failure;
    println!("seed {} failed: {violation}\n{options}", options.seed);
    println!("replay with: {}\n", command(options.seed, flags));
}

fn command(seed: u64, flags: &Flags) -> String {
    let nodes = flags.nodes.map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
    let lasts = flags.faults_for.map_or_else(String::new, |d| format!(" --for {}", d.as_secs()));
    format!("cargo run --release -p synod-sim -- replay --seed {seed}{nodes}{lasts} --trace")
}

/// Whether the seed passed.
fn replay(flags: &Flags) -> Result<bool, String> {
    let seed = flags.seed.ok_or("`replay` needs `--seed N`")?;
    let options = Options::draw(seed, flags.nodes, flags.faults_for);
    println!("{options}\n");
    let lines = if flags.trace { Lines::Print } else { Lines::None };
    let report = swarm::run_caught(options, lines);
    println!("{report}");
    Ok(report.violation.is_none())
}

/// How often progress is told when nobody watches.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
