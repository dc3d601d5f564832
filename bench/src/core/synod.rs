//! Synod: a few services on one thread, logs that are durable at once, messages handed on as
//! values. A message to several peers is one letter, which all of them read.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use synod_core::record::{self, Stamp};
use synod_core::service::{
    At, Input, Outcome, Output, Request, Service, ServiceConfig, ServiceMessage, StateMachine,
};
use synod_core::wire::{self, Payload};
use synod_core::{
    Ballot, ClusterId, Config, Configuration, Event, GroupId, Header, Incarnation, Instant,
    Message, NodeId, NodeSet, Proposal, Record, Recovered, Slot, Standing,
};

use super::client::{Applier, Client};
use super::{Cluster, TURNS_PER_TICK};

/// The replicas and what is under way between them.
#[derive(Debug)]
pub(crate) struct Synod {
    members: Vec<Service<Machine>>,
    /// Who each member is to the others.
    headers: Vec<Header>,
    outboxes: Vec<Outbox>,
    leader: usize,
    now: Instant,
    turns: u64,
    codec: Option<Box<Codec>>,
}

/// What a member sent and nobody has read yet.
#[derive(Debug, Default)]
struct Outbox {
    letters: Vec<Letter>,
    /// The proposals of all letters, one after the other.
    proposals: Vec<Proposal<Bytes>>,
}

#[derive(Debug)]
struct Letter {
    to: NodeSet,
    /// The last of its proposals; they begin where those of the letter before end.
    end: u32,
    text: Text,
}

