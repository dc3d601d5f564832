//! Target: what a client of the key-value server sends, from its bytes to the bytes of the answer.
//!
//! However the bytes are cut, the parser finds the commands that a naive twin finds in all of
//! them at once, up to the same fault. Each command is then carried out as the server does it:
//! every answer is one whole value of the protocol, and every request comes back from its bytes.

use arbitrary::Arbitrary;
use bytes::{Buf, Bytes, BytesMut};
use synod_kv::command::{self, Session, Step, TABLE};
use synod_kv::resp::{self, Limits, Parser, Writer};
use synod_kv::store::{Machine, Request};

use crate::plan::{Many, Rarely};

/// What a client sends, and where the network cuts it.
#[derive(Clone, Debug, Arbitrary)]
pub struct Case {
    limits: [u8; 3],
    cuts: [u8; 8],
    pieces: Many<Piece>,
}

/// A piece of what it sends.
#[derive(Clone, Debug, Arbitrary)]
enum Piece {
    Any(Vec<u8>),
    /// A line that announces so many arguments.
    Count(Number),
    /// A line that announces an argument so long.
    Length(Number),
    /// The bytes of an argument, or a word of an inline command.
    Text(Text),
    Blank,
    Quote(bool),
    LineEnd(bool),
    /// A whole command. The numbers are added to the count and to each length that it announces.
    Command(Vec<Text>, [Rarely<i8>; 2]),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Number {
    Small(i8),
    Any(i64),
    Unusual(Unusual),
}

/// What is no number, or only just.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Unusual {
    Nothing,
    Minus,
    Plus,
    LeadingZero,
    TooLarge,
}

#[derive(Clone, Debug, Arbitrary)]
enum Text {
    /// The name of a command.
    Name(u8),
    /// A word that some command knows as an option.
    Option(u8),
    /// One of few keys.
    Key(u8),
    Integer(i64),
    Any(Vec<u8>),
}

const OPTIONS: [&str; 14] = [
    "NX", "XX", "GET", "SETINFO", "LIB-NAME", "SETNAME", "ID", "COUNT", "DOCS", "INFO", "3", "2",
    "AUTH", "*",
];

impl Text {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Name(place) => TABLE[usize::from(*place) % TABLE.len()].name.into(),
            Self::Option(place) => OPTIONS[usize::from(*place) % OPTIONS.len()].into(),
            Self::Key(place) => vec![b'a' + place % 4],
            Self::Integer(number) => number.to_string().into(),
            Self::Any(bytes) => bytes.clone(),
        }
    }
}

impl Number {
    fn text(self) -> String {
        match self {
            Self::Small(number) => number.to_string(),
            Self::Any(number) => number.to_string(),
            Self::Unusual(Unusual::Nothing) => String::new(),
            Self::Unusual(Unusual::Minus) => "-".into(),
            Self::Unusual(Unusual::Plus) => "+1".into(),
            Self::Unusual(Unusual::LeadingZero) => "01".into(),
            Self::Unusual(Unusual::TooLarge) => "9223372036854775808".into(),
        }
    }
}

impl Piece {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Any(bytes) => out.extend_from_slice(bytes),
            Self::Count(number) => out.extend(format!("*{}\r\n", number.text()).bytes()),
            Self::Length(number) => out.extend(format!("${}\r\n", number.text()).bytes()),
            Self::Text(text) => out.extend(text.bytes()),
            Self::Blank => out.push(b' '),
            Self::Quote(double) => out.push(if *double { b'"' } else { b'\'' }),
            Self::LineEnd(whole) => out.extend_from_slice(if *whole { b"\r\n" } else { b"\n" }),
            Self::Command(texts, lies) => {
                let [more, longer] = lies.map(|lie| i64::from(lie.0.unwrap_or(0) % 4));
                let count = texts.len() as i64 + more;
                out.extend(format!("*{count}\r\n").bytes());
                for text in texts {
                    let text = text.bytes();
                    out.extend(format!("${}\r\n", text.len() as i64 + longer).bytes());
                    out.extend(text);
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }
}

/// How far a client got, so that a test can tell whether its inputs reach anything.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Reached {
    pub command: bool,
    pub inline: bool,
    pub fault: bool,
    pub request: bool,
    pub answered: bool,
}

impl Reached {
    /// One bit for each.
    #[must_use]
    pub fn bits(self) -> u64 {
        let Self { command, inline, fault, request, answered } = self;
        crate::target::bits([command, inline, fault, request, answered])
    }
}

