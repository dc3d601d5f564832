//! The parser of commands.

use core::{fmt, mem};

use bytes::{Buf, Bytes, BytesMut};

use super::{Limits, inline};
use crate::integer;

/// Reads commands out of the bytes of a connection, one after the other.
///
/// The state between two calls is the part of a command that is already complete, so no byte is
/// looked at twice, however the network splits them.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    state: State,
    /// The arguments complete so far. Invariant: `args.len() <= limits.args_max`.
    args: Vec<Bytes>,
    /// Bytes in `args` and announced for the next one. Invariant: `<= limits.query_bytes_max`.
    bytes: usize,
    /// Bytes at the front of the input known to hold no end of line.
    scanned: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Between two commands.
    Start,
    /// So many arguments are still to come, and the next line announces one.
    Announced { left: usize },
    /// The next argument has `len` bytes; `left` counts it.
    Inside { left: usize, len: usize },
    /// The input is no RESP: nothing behind it is looked at.
    Broken,
}

/// The client broke the protocol: it is told so and the connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolError {
    /// An inline command longer than [`Limits::LINE_BYTES_MAX`].
    InlineTooLong,
    /// A quote in an inline command does not end.
    UnbalancedQuotes,
    /// The line that announces the number of arguments does not end.
    CountTooLong,
    /// The number of arguments is no number or above [`Limits::args_max`].
    BadCount,
    /// The line that announces the length of an argument does not end.
    LengthTooLong,
    /// An argument must start with `$`; this byte stood there instead.
    NoBulk(u8),
    /// The length of an argument is no number, negative or above [`Limits::bulk_bytes_max`].
    BadLength,
    /// The arguments together are above [`Limits::query_bytes_max`].
    QueryTooLarge,
    /// An argument is longer than was announced.
    NoLineEnd,
    /// Something follows a protocol error.
    AlreadyBroken,
}

impl Parser {
    /// A parser at the start of a connection.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, state: State::Start, args: Vec::new(), bytes: 0, scanned: 0 }
    }

    /// Takes the next complete command off the front of `input`: its name and arguments, at least
    /// one. `None`: the input ends inside a command; call again when more has arrived. The
    /// arguments are slices of the input, not copies.
    ///
    /// # Errors
    /// When the input is no RESP. The connection cannot go on.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        let result = self.advance(input);
        if result.is_err() {
            self.state = State::Broken;
            self.args = Vec::new();
        }
        result
    }

    /// Takes the list of a command back when it has been run: the next command needs none anew.
    pub fn recycle(&mut self, mut words: Vec<Bytes>) {
        words.clear();
        if self.args.is_empty() && words.capacity() <= ARGS_RESERVED_MAX {
            self.args = words;
        }
    }

    fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        loop {
            let step = match self.state {
                State::Start => self.start(input)?,
                State::Announced { left: 0 } => return Ok(Some(self.finish())),
                State::Announced { left } => self.announcement(input, left)?,
                State::Inside { left, len } => self.argument(input, left, len)?,
                State::Broken => return Err(ProtocolError::AlreadyBroken),
            };
            match step {
                Step::NeedMore => return Ok(None),
                Step::Go => {}
                Step::Inline(words) => return Ok(Some(words)),
            }
        }
    }

    fn start(&mut self, input: &mut BytesMut) -> Result<Step, ProtocolError> {
        match input.first() {
            None => Ok(Step::NeedMore),
            Some(b'*') => {
                let Some(end) = self.line_end(input, ProtocolError::CountTooLong)? else {
                    return Ok(Step::NeedMore);
                };
                let count = integer::parse(&line(input, end)[1..]);
                input.advance(end + 1);
                let count = count.ok_or(ProtocolError::BadCount)?;
                // Zero and negative counts are empty commands, which Redis skips.
                let count = usize::try_from(count).unwrap_or(0);
                if count > self.limits.args_max {
                    return Err(ProtocolError::BadCount);
                }
                if count > 0 {
                    self.args.reserve(count.min(ARGS_RESERVED_MAX));
                    self.bytes = 0;
                    self.state = State::Announced { left: count };
                }
                Ok(Step::Go)
            }
            Some(_) => {
                let Some(end) = self.line_end(input, ProtocolError::InlineTooLong)? else {
                    return Ok(Step::NeedMore);
                };
                let words = inline::split(line(input, end));
                input.advance(end + 1);
                let words = words.map_err(|_| ProtocolError::UnbalancedQuotes)?;
                if words.len() > self.limits.args_max {
                    return Err(ProtocolError::BadCount);
                }
                Ok(if words.is_empty() { Step::Go } else { Step::Inline(words) })
            }
        }
    }

    fn announcement(&mut self, input: &mut BytesMut, left: usize) -> Result<Step, ProtocolError> {
        match input.first() {
            None => return Ok(Step::NeedMore),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::NoBulk(*other)),
        }
        let Some(end) = self.line_end(input, ProtocolError::LengthTooLong)? else {
            return Ok(Step::NeedMore);
        };
        let len = integer::parse(&line(input, end)[1..]).and_then(|len| usize::try_from(len).ok());
        input.advance(end + 1);
        let len =
            len.filter(|len| *len <= self.limits.bulk_bytes_max).ok_or(ProtocolError::BadLength)?;
        if len > self.limits.query_bytes_max - self.bytes {
            return Err(ProtocolError::QueryTooLarge);
        }
        self.bytes += len;
        self.state = State::Inside { left, len };
        Ok(Step::Go)
    }

    fn argument(
        &mut self,
        input: &mut BytesMut,
        left: usize,
        len: usize,
    ) -> Result<Step, ProtocolError> {
        if input.len() < len + LINE_END.len() {
            return Ok(Step::NeedMore);
        }
        let argument = input.split_to(len).freeze();
        // Redis skips two bytes here whatever they are. To refuse is safer: a client that counts
        // wrongly would otherwise have the rest of its text run as commands.
        if !input.starts_with(LINE_END) {
            return Err(ProtocolError::NoLineEnd);
        }
        input.advance(LINE_END.len());
        self.args.push(argument);
        self.state = State::Announced { left: left - 1 };
        Ok(Step::Go)
    }

    fn finish(&mut self) -> Vec<Bytes> {
        self.state = State::Start;
        mem::take(&mut self.args)
    }

    /// Where the line at the front of `input` ends, if it does.
    fn line_end(
        &mut self,
        input: &BytesMut,
        too_long: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let seen = input.len().min(Limits::LINE_BYTES_MAX);
        let fresh = input.get(self.scanned..seen).unwrap_or_default();
        let Some(place) = fresh.iter().position(|byte| *byte == b'\n') else {
            if seen == Limits::LINE_BYTES_MAX {
                return Err(too_long);
            }
            self.scanned = seen;
            return Ok(None);
        };
        Ok(Some(mem::take(&mut self.scanned) + place))
    }
}