#[derive(Debug)]
enum Text {
    Accept {
        ballot: Ballot,
        from: Slot,
        decided: Slot,
    },
    Accepted {
        ballot: Ballot,
        end: Slot,
        resend: bool,
    },
    /// A message that is rare, without its proposals.
    Other(Box<Message<'static, Bytes>>),
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
    pub(crate) fn new(members: u64, window: u64, codec: bool) -> Self {
        let ids: Vec<NodeId> = (1..=members).map(NodeId).collect();
        let set = Configuration::first(&ids).expect("a sound set");
        let now = Instant(1);
        let start = |id: &NodeId| {
            let config = Config::new(ClusterId(1), GroupId(0), *id, set.clone());
            let mut config = ServiceConfig::new(config);
            // The client has its turn first, as in `synod-tokio`; the clock goes on with the ticks.
            config.replica.timeouts.notice = Duration::from_nanos(1);
            config.limits.batch_requests_max = window.clamp(1, 1 << 15) as usize;
            let log = Recovered::formatted(Incarnation(id.0));
            Service::new(config, log, Machine::default(), now).expect("a sound configuration")
        };
        let members: Vec<_> = ids.iter().map(start).collect();
        let headers = members.iter().map(|member| member.replica().header()).collect();
        let outboxes = members.iter().map(|_| Outbox::default()).collect();
        let config = Config::new(ClusterId(1), GroupId(0), ids[0], set.clone());
        let mut synod = Self {
            members,
            headers,
            outboxes,
            leader: 0,
            now,
            turns: 0,
            codec: codec.then(|| Box::new(Codec::new(&config))),
        };
        let mut nobody = Client::new(8);
        for _ in 0..10_000 {
            let leads = |service: &Service<Machine>| service.status().standing == Standing::Leading;
            if let Some(leader) = synod.members.iter().position(leads)
                && synod.members[leader].status().applied.0 > 0
            {
                synod.leader = leader;
                return synod;
            }
            synod.pass_time(&mut nobody);
        }
        panic!("three healthy replicas elect a leader");
    }

    fn pass_time(&mut self, client: &mut Client) {
        self.now = self.members.iter().map(Service::deadline).min().expect("members");
        for member in &mut self.members {
            member.handle(self.now, Input::Replica(Event::DeadlineReached)).expect("no message");
        }
        for _ in 0..8 {
            self.round(client);
        }
    }

    /// Every member takes in what has arrived and does what is due.
    fn round(&mut self, client: &mut Client) {
        let leader = self.leader;
        self.drain(leader, client);
        self.deliver(leader);
        let others = |members: usize| (0..members).filter(move |place| *place != leader);
        for place in others(self.members.len()) {
            self.drain(place, client);
        }
        for place in others(self.members.len()) {
            self.deliver(place);
        }
        self.drain(leader, client);
    }

    /// Hands on what one member sent.
    fn deliver(&mut self, place: usize) {
        // Nobody sends while he reads.
        let Self { members, headers, outboxes, codec, now, .. } = self;
        let Outbox { letters, proposals } = &mut outboxes[place];
        let mut begin = 0;
        for letter in letters.iter() {
            let proposals = &proposals[begin..letter.end as usize];
            begin = letter.end as usize;
            for receiver in letter.to.iter() {
                let member = &mut members[receiver.place()];
                let input = match codec {
                    Some(codec) => codec.read(&letter.text),
                    None => letter.text.read(headers[place], proposals),
                };
                member.handle(*now, input).expect("nobody misbehaves");
            }
        }
        letters.clear();
        proposals.clear();
    }

    fn drain(&mut self, place: usize, client: &mut Client) {
        let Self { members, headers, outboxes, codec, now, .. } = self;
        let (member, outbox) = (&mut members[place], &mut outboxes[place]);
        while let Some(output) = member.poll() {
            match output {
                Output::Persist { id, record } => {
                    if let Some(codec) = codec {
                        codec.append(place, &headers[place], &record);
                    }
                    let input = Input::Replica(Event::Persisted { upto: id });
                    member.handle(*now, input).expect("only messages can misbehave");
                }
                Output::Send { to, payload } => match codec {
                    Some(codec) => {
                        let text = Text::Frame(codec.frame(&headers[place], &payload));
                        outbox.letters.push(Letter { to, end: 0, text });
                    }
                    None => outbox.post(to, &payload),
                },
                Output::Outcome { id: _, outcome } => match outcome {
                    Outcome::Applied { reply, slot: _, ballot: _ } => client.answer(reply),
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

impl Outbox {
    /// Takes hold of a message.
    fn post(&mut self, to: NodeSet, payload: &Payload<'_>) {
        let text = match payload {
            Payload::Service(message) => Text::Service(message.clone()),
            Payload::Replica(message) => match *message {
                Message::Accept { ballot, from, proposals, decided } => {
                    self.proposals.extend_from_slice(proposals);
                    Text::Accept { ballot, from, decided }
                }
                Message::Accepted { ballot, end, resend } => Text::Accepted { ballot, end, resend },
                Message::Promise { ballot, from, end, limit, decided, retained, proposals } => {
                    self.proposals.extend_from_slice(proposals);
                    let proposals: &[_] = &[];
                    Text::Other(Box::new(Message::Promise {
                        ballot,
                        from,
                        end,
                        limit,
                        decided,
                        retained,
                        proposals,
                    }))
                }
                Message::Learned { from, proposals, decided } => {
                    self.proposals.extend_from_slice(proposals);
                    Text::Other(Box::new(Message::Learned { from, proposals: &[], decided }))
                }
                Message::Beat(beat) => Text::Other(Box::new(Message::Beat(beat))),
                Message::Prepare { ballot, from } => {
                    Text::Other(Box::new(Message::Prepare { ballot, from }))
                }
                Message::Nack { refused, promised } => {
                    Text::Other(Box::new(Message::Nack { refused, promised }))
                }
                Message::Learn { from } => Text::Other(Box::new(Message::Learn { from })),
            },
        };
        let end = self.proposals.len() as u32;
        self.letters.push(Letter { to, end, text });
    }
}

impl Text {
    /// The message again, with its proposals lent.
    fn read<'a>(&self, header: Header, proposals: &'a [Proposal<Bytes>]) -> Input<'a> {
        let message = match self {
            Self::Accept { ballot, from, decided } => {
                Message::Accept { ballot: *ballot, from: *from, proposals, decided: *decided }
            }
            Self::Accepted { ballot, end, resend } => {
                Message::Accepted { ballot: *ballot, end: *end, resend: *resend }
            }
            Self::Other(template) => match **template {
                Message::Promise { ballot, from, end, limit, decided, retained, proposals: _ } => {
                    Message::Promise { ballot, from, end, limit, decided, retained, proposals }
                }
                Message::Learned { from, proposals: _, decided } => {
                    Message::Learned { from, proposals, decided }
                }
                Message::Beat(beat) => Message::Beat(beat),
                Message::Prepare { ballot, from } => Message::Prepare { ballot, from },
                Message::Nack { refused, promised } => Message::Nack { refused, promised },
                Message::Learn { from } => Message::Learn { from },
                Message::Accept { .. } | Message::Accepted { .. } => {
                    unreachable!("these have texts of their own")
                }
            },
            Self::Service(message) => return Input::Service { header, message: message.clone() },
            Self::Frame(_) => unreachable!("frames are for the codec"),
        };
        Input::Replica(Event::Received { header, message })
    }
}

impl Cluster for Synod {
    fn submit(&mut self, command: Bytes) {
        let taken = self.members[self.leader].submit(self.now, Request::new(command));
        taken.expect("there is room");
    }

    fn turn(&mut self, client: &mut Client) {
        self.turns += 1;
        if self.turns.is_multiple_of(TURNS_PER_TICK) {
            self.pass_time(client);
        } else {
            self.round(client);
        }
    }

    fn settle(&mut self) {
        let mut nobody = Client::new(8);
        self.pass_time(&mut nobody);
    }

    fn applied(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.machine().0.applied()).collect()
    }
}

/// Frames, records and their checksums.
struct Codec {
    decoder: wire::Decoder,
    frames: BytesMut,
    logs: Vec<BytesMut>,
    written: Vec<u64>,
}

impl Codec {
    fn new(config: &Config) -> Self {
        let decoder = wire::Decoder::with_crc(crc32c::crc32c_append, &config.limits);
        let members = config.configuration.members().len();
        let logs = (0..members).map(|_| BytesMut::with_capacity(LOG_BYTES)).collect();
        Self { decoder, frames: BytesMut::new(), logs, written: vec![0; members] }
    }

    fn frame(&mut self, header: &Header, payload: &Payload<'_>) -> Bytes {
        let len = wire::encoded_len(payload);
        if self.frames.capacity() < len && !self.frames.try_reclaim(len) {
            self.frames = BytesMut::with_capacity(len.max(FRAMES_BYTES));
        }
        wire::encode_with(crc32c::crc32c_append, header, payload, &mut self.frames);
        self.frames.split().freeze()
    }

    fn read(&mut self, text: &Text) -> Input<'_> {
        let Text::Frame(frame) = text else { unreachable!("the codec makes frames") };
        let (header, payload) = self.decoder.decode(frame).expect("a sound frame");
        match payload {
            Payload::Replica(message) => Input::Replica(Event::Received { header, message }),
            Payload::Service(message) => Input::Service { header, message },
        }
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
const FRAMES_BYTES: usize = 256 << 10;
