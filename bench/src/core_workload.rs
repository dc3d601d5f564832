//! The command `core`: the workload P1 as a table; and `count`, one run for an instruction counter.

use std::path::PathBuf;
use std::time::Instant;

use crate::alloc;
use crate::args::Args;
use crate::chart::bars::Chart;
use crate::core::client::Client;
use crate::core::synod::Synod;
use crate::core::{Contender, check, fill};
use crate::measure::{Spread, thread_time};
use crate::report::{Table, publish};

/// One run of one contender.
struct Sample {
    ns: f64,
    cpu_ns: f64,
    allocations: f64,
}

pub(crate) const CORE_OPTIONS: [&str; 6] =
    ["sizes", "windows", "commands", "repetitions", "contenders", "out"];

/// Measures all contenders in turns.
///
/// # Errors
/// When an option cannot be read or the results cannot be written.
pub(crate) fn core(args: &Args) -> Result<(), String> {
    let sizes: Vec<usize> = args.list("sizes", "8,64,1024")?;
    let windows: Vec<u64> = args.list("windows", "1,64,1024")?;
    let commands: u64 = args.one("commands", 100_000)?;
    let repetitions: usize = args.one("repetitions", 3)?;
    let contenders = contenders(args, &Contender::ALL)?;
    let out: PathBuf = args.one("out", PathBuf::from("target/bench"))?;
    let mut table = Table::new(&[
        "size",
        "window",
        "who",
        "ns_min",
        "ns_median",
        "ns_max",
        "cpu_ns_median",
        "allocations",
    ]);
    let mut groups = Vec::new();
    for size in sizes {
        for window in windows.iter().copied() {
            let mut samples: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
            for _ in 0..repetitions.max(1) {
                for (place, contender) in contenders.iter().enumerate() {
                    samples[place].push(sample(*contender, size, window, commands));
                }
            }
            let mut bars = Vec::new();
            for (contender, samples) in contenders.iter().zip(&samples) {
                let ns = Spread::of(samples.iter().map(|sample| sample.ns));
                let cpu = Spread::of(samples.iter().map(|sample| sample.cpu_ns));
                let allocations = Spread::of(samples.iter().map(|sample| sample.allocations));
                table.row(vec![
                    size.to_string(),
                    window.to_string(),
                    contender.name().to_owned(),
                    format!("{:.0}", ns.min),
                    format!("{:.0}", ns.median),
                    format!("{:.0}", ns.max),
                    format!("{:.0}", cpu.median),
                    format!("{:.3}", allocations.median),
                ]);
                bars.push(Some(cpu));
            }
            groups.push((format!("{size} B, W = {window}"), bars));
        }
    }
    let chart = Chart {
        title: "core: processor time per command, ns, three replicas together".to_owned(),
        groups,
        series: contenders.iter().map(|contender| contender.name().to_owned()).collect(),
    };
    publish(&out, "core", &table, Some(&chart.svg())).map_err(|error| error.to_string())
}

fn contenders(args: &Args, all: &[Contender]) -> Result<Vec<Contender>, String> {
    let names: Vec<&str> = all.iter().map(|contender| contender.name()).collect();
    let named = |name: String| {
        Contender::named(&name).ok_or_else(|| format!("{name} is none of {}", names.join(" ")))
    };
    args.list::<String>("contenders", &names.join(","))?.into_iter().map(named).collect()
}

fn sample(contender: Contender, size: usize, window: u64, commands: u64) -> Sample {
    let mut cluster = contender.start(window);
    let mut client = Client::new(size);
    cluster.run(&mut client, fill(size, window).max(commands / 10), window);
    let (allocations, cpu, start) = (alloc::of_this_thread(), thread_time(), Instant::now());
    cluster.run(&mut client, commands, window);
    let (took, cpu) = (start.elapsed(), thread_time() - cpu);
    let allocations = alloc::of_this_thread() - allocations;
    check(&mut *cluster, &client);
    let per_command = |value: f64| value / commands as f64;
    Sample {
        ns: per_command(took.as_nanos() as f64),
        cpu_ns: per_command(cpu.as_nanos() as f64),
        allocations: per_command(allocations as f64),
    }
}

pub(crate) const COUNT_OPTIONS: [&str; 6] =
    ["contenders", "sizes", "windows", "warm", "commands", "members"];

/// Runs one contender once and prints its allocations per command; whoever counts instructions
/// runs it twice with different numbers of commands and takes the difference. Groups of other than
/// three members are for Synod only.
///
/// # Errors
/// When an option cannot be read.
pub(crate) fn count(args: &Args) -> Result<(), String> {
    let contender = *contenders(args, &Contender::ALL)?.first().ok_or("no contender")?;
    let size = *args.list("sizes", "64")?.first().ok_or("no size")?;
    let window = *args.list("windows", "64")?.first().ok_or("no window")?;
    let (warm, commands) = (args.one("warm", 2_000)?, args.one("commands", 10_000)?);
    let mut cluster = match args.one("members", 3)? {
        3 => contender.start(window),
        members => Box::new(Synod::new(members, window, contender == Contender::SynodCodec)),
    };
    let mut client = Client::new(size);
    cluster.run(&mut client, warm, window);
    let before = alloc::of_this_thread();
    cluster.run(&mut client, commands, window);
    let allocations = alloc::of_this_thread() - before;
    check(&mut *cluster, &client);
    println!("{:.3}", allocations as f64 / commands as f64);
    Ok(())
}
