//! The example of an event loop of one's own runs, and leaves nothing behind.

use std::process::Command;

#[test]
fn three_processes_on_plain_sockets_agree() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "-p", "synod-core", "--example", "event_loop"]);
    let run = cargo.output().expect("cargo runs");
    let (output, errors) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{output}\n{errors}");
    for member in 1..=3 {
        let applied = |line: &&str| line.starts_with(&format!("member {member}: applied"));
        assert!(output.lines().filter(applied).count() >= 10, "{output}");
    }
    assert!(output.ends_with("all three applied the same 10 decrees in the same order\n"));
}
