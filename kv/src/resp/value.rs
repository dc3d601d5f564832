//! Answers as a client reads them.

use core::fmt;

use bytes::{Bytes, BytesMut};

use crate::integer;

/// An answer of a server. The types that RESP3 adds are folded into those of RESP2 where a client
/// of this program does not tell them apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A short text such as `OK`.
    Simple(Bytes),
    /// An error, with its kind as first word.
    Error(Bytes),
    /// An integer.
    Integer(i64),
    /// A string, a verbatim string, a double, a big number or a boolean, as its bytes.
    Bulk(Bytes),
    /// No value.
    Null,
    /// An array, a set or a push message.
    Array(Vec<Self>),
    /// Pairs, in the order in which they came.
    Map(Vec<(Self, Self)>),
}

/// The bytes are no answer of a server that speaks RESP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadReply;

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server does not speak the Redis protocol")
    }
}

impl core::error::Error for BadReply {}

/// Takes the next complete answer off the front of `input`; `None` when it ends inside one.
///
/// # Errors
/// When the input is no RESP, or nested or long beyond what this program's servers send.
pub fn decode(input: &mut BytesMut) -> Result<Option<Value>, BadReply> {
    let mut cursor = Cursor { bytes: input, place: 0 };
    match cursor.value(DEPTH_MAX) {
        Ok(shape) => {
            let len = cursor.place;
            let whole = input.split_to(len).freeze();
            Ok(Some(shape.cut(&whole)))
        }
        Err(Stop::NeedMore) => Ok(None),
        Err(Stop::Bad) => Err(BadReply),
    }
}

/// An answer by places in the input, so that its strings can be slices of it in the end.
enum Shape {
    Simple(usize, usize),
    Error(usize, usize),
    Integer(i64),
    Bulk(usize, usize),
    Null,
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

impl Shape {
    fn cut(self, whole: &Bytes) -> Value {
        match self {
            Self::Simple(from, end) => Value::Simple(whole.slice(from..end)),
            Self::Error(from, end) => Value::Error(whole.slice(from..end)),
            Self::Integer(number) => Value::Integer(number),
            Self::Bulk(from, end) => Value::Bulk(whole.slice(from..end)),
            Self::Null => Value::Null,
            Self::Array(shapes) => {
                Value::Array(shapes.into_iter().map(|shape| shape.cut(whole)).collect())
            }
            Self::Map(pairs) => {
                let cut = |(key, value): (Self, Self)| (key.cut(whole), value.cut(whole));
                Value::Map(pairs.into_iter().map(cut).collect())
            }
        }
    }
}

enum Stop {
    NeedMore,
    Bad,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl Cursor<'_> {
    fn value(&mut self, depth: usize) -> Result<Shape, Stop> {
        if depth == 0 {
            return Err(Stop::Bad);
        }
        let kind = *self.bytes.get(self.place).ok_or(Stop::NeedMore)?;
        let (from, end) = self.line()?;
        let text = &self.bytes[from..end];
        Ok(match kind {
            b'+' => Shape::Simple(from, end),
            b'-' => Shape::Error(from, end),
            b':' => Shape::Integer(integer::parse(text).ok_or(Stop::Bad)?),
            b'_' => Shape::Null,
            b',' | b'#' | b'(' => Shape::Bulk(from, end),
            b'$' | b'!' | b'=' => match Self::length(text)? {
                None => Shape::Null,
                Some(len) => {
                    let (from, end) = self.bulk(len)?;
                    match kind {
                        b'!' => Shape::Error(from, end),
                        // Three letters and a colon come before the text.
                        b'=' => Shape::Bulk((from + 4).min(end), end),
                        _ => Shape::Bulk(from, end),
                    }
                }
            },
            b'*' | b'~' | b'>' => match Self::length(text)? {
                None => Shape::Null,
                Some(len) => {
                    Shape::Array((0..len).map(|_| self.value(depth - 1)).collect::<Result<_, _>>()?)
                }
            },
            b'%' => {
                let len = Self::length(text)?.ok_or(Stop::Bad)?;
                let mut pair = || Ok((self.value(depth - 1)?, self.value(depth - 1)?));
                Shape::Map((0..len).map(|_| pair()).collect::<Result<_, _>>()?)
            }
            _ => return Err(Stop::Bad),
        })
    }

