//! The command line of the simulator: `run`, `replay`, `shrink`, `picture` and `report`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    cli::main(&arguments)
}
