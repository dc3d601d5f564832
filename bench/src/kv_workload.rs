//! The command `kv`: the workload P5, `synod-kv` with three nodes under `redis-benchmark`, beside
//! one `redis-server` that replicates nothing and keeps nothing.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::args::Args;
use crate::children::{Running, Thread, build, program};
use crate::measure::Spread;
use crate::report::{Table, publish};

pub(crate) const OPTIONS: [&str; 7] =
    ["requests", "pipelines", "clients", "repetitions", "log", "beside", "out"];

/// What serves keys, and where.
struct Service {
    name: String,
    port: u16,
    processes: Vec<Running>,
    /// The one that clients talk to, and that leads where there are others.
    first: usize,
}

/// One run of one test against one service.
struct Run {
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Microseconds of the processor for each request, by process and thread.
    cpu_us: BTreeMap<(usize, String), f64>,
}

/// The runs of each test against each service: by pipeline, test and place of the service.
type Runs = BTreeMap<(u64, &'static str, usize), Vec<Run>>;

/// Loads all in turns.
///
/// # Errors
/// When an option cannot be read, a program is missing, a leader is lost, or the results cannot be
/// written.
pub(crate) fn kv(args: &Args) -> Result<(), String> {
    let requests: u64 = args.one("requests", 100_000)?;
    let pipelines: Vec<u64> = args.list("pipelines", "1,16")?;
    let clients: u64 = args.one("clients", 50)?;
    let repetitions: usize = args.one("repetitions", 3)?;
    let log: String = args.one("log", "memory".to_owned())?;
    let beside: PathBuf = args.one("beside", PathBuf::new())?;
    let out: PathBuf = args.one("out", PathBuf::from("target/bench"))?;
    for tool in ["redis-server", "redis-benchmark", "redis-cli"] {
        install(tool)?;
    }
    build("synod-kv")?;
    let data = env::temp_dir().join(format!("synod-bench-kv-{}", std::process::id()));
    let mut services = vec![synod(&program("synod-kv")?, "synod-kv", &log, &data)?, redis()?];
    if beside != PathBuf::new() {
        // Another build of the same program, to be compared with this one in the same minutes.
        services.push(synod(&beside, "beside", &log, &data)?);
    }
    let runs = load_all(&services, requests, clients, &pipelines, repetitions.max(1));
    let tables = runs.map(|runs| (rates(&services, &runs), threads(&services, &runs)));
    drop(services);
    // Whether or not there was a directory, there is none now.
    let _ = fs::remove_dir_all(&data);
    let (rates, threads) = tables?;
    publish(&out, "kv", &rates, None).map_err(|error| error.to_string())?;
    publish(&out, "kv-threads", &threads, None).map_err(|error| error.to_string())
}

fn load_all(
    services: &[Service],
    requests: u64,
    clients: u64,
    pipelines: &[u64],
    repetitions: usize,
) -> Result<Runs, String> {
    let mut runs = Runs::new();
    for pipeline in pipelines {
        for _ in 0..repetitions {
            for (place, service) in services.iter().enumerate() {
                for test in TESTS {
                    let run =
                        service.load(test, requests * pipeline.min(&8), clients, *pipeline)?;
                    runs.entry((*pipeline, test, place)).or_default().push(run);
                }
            }
        }
    }
    Ok(runs)
}

/// What clients see, and what it costs.
fn rates(services: &[Service], runs: &Runs) -> Table {
    let mut table = Table::new(&[
        "pipeline",
        "test",
        "who",
        "per_s_min",
        "per_s_median",
        "per_s_max",
        "p50_ms",
        "p99_ms",
        "first_us",
        "others_us",
    ]);
    for ((pipeline, test, place), runs) in runs {
        let service = &services[*place];
        let median = |value: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(value)).median;
        let Spread { min, median: middle, max } = Spread::of(runs.iter().map(|run| run.per_s));
        let sum = |run: &Run, is_first: bool| {
            let of = |((process, _), _): &(&(usize, String), &f64)| {
                (*process == service.first) == is_first
            };
            run.cpu_us.iter().filter(of).fold(0.0, |sum, (_, us)| sum + us)
        };
        table.row(vec![
            pipeline.to_string(),
            (*test).to_owned(),
            service.name.clone(),
            format!("{min:.0}"),
            format!("{middle:.0}"),
            format!("{max:.0}"),
            format!("{:.3}", median(&|run| run.p50_ms)),
            format!("{:.3}", median(&|run| run.p99_ms)),
            format!("{:.2}", median(&|run| sum(run, true))),
            format!("{:.2}", median(&|run| sum(run, false))),
        ]);
    }
    table
}

