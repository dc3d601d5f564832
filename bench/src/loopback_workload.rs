//! The commands `loopback` and `durable`: the workloads P2 and P3 as tables.

use std::path::PathBuf;
use std::time::Duration;

use crate::args::Args;
use crate::chart::bars::Chart;
use crate::loopback::{Contender, Plan, Sample, run};
use crate::measure::Spread;
use crate::report::{Table, publish};

pub(crate) const OPTIONS: [&str; 7] =
    ["size", "windows", "millis", "repetitions", "contenders", "out", "data"];

/// Measures all contenders in turns; with files when `durable`.
///
/// # Errors
/// When an option cannot be read, a run fails, or the results cannot be written.
pub(crate) fn loopback(args: &Args, durable: bool) -> Result<(), String> {
    let size: usize = args.one("size", 64)?;
    let windows: Vec<u64> = args.list("windows", "1,8,64,512,1024,8192")?;
    let length = Duration::from_millis(args.one("millis", 1_000)?);
    let repetitions: usize = args.one("repetitions", 3)?;
    let out: PathBuf = args.one("out", PathBuf::from("target/bench"))?;
    let data: PathBuf = args.one("data", out.join("data"))?;
    let contenders = contenders(args)?;
    let mut table = Table::new(&[
        "size",
        "window",
        "who",
        "per_s_min",
        "per_s_median",
        "per_s_max",
        "p50_us",
        "p99_us",
        "cpu_ns",
        "allocations",
    ]);
    let mut groups = Vec::new();
    for window in windows {
        let directory = durable.then(|| data.clone());
        let plan = Plan {
            size,
            window,
            members: 3,
            before: 0,
            most: u64::MAX,
            warm: length / 5,
            length,
            directory,
        };
        let mut samples: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
        for _ in 0..repetitions.max(1) {
            for (place, contender) in contenders.iter().enumerate() {
                samples[place].push(run(*contender, &plan)?);
            }
        }
        let mut bars = Vec::new();
        for (contender, samples) in contenders.iter().zip(&samples) {
            let rate = Spread::of(samples.iter().map(|sample| sample.per_second));
            let median = |of: fn(&Sample) -> f64| Spread::of(samples.iter().map(of)).median;
            table.row(vec![
                size.to_string(),
                window.to_string(),
                contender.name().to_owned(),
                format!("{:.0}", rate.min),
                format!("{:.0}", rate.median),
                format!("{:.0}", rate.max),
                format!("{:.1}", median(|sample| sample.p50_us)),
                format!("{:.1}", median(|sample| sample.p99_us)),
                format!("{:.0}", median(|sample| sample.cpu_ns)),
                format!("{:.2}", median(|sample| sample.allocations)),
            ]);
            bars.push(Some(rate));
        }
        groups.push((format!("W = {window}"), bars));
    }
    let name = if durable { "durable" } else { "loopback" };
    let chart = Chart {
        title: format!("{name}: commands of {size} bytes per second, three replicas"),
        groups,
        series: contenders.iter().map(|contender| contender.name().to_owned()).collect(),
    };
    publish(&out, name, &table, Some(&chart.svg())).map_err(|error| error.to_string())
}

fn contenders(args: &Args) -> Result<Vec<Contender>, String> {
    let names = Contender::ALL.map(Contender::name);
    let named = |name: String| {
        Contender::named(&name).ok_or_else(|| format!("{name} is none of {}", names.join(" ")))
    };
    args.list::<String>("contenders", &names.join(","))?.into_iter().map(named).collect()
}
