//! One member of the group: an event loop of one's own on plain `std::net` and threads.
//!
//! Copy it and put your requests where step 5 makes some up, and your state machine where `deliver`
//! prints. The log is a real file, synced before `persist` returns: a member that is killed and
//! started again on its file goes on where it was.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant as Clock};

use bytes::{Bytes, BytesMut};
use synod_core::record::{self, RecordError, Replay, Stamp};
use synod_core::wire::{self, Payload};
use synod_core::*;

/// How many decrees the group decides before it is done.
pub(crate) const DECREES: usize = 10;

/// What can go wrong outside the protocol.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// What wakes the loop.
enum Input {
    /// A frame of a peer, as [`wire::frame_len`] cuts it.
    Frame(Bytes),
    /// The parent has closed our standard input.
    Stop,
}

/// One member of the group.
pub(crate) fn run(id: u64, path: &Path) -> Outcome<()> {
    // 1. The log comes first: it knows who this disk is, what it promised and what it accepted.
    let members = Configuration::first(&[NodeId(1), NodeId(2), NodeId(3)])?;
    let config = Config::new(ClusterId(1), GroupId(0), NodeId(id), members);
    let (log, recovered) = open_log(path, &config)?;
    // This clock stands still while the machine is suspended. A program that is meant to live
    // takes one that does not: `CLOCK_BOOTTIME` on Linux.
    let clock = Clock::now();
    let mut replica = Replica::new(config, recovered, Instant::ZERO)?;
    let limits = replica.config().limits;

    // 2. Links: a thread per peer writes, a thread per connection reads. Both ends of each are
    //    bounded; what does not fit is lost, and the protocol sends it again.
    let (inputs, wake) = sync_channel(1024);
    let peers = link(id, inputs, wire::frame_bytes_max(&limits))?;
    let mut decoder = wire::Decoder::new(&limits);
    let header = replica.header();
    let mut host = Process { header, path: path.into(), log, peers, texts: vec![], done: vec![] };
    let mut led = None;

    loop {
        // 3. Wait: for a frame, or for the time that the replica names.
        let now = || Instant(clock.elapsed().as_nanos() as u64);
        let patience = Duration::from_nanos(replica.deadline().0.saturating_sub(now().0));
        let mut next = match wake.recv_timeout(patience) {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        // 4. Take in everything that is ready, and only then look at the clock.
        let mut frames = Vec::new();
        while let Some(input) = next {
            match input {
                Input::Frame(frame) => frames.push(frame),
                Input::Stop => return Ok(()),
            }
            next = wake.try_recv().ok();
        }
        let now = now();
        for frame in frames {
            // Neither error stops anybody: the one is damage, the other names who sent it.
            let Ok((header, payload)) = decoder.decode(&frame) else { continue };
            let Payload::Replica(message) = payload else { continue };
            if let Err(fault) = replica.handle(now, Event::Received { header, message }) {
                eprintln!("{fault}");
            }
        }
        for event in host.done.drain(..).chain([Event::DeadlineReached]) {
            replica.handle(now, event)?;
        }
        // 5. Requests. Here every new leader makes some up: whatever is missing from ten.
        if replica.is_established() && led != replica.leader() {
            led = replica.leader();
            for number in host.texts.len()..DECREES {
                let text = format!("decree {number}, proposed by {id}");
                if let Err(refused) = replica.propose(now, Bytes::from(text), None) {
                    eprintln!("not proposed: {}", refused.why);
                }
            }
        }
        // 6. Carry out what is due. Every send may leave at once.
        drain(&mut replica, now, &mut host);
        io::stdout().flush()?;
    }
}

/// What a member has beside its replica; step 6 calls it.
struct Process {
    header: Header,
    path: PathBuf,
    log: File,
    /// By member; our own place stays empty.
    peers: Vec<Option<SyncSender<Bytes>>>,
    /// The state machine: the decrees, in order.
    texts: Vec<String>,
    /// What is to be reported in the next turn.
    done: Vec<Event<'static, Bytes>>,
}

impl Host<Bytes> for Process {
    /// Durable when it returns. A faster host writes on another thread, answers `Pending`, and
    /// reports `Event::Persisted` from there. After a failed sync nobody knows what the file holds,
    /// so nothing but a new start from the file is safe.
    fn persist(&mut self, _id: WriteId, record: Record<'_, Bytes>) -> Persistence {
        append(&mut self.log, &self.header, &record).expect("the log can be written and synced");
        Persistence::Done
    }

    fn send(&mut self, to: NodeSet, message: Message<'_, Bytes>) {
        // Encoded once for everybody.
        let mut frame = BytesMut::new();
        wire::encode(&self.header, &Payload::Replica(message), &mut frame);
        let frame = frame.freeze();
        for peer in to.iter().filter_map(|member| self.peers[member.place()].as_ref()) {
            let _ = peer.try_send(frame.clone());
        }
    }

    fn deliver(&mut self, chosen: &[Proposal<Bytes>]) -> Option<Slot> {
        for proposal in chosen {
            if let Kind::App(decree) = &proposal.decree {
                let text = String::from_utf8_lossy(decree).into_owned();
                println!("applied slot {}: {text}", proposal.slot);
                self.texts.push(text);
            }
        }
        chosen.last().map(|last| last.slot.next())
    }

    fn deliver_from_log(&mut self, from: Slot, end: Slot) {
        let chosen = read_back(&self.path, from, end).expect("the log can be read");
        let end = self.deliver(&chosen).unwrap_or(from);
        self.done.push(Event::Applied { end });
    }

    fn catch_up(&mut self, to: NodeId, from: Slot, end: Slot, decided: Slot) {
        let end = end.min(from.plus(100));
        let proposals = read_back(&self.path, from, end).expect("the log can be read");
        let member = NodeSet::of(MemberIndex(to.0 as u8 - 1));
        self.send(member, Message::Learned { from, proposals: &proposals, decided });
        self.done.push(Event::CaughtUp { to, end });
    }

    fn leader_changed(&mut self, leader: Option<Ballot>) {
        let leader = leader.map_or("nobody".into(), |ballot| format!("ballot {ballot}"));
        println!("leader: {leader}");
    }
}

/// Opens the log, or formats it, and begins a new run: one above the last, durably.
fn open_log(path: &Path, config: &Config) -> Outcome<(File, Recovered<Bytes>)> {
    let (mut log, mut replay, mut end) =
        (File::options().read(true).append(true).create(true).open(path)?, Replay::new(), 0);
    let mut last = None;
    each_record(path, |decoded| {
        replay.push(&decoded.record);
        last = Some(decoded.header);
        end += decoded.len as u64;
    })?;
    // Half a record at the end was never confirmed.
    log.set_len(end)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    let fresh = Incarnation(RandomState::new().hash_one(path) | 1);
    let incarnation = last.map_or(fresh, |header: Header| header.incarnation);
    let boot = Boot(last.map_or(0, |header| header.boot.0) + 1);
    let recovered = replay.finish(incarnation, boot, Slot::ZERO)?;
    let Config { cluster, group, node, .. } = *config;
    let epoch = config.configuration.epoch();
    let header = Header { cluster, group, epoch, node, incarnation, boot };
    let (promised, decided) = (recovered.promised, recovered.decided);
    append(&mut log, &header, &Record { promised, decided, body: Body::Mark })?;
    Ok((log, recovered))
}

fn append(log: &mut File, header: &Header, record: &Record<'_, Bytes>) -> io::Result<()> {
    let mut bytes = BytesMut::new();
    record::encode(header, &Stamp::default(), record, &mut bytes);
    log.write_all(&bytes)?;
    log.sync_data()
}

fn each_record(path: &Path, mut take: impl FnMut(&record::Decoded<'_>)) -> io::Result<()> {
    let mut rest = Bytes::from(fs::read(path)?);
    let mut decoder = record::Decoder::new();
    loop {
        match decoder.decode(&rest) {
            Ok(decoded) => {
                take(&decoded);
                let len = decoded.len;
                rest = rest.split_off(len);
            }
            Err(RecordError::Incomplete { .. }) => return Ok(()),
            // Damage: to go on without what was here could break a promise.
            Err(fault) => return Err(io::Error::other(fault)),
        }
    }
}

/// The decided slots `from..end`: the last record of a slot wins, one that was learned most.
fn read_back(path: &Path, from: Slot, end: Slot) -> io::Result<Vec<Proposal<Bytes>>> {
    let mut found = BTreeMap::new();
    each_record(path, |decoded| {
        let (learned, run) = match decoded.record.body {
            Body::Accepted(run) => (false, run),
            Body::Learned(run) => (true, run),
            Body::Mark | Body::Roster { .. } => return,
        };
        for proposal in run.iter().filter(|p| p.slot >= from && p.slot < end) {
            let known = found.entry(proposal.slot).or_insert((learned, proposal.clone()));
            if learned || !known.0 {
                *known = (learned, proposal.clone());
            }
        }
    })?;
    Ok(found.into_values().map(|(_, proposal)| proposal).collect())
}

/// Tells the parent our address, hears everybody's, and starts the threads of the links.
fn link(
    id: u64,
    inputs: SyncSender<Input>,
    bytes_max: usize,
) -> Outcome<Vec<Option<SyncSender<Bytes>>>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let mut addresses = String::new();
    io::stdin().lock().read_line(&mut addresses)?;
    let stop = inputs.clone();
    thread::spawn(move || {
        // Whatever becomes of the parent, its end of the pipe closes.
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        let _ = stop.send(Input::Stop);
    });
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let inputs = inputs.clone();
            thread::spawn(move || read_frames(stream, &inputs, bytes_max));
        }
    });
    let peer = |(place, address): (usize, &str)| {
        (place as u64 + 1 != id).then(|| {
            let (frames, to_write) = sync_channel(256);
            let address = address.to_string();
            thread::spawn(move || write_frames(&address, &to_write));
            frames
        })
    };
    Ok(addresses.split_whitespace().enumerate().map(peer).collect())
}

/// Reads frames until the connection ends or says something that is no frame.
fn read_frames(mut stream: TcpStream, inputs: &SyncSender<Input>, bytes_max: usize) {
    let mut prefix = [0; wire::PREFIX_BYTES];
    while stream.read_exact(&mut prefix).is_ok() {
        // The length is judged before memory is set aside for it.
        let Ok(Some(len)) = wire::frame_len(&prefix, bytes_max) else { return };
        let mut frame = vec![0; len];
        frame[..prefix.len()].copy_from_slice(&prefix);
        if stream.read_exact(&mut frame[prefix.len()..]).is_err()
            || inputs.send(Input::Frame(frame.into())).is_err()
        {
            return;
        }
    }
}

/// Connects, again and again, and writes what there is to write.
fn write_frames(address: &str, frames: &Receiver<Bytes>) {
    let mut link: Option<TcpStream> = None;
    for frame in frames {
        if link.is_none() {
            link = TcpStream::connect(address).ok();
        }
        if link.as_mut().is_some_and(|stream| stream.write_all(&frame).is_err()) {
            link = None;
        }
    }
}