/// Which threads use the processor: the median of all runs, in microseconds for each request.
fn threads(services: &[Service], runs: &Runs) -> Table {
    let columns = ["pipeline", "test", "who", "process", "is_first", "thread", "us_per_request"];
    let mut table = Table::new(&columns);
    for ((pipeline, test, place), runs) in runs {
        let service = &services[*place];
        let mut all: BTreeMap<&(usize, String), Vec<f64>> = BTreeMap::new();
        for (thread, us) in runs.iter().flat_map(|run| &run.cpu_us) {
            all.entry(thread).or_default().push(*us);
        }
        for ((process, thread), us) in all {
            let is_first = if *process == service.first { "yes" } else { "no" };
            let (who, process) = (service.name.clone(), (process + 1).to_string());
            let us = format!("{:.2}", Spread::of(us).median);
            // Most threads of a program sleep through a run.
            if us == "0.00" {
                continue;
            }
            let test = (*test).to_owned();
            let (is_first, thread) = (is_first.to_owned(), thread.clone());
            table.row(vec![pipeline.to_string(), test, who, process, is_first, thread, us]);
        }
    }
    table
}

impl Service {
    /// Runs one test.
    fn load(&self, test: &str, requests: u64, clients: u64, pipeline: u64) -> Result<Run, String> {
        let mut command = Command::new("redis-benchmark");
        command.args(["-p", &self.port.to_string(), "-t", test, "-d", "64", "-r", "100000"]);
        command.args(["-c", &clients.to_string(), "-P", &pipeline.to_string()]);
        command.args(["-n", &requests.to_string(), "--csv"]);
        let threads = || self.processes.iter().map(Running::threads).collect::<Vec<_>>();
        let before = threads();
        let output = command.output().map_err(|error| error.to_string())?;
        let after = threads();
        if self.processes.len() > 1 && !leads(self.port, self.first) {
            return Err(format!("{}: the leader was lost; is the machine busy?", self.name));
        }
        let said = read(&String::from_utf8_lossy(&output.stdout));
        let [per_s, p50_ms, p99_ms] = said.ok_or(format!("redis-benchmark: {output:?}"))?;
        Ok(Run { per_s, p50_ms, p99_ms, cpu_us: used(&before, &after, requests) })
    }
}

/// The processor time of each thread between two looks, for each of so many requests. Threads of
/// one name count together.
fn used(
    before: &[Vec<Thread>],
    after: &[Vec<Thread>],
    requests: u64,
) -> BTreeMap<(usize, String), f64> {
    let mut all = BTreeMap::new();
    for (process, (before, after)) in before.iter().zip(after).enumerate() {
        for thread in after {
            let former = before.iter().find(|former| former.id == thread.id);
            let former = former.map_or(Duration::ZERO, |former| former.used);
            let us = thread.used.saturating_sub(former).as_nanos() as f64 / 1000.0;
            *all.entry((process, thread.name.clone())).or_default() += us / requests as f64;
        }
    }
    all
}

