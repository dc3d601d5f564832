//! Runs inputs of a target on a stable toolchain, and tells what each of them is.
//!
//! `cargo run -p synod-fuzz --example replay -- log fuzz/fuzz/artifacts/log/crash-…`

use std::process::ExitCode;
use std::{env, fs, panic};

use synod_fuzz::target::{ALL, find};

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let Some(target) = words.next().as_deref().and_then(find) else {
        let names = ALL.map(|target| target.name).join(", ");
        eprintln!("usage: replay TARGET FILE…\nThe targets are {names}.");
        return ExitCode::from(2);
    };
    let mut failed = false;
    for file in words {
        let input = match fs::read(&file) {
            Ok(input) => input,
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::from(2);
            }
        };
        let outcome = panic::catch_unwind(|| (target.run)(&input));
        println!("{file}: {}", (target.tell)(&input));
        failed |= outcome.is_err();
        println!("{file}: {}", if outcome.is_ok() { "passed" } else { "FAILED" });
    }
    ExitCode::from(u8::from(failed))
}
