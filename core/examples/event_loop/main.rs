//! An event loop of one's own: three processes on plain `std::net`, without a runtime.
//!
//! `cargo run -p synod-core --example event_loop` starts this program three more times, each with
//! a number and a log file. They form a group, elect a leader, decide ten decrees and print what
//! each of them applied. What a member is stands in `member.rs`.

mod member;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use std::{env, fs, thread};

use member::{DECREES, Outcome};

fn main() -> Outcome<()> {
    match &env::args().collect::<Vec<_>>()[..] {
        [_, id, path] => member::run(id.parse()?, Path::new(path)),
        [_program] => parent(),
        _other => Err("call it without arguments".into()),
    }
}

/// Starts three members, waits until each has applied ten decrees, and compares.
fn parent() -> Outcome<()> {
    let folder = env::temp_dir().join(format!("synod-event-loop-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut children = Vec::new();
    for id in 1..=3 {
        let mut command = Command::new(env::current_exe()?);
        command.arg(format!("{id}")).arg(folder.join(format!("{id}.log")));
        children.push(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    }
    let outcome = watch(&mut children);
    for mut child in children {
        // The standard input closes, and the member ends; one that does not is killed.
        drop(child.stdin.take());
        if outcome.is_err() {
            let _ = child.kill();
        }
        child.wait()?;
    }
    fs::remove_dir_all(folder)?;
    outcome
}

fn watch(children: &mut [Child]) -> Outcome<()> {
    let mut addresses = String::new();
    let mut outputs = Vec::new();
    for child in children.iter_mut() {
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut address = String::new();
        output.read_line(&mut address)?;
        addresses = format!("{addresses} {}", address.trim());
        outputs.push(output);
    }
    let (lines, heard) = sync_channel(1024);
    for (place, output) in outputs.into_iter().enumerate() {
        let lines = lines.clone();
        let read = move || {
            output.lines().map_while(Result::ok).for_each(|line| {
                let _ = lines.send((place, line));
            })
        };
        thread::spawn(read);
    }
    for child in children {
        writeln!(child.stdin.as_mut().ok_or("no input")?, "{addresses}")?;
    }
    let mut applied = vec![Vec::new(); 3];
    while applied.iter().any(|lines: &Vec<String>| lines.len() < DECREES) {
        let (place, line) = heard.recv_timeout(Duration::from_secs(60))?;
        println!("member {}: {line}", place + 1);
        if line.starts_with("applied") {
            applied[place].push(line);
        }
    }
    applied.iter_mut().for_each(|lines| lines.truncate(DECREES));
    if applied.iter().any(|lines| *lines != applied[0]) {
        return Err("two members applied different decrees".into());
    }
    println!("all three applied the same {DECREES} decrees in the same order");
    Ok(())
}
