//! The program: see the library for what it does.

use std::process::ExitCode;

use clap::Parser as _;
use synod_kv::cli::{Cli, Job, ServeFlags};
use synod_kv::demo::DemoFlags;
use synod_kv::{bench, demo, serve, signals};

fn main() -> ExitCode {
    let job = Cli::parse().job.unwrap_or_else(|| Job::Demo(DemoFlags::default()));
    let mut runtime = match job {
        // Clients and node on one thread: a command wakes no other thread on its way, and what
        // many clients ask at once travels in one message.
        Job::Serve(_) => tokio::runtime::Builder::new_current_thread(),
        Job::Demo(_) | Job::Bench(_) => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("the system gives no threads: {error}")),
    };
    let code = runtime.block_on(async {
        match job {
            Job::Serve(flags) => run_replica(flags).await,
            Job::Demo(flags) => demo::run(flags).await.map_or_else(|e| failed(&e), |()| DONE),
            Job::Bench(flags) => bench::run(flags).await.map_or_else(|e| failed(&e), |()| DONE),
        }
    });
    // A thread may sit in a read of standard input, which nothing can end.
    runtime.shutdown_background();
    code
}

async fn run_replica(flags: ServeFlags) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    let with_parent = flags.with_parent;
    let config = match flags.settings() {
        Ok(config) => config,
        Err(mistake) => {
            failed(&mistake);
            return ExitCode::from(MISTAKE);
        }
    };
    let stop = async move {
        tokio::select! {
            () = signals::asked_to_end() => {}
            () = signals::parent_gone(), if with_parent => {}
        }
    };
    match serve::serve(config, stop).await {
        Ok(()) => DONE,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("synod-kv: {error}");
    ExitCode::FAILURE
}

const DONE: ExitCode = ExitCode::SUCCESS;

/// The exit code for settings that cannot work, as for flags that do not exist.
const MISTAKE: u8 = 2;
