//! Directories that a log must not be opened in, each with a message that says why and what to do.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use synod_core::{
    Ballot, Body, ClusterId, Configuration, Epoch, GroupId, Incarnation, NodeId, Record, Recovered,
    Slot, WriteId,
};
use synod_log::{FileDevice, FileLog, Identity, Log, LogConfig, OpenError};

/// A directory of its own for each test, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("synod-directories-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Opened = Result<(FileLog<FileDevice>, Recovered<Bytes>), OpenError>;

fn open_as(path: &Path, identity: Identity) -> Opened {
    let config = LogConfig { segment_bytes: 64 << 10, record_bytes_max: 4 << 10 };
    FileLog::open(FileDevice::open(path)?, identity, config, Incarnation(7))
}

fn open(path: &Path) -> Opened {
    open_as(path, identity())
}

fn identity() -> Identity {
    let members = Configuration::first(&[NodeId(1), NodeId(2), NodeId(3)]).expect("three members");
    let (cluster, group, node) = (ClusterId(1), GroupId(0), NodeId(1));
    Identity { cluster, group, epoch: members.epoch(), node }
}

fn refused(opened: Opened, parts: &[&str]) -> OpenError {
    let error = opened.expect_err("it must not open");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    error
}

fn first_segment(place: &Place) -> PathBuf {
    place.0.join("00000000.seg")
}

#[test]
fn a_directory_is_made_with_all_above_it() {
    let place = Place::new("made");
    let deep = place.0.join("a/b/c");
    let (log, _) = open(&deep).expect("it is made");
    assert_eq!(log.incarnation(), Incarnation(7));
    assert!(deep.join("00000000.seg").is_file());
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let place = Place::new("other");
    drop(open(&place.0).expect("a new log"));
    let own = identity();

    let error = refused(
        open_as(&place.0, Identity { node: NodeId(2), ..own }),
        &["00000000.seg belongs to node 1, not to 2", "a directory of its own"],
    );
    let file = first_segment(&place).display().to_string();
    assert_eq!(error, OpenError::OtherNode { file, found: NodeId(1), wanted: NodeId(2) });

    let error = refused(
        open_as(&place.0, Identity { cluster: ClusterId(0xC0FFEE), ..own }),
        &["belongs to cluster 0x1, not to 0xc0ffee", "a directory of its own"],
    );
    assert!(matches!(error, OpenError::OtherCluster { .. }));

    let error = refused(
        open_as(&place.0, Identity { group: GroupId(5), ..own }),
        &["belongs to group 0, not to 5", "a directory of its own"],
    );
    assert!(matches!(error, OpenError::OtherGroup { .. }));

    // Two members instead of three: quorums of the two sets need not meet.
    let members = Configuration::first(&[NodeId(1), NodeId(2)]).expect("two members");
    let error = refused(
        open_as(&place.0, Identity { epoch: members.epoch(), ..own }),
        &["must not be edited", "Put the old list back"],
    );
    assert!(matches!(error, OpenError::OtherMembers { .. }));

    drop(open(&place.0).expect("nothing was changed by the failed attempts"));
}

/// A later configuration comes by decided changes and is judged by the core.
#[test]
fn a_later_epoch_is_no_other_log() {
    let place = Place::new("epoch");
    drop(open(&place.0).expect("a new log"));
    let epoch = Epoch { number: 2, first: Slot(10), digest: 5 };
    drop(open_as(&place.0, Identity { epoch, ..identity() }).expect("it opens"));
}

#[test]
fn a_directory_in_use_is_refused() {
    let place = Place::new("in-use");
    let (log, _) = open(&place.0).expect("a new log");
    let pid = std::process::id();
    let named = format!("in use by the running process {pid}");
    let error = refused(open(&place.0), &[&named, "stop that one first"]);
    let directory = place.0.display().to_string();
    assert_eq!(error, OpenError::InUse { directory, pid: Some(pid) });
    // A reader alone does not keep the directory in use.
    let reader = log.reader();
    drop(log);
    drop(open(&place.0).expect("it is free again"));
    drop(reader);
}

#[test]
fn a_file_instead_of_a_directory_is_refused() {
    let place = Place::new("file");
    fs::create_dir_all(&place.0).expect("a directory");
    let file = place.0.join("data");
    fs::write(&file, b"notes").expect("a file");
    let path = file.display().to_string();
    let error = refused(open(&file), &[&path, "is no directory", "name a directory"]);
    assert_eq!(error, OpenError::NotADirectory { path });
    let error = refused(open(&file.join("below")), &["is no directory"]);
    assert!(matches!(error, OpenError::NotADirectory { .. }));
    assert_eq!(fs::read(&file).expect("the file"), b"notes");
}