/// Parses what the client sends, and answers it.
///
/// # Panics
/// When the cuts matter, a limit is passed, or an answer is none.
#[must_use]
pub fn resp(case: &Case) -> Reached {
    let [bulk, query, args] = case.limits.map(usize::from);
    let limits = Limits { bulk_bytes_max: bulk, query_bytes_max: query + bulk, args_max: 1 + args };
    let mut bytes = Vec::new();
    case.pieces.0.iter().for_each(|piece| piece.write(&mut bytes));
    let (commands, fault) = parse(limits, &bytes, &[u8::MAX]);
    assert_eq!(parse(limits, &bytes, &case.cuts), (commands.clone(), fault), "cuts matter");
    assert_eq!(parse(limits, &bytes, &[1]), (commands.clone(), fault), "cuts matter");
    let twin = Twin { limits, rest: &bytes }.commands();
    assert_eq!(twin, (commands.clone(), fault), "the naive twin reads it otherwise");
    let mut reached = Reached { fault, ..Reached::default() };
    reached.inline = !commands.is_empty() && bytes.first() != Some(&b'*');
    let mut session = Session::new(1, "127.0.0.1:7".into());
    let mut machine = Machine::new();
    for command in &commands {
        reached.command = true;
        answer(command, &mut session, &mut machine, &mut reached);
    }
    reached
}

type Commands = Vec<Vec<Bytes>>;

/// All commands of `bytes`, which arrive in pieces as long as `cuts` says, over and over.
fn parse(limits: Limits, bytes: &[u8], cuts: &[u8]) -> (Commands, bool) {
    let mut parser = Parser::new(limits);
    let (mut input, mut rest, mut commands) = (BytesMut::new(), bytes, Vec::new());
    // What is kept of a command that is not complete, besides the arguments complete so far.
    let most = Limits::LINE_BYTES_MAX.max(limits.bulk_bytes_max + 2);
    for cut in cuts.iter().cycle() {
        loop {
            match parser.next(&mut input) {
                Ok(Some(args)) => {
                    assert!(!args.is_empty() && args.len() <= limits.args_max);
                    commands.push(args);
                }
                Ok(None) => break,
                Err(fault) => {
                    assert!(fault.to_string().starts_with("ERR "));
                    assert!(parser.next(&mut input).is_err(), "nothing follows a fault");
                    return (commands, true);
                }
            }
        }
        assert!(input.len() < most, "what is not complete is bounded");
        if rest.is_empty() {
            break;
        }
        let len = match cut {
            255 => rest.len(),
            some => usize::from(*some).clamp(1, rest.len()),
        };
        input.extend_from_slice(&rest[..len]);
        rest = &rest[len..];
    }
    (commands, false)
}

/// Reads all of the input at once, in the plainest way.
struct Twin<'a> {
    limits: Limits,
    rest: &'a [u8],
}

/// Why the twin stops.
enum Stop {
    Fault,
    End,
}

impl<'a> Twin<'a> {
    fn commands(mut self) -> (Commands, bool) {
        let mut commands = Vec::new();
        loop {
            match self.command() {
                Ok(words) if words.is_empty() => {}
                Ok(words) => commands.push(words),
                Err(Stop::Fault) => return (commands, true),
                Err(Stop::End) => return (commands, false),
            }
        }
    }

    fn command(&mut self) -> Result<Vec<Bytes>, Stop> {
        if self.rest.first() != Some(&b'*') {
            let line = self.line()?;
            let words = words(line).ok_or(Stop::Fault)?;
            let fits = words.len() <= self.limits.args_max;
            return if fits { Ok(words) } else { Err(Stop::Fault) };
        }
        let count = number(&self.line()?[1..]).ok_or(Stop::Fault)?;
        if count > self.limits.args_max as i64 {
            return Err(Stop::Fault);
        }
        let (mut args, mut sum) = (Vec::new(), 0);
        for _ in 0..count.max(0) {
            match self.rest.first() {
                None => return Err(Stop::End),
                Some(b'$') => {}
                Some(_) => return Err(Stop::Fault),
            }
            let len = number(&self.line()?[1..]).ok_or(Stop::Fault)?;
            let len = usize::try_from(len).map_err(|_| Stop::Fault)?;
            sum += len.min(self.limits.bulk_bytes_max + 1);
            if len > self.limits.bulk_bytes_max || sum > self.limits.query_bytes_max {
                return Err(Stop::Fault);
            }
            let whole = self.rest.get(..len + 2).ok_or(Stop::End)?;
            if !whole.ends_with(b"\r\n") {
                return Err(Stop::Fault);
            }
            args.push(Bytes::copy_from_slice(&whole[..len]));
            self.rest.advance(len + 2);
        }
        Ok(args)
    }

    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let within = &self.rest[..self.rest.len().min(Limits::LINE_BYTES_MAX)];
        let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
            let full = within.len() == Limits::LINE_BYTES_MAX;
            return Err(if full { Stop::Fault } else { Stop::End });
        };
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// One number has one text.
fn number(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// The words of an inline command; `None` when its quotes do not balance.
fn words(line: &[u8]) -> Option<Vec<Bytes>> {
    let (mut words, mut rest) = (Vec::new(), line.iter().copied().peekable());
    'words: loop {
        while rest.next_if(u8::is_ascii_whitespace).is_some() {}
        if rest.peek().is_none() {
            return Some(words);
        }
        let mut word = Vec::new();
        while let Some(byte) = rest.next() {
            match byte {
                0 => {
                    words.push(word.into());
                    return Some(words);
                }
                b'"' | b'\'' => {
                    quoted(byte, &mut rest, &mut word)?;
                    words.push(word.into());
                    continue 'words;
                }
                blank if blank.is_ascii_whitespace() => break,
                other => word.push(other),
            }
        }
        words.push(word.into());
    }
}

