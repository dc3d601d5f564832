//! Workloads.

mod alloc;
mod core;

use core::{Cluster, client::Client, floor::Floor, synod::Synod};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let size: usize = args[1].parse().unwrap();
    let window: u64 = args[2].parse().unwrap();
    let commands: u64 = args[3].parse().unwrap();
    let mut cluster: Box<dyn Cluster> = match args[0].as_str() {
        "floor" => Box::new(Floor::default()),
        "synod" => Box::new(Synod::new(window, false)),
        "codec" => Box::new(Synod::new(window, true)),
        other => panic!("{other}"),
    };
    let mut client = Client::new(size);
    core::run(&mut *cluster, &mut client, 20_000, window);
    let before = alloc::so_far();
    let start = std::time::Instant::now();
    core::run(&mut *cluster, &mut client, commands, window);
    let took = start.elapsed();
    let made = alloc::so_far() - before;
    core::check(&mut *cluster, &client);
    println!(
        "{} {size} {window}: {:.0} ns, {:.3} allocations",
        cluster.name(),
        took.as_nanos() as f64 / commands as f64,
        made as f64 / commands as f64
    );
}