/// The line that ends at `end`, without its end.
fn line(input: &BytesMut, end: usize) -> &[u8] {
    let line = &input[..end];
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What one step of the parser came to.
enum Step {
    NeedMore,
    Go,
    Inline(Vec<Bytes>),
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        match self {
            Self::InlineTooLong => f.write_str("too big inline request"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            Self::CountTooLong => f.write_str("too big mbulk count string"),
            Self::BadCount => f.write_str("invalid multibulk length"),
            Self::LengthTooLong => f.write_str("too big bulk count string"),
            Self::NoBulk(byte) => {
                let shown = if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' };
                write!(f, "expected '$', got '{shown}'")
            }
            Self::BadLength => f.write_str("invalid bulk length"),
            Self::QueryTooLarge => f.write_str("too big query"),
            Self::NoLineEnd => f.write_str("expected CRLF behind a bulk string"),
            Self::AlreadyBroken => f.write_str("the connection is broken"),
        }
    }
}

impl core::error::Error for ProtocolError {}

const LINE_END: &[u8] = b"\r\n";

/// Room is made for so many arguments at once: a client that announces more has to send them.
const ARGS_RESERVED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    const SMALL: Limits = Limits { bulk_bytes_max: 32, query_bytes_max: 48, args_max: 6 };

    type Parsed = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

    /// All commands of `bytes`, which arrive in pieces that end where `cuts` says.
    fn parse(limits: Limits, bytes: &[u8], mut cut: impl FnMut(usize) -> usize) -> Parsed {
        let mut parser = Parser::new(limits);
        let (mut input, mut rest, mut commands) = (BytesMut::new(), bytes, Vec::new());
        loop {
            loop {
                match parser.next(&mut input) {
                    Ok(Some(args)) => {
                        assert!(!args.is_empty(), "a command has a name");
                        assert!(args.len() <= limits.args_max.max(1));
                        commands.push(args.iter().map(|arg| arg.to_vec()).collect());
                    }
                    Ok(None) => break,
                    Err(error) => return (commands, Some(error)),
                }
            }
            if rest.is_empty() {
                return (commands, None);
            }
            let (piece, behind) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
            input.extend_from_slice(piece);
            rest = behind;
        }
    }

    fn whole(bytes: &[u8]) -> Parsed {
        parse(SMALL, bytes, |len| len)
    }

    #[test]
    fn commands_in_both_forms_and_pipelined() {
        let (commands, error) = whole(
            b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*0\r\n\r\n*-1\r\nPING\r\n*1\r\n$0\r\n\r\nq\n*1\r\n",
        );
        assert_eq!(error, None);
        let wanted: Vec<Vec<Vec<u8>>> = vec![
            vec![b"GET".to_vec(), b"a".to_vec()],
            vec![b"PING".to_vec()],
            vec![b"".to_vec()],
            vec![b"q".to_vec()],
        ];
        assert_eq!(commands, wanted);
    }

    #[test]
    fn each_fault_has_its_text() {
        let long = [b'*'].iter().copied().chain([b'1'; Limits::LINE_BYTES_MAX]);
        let long_count: Vec<u8> = long.clone().collect();
        let long_length: Vec<u8> = b"*1\r\n$".iter().copied().chain(long.skip(1)).collect();
        let cases: [(&[u8], &str); 13] = [
            (&[b'x'; Limits::LINE_BYTES_MAX], "too big inline request"),
            (b"GET \"a\r\n", "unbalanced quotes in request"),
            (&long_count, "too big mbulk count string"),
            (b"*x\r\n", "invalid multibulk length"),
            (b"*7\r\n", "invalid multibulk length"),
            (b"*99999999999999999999\r\n", "invalid multibulk length"),
            (&long_length, "too big bulk count string"),
            (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
            (b"*1\r\n\x00", "expected '$', got ' '"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$33\r\n", "invalid bulk length"),
            (b"*2\r\n$32\r\n0123456789012345678901234567890_\r\n$17\r\n", "too big query"),
            (b"*1\r\n$3\r\nPING\r\n", "expected CRLF behind a bulk string"),
        ];
        for (bytes, text) in cases {
            let error = whole(bytes).1.unwrap_or_else(|| panic!("{text}: accepted"));
            assert_eq!(error.to_string(), format!("ERR Protocol error: {text}"));
        }
        let limit = format!("*6\r\n{}", "$1\r\na\r\n".repeat(6));
        assert_eq!(whole(limit.as_bytes()), (vec![vec![b"a".to_vec(); 6]], None));
    }

    #[test]
    fn nothing_follows_a_fault() {
        let mut parser = Parser::new(SMALL);
        let mut input = BytesMut::from(&b"*x\r\nPING\r\n"[..]);
        assert_eq!(parser.next(&mut input), Err(ProtocolError::BadCount));
        assert_eq!(parser.next(&mut input), Err(ProtocolError::AlreadyBroken));
    }

    /// Bytes that look like RESP often enough to reach every state.
    fn arbitrary(chance: &mut Chance) -> Vec<u8> {
        let pieces: [&[u8]; 16] = [
            b"*1\r\n",
            b"*2\r\n",
            b"*6\r\n",
            b"$1\r\n",
            b"$3\r\n",
            b"$0\r\n",
            b"a\r\n",
            b"GET\r\n",
            b"\r\n",
            b"PING\r\n",
            b"set k \"v\"\n",
            b"'",
            b"$-1\r\n",
            b"*",
            b"$20\r\n",
            b"\\x4",
        ];
        let mut bytes = Vec::new();
        for _ in 0..chance.below(12) {
            match chance.below(5) {
                0 => bytes.extend((0..chance.below(6)).map(|_| chance.next() as u8)),
                1 => bytes.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"),
                2..5 => bytes.extend_from_slice(pieces[chance.below(16)]),
                5.. => unreachable!("below 5"),
            }
        }
        bytes
    }

    #[test]
    fn any_bytes_in_any_split_give_the_same() {
        let mut chance = Chance::new(0x5EED);
        let (mut commands, mut faults) = (0, 0);
        for _ in 0..30_000 {
            let bytes = arbitrary(&mut chance);
            let at_once = whole(&bytes);
            assert_eq!(parse(SMALL, &bytes, |_| 1), at_once, "{bytes:?}");
            let in_pieces = parse(SMALL, &bytes, |len| 1 + chance.below(len));
            assert_eq!(in_pieces, at_once, "{bytes:?}");
            commands += at_once.0.len();
            faults += usize::from(at_once.1.is_some());
        }
        assert!(commands > 10_000 && faults > 10_000, "{commands} commands, {faults} faults");
    }
}
