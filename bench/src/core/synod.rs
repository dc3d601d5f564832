//! Synod: three services on one thread, logs that are durable at once, messages handed on as
//! values through queues.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use synod_core::record::{self, Stamp};
use synod_core::service::{
    At, Input, Outcome, Output, Request, Service, ServiceConfig, ServiceMessage, StateMachine,
};
use synod_core::wire::{self, Payload};
use synod_core::{
    ClusterId, Config, Configuration, Event, GroupId, Header, Incarnation, Instant, Message,
    NodeId, Proposal, Record, Recovered, Standing,
};

use super::Cluster;
use super::client::{Applier, Client};

/// Three replicas and what is under way between them.
#[derive(Debug)]
pub struct Synod {
    members: Vec<Service<Machine>>,
    inboxes: [VecDeque<Envelope>; 3],
    leader: usize,
    now: Instant,
    turns: u64,
    /// Lists of proposals to be used again.
    spare: Vec<Vec<Proposal<Bytes>>>,
    codec: Option<Box<Codec>>,
    answers: VecDeque<u64>,
}

/// A message on its way.
#[derive(Debug)]
struct Envelope {
    header: Header,
    letter: Letter,
}

#[derive(Debug)]
enum Letter {
    /// Everything without proposals.
    Plain(Message<'static, Bytes>),
    /// A message without its proposals, and these.
    Run {
        template: Message<'static, Bytes>,
        proposals: Vec<Proposal<Bytes>>,
    },
    Service(ServiceMessage),
    Frame(Bytes),
}

#[derive(Debug, Default)]
struct Machine(Applier);

impl StateMachine for Machine {
    type Reply = u64;

    fn apply(&mut self, _at: At, request: &[u8]) -> u64 {
        self.0.apply(request)
    }
}

impl Synod {
    /// A group that has a leader. With `codec` every message goes through its frame and every
    /// record through its log format, checksums included.
    ///
    /// # Panics
    /// When no leader is elected.
    #[must_use]
    pub fn new(window: u64, codec: bool) -> Self {
        let ids: [NodeId; 3] = [1, 2, 3].map(NodeId);
        let set = Configuration::first(&ids).expect("a sound set");
        let now = Instant(1);
        let start = |id: &NodeId| {
            let config = Config::new(ClusterId(1), GroupId(0), *id, set.clone());
            let mut config = ServiceConfig::new(config);
            config.limits.batch_requests_max = window.clamp(1, 1 << 15) as usize;
            let log = Recovered::formatted(Incarnation(id.0));
            Service::new(config, log, Machine::default(), now).expect("a sound configuration")
        };
        let mut synod = Self {
            members: ids.iter().map(start).collect(),
            inboxes: [const { VecDeque::new() }; 3],
            leader: 0,
            now,
            turns: 0,
            spare: Vec::new(),
            codec: codec.then(|| {
                Box::new(Codec::new(&Config::new(ClusterId(1), GroupId(0), ids[0], set.clone())))
            }),
            answers: VecDeque::new(),
        };
        for _ in 0..10_000 {
            let leads = |service: &Service<Machine>| service.status().standing == Standing::Leading;
            if let Some(leader) = synod.members.iter().position(leads)
                && synod.members[leader].status().applied.0 > 0
            {
                synod.leader = leader;
                return synod;
            }
            synod.pass_time();
        }
        panic!("three healthy replicas elect a leader");
    }

    fn pass_time(&mut self) {
        self.now = self.members.iter().map(Service::deadline).min().expect("members");
        for member in &mut self.members {
            member.handle(self.now, Input::Replica(Event::DeadlineReached)).expect("no message");
        }
        for _ in 0..8 {
            self.round();
        }
    }

    /// Every member takes in what has arrived and does what is due.
    fn round(&mut self) {
        for place in [self.leader, (self.leader + 1) % 3, (self.leader + 2) % 3, self.leader] {
            self.take_in(place);
            self.drain(place);
        }
    }