    /// The line behind the kind, without its end.
    fn line(&mut self) -> Result<(usize, usize), Stop> {
        let from = self.place + 1;
        let rest = self.bytes.get(from..).ok_or(Stop::NeedMore)?;
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or(Stop::NeedMore)?;
        self.place = from + len + 1;
        let end = if len > 0 && rest[len - 1] == b'\r' { from + len - 1 } else { from + len };
        Ok((from, end))
    }

    fn bulk(&mut self, len: usize) -> Result<(usize, usize), Stop> {
        let (from, end) = (self.place, self.place + len);
        let line_end = self.bytes.get(end..end + 2).ok_or(Stop::NeedMore)?;
        if line_end != b"\r\n" {
            return Err(Stop::Bad);
        }
        self.place = end + 2;
        Ok((from, end))
    }

    /// A length; `None` for -1, which means "no value".
    fn length(text: &[u8]) -> Result<Option<usize>, Stop> {
        match integer::parse(text) {
            Some(-1) => Ok(None),
            Some(len) => match usize::try_from(len) {
                Ok(len) if len <= LENGTH_MAX => Ok(Some(len)),
                Ok(_) | Err(_) => Err(Stop::Bad),
            },
            None => Err(Stop::Bad),
        }
    }
}

impl Value {
    /// The text of an error, if it is one.
    #[must_use]
    pub fn as_error(&self) -> Option<&[u8]> {
        match self {
            Self::Error(text) => Some(text),
            Self::Simple(_)
            | Self::Integer(_)
            | Self::Bulk(_)
            | Self::Null
            | Self::Array(_)
            | Self::Map(_) => None,
        }
    }

    /// The bytes of a string, simple or not, if it is one.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) => Some(bytes),
            Self::Error(_) | Self::Integer(_) | Self::Null | Self::Array(_) | Self::Map(_) => None,
        }
    }
}

/// Answers nest so deep at most.
const DEPTH_MAX: usize = 16;

/// No string or array of an answer is longer.
const LENGTH_MAX: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    fn all(text: &[u8]) -> Result<Vec<Value>, BadReply> {
        let mut input = BytesMut::from(text);
        let mut values = Vec::new();
        while let Some(value) = decode(&mut input)? {
            values.push(value);
        }
        assert!(input.is_empty(), "left over: {input:?}");
        Ok(values)
    }

    fn bulk(text: &'static str) -> Value {
        Value::Bulk(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn every_kind() {
        let text =
            b"+OK\r\n-ERR no\r\n:-7\r\n$2\r\nab\r\n$-1\r\n*-1\r\n_\r\n*2\r\n:1\r\n$0\r\n\r\n\
                     %1\r\n+k\r\n,1.5\r\n~1\r\n#t\r\n=6\r\ntxt:hi\r\n!5\r\nERR x\r\n";
        let wanted = vec![
            Value::Simple("OK".into()),
            Value::Error("ERR no".into()),
            Value::Integer(-7),
            bulk("ab"),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Array(vec![Value::Integer(1), bulk("")]),
            Value::Map(vec![(Value::Simple("k".into()), bulk("1.5"))]),
            Value::Array(vec![bulk("t")]),
            bulk("hi"),
            Value::Error("ERR x".into()),
        ];
        assert_eq!(all(text), Ok(wanted));
    }

    #[test]
    fn nonsense_is_refused() {
        let deep = b"*1\r\n".repeat(DEPTH_MAX + 1);
        for bad in [&b"HTTP/1.1 200 OK\r\n"[..], b":x\r\n", b"$-2\r\n", b"$1\r\nab\r\n", &deep] {
            assert_eq!(all(bad), Err(BadReply), "{bad:?}");
        }
    }

    #[test]
    fn no_bytes_panic() {
        let mut chance = Chance::new(7);
        let alphabet = b"*$+-:_%~=!#,(>0123456789\r\nab";
        for _ in 0..50_000 {
            let len = chance.below(24);
            let bytes = (0..len).map(|_| alphabet[chance.below(alphabet.len())]);
            let mut input: BytesMut = bytes.collect();
            while let Ok(Some(_)) = decode(&mut input) {}
        }
    }
}
