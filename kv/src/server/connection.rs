//! One connection of a client.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use synod_core::service::{Outcome, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, watch};

use super::answers::{Answers, Kind, Owed};
use super::backend::Outcomes;
use super::long::LongAnswer;
use super::output::Output;
use super::permits::Permits;
use super::{Backend, Pipe as _, Shared, verdict};
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
    pipe: B::Pipe,
    /// Invariant: as many as the pipe has outstanding.
    permits: Permits,
    /// Outcomes on their way from the pipe to their answers; empty between two turns.
    outcomes: Outcomes,
    /// Invariant: `answers.len() <= pipeline_max`.
    answers: Answers,
    /// Answers on their way. No answer is added while it holds `output_bytes_max` or more.
    output: Output,
    /// The rest of an answer of which the output holds the beginning.
    long: Option<LongAnswer>,
    /// A request that waits for its permit; nothing behind it is parsed.
    held: Option<Held>,
    /// Nothing more is taken in: the client has quit, broken the protocol or closed its half.
    is_ending: bool,
}

struct Held {
    request: Bytes,
    kind: Kind,
    permit: Permit,
}

type Permit = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// Why a connection ends.
enum End {
    /// Everything that was taken in is answered, and the client has the answers.
    Settled,
    /// The client has taken nothing for too long.
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
        let limits = shared.config.limits;
        Ok(Self {
            pipe: shared.backend.pipe(limits.pipeline_max),
            permits: Permits::new(Arc::clone(&shared.permits)),
            shared,
            stream,
            session,
            parser: Parser::new(limits.resp),
            input: BytesMut::new(),
            outcomes: Vec::new(),
            answers: Answers::default(),
            output: Output::new(limits.stall),
            long: None,
            held: None,
            is_ending: false,
        })
    }

    /// Serves the client until it leaves, breaks the protocol or stalls, or the server stops.
    ///
    /// # Errors
    /// When the socket fails: the client is gone.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let end = {
            let mut stop = pin!(async move {
                // A server that is gone without a word has stopped as well.
                let _ = stop.wait_for(|stop| *stop).await;
            });
            poll_fn(|cx| self.poll_end(cx, stop.as_mut())).await?
        };
        match end {
            End::Settled => self.leave().await,
            End::Stalled => Ok(()),
        }
    }

    /// One turn: takes in all that is known, then what the client says, and answers what can be
    /// answered. Not ready until the connection ends.
    fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<io::Result<End>> {
        self.take_outcomes(cx);
        self.take_permit(cx);
        let mut reads = 0;
        loop {
            self.go_on(cx);
            let was_full = self.is_full();
            // What the client does not take now it takes in a later turn.
            if let Poll::Ready(Err(error)) = self.output.poll_send(cx, pin!(&mut self.stream)) {
                return Poll::Ready(Err(error));
            }
            if was_full && !self.is_full() {
                continue;
            }
            if self.is_ending && self.is_settled() {
                return Poll::Ready(Ok(End::Settled));
            }
            if self.may_read() {
                if reads == READS_PER_TURN {
                    // A client that is never silent: the others of this thread have their turns.
                    cx.waker().wake_by_ref();
                } else if let Poll::Ready(received) = self.poll_receive(cx) {
                    received?;
                    reads += 1;
                    continue;
                }
            }
            if !self.is_ending && stop.as_mut().poll(cx).is_ready() {
                self.is_ending = true;
                continue;
            }
            return self.output.poll_stalled(cx).map(|()| Ok(End::Stalled));
        }
    }

    /// Takes what came of requests. Their permits go back at once.
    fn take_outcomes(&mut self, cx: &mut Context<'_>) {
        while self.pipe.outstanding() > 0 {
            let Poll::Ready(count) = self.pipe.poll_outcomes(cx, &mut self.outcomes) else { break };
            self.permits.give_back(count);
            for (number, outcome) in self.outcomes.drain(..) {
                self.answers.settle(number, outcome);
            }
        }
        if self.outcomes.capacity() > OUTCOMES_KEPT_MAX {
            self.outcomes = Vec::new();
        }
    }

    /// Submits the request that waited for its permit, when that is there.
    fn take_permit(&mut self, cx: &mut Context<'_>) {
        let Some(held) = &mut self.held else { return };
        let Poll::Ready(permit) = held.permit.as_mut().poll(cx) else { return };
        if let (Some(held), Ok(permit)) = (self.held.take(), permit) {
            self.permits.add(permit);
            self.submit_now(held.request, held.kind);
            // Registers for the outcome, which may even be there.
            self.take_outcomes(cx);
        }
    }

    /// Runs commands that have arrived and writes answers, until neither can go on.
    fn go_on(&mut self, cx: &mut Context<'_>) {
        loop {
            self.write_answers(cx);
            if !self.take_commands() {
                return;
            }
            // Outcomes wake this task only when it has looked for them. Some are there already.
            self.take_permit(cx);
            self.take_outcomes(cx);
        }
    }

    /// Whether no answer may be added to the output.
    fn is_full(&self) -> bool {
        self.output.len() >= self.shared.config.limits.output_bytes_max
    }

    fn may_read(&self) -> bool {
        self.has_room() && !self.is_ending
    }

    /// Whether one more command fits.
    fn has_room(&self) -> bool {
        self.held.is_none()
            && self.answers.len() < self.shared.config.limits.pipeline_max
            && !self.is_full()
    }

    /// Whether everything taken in is answered and taken.
    fn is_settled(&self) -> bool {
        self.held.is_none()
            && self.answers.is_empty()
            && self.long.is_none()
            && self.output.is_empty()
    }

    /// Runs the commands that have arrived, as many as fit. Whether there were any, or a fault.
    fn take_commands(&mut self) -> bool {
        let (mut count, mut is_faulty) = (0, false);
        while self.may_read() {
            match self.parser.next(&mut self.input) {
                Ok(Some(words)) => {
                    count += 1;
                    self.run_command(&words);
                    self.parser.recycle(words);
                }
                Ok(None) => break,
                Err(error) => {
                    self.write_error(&error.to_string());
                    (self.is_ending, is_faulty) = (true, true);
                }
            }
        }
        self.shared.counters.commands.add_many(count);
        count > 0 || is_faulty
    }

    fn run_command(&mut self, words: &[Bytes]) {
        let mut answer = BytesMut::new();
        // What is answered at once goes straight into the output when nothing is ahead of it.
        let is_next = self.answers.is_empty() && self.long.is_none();
        let out = if is_next { &mut self.output.bytes } else { &mut answer };
        match command::run(words, &mut self.session, &self.shared.settings, out) {
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
        let kind = Kind { is_read, version: self.session.version };
        if self.permits.try_take() {
            self.submit_now(request, kind);
        } else {
            let permit = Box::pin(self.permits.wait());
            self.held = Some(Held { request, kind, permit });
        }
    }

    /// Submits a request whose permit is there.
    fn submit_now(&mut self, request: Bytes, kind: Kind) {
        match self.pipe.submit(Request::new(request)) {
            Ok(number) => self.answers.push_request(number, kind),
            Err(why) => {
                self.permits.give_back(1);
                self.answers.push(Owed::Known { outcome: Outcome::Refused(why), kind });
            }
        }
    }

    /// Writes an answer of this server's own behind all others.
    fn write_error(&mut self, text: &str) {
        let mut answer = BytesMut::new();
        Writer::new(&mut answer, self.session.version).error(text);
        self.answers.push(Owed::Written(answer.freeze()));
    }

    /// Moves answers that are ready into the output, as many as fit.
    fn write_answers(&mut self, cx: &mut Context<'_>) {
        let bytes_max = self.shared.config.limits.output_bytes_max;
        while self.output.len() < bytes_max {
            if let Some(long) = &mut self.long {
                if !long.write(bytes_max, &mut self.output.bytes) {
                    return;
                }
                self.long = None;
            }
            let Some(owed) = self.answers.pop(cx) else { break };
            self.write_answer(owed);
        }
        self.answers.shrink();
    }

    fn write_answer(&mut self, owed: Owed) {
        match owed {
            Owed::Written(bytes) => self.output.bytes.extend_from_slice(&bytes),
            Owed::Known {
                outcome: Outcome::Applied { reply: Reply::Values(values), slot: _, ballot: _ },
                kind,
            } => self.long = Some(LongAnswer::begin(values, kind.version, &mut self.output.bytes)),
            Owed::Known { outcome, kind } => {
                let request_bytes_max = self.shared.config.request_bytes_max;
                let start = self.output.len();
                let writer = &mut Writer::new(&mut self.output.bytes, kind.version);
                verdict::write(&outcome, kind.is_read, request_bytes_max, writer);
                if self.output.bytes[start..].starts_with(b"-UNCERTAIN") {
                    self.shared.counters.uncertain.add();
                }
            }
            Owed::Told { facts, sections, version } => {
                let writer = &mut Writer::new(&mut self.output.bytes, version);
                match facts {
                    Some(facts) => command::inform(&self.shared.facts(facts), &sections, writer),
                    None => writer.error("CLUSTERDOWN the node of this replica has stopped"),
                }
            }
            Owed::Waiting(_) | Owed::Asking { .. } => {
                unreachable!("only answers that are ready leave the queue")
            }
        }
    }

    /// Reads once.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.reserve(READ_BYTES);
        // A read that did not fill the room was the last until more has come: the next one is
        // pending without a call of the system.
        let read = pin!(self.stream.read_buf(&mut self.input));
        let len = ready!(read.poll(cx)?);
        // The client has closed its half: what it asked before is still answered.
        self.is_ending |= len == 0;
        Poll::Ready(Ok(()))
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

/// Reads in one turn. After all but a full one the next finds nothing.
const READS_PER_TURN: usize = 2;

/// Room for so many outcomes is kept while there are none.
const OUTCOMES_KEPT_MAX: usize = 64;

/// So many bytes of a client that was closed are read and dropped.
const LEAVE_BYTES_MAX: usize = 1 << 20;

/// And for so long.
const LEAVE_TIME_MAX: Duration = Duration::from_millis(500);

/// A connection that is silent for so long is probed.
const KEEPALIVE: Duration = Duration::from_secs(300);