    fn take_in(&mut self, place: usize) {
        while let Some(envelope) = self.inboxes[place].pop_front() {
            let member = &mut self.members[place];
            let header = envelope.header;
            let taken = match envelope.letter {
                Letter::Plain(message) => {
                    member.handle(self.now, Input::Replica(Event::Received { header, message }))
                }
                Letter::Run { template, mut proposals } => {
                    let message = with_run(&template, &proposals);
                    let event = Event::Received { header, message };
                    let taken = member.handle(self.now, Input::Replica(event));
                    proposals.clear();
                    self.spare.push(proposals);
                    taken
                }
                Letter::Service(message) => {
                    member.handle(self.now, Input::Service { header, message })
                }
                Letter::Frame(frame) => {
                    let codec = self.codec.as_mut().expect("frames come from the codec");
                    let (header, payload) = codec.decoder.decode(&frame).expect("a sound frame");
                    match payload {
                        Payload::Replica(message) => {
                            let event = Event::Received { header, message };
                            member.handle(self.now, Input::Replica(event))
                        }
                        Payload::Service(message) => {
                            member.handle(self.now, Input::Service { header, message })
                        }
                    }
                }
            };
            taken.expect("nobody misbehaves");
        }
    }

    fn drain(&mut self, place: usize) {
        let Self { members, inboxes, spare, codec, answers, now, .. } = self;
        let member = &mut members[place];
        let header = member.replica().header();
        while let Some(output) = member.poll() {
            match output {
                Output::Persist { id, record } => {
                    if let Some(codec) = codec {
                        codec.append(place, &header, &record);
                    }
                    let input = Input::Replica(Event::Persisted { upto: id });
                    member.handle(*now, input).expect("only messages can misbehave");
                }
                Output::Send { to, payload } => {
                    if let Some(codec) = codec {
                        let frame = codec.frame(&header, &payload);
                        for receiver in to.iter() {
                            let letter = Letter::Frame(frame.clone());
                            inboxes[receiver.place()].push_back(Envelope { header, letter });
                        }
                        continue;
                    }
                    for receiver in to.iter() {
                        let letter = letter(&payload, spare);
                        inboxes[receiver.place()].push_back(Envelope { header, letter });
                    }
                }
                Output::Outcome { id: _, outcome } => match outcome {
                    Outcome::Applied { reply, slot: _, ballot: _ } => answers.push_back(reply),
                    Outcome::Refused(_) | Outcome::Unknown { ballot: _ } => {
                        panic!("a healthy leader applies everything")
                    }
                },
                Output::ReadBack { .. } | Output::CatchUp { .. } => panic!("nobody lags"),
                Output::LeaderChanged { .. } => {}
            }
        }
    }
}

/// Takes hold of a message.
fn letter(payload: &Payload<'_>, spare: &mut Vec<Vec<Proposal<Bytes>>>) -> Letter {
    let mut owned = |proposals: &[Proposal<Bytes>]| {
        let mut list = spare.pop().unwrap_or_default();
        list.extend_from_slice(proposals);
        list
    };
    let (template, proposals) = match payload {
        Payload::Service(message) => return Letter::Service(message.clone()),
        Payload::Replica(message) => match *message {
            Message::Promise { ballot, from, end, limit, decided, retained, proposals } => {
                let template = Message::Promise {
                    ballot,
                    from,
                    end,
                    limit,
                    decided,
                    retained,
                    proposals: &[],
                };
                (template, owned(proposals))
            }
            Message::Accept { ballot, from, proposals, decided } => {
                (Message::Accept { ballot, from, proposals: &[], decided }, owned(proposals))
            }
            Message::Learned { from, proposals, decided } => {
                (Message::Learned { from, proposals: &[], decided }, owned(proposals))
            }
            Message::Beat(beat) => return Letter::Plain(Message::Beat(beat)),
            Message::Prepare { ballot, from } => {
                return Letter::Plain(Message::Prepare { ballot, from });
            }
            Message::Accepted { ballot, end, resend } => {
                return Letter::Plain(Message::Accepted { ballot, end, resend });
            }
            Message::Nack { refused, promised } => {
                return Letter::Plain(Message::Nack { refused, promised });
            }
            Message::Learn { from } => return Letter::Plain(Message::Learn { from }),
        },
    };
    Letter::Run { template, proposals }
}

/// The message again, with its proposals lent.
fn with_run<'a>(
    template: &Message<'static, Bytes>,
    proposals: &'a [Proposal<Bytes>],
) -> Message<'a, Bytes> {
    match *template {
        Message::Promise { ballot, from, end, limit, decided, retained, proposals: _ } => {
            Message::Promise { ballot, from, end, limit, decided, retained, proposals }
        }
        Message::Accept { ballot, from, proposals: _, decided } => {
            Message::Accept { ballot, from, proposals, decided }
        }
        Message::Learned { from, proposals: _, decided } => {
            Message::Learned { from, proposals, decided }
        }
        Message::Beat(beat) => Message::Beat(beat),
        Message::Prepare { ballot, from } => Message::Prepare { ballot, from },
        Message::Accepted { ballot, end, resend } => Message::Accepted { ballot, end, resend },
        Message::Nack { refused, promised } => Message::Nack { refused, promised },
        Message::Learn { from } => Message::Learn { from },
    }
}

