//! A process that is killed while it writes loses nothing that it reported durable (S43).

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use synod_core::{
    Ballot, Body, ClusterId, Epoch, GroupId, Incarnation, Kind, NodeId, Proposal, Record,
    Recovered, Slot, WriteId,
};
use synod_log::{FileDevice, FileLog, Identity, Log, LogConfig, Most, OpenError, ReadBack};

const DIRECTORY: &str = "SYNOD_TEST_KILLED_IN";

type Opened = Result<(FileLog<FileDevice>, Recovered<Bytes>), OpenError>;

fn open(path: &Path) -> Opened {
    let epoch = Epoch { number: 1, ..Epoch::default() };
    let (cluster, group, node) = (ClusterId(1), GroupId(0), NodeId(1));
    let identity = Identity { cluster, group, epoch, node };
    let config = LogConfig { segment_bytes: 64 << 10, record_bytes_max: 4 << 10 };
    FileLog::open(FileDevice::open(path)?, identity, config, Incarnation(7))
}

/// The decree of a slot is known to both processes.
fn proposal(slot: u64) -> Proposal<Bytes> {
    let len = (slot * 37 % 1500) as usize;
    let decree = Kind::App(Bytes::from(vec![slot as u8; len]));
    Proposal { slot: Slot(slot), ballot: Ballot { round: 1, node: NodeId(1) }, decree }
}

/// The part of the process that is killed: it writes slot after slot and says which are durable.
/// Does nothing when the tests are run without it.
#[test]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    let (mut log, recovered) = open(Path::new(&path)).expect("the log opens");
    let first = recovered.decided.0 + recovered.accepted.len() as u64;
    for (id, slot) in (1..).zip(first..) {
        let run = [proposal(slot)];
        let (promised, decided) = (run[0].ballot, Slot(slot));
        let record = Record { promised, decided, body: Body::Accepted(&run) };
        log.stage(WriteId(id), record).expect("staged");
        if slot % 3 == 0 {
            let ticket = log.write().expect("a write").expect("records");
            let upto = log.sync(ticket).expect("synced");
            println!("durable {}", first + upto.0);
        }
        if slot % 100 == 0 {
            log.settle().expect("settled");
        }
    }
}

/// The process under test; killed at the latest when the test ends.
struct Writer(Child);

impl Writer {
    fn start(path: &Path) -> Self {
        let this = std::env::current_exe().expect("this program");
        let child = Command::new(this)
            .args(["--exact", "writes_until_it_is_killed", "--nocapture"])
            .env(DIRECTORY, path)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it starts");
        Self(child)
    }

    /// Waits for so many reports, then kills the process; returns the end of the durable slots.
    fn kill_after(mut self, reports: usize, while_it_runs: impl FnOnce(u32)) -> u64 {
        let output = self.0.stdout.take().expect("its output");
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let mut durable = lines.filter_map(|line| line.strip_prefix("durable ")?.parse().ok());
        let mut last = durable.by_ref().take(reports).last().expect("it reports");
        while_it_runs(self.0.id());
        self.0.kill().expect("killed");
        // What it had said before it died counts too.
        last = durable.last().unwrap_or(last);
        self.0.wait().expect("it is gone");
        last
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_killed_process_loses_nothing_durable() {
    let name = format!("synod-kill-{}", std::process::id());
    let place = Place(std::env::temp_dir().join(name));
    let _ = std::fs::remove_dir_all(&place.0);
    let mut boot = 0;
    for reports in [1, 2, 40, 3, 75, 8] {
        let durable = Writer::start(&place.0).kill_after(reports, |pid| {
            // Until it is dead, nobody else gets in.
            let error = open(&place.0).expect_err("the directory is in use");
            let directory = place.0.display().to_string();
            assert_eq!(error, OpenError::InUse { directory, pid: Some(pid) });
        });
        let (log, recovered) = open(&place.0).expect("it opens");
        let end = recovered.decided.0 + recovered.accepted.len() as u64;
        assert!(end >= durable, "{durable} slots were durable and {end} are there");
        assert!(recovered.boot.0 > boot, "each start is a boot of its own");
        boot = recovered.boot.0;
        let (mut reader, mut slot) = (log.reader(), 0);
        while slot < end {
            let most = Most { slots: 100, bytes: 1 << 16 };
            let run = reader.read(Slot(slot), Slot(end), most).expect("a read");
            assert!(!run.is_empty(), "slot {slot} is not there");
            for found in run {
                assert_eq!(found, proposal(slot));
                slot += 1;
            }
        }
    }
}