#[test]
fn a_newer_version_is_refused() {
    let place = Place::new("version");
    drop(open(&place.0).expect("a new log"));
    let mut bytes = fs::read(first_segment(&place)).expect("a segment");
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..4092]);
    bytes[4092..4096].copy_from_slice(&checksum.to_le_bytes());
    fs::write(first_segment(&place), &bytes).expect("written");
    let error = refused(open(&place.0), &["version 2", "up to version 1", "newer program"]);
    assert!(matches!(error, OpenError::NewerVersion { found: 2, known: 1, .. }));
    assert_eq!(fs::read(first_segment(&place)).expect("a segment"), bytes, "nothing was changed");
}

/// A record of a newer version is not the torn end of the log.
#[test]
fn a_record_of_a_newer_version_is_refused() {
    let place = Place::new("record-version");
    let (mut log, _) = open(&place.0).expect("a new log");
    let promised = Ballot { round: 1, node: NodeId(1) };
    let promise = Record { promised, decided: Slot::ZERO, body: Body::Mark };
    log.stage(WriteId(1), promise).expect("staged");
    let ticket = log.write().expect("a write").expect("one record");
    log.sync(ticket).expect("synced");
    drop(log);
    let mut bytes = fs::read(first_segment(&place)).expect("a segment");
    let record = &mut bytes[4096..4096 + 136];
    record[12] = 2;
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&record[..8]), &record[12..]);
    record[8..12].copy_from_slice(&checksum.to_le_bytes());
    fs::write(first_segment(&place), &bytes).expect("written");
    let error = refused(open(&place.0), &["byte 4096", "version 2", "newer program"]);
    assert!(matches!(error, OpenError::Unreadable { .. }));
}

#[test]
fn a_file_that_is_no_segment_is_refused() {
    let place = Place::new("foreign");
    fs::create_dir_all(&place.0).expect("a directory");
    fs::write(first_segment(&place), b"a film in segments").expect("a file");
    let error = refused(open(&place.0), &["00000000.seg", "is none", "a directory of its own"]);
    assert!(matches!(error, OpenError::NotASegment { .. }));
}

/// Other files are let be, and unfinished segments are removed.
#[test]
fn leftovers_are_removed_and_strangers_stay() {
    let place = Place::new("leftovers");
    fs::create_dir_all(place.0.join("lost+found")).expect("a directory");
    fs::write(place.0.join("notes.txt"), b"mine").expect("a file");
    fs::write(place.0.join("00000000.new"), b"half a header").expect("a file");
    fs::write(place.0.join("00000009.new"), b"").expect("a file");
    drop(open(&place.0).expect("it opens"));
    let mut names: Vec<_> = fs::read_dir(&place.0)
        .expect("a list")
        .map(|item| item.expect("a name").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(names, ["00000000.seg", "lock", "lost+found", "notes.txt"]);
}

/// Runs as a user who may not, also when the tests are run by one who may do everything.
#[cfg(target_os = "linux")]
#[test]
fn a_directory_without_permission_is_refused() {
    use rustix::process::geteuid;
    use rustix::thread::{Uid, set_thread_res_uid};
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new("permission");
    drop(open(&place.0).expect("a new log"));
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode is changed");
    };
    set_mode(&place.0.join("lock"), 0o400);
    set_mode(&place.0, 0o500);
    let path = place.0.clone();
    // The user is changed for this thread only.
    let attempt = std::thread::spawn(move || {
        if geteuid().is_root() {
            let nobody = Uid::from_raw(65_534);
            set_thread_res_uid(None, nobody, None).expect("the user is changed");
        }
        (open(&path).map(drop), open(&path.join("below")).map(drop))
    });
    let (existing, below) = attempt.join().expect("no panic");
    set_mode(&place.0, 0o700);
    for refused in [existing, below] {
        let error = refused.expect_err("it must not open");
        let text = error.to_string();
        assert!(matches!(error, OpenError::Denied { .. }), "{text}");
        assert!(text.contains("no permission") && text.contains("owner"), "{text}");
    }
    drop(open(&place.0).expect("nothing was changed by the failed attempts"));
}