impl Cluster for Synod {
    fn name(&self) -> &'static str {
        if self.codec.is_some() { "synod+codec" } else { "synod" }
    }

    fn submit(&mut self, command: Bytes) {
        let taken = self.members[self.leader].submit(self.now, Request::new(command));
        taken.expect("there is room");
    }

    fn turn(&mut self, client: &mut Client) {
        self.turns += 1;
        if self.turns % 1024 == 0 {
            self.pass_time();
        } else {
            self.round();
        }
        while let Some(number) = self.answers.pop_front() {
            client.answer(number);
        }
    }

    fn settle(&mut self) {
        self.pass_time();
    }

    fn applied(&self) -> [u64; 3] {
        [0, 1, 2].map(|place| self.members[place].machine().0.applied())
    }
}

/// Frames, records and their checksums.
struct Codec {
    decoder: wire::Decoder,
    frames: BytesMut,
    logs: [BytesMut; 3],
    written: [u64; 3],
}

impl Codec {
    fn new(config: &Config) -> Self {
        let decoder = wire::Decoder::with_crc(crc32c::crc32c_append, &config.limits);
        let logs = [(); 3].map(|()| BytesMut::with_capacity(LOG_BYTES));
        Self { decoder, frames: BytesMut::new(), logs, written: [0; 3] }
    }

    fn frame(&mut self, header: &Header, payload: &Payload<'_>) -> Bytes {
        let len = wire::encoded_len(payload);
        if self.frames.capacity() < len && !self.frames.try_reclaim(len) {
            self.frames = BytesMut::with_capacity(len.max(256 << 10));
        }
        wire::encode_with(crc32c::crc32c_append, header, payload, &mut self.frames);
        self.frames.split().freeze()
    }

    fn append(&mut self, place: usize, header: &Header, record: &Record<'_, Bytes>) {
        let log = &mut self.logs[place];
        let len = record::encoded_len(record);
        if log.len() + len > LOG_BYTES {
            log.clear();
        }
        let position = self.written[place];
        let stamp = Stamp { generation: header.boot, position, durable_upto: position };
        record::encode_with(crc32c::crc32c_append, header, &stamp, record, log);
        self.written[place] += len as u64;
    }
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Codec({:?})", self.written)
    }
}

/// The part of a log that stays in memory.
const LOG_BYTES: usize = 1 << 20;
