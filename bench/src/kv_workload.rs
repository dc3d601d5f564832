//! The command `kv`: the workload P5, `synod-kv` with three nodes under `redis-benchmark`, beside
//! one `redis-server` that replicates nothing and keeps nothing.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::args::Args;
use crate::children::{Running, build, program};
use crate::measure::Spread;
use crate::report::{Table, publish};

pub(crate) const OPTIONS: [&str; 5] = ["requests", "pipelines", "repetitions", "log", "out"];

/// What serves keys, and where.
struct Service {
    name: String,
    port: u16,
    processes: Vec<Running>,
}

/// Loads both in turns.
///
/// # Errors
/// When an option cannot be read, a program is missing, or the results cannot be written.
pub(crate) fn kv(args: &Args) -> Result<(), String> {
    let requests: u64 = args.one("requests", 100_000)?;
    let pipelines: Vec<u64> = args.list("pipelines", "1,16")?;
    let repetitions: usize = args.one("repetitions", 3)?;
    let log: String = args.one("log", "memory".to_owned())?;
    let out: PathBuf = args.one("out", PathBuf::from("target/bench"))?;
    for tool in ["redis-server", "redis-benchmark", "redis-cli"] {
        install(tool)?;
    }
    build("synod-kv")?;
    let data = env::temp_dir().join(format!("synod-bench-kv-{}", std::process::id()));
    let services = [synod(&log, &data)?, redis()?];
    let mut table =
        Table::new(&["pipeline", "test", "who", "per_s_min", "per_s_median", "per_s_max"]);
    for pipeline in pipelines {
        let mut rates: BTreeMap<(String, usize), Vec<f64>> = BTreeMap::new();
        for _ in 0..repetitions.max(1) {
            for (place, service) in services.iter().enumerate() {
                for (test, rate) in load(service.port, requests * pipeline.min(8), pipeline)? {
                    rates.entry((test, place)).or_default().push(rate);
                }
            }
        }
        for ((test, place), rates) in rates {
            let Spread { min, median, max } = Spread::of(rates);
            let cell = |value: f64| format!("{value:.0}");
            let who = services[place].name.clone();
            table.row(vec![pipeline.to_string(), test, who, cell(min), cell(median), cell(max)]);
        }
    }
    let written = publish(&out, "kv", &table, None).map_err(|error| error.to_string());
    let split = processor_time(&services);
    drop(services);
    // Whether or not there was a directory, there is none now.
    let _ = fs::remove_dir_all(&data);
    written?;
    publish(&out, "kv-threads", &split, None).map_err(|error| error.to_string())
}

/// Who used how much of the processor in all.
fn processor_time(services: &[Service]) -> Table {
    let mut table = Table::new(&["who", "process", "thread", "cpu_ms"]);
    for service in services {
        for (place, process) in service.processes.iter().enumerate() {
            for (thread, cpu_ms) in process.threads() {
                let process = (place + 1).to_string();
                table.row(vec![service.name.clone(), process, thread, cpu_ms.to_string()]);
            }
        }
    }
    table
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

fn synod(log: &str, data: &std::path::Path) -> Result<Service, String> {
    let mut ports = [(0, 0); 3];
    for port in &mut ports {
        *port = (free_port()?, free_port()?);
    }
    let peers: Vec<String> =
        (1..).zip(ports).map(|(id, (peer, _))| format!("{id}=127.0.0.1:{peer}")).collect();
    let mut processes = Vec::new();
    for (id, (_, client)) in (1..).zip(ports) {
        let mut command = Command::new(program("synod-kv")?);
        command.args(["serve", "--id", &format!("{id}"), "--cluster", "bench", "--log", log]);
        command.args(["--client", &format!("127.0.0.1:{client}"), "--peers", &peers.join(",")]);
        if log == "file" {
            command.arg("--data").arg(data.join(id.to_string()));
        }
        processes.push(Running::start(&mut command)?);
    }
    let port = leader(ports.map(|(_, client)| client))?;
    Ok(Service { name: format!("synod-kv ({log})"), port, processes })
}

/// The client port of the node that leads, once there is one.
fn leader(ports: [u16; 3]) -> Result<u16, String> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        for (id, port) in (1..).zip(ports) {
            let info = ask(port, "INFO");
            let said = info.lines().find_map(|line| line.strip_prefix("leader:"));
            if said.is_some_and(|leader| leader.trim() == format!("{id}")) {
                return Ok(port);
            }
        }
        sleep(Duration::from_millis(100));
    }
    Err("synod-kv elects no leader".to_owned())
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
    Ok(Service { name: "redis-server".to_owned(), port, processes })
}

fn ask(port: u16, command: &str) -> String {
    let output = Command::new("redis-cli").args(["-p", &port.to_string(), command]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Requests a second of each test.
fn load(port: u16, requests: u64, pipeline: u64) -> Result<Vec<(String, f64)>, String> {
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &port.to_string(), "-t", "set,get", "-d", "64", "-c", "50"]);
    command.args(["-r", "100000", "-n", &requests.to_string(), "-P", &pipeline.to_string()]);
    let output = command.arg("--csv").output().map_err(|error| error.to_string())?;
    let rates = read(&String::from_utf8_lossy(&output.stdout));
    if rates.len() == 2 { Ok(rates) } else { Err(format!("redis-benchmark: {output:?}")) }
}

fn read(text: &str) -> Vec<(String, f64)> {
    let row = |line: &str| {
        let mut cells = line.split(',').map(|cell| cell.trim_matches('"'));
        Some((cells.next()?.to_owned(), cells.next()?.parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_benchmark_says_is_read() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"1000.50\",\"0.1\"\n\
                    \"GET\",\"2000\",\"0.1\"\n";
        assert_eq!(read(text), [("SET".to_owned(), 1000.5), ("GET".to_owned(), 2000.0)]);
    }
}
