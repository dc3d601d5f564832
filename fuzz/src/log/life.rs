//! The life of a log: records go in, the device fails or dies, and every start is compared with
//! what is known to be there.

use bytes::Bytes;
use synod_core::{Boot, Proposal, Recovered, Slot, WriteId};
use synod_log::{Device, FileLog, Log, LogConfig, LogError, Most, OpenError, ReadBack, SimDevice};

use super::author::{Author, Note};
use super::harm::Harm;
use super::image::{Files, Image};
use super::{INCARNATION, Kept, Op, Reached, Trouble, goes_on, open, state};
use crate::replay::Twin;

/// A log, and all that is known of it from outside.
pub(super) struct Life {
    config: LogConfig,
    device: SimDevice,
    log: FileLog<SimDevice>,
    author: Author,
    boot: Boot,
    /// The records of the log, in order: those found at the last start, and those staged since.
    notes: Vec<Note>,
    /// So many of them were there when this run began.
    found: usize,
    /// So many of them may be on the disk.
    written: usize,
    /// Every record that ever was staged.
    ever: Vec<Note>,
    /// Whether something was told to go wrong, and whether that is the power.
    is_armed: bool,
    power_fails: bool,
    reached: Reached,
}

impl Life {
    pub(super) fn new(config: LogConfig) -> Self {
        let device = SimDevice::new(512);
        let (log, recovered) = open(&device, config).expect("an empty directory becomes a log");
        assert_eq!(recovered, Recovered::formatted(INCARNATION));
        Self {
            config,
            device,
            log,
            author: Author::default(),
            boot: recovered.boot,
            notes: Vec::new(),
            found: 0,
            written: 0,
            ever: Vec::new(),
            is_armed: false,
            power_fails: false,
            reached: Reached::default(),
        }
    }

    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Stage(says) => {
                let note = self.author.write(*says);
                let id = WriteId((self.notes.len() - self.found) as u64 + 1);
                self.log.stage(id, note.record()).expect("a sound record of a log that works");
                self.notes.push(note.clone());
                self.ever.push(note);
            }
            Op::Write => {
                self.written = self.notes.len();
                let written = self.log.write().map(|_| ());
                self.check(written);
            }
            Op::Sync => {
                self.written = self.notes.len();
                let log = &mut self.log;
                let synced = log.write().and_then(|ticket| match ticket {
                    Some(ticket) => log.sync(ticket).map(|_| ()),
                    None => Ok(()),
                });
                self.check(synced);
            }
            Op::Settle => {
                self.written = self.notes.len();
                let settled = self.log.settle().map(|_| ());
                self.check(settled);
            }
            Op::Kill => self.reopen(self.device.kill(), None),
            Op::PowerCut(kept) => self.reopen(self.device.power_cut(kept.keep()), None),
            Op::BadStart(kept, trouble) => {
                self.reopen(self.device.power_cut(kept.keep()), Some(*trouble));
            }
            Op::Trouble(trouble) => self.arm(*trouble),
        }
    }

    fn arm(&mut self, trouble: Trouble) {
        self.is_armed = true;
        match trouble {
            Trouble::Fault(call, nth, wrong) => {
                self.device.inject(call.operation(), u64::from(nth % 8), wrong.fault());
            }
            Trouble::Power(nth) => {
                self.power_fails = true;
                self.device.power_fails_at(u64::from(nth % 16));
            }
        }
    }

    /// So many of the records were called durable.
    fn durable(&self) -> usize {
        self.found + self.log.durable().0 as usize
    }

    /// A step of the log went well, or the log has failed for good and is started again.
    fn check(&mut self, step: Result<(), LogError>) {
        assert!(self.durable() <= self.written, "only what was written is durable");
        let Err(error) = step else { return };
        assert!(self.is_armed, "nothing was to go wrong: {error}");
        let id = WriteId(u64::MAX);
        let record = self.author.write(super::Says::Promised);
        assert_eq!(self.log.stage(id, record.record()), Err(error), "every error is final");
        self.reached.failed = true;
        let next = self.after_failure(Kept::Some(self.written as u8));
        self.reopen(next, None);
    }

    /// The device after something went wrong with it: if it was the power, things are lost.
    fn after_failure(&self, kept: Kept) -> SimDevice {
        if self.power_fails { self.device.power_cut(kept.keep()) } else { self.device.kill() }
    }

    /// Another run. If `trouble` keeps it from starting, there is one more.
    fn reopen(&mut self, device: SimDevice, trouble: Option<Trouble>) {
        let (durable, written) = (self.durable(), self.written);
        self.device = device;
        (self.is_armed, self.power_fails) = (false, false);
        if let Some(trouble) = trouble {
            self.arm(trouble);
        }
        let opened = open(&self.device, self.config).or_else(|error| {
            assert!(self.is_armed, "a sound log does not open: {error}");
            let known = matches!(error, OpenError::Device(_) | OpenError::Full { .. });
            assert!(known, "a device that fails is reported as something else: {error}");
            self.reached.failed_to_open = true;
            self.device = self.after_failure(Kept::Some(written as u8));
            (self.is_armed, self.power_fails) = (false, false);
            open(&self.device, self.config)
        });
        let (log, recovered) = opened.expect("a sound log opens");
        assert!(recovered.boot > self.boot, "every start is a boot of its own");
        self.boot = recovered.boot;
        let kept = (durable..=written).rev().find(|kept| {
            state(&self.notes[..*kept]).finish(INCARNATION, self.boot).as_ref() == Ok(&recovered)
        });
        let Some(kept) = kept else {
            let least = state(&self.notes[..durable]).finish(INCARNATION, self.boot);
            let most = state(&self.notes[..written]).finish(INCARNATION, self.boot);
            panic!("durable: {least:?}\nwritten: {most:?}\nand it came back with {recovered:?}");
        };
        self.reached.lost_what_was_not_durable |= kept < written;
        self.reached.kept_what_was_not_durable |= kept > durable;
        self.reached.rolled |= log.recovery().segments > 2;
        self.notes.truncate(kept);
        (self.found, self.written) = (kept, kept);
        self.log = log;
        let twin = state(&self.notes);
        self.author = Author::after(&twin);
        self.read_back(&twin);
    }

    /// Everything decided can be read back, as it was.
    fn read_back(&mut self, twin: &Twin) {
        let (mut from, end) = (Slot::ZERO, twin.decided());
        let mut reader = self.log.reader();
        assert_eq!(reader.retained(), Slot::ZERO, "nothing was ever trimmed");
        while from < end {
            let run = reader.read(from, end, Most { slots: 7, bytes: 900 });
            let run = match run {
                Ok(run) => run,
                Err(LogError::Device(_)) if self.is_armed => return,
                Err(error) => panic!("what is decided is in the log: {error}"),
            };
            assert!(!run.is_empty(), "a reader gets on");
            for proposal in run {
                assert_eq!(Some(proposal.clone()), twin.proposal(from), "{proposal:?}");
                from = from.next();
            }
            self.reached.read_back = true;
        }
    }

    /// The process dies, and the files are harmed.
    pub(super) fn end(mut self, harms: &[Harm]) -> Reached {
        let (durable, written) = (self.durable(), self.written);
        self.device = self.after_failure(Kept::Nothing);
        let files = files_of(&self.device);
        let image = Image::read(&files);
        let found = state(image.records.iter().map(|found| &found.note));
        let found = found.finish(INCARNATION, self.boot);
        let is_it =
            |kept: &usize| state(&self.notes[..*kept]).finish(INCARNATION, self.boot) == found;
        assert!((durable..=written).any(|kept| is_it(&kept)), "the files hold {found:?}");
        let mut harmed = files.clone();
        harms.iter().for_each(|harm| harm.done_to(&mut harmed, &image));
        self.open_harmed(&image, &files, &harmed);
        self.reached
    }

    fn open_harmed(&mut self, image: &Image, files: &Files, harmed: &Files) {
        let device = self.device.fork();
        for name in files.keys().filter(|name| !harmed.contains_key(*name)) {
            device.remove(name).expect("a file that is there");
        }
        harmed.iter().for_each(|(name, bytes)| device.put(name, bytes));
        let (log, recovered) = match open(&device, self.config) {
            Ok(opened) => opened,
            Err(error) => {
                assert!(files != harmed, "sound files are refused: {error}");
                assert!(!error.to_string().is_empty());
                let expected =
                    matches!(error, OpenError::Damaged(_) | OpenError::NotASegment { .. });
                assert!(expected, "harm is reported as something else: {error}");
                let again = open(&device.kill(), self.config).map(|(_, recovered)| recovered);
                assert_eq!(again, Err(error), "another try changes nothing");
                self.reached.harmed_and_refused = true;
                return;
            }
        };
        self.reached.harmed_and_opened |= files != harmed;
        if !harmed.keys().any(|name| name.ends_with(".seg")) {
            // Nothing is left that could tell of a log.
            assert_eq!(recovered, Recovered::formatted(INCARNATION));
        } else if image.ends_as_before(files, harmed) {
            let end = log.recovery().position;
            assert!(end >= image.proven(files, harmed), "what is proven durable is gone");
            assert!(end <= image.end(), "there is more than was written");
            let kept = image.records.iter().filter(|found| found.position < end);
            let wanted = state(kept.map(|found| &found.note));
            let boot = recovered.boot;
            assert_eq!(wanted.finish(INCARNATION, boot).as_ref(), Ok(&recovered), "a prefix");
            assert_eq!(boot.0, self.boot.0 + 1);
            self.reached.harmed_and_shorter |= end < image.end();
        } else {
            self.is_nothing_new(&recovered);
        }
        goes_on(&device, self.config, (log, recovered));
    }

    /// The last segment is gone or another: what is left is an older log, which nobody can tell.
    fn is_nothing_new(&self, recovered: &Recovered<Bytes>) {
        let promised = self.ever.iter().map(|note| note.promised).max().unwrap_or_default();
        assert!(recovered.promised <= promised, "a promise that was never made");
        let decided = self.ever.iter().map(|note| note.decided).max().unwrap_or_default();
        assert!(recovered.decided <= decided, "a mark that was never set");
        let is_known = |proposal: &Proposal<Bytes>| {
            self.ever.iter().flat_map(Note::proposals).any(|known| known == proposal)
        };
        let made_up = recovered.accepted.iter().find(|proposal| !is_known(proposal));
        assert_eq!(made_up, None, "a decree that nobody wrote");
    }
}

fn files_of(device: &SimDevice) -> Files {
    let names = device.list().expect("a directory");
    let read = |name: String| {
        let bytes = device.contents(&name).expect("a file of that name");
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}