type Rest<'a> = std::iter::Peekable<std::iter::Copied<std::slice::Iter<'a, u8>>>;

/// The rest of a word up to its closing quote, behind which a blank stands or nothing.
fn quoted(quote: u8, rest: &mut Rest<'_>, word: &mut Vec<u8>) -> Option<()> {
    loop {
        let byte = rest.next()?;
        if byte == quote {
            return rest.peek().is_none_or(u8::is_ascii_whitespace).then_some(());
        }
        let escapes = byte == b'\\' && (quote == b'"' || rest.peek() == Some(&b'\''));
        if !escapes {
            word.push(byte);
            continue;
        }
        let escaped = rest.next()?;
        let mut ahead = rest.clone();
        let hex = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let pair = ahead.next().and_then(hex).zip(ahead.next().and_then(hex));
        word.push(match (escaped, pair) {
            (b'x', Some((high, low))) if quote == b'"' => {
                *rest = ahead;
                high * 16 + low
            }
            (b'n', _) if quote == b'"' => b'\n',
            (b'r', _) if quote == b'"' => b'\r',
            (b't', _) if quote == b'"' => b'\t',
            (b'b', _) if quote == b'"' => 8,
            (b'a', _) if quote == b'"' => 7,
            (other, _) => other,
        });
    }
}

/// Carries out one command as the server does.
fn answer(args: &[Bytes], session: &mut Session, machine: &mut Machine, reached: &mut Reached) {
    let mut out = BytesMut::new();
    match command::run(args, session, &Vec::new(), &mut out) {
        Step::Answered => reached.answered = true,
        Step::Submit { request, read } => {
            reached.request = true;
            assert!(out.is_empty(), "what is submitted has no answer yet");
            let decoded = Request::decode(&request).expect("a request comes back");
            assert_eq!((decoded.encode(), decoded.is_read()), (request.clone(), read));
            let reply = machine.perform(&decoded);
            if read {
                assert_eq!(machine.perform(&decoded), reply, "a read changes nothing");
            }
            command::answer(&reply, &mut Writer::new(&mut out, session.version));
        }
        Step::Inform { .. } | Step::Close => return,
    }
    let mut left = out.clone();
    let value = resp::decode(&mut left);
    assert!(matches!(value, Ok(Some(_))), "no answer to {args:?}: {out:?}");
    assert!(left.is_empty(), "more than one answer to {args:?}: {out:?}");
    for end in 0..out.len() {
        let mut part = BytesMut::from(&out[..end]);
        assert_eq!(resp::decode(&mut part), Ok(None), "a part of an answer is not an answer");
    }
}

impl Case {
    /// The request that the first command becomes, if it does; all answers otherwise.
    #[must_use]
    pub fn talk(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.pieces.0.iter().for_each(|piece| piece.write(&mut bytes));
        let (mut session, mut out) = (Session::new(1, "127.0.0.1:7".into()), BytesMut::new());
        for command in parse(Limits::default(), &bytes, &[u8::MAX]).0 {
            match command::run(&command, &mut session, &Vec::new(), &mut out) {
                Step::Submit { request, .. } => return request.to_vec(),
                Step::Answered | Step::Inform { .. } | Step::Close => {}
            }
        }
        out.to_vec()
    }
}

/// Any bytes as a request of the log. Returns whether they are one.
///
/// # Panics
/// When other bytes say the same.
pub fn request(bytes: &[u8]) -> bool {
    let Ok(request) = Request::decode(bytes) else { return false };
    assert_eq!(request.encode(), bytes, "there is one encoding");
    let (mut one, mut other) = (Machine::new(), Machine::new());
    assert_eq!(one.perform(&request), other.perform(&request));
    true
}

/// Any bytes as the answers of a server, in any cuts. Returns how many values they are.
///
/// # Panics
/// When the cuts matter.
#[must_use]
pub fn replies(bytes: &[u8]) -> usize {
    let (mut whole, mut values) = (BytesMut::from(bytes), Vec::new());
    while let Ok(Some(value)) = resp::decode(&mut whole) {
        values.push(value);
    }
    let (mut input, mut again) = (BytesMut::new(), Vec::new());
    // Byte by byte, unless that takes too long: what is not complete is read anew each time.
    for piece in bytes.chunks(bytes.len() / 64 + 1) {
        input.extend_from_slice(piece);
        // A piece may end several values. What is wrong stays wrong, whatever follows.
        while let Ok(Some(value)) = resp::decode(&mut input) {
            again.push(value);
        }
    }
    assert_eq!(again, values, "cuts matter");
    values.len()
}