/// Installs what holds `tool` when it is missing.
fn install(tool: &str) -> Result<(), String> {
    if Command::new(tool).arg("--version").output().is_ok() {
        return Ok(());
    }
    let mut apt = Command::new("apt-get");
    let done = apt.args(["install", "-y", "-q", "redis-server", "redis-tools"]).status();
    match done {
        Ok(done) if done.success() => Ok(()),
        Ok(_) | Err(_) => {
            Err(format!("{tool} is missing: apt-get install redis-server redis-tools"))
        }
    }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

fn synod(program: &Path, name: &str, log: &str, data: &Path) -> Result<Service, String> {
    let mut ports = [(0, 0); 3];
    for port in &mut ports {
        *port = (free_port()?, free_port()?);
    }
    let peers: Vec<String> =
        (1..).zip(ports).map(|(id, (peer, _))| format!("{id}=127.0.0.1:{peer}")).collect();
    let mut processes = Vec::new();
    for (id, (_, client)) in (1..).zip(ports) {
        let mut command = Command::new(program);
        command.args(["serve", "--id", &format!("{id}"), "--cluster", name, "--log", log]);
        command.args(["--client", &format!("127.0.0.1:{client}"), "--peers", &peers.join(",")]);
        if log == "file" {
            command.arg("--data").arg(data.join(name).join(id.to_string()));
        }
        // With less than two cores for each, a node that looks for more before it sleeps takes a
        // core from those that it waits for.
        if available_parallelism().is_ok_and(|cores| cores.get() < 2 * ports.len()) {
            command.args(["--set", "timeouts.keep_core_us=0"]);
        }
        processes.push(Running::start(&mut command)?);
    }
    let (first, port) = leader(ports.map(|(_, client)| client))?;
    Ok(Service { name: format!("{name} ({log})"), port, processes, first })
}

/// Place and client port of the node that leads, once there is one.
fn leader(ports: [u16; 3]) -> Result<(usize, u16), String> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if let Some(found) =
            ports.into_iter().enumerate().find(|(place, port)| leads(*port, *place))
        {
            return Ok(found);
        }
        sleep(Duration::from_millis(100));
    }
    Err("synod-kv elects no leader".to_owned())
}

/// Whether the node at this place, with this port for clients, leads as far as it knows.
fn leads(port: u16, place: usize) -> bool {
    let info = ask(port, "INFO");
    let said = info.lines().find_map(|line| line.strip_prefix("leader:"));
    said.is_some_and(|leader| leader.trim() == (place + 1).to_string())
}

fn redis() -> Result<Service, String> {
    let port = free_port()?;
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no"]);
    let processes = vec![Running::start(&mut command)?];
    let since = Instant::now();
    while ask(port, "PING").trim() != "PONG" {
        if since.elapsed() > PATIENCE {
            return Err("redis-server does not answer".to_owned());
        }
        sleep(Duration::from_millis(50));
    }
    Ok(Service { name: "redis-server".to_owned(), port, processes, first: 0 })
}

fn ask(port: u16, command: &str) -> String {
    let output = Command::new("redis-cli").args(["-p", &port.to_string(), command]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Requests a second, and the 50th and 99th percentile of the time that one takes, in
/// milliseconds, out of the one test of a table.
fn read(text: &str) -> Option<[f64; 3]> {
    let mut rows = text.lines().map(|line| line.split(',').map(|cell| cell.trim_matches('"')));
    let (names, cells) = (rows.next()?, rows.next()?);
    let cells: BTreeMap<&str, &str> = names.zip(cells).collect();
    let cell = |name| cells.get(name)?.parse().ok();
    Some([cell("rps")?, cell("p50_latency_ms")?, cell("p99_latency_ms")?])
}

/// What `redis-benchmark` calls them.
const TESTS: [&str; 2] = ["set", "get"];

const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_benchmark_says_is_read() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\",\"p50_latency_ms\",\"p99_latency_ms\"\n\
                    \"SET\",\"1000.50\",\"0.1\",\"0.095\",\"0.5\"\n";
        assert_eq!(read(text), Some([1000.5, 0.095, 0.5]));
        assert_eq!(read("\"test\",\"rps\"\n\"SET\",\"1\"\n"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn only_what_was_used_between_two_looks_counts() {
        let thread = |id, name: &str, us| {
            let (name, used) = (name.to_owned(), Duration::from_micros(us));
            Thread { id, name, used }
        };
        let before = [vec![thread(1, "main", 100), thread(2, "log", 50)], vec![]];
        let after = [
            vec![thread(1, "main", 300), thread(2, "log", 60), thread(3, "log", 30)],
            vec![thread(9, "main", 10)],
        ];
        let used = used(&before, &after, 10);
        let of = |process, name: &str| used.get(&(process, name.to_owned())).copied();
        assert_eq!(
            (of(0, "main"), of(0, "log"), of(1, "main")),
            (Some(20.0), Some(4.0), Some(1.0))
        );
        assert_eq!(used.len(), 3);
    }
}
