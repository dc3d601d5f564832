//! One connection of a client.

use core::future::{Future, pending};
use core::pin::Pin;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use synod_core::service::{Outcome, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::answers::{Answers, Owed};
use super::long::LongAnswer;
use super::{Backend, Shared, verdict};
use crate::command::{self, Session, Step};
use crate::resp::{Parser, Writer};
use crate::store::Reply;

/// One connection, served by one task.
pub(super) struct Connection<B: Backend> {
    shared: Arc<Shared<B>>,
    stream: TcpStream,
    session: Session,
    parser: Parser,
    /// Read and not parsed. Bounded by the limits of the parser, which takes what is whole.
    input: BytesMut,
    /// Invariant: `answers.len() <= pipeline_max`.
    answers: Answers<B>,
    /// Answers on their way. No answer is added while it holds `output_bytes_max` or more.
    output: BytesMut,
    /// The rest of an answer of which the output holds the beginning.
    long: Option<LongAnswer>,
    /// A request that waits for its permit; nothing behind it is parsed.
    held: Option<Held>,
    /// Nothing more is taken in: the client has quit, broken the protocol or closed its half.
    is_ending: bool,
    /// Since when the client takes no byte of the output; `None` while there is none.
    waits_since: Option<Instant>,
}

struct Held {
    request: Bytes,
    is_read: bool,
    permit: Permit,
}

type Permit = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// What woke the task.
enum Turn {
    Stop,
    Answered,
    Permitted(Result<OwnedSemaphorePermit, AcquireError>),
    Socket(tokio::io::Ready),
    Stalled,
}

impl<B: Backend> Connection<B> {
    pub(super) fn new(
        shared: Arc<Shared<B>>,
        stream: TcpStream,
        session: Session,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        // A client whose machine vanished would otherwise count for ever.
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let parser = Parser::new(shared.config.limits.resp);
        Ok(Self {
            shared,
            stream,
            session,
            parser,
            input: BytesMut::new(),
            answers: Answers::new(),
            output: BytesMut::new(),
            long: None,
            held: None,
            is_ending: false,
            waits_since: None,
        })
    }

    /// Serves the client until it leaves, breaks the protocol or stalls, or the server stops.
    ///
    /// # Errors
    /// When the socket fails: the client is gone.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        loop {
            self.take_commands();
            self.write_answers();
            if self.is_ending && self.is_settled() {
                return self.leave().await;
            }
            match self.turn(&mut stop).await? {
                Turn::Stop => self.is_ending = true,
                Turn::Answered => {}
                Turn::Permitted(permit) => self.submit_held(permit),
                Turn::Socket(ready) => {
                    if ready.is_writable() {
                        self.send()?;
                    }
                    if ready.is_readable() && self.may_read() {
                        self.receive()?;
                    }
                }
                Turn::Stalled => return Ok(()),
            }
        }
    }

    /// Waits for the next thing that this connection can go on with.
    async fn turn(&mut self, stop: &mut watch::Receiver<bool>) -> io::Result<Turn> {
        let interest = self.interest();
        let is_waiting = self.answers.is_waiting();
        let is_ending = self.is_ending;
        if self.output.is_empty() {
            self.waits_since = None;
        } else if self.waits_since.is_none() {
            self.waits_since = Some(Instant::now());
        }
        let stalled = self.waits_since.map(|since| since + self.shared.config.limits.stall);
        let stalled = async {
            match stalled {
                Some(stalled) => tokio::time::sleep_until(stalled).await,
                None => pending().await,
            }
        };
        let socket = async {
            match interest {
                Some(interest) => self.stream.ready(interest).await,
                None => pending().await,
            }
        };
        let permit = async {
            match &mut self.held {
                Some(held) => held.permit.as_mut().await,
                None => pending().await,
            }
        };
        // Answers first, so that those that are there leave together.
        Ok(tokio::select! {
            biased;
            () = self.answers.advance(), if is_waiting => Turn::Answered,
            permit = permit => Turn::Permitted(permit),
            ready = socket => Turn::Socket(ready?),
            _ = stop.wait_for(|stop| *stop), if !is_ending => Turn::Stop,
            () = stalled => Turn::Stalled,
        })
    }

    fn interest(&self) -> Option<Interest> {
        match (self.may_read(), self.output.is_empty()) {
            (true, true) => Some(Interest::READABLE),
            (true, false) => Some(Interest::READABLE | Interest::WRITABLE),
            (false, false) => Some(Interest::WRITABLE),
            (false, true) => None,
        }
    }

    fn may_read(&self) -> bool {
        self.has_room() && !self.is_ending
    }

    /// Whether one more command fits.
    fn has_room(&self) -> bool {
        let limits = &self.shared.config.limits;
        self.held.is_none()
            && self.answers.len() < limits.pipeline_max
            && self.output.len() < limits.output_bytes_max
    }

    /// Whether everything taken in is answered and taken.
    fn is_settled(&self) -> bool {
        self.held.is_none()
            && self.answers.is_empty()
            && self.long.is_none()
            && self.output.is_empty()
    }

    /// Runs the commands that have arrived, as many as fit.
    fn take_commands(&mut self) {
        while self.has_room() && !self.is_ending {
            match self.parser.next(&mut self.input) {
                Ok(Some(args)) => self.run_command(&args),
                Ok(None) => return,
                Err(error) => {
                    self.write_now(|writer| writer.error(&error.to_string()));
                    self.is_ending = true;
                }
            }
        }
    }

    fn run_command(&mut self, args: &[Bytes]) {
        self.shared.counters.commands.add();
        let mut answer = BytesMut::new();
        // What is answered at once goes straight into the output when nothing is ahead of it.
        let is_next = self.answers.is_empty() && self.long.is_none();
        let out = if is_next { &mut self.output } else { &mut answer };
        match command::run(args, &mut self.session, &self.shared.settings, out) {
            Step::Answered => {}
            Step::Close => self.is_ending = true,
            Step::Submit { request, read } => self.submit(request, read),
            Step::Inform { sections } => {
                let asked = Box::pin(self.shared.backend.facts());
                let version = self.session.version;
                self.answers.push(Owed::Asking { asked, sections, version });
            }
        }
        if !answer.is_empty() {
            self.answers.push(Owed::Written(answer.freeze()));
        }
    }

    fn submit(&mut self, request: Bytes, is_read: bool) {
        let permits = Arc::clone(&self.shared.permits);
        match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => self.submit_now(request, is_read, permit),
            Err(_) => {
                let permit = Box::pin(permits.acquire_owned());
                self.held = Some(Held { request, is_read, permit });
            }
        }
    }

    fn submit_now(&mut self, request: Bytes, is_read: bool, permit: OwnedSemaphorePermit) {
        let submitted = self.shared.backend.submit(Request::new(request));
        let version = self.session.version;
        self.answers.push(Owed::Waiting { submitted, _permit: permit, is_read, version });
    }

    fn submit_held(&mut self, permit: Result<OwnedSemaphorePermit, AcquireError>) {
        if let (Some(held), Ok(permit)) = (self.held.take(), permit) {
            self.submit_now(held.request, held.is_read, permit);
        }
    }

    /// Writes an answer of this server's own behind all others.
    fn write_now(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let mut answer = BytesMut::new();
        write(&mut Writer::new(&mut answer, self.session.version));
        self.answers.push(Owed::Written(answer.freeze()));
    }

    /// Moves answers that are ready into the output, as many as fit.
    fn write_answers(&mut self) {
        let bytes_max = self.shared.config.limits.output_bytes_max;
        while self.output.len() < bytes_max {
            if let Some(long) = &mut self.long {
                if !long.write(bytes_max, &mut self.output) {
                    return;
                }
                self.long = None;
            }
            let Some(owed) = self.answers.pop() else { return };
            self.write_answer(owed);
        }
    }

    fn write_answer(&mut self, owed: Owed<B>) {
        match owed {
            Owed::Written(bytes) => self.output.extend_from_slice(&bytes),
            Owed::Known {
                outcome: Outcome::Applied { reply: Reply::Values(values), slot: _, ballot: _ },
                is_read: _,
                version,
            } => self.long = Some(LongAnswer::begin(values, version, &mut self.output)),
            Owed::Known { outcome, is_read, version } => {
                let request_bytes_max = self.shared.config.request_bytes_max;
                let start = self.output.len();
                let writer = &mut Writer::new(&mut self.output, version);
                verdict::write(&outcome, is_read, request_bytes_max, writer);
                if self.output[start..].starts_with(b"-UNCERTAIN") {
                    self.shared.counters.uncertain.add();
                }
            }
            Owed::Told { facts, sections, version } => {
                let writer = &mut Writer::new(&mut self.output, version);
                match facts {
                    Some(facts) => command::inform(&self.shared.facts(facts), &sections, writer),
                    None => writer.error("CLUSTERDOWN the node of this replica has stopped"),
                }
            }
            Owed::Waiting { .. } | Owed::Asking { .. } => {
                unreachable!("only answers that are ready leave the queue")
            }
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        self.input.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.input) {
            // The client has closed its half: what it asked before is still answered.
            Ok(0) => self.is_ending = true,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(len) => {
                    self.output.advance(len);
                    self.waits_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        // A large answer does not leave a large buffer behind.
        self.output = BytesMut::new();
        Ok(())
    }

    /// Closes such that the last answer arrives: bytes of the client that nobody reads would make
    /// the system reset the connection, and with it what is still under way.
    async fn leave(mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let drain = async {
            let mut left = LEAVE_BYTES_MAX;
            while left > 0 {
                self.input.clear();
                self.input.reserve(READ_BYTES);
                let len = self.stream.read_buf(&mut self.input).await?;
                if len == 0 {
                    break;
                }
                left = left.saturating_sub(len);
            }
            Ok(())
        };
        tokio::time::timeout(LEAVE_TIME_MAX, drain).await.unwrap_or(Ok(()))
    }
}

/// Room made for one read.
const READ_BYTES: usize = 16 << 10;

/// So many bytes of a client that was closed are read and dropped.
const LEAVE_BYTES_MAX: usize = 1 << 20;

/// And for so long.
const LEAVE_TIME_MAX: Duration = Duration::from_millis(500);

/// A connection that is silent for so long is probed.
const KEEPALIVE: Duration = Duration::from_secs(300);
