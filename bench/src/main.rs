//! Workloads for Synod, its peers and the limits of the machine, taking turns in one run.
//!
//! `cargo run --release -p synod-bench -- core` and so on; `docs/performance.md` tells of each.

mod alloc;
mod args;
mod chart;
mod children;
mod core;
mod core_workload;
mod curves;
mod curves_workload;
mod kv_workload;
mod loopback;
mod loopback_workload;
mod measure;
mod report;
mod sim_workload;

use args::Args;

fn main() -> std::process::ExitCode {
    let mut words = std::env::args().skip(1);
    let workload = words.next().unwrap_or_default();
    let outcome = match workload.as_str() {
        "core" => Args::parse(words, &core_workload::CORE_OPTIONS)
            .and_then(|args| core_workload::core(&args)),
        "count" => Args::parse(words, &core_workload::COUNT_OPTIONS)
            .and_then(|args| core_workload::count(&args)),
        "loopback" | "durable" => Args::parse(words, &loopback_workload::OPTIONS)
            .and_then(|args| loopback_workload::loopback(&args, workload == "durable")),
        "curves" => Args::parse(words, &curves_workload::OPTIONS)
            .and_then(|args| curves_workload::curves(&args)),
        "sim" => {
            Args::parse(words, &sim_workload::OPTIONS).and_then(|args| sim_workload::sim(&args))
        }
        "kv" => Args::parse(words, &kv_workload::OPTIONS).and_then(|args| kv_workload::kv(&args)),
        _ => {
            Err("usage: synod-bench core|loopback|durable|curves|sim|kv|count [--option value]..."
                .to_owned())
        }
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
