//! The writer of answers.

use bytes::{BufMut, BytesMut};

/// The version of the protocol that a connection speaks; `HELLO` changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Version {
    /// RESP2, where every connection starts.
    #[default]
    Two,
    /// RESP3: null, maps and verbatim strings are types of their own.
    Three,
}

/// Appends answers to a buffer, in the version of the connection.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
    version: Version,
}

impl<'a> Writer<'a> {
    /// A writer behind what `out` holds.
    pub const fn new(out: &'a mut BytesMut, version: Version) -> Self {
        Self { out, version }
    }

    /// A short text without line ends, such as `OK`.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error: its first word, in capitals, is its kind.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text.as_bytes());
    }

    /// An integer.
    pub fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    /// A string of any bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + HEADER_BYTES_MAX);
        self.length(b'$', bytes.len());
        self.out.put_slice(bytes);
        self.out.put_slice(b"\r\n");
    }

    /// A text for people, which RESP3 marks as such.
    pub fn text(&mut self, text: &str) {
        match self.version {
            Version::Two => self.bulk(text.as_bytes()),
            Version::Three => {
                self.length(b'=', text.len() + VERBATIM_KIND.len());
                self.out.put_slice(VERBATIM_KIND);
                self.out.put_slice(text.as_bytes());
                self.out.put_slice(b"\r\n");
            }
        }
    }

    /// No value.
    pub fn null(&mut self) {
        match self.version {
            Version::Two => self.out.put_slice(b"$-1\r\n"),
            Version::Three => self.out.put_slice(b"_\r\n"),
        }
    }

    /// The head of an array: `len` answers follow.
    pub fn array(&mut self, len: usize) {
        self.length(b'*', len);
    }

    /// The head of a set: `len` answers follow. RESP2 has arrays only.
    pub fn set(&mut self, len: usize) {
        match self.version {
            Version::Two => self.length(b'*', len),
            Version::Three => self.length(b'~', len),
        }
    }

    /// The head of a map: `len` pairs of answers follow. RESP2 has arrays only.
    pub fn map(&mut self, len: usize) {
        match self.version {
            Version::Two => self.length(b'*', len * 2),
            Version::Three => self.length(b'%', len),
        }
    }

    fn length(&mut self, kind: u8, len: usize) {
        // Nothing in memory is longer than an i64 can say.
        self.header(kind, i64::try_from(len).unwrap_or(i64::MAX));
    }

    fn header(&mut self, kind: u8, number: i64) {
        let mut digits = [0; HEADER_BYTES_MAX];
        let mut place = HEADER_BYTES_MAX - 2;
        digits[place..].copy_from_slice(b"\r\n");
        let mut rest = number.unsigned_abs();
        loop {
            place -= 1;
            digits[place] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            place -= 1;
            digits[place] = b'-';
        }
        place -= 1;
        digits[place] = kind;
        self.out.put_slice(&digits[place..]);
    }

    /// One line. A line end inside it would forge a second answer, so it becomes a blank.
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.put_u8(kind);
        let start = self.out.len();
        self.out.put_slice(text);
        for byte in &mut self.out[start..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.put_slice(b"\r\n");
    }
}

/// A kind, a sign, 19 digits and a line end.
const HEADER_BYTES_MAX: usize = 24;

/// Plain text, in the three letters and a colon that a verbatim string starts with.
const VERBATIM_KIND: &[u8] = b"txt:";

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = BytesMut::new();
        write(&mut Writer::new(&mut out, version));
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn every_kind_in_both_versions() {
        let everything = |w: &mut Writer<'_>| {
            w.simple("OK");
            w.error("ERR no\r\n+OK");
            w.integer(i64::MIN);
            w.integer(0);
            w.bulk(b"a\r\nb");
            w.text("hi");
            w.null();
            w.array(2);
            w.set(2);
            w.map(2);
        };
        assert_eq!(
            written(Version::Two, everything),
            "+OK\r\n-ERR no  +OK\r\n:-9223372036854775808\r\n:0\r\n$4\r\na\r\nb\r\n$2\r\nhi\r\n\
             $-1\r\n*2\r\n*2\r\n*4\r\n"
        );
        assert_eq!(
            written(Version::Three, everything),
            "+OK\r\n-ERR no  +OK\r\n:-9223372036854775808\r\n:0\r\n$4\r\na\r\nb\r\n\
             =6\r\ntxt:hi\r\n_\r\n*2\r\n~2\r\n%2\r\n"
        );
    }
}
