//! Commands and what they have in common.
//!
//! Exit codes: 0 when all passed, 1 when a violation was found, 2 for a mistake of the caller.

mod arguments;
mod picture;
mod progress;
mod replay;
mod report;
mod run;
mod shrink;

use std::process::ExitCode;

use synod_sim::near;
use synod_sim::plan::Plan;

use arguments::{Arguments, Command};

/// Prints a line. Whoever reads may have seen enough and gone away: that is no mistake.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}
use say;

/// What a command led to: whether everything passed, or the mistake of the caller.
type Outcome = Result<bool, String>;

static COMMANDS: [Command; 5] =
    [run::COMMAND, replay::COMMAND, shrink::COMMAND, picture::COMMAND, report::COMMAND];

/// Does what the arguments say.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let Some(name) = arguments.first() else {
        eprintln!("a command is missing\n\n{}", overview());
        return ExitCode::from(MISTAKE);
    };
    if ["help", "--help", "-h"].contains(&name.as_str()) {
        let asked = arguments.get(1).and_then(|name| find(name));
        say!("{}", asked.map_or_else(overview, Command::help));
        return ExitCode::SUCCESS;
    }
    let Some(command) = find(name) else {
        let names = COMMANDS.iter().map(|command| command.name);
        eprintln!("no command is called `{name}`{}\n\n{}", near::hint(name, names), overview());
        return ExitCode::from(MISTAKE);
    };
    if arguments[1..].iter().any(|word| word == "--help" || word == "-h") {
        say!("{}", command.help());
        return ExitCode::SUCCESS;
    }
    match Arguments::parse(command, &arguments[1..]).and_then(|arguments| (command.act)(&arguments))
    {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(mistake) => {
            eprintln!("{mistake}\n`synod-sim {name} --help` tells what it takes");
            ExitCode::from(MISTAKE)
        }
    }
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

fn overview() -> String {
    let mut text = String::from(
        "The simulator of Synod: seeded runs of a cluster under faults, watched by \
         checkers.\n\n",
    );
    for command in &COMMANDS {
        text += &format!("  synod-sim {:<8} {}\n", command.name, command.about);
    }
    text + "\n`synod-sim COMMAND --help` tells what a command takes. Exit codes: 0 when all \
            passed,\n1 when a violation was found, 2 for a mistake of the caller."
}

/// How to call the simulator on this plan, when a few words can say it.
fn call(command: &str, plan: &Plan, more: &str) -> String {
    let mut line = format!("{CARGO} {command} --seed {}", plan.seed);
    for text in plan.to_string().lines().skip(1) {
        match text.split_once(' ') {
            Some(("withhold", what)) => line += &format!(" --withhold '{what}'"),
            Some((name, value)) => line += &format!(" --set {name}={value}"),
            None => {}
        }
    }
    line + more
}

const CARGO: &str = "cargo run --release -p synod-sim --";
const MISTAKE: u8 = 2;
