//! Requests and their bytes.
//!
//! The first byte names the operation, the rest are its operands. A *length* is an unsigned LEB128
//! number of at most 5 bytes (below 2^35) in its shortest form; a *string* is a length and so many
//! bytes; a *tail* is everything up to the end, without a length.
//!
//! | byte | operation | operands |
//! |---|---|---|
//! | 1 | GET | key: tail |
//! | 2 | SET | *flags*: 1 byte; key: string; value: tail |
//! | 3 | DEL | keys: strings to the end |
//! | 4 | EXISTS | keys: strings to the end |
//! | 5 | MGET | keys: strings to the end |
//! | 6 | MSET | key, value, key, value, …: strings to the end |
//! | 7 | add | delta: 8 bytes, little endian, two's complement; key: tail |
//! | 8 | APPEND | key: string; value: tail |
//! | 9 | STRLEN | key: tail |
//! | 10 | GETDEL | key: tail |
//! | 11 | TYPE | key: tail |
//! | 12 | DBSIZE | none |
//!
//! The *flags* of SET are 0 to write always, 1 only if the key is absent, 2 only if it is present;
//! plus 4 to answer with the old value.
//!
//! The bytes of a request are a function of the request, and no other bytes decode to it.

use core::fmt;

use bytes::{BufMut, Bytes};

/// When SET writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Always.
    Always,
    /// Only a key that does not exist (`NX`).
    IfAbsent,
    /// Only a key that exists (`XX`).
    IfPresent,
}

/// One operation on the state, with operands borrowed from its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    /// The value of a key.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// Writes a value.
    Set {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// When.
        condition: Condition,
        /// Answer with the value before, instead of OK.
        old: bool,
    },
    /// Removes keys; answers how many there were.
    Del {
        /// The keys.
        keys: Strings<'a>,
    },
    /// How many of the keys exist; one named twice counts twice.
    Exists {
        /// The keys.
        keys: Strings<'a>,
    },
    /// The values of keys, all of one moment.
    MGet {
        /// The keys.
        keys: Strings<'a>,
    },
    /// Writes several values at once.
    MSet {
        /// Key, value, key, value.
        pairs: Strings<'a>,
    },
    /// Adds to an integer; a key that does not exist counts as 0.
    Add {
        /// The key.
        key: &'a [u8],
        /// What to add.
        delta: i64,
    },
    /// Appends to a value; answers the length that it has then.
    Append {
        /// The key.
        key: &'a [u8],
        /// What to append.
        value: &'a [u8],
    },
    /// The length of a value.
    StrLen {
        /// The key.
        key: &'a [u8],
    },
    /// Removes a key; answers its value.
    GetDel {
        /// The key.
        key: &'a [u8],
    },
    /// The type of a value.
    Type {
        /// The key.
        key: &'a [u8],
    },
    /// The number of keys.
    DbSize,
}

/// Several strings, in the bytes of a request or in a list of arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strings<'a> {
    /// As a request holds them. Checked: every length is sound.
    Encoded(&'a [u8]),
    /// As a client sent them.
    Listed(&'a [Bytes]),
}

/// The bytes are no request of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are no request of this version")
    }
}

impl core::error::Error for Malformed {}

impl<'a> Request<'a> {
    /// Whether the request leaves every state as it is: losing it loses nothing.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        match self {
            Self::Get { .. }
            | Self::Exists { .. }
            | Self::MGet { .. }
            | Self::StrLen { .. }
            | Self::Type { .. }
            | Self::DbSize => true,
            Self::Set { .. }
            | Self::Del { .. }
            | Self::MSet { .. }
            | Self::Add { .. }
            | Self::Append { .. }
            | Self::GetDel { .. } => false,
        }
    }

    /// The bytes of the request.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.encoded_len());
        match self {
            Self::Get { key } => tail(&mut out, GET, key),
            Self::Set { key, value, condition, old } => {
                out.put_u8(SET);
                out.put_u8(condition.code() | if *old { OLD_FLAG } else { 0 });
                string(&mut out, key);
                out.put_slice(value);
            }
            Self::Del { keys } => keys.encode(&mut out, DEL),
            Self::Exists { keys } => keys.encode(&mut out, EXISTS),
            Self::MGet { keys } => keys.encode(&mut out, MGET),
            Self::MSet { pairs } => pairs.encode(&mut out, MSET),
            Self::Add { key, delta } => {
                out.put_u8(ADD);
                out.put_i64_le(*delta);
                out.put_slice(key);
            }
            Self::Append { key, value } => {
                out.put_u8(APPEND);
                string(&mut out, key);
                out.put_slice(value);
            }
            Self::StrLen { key } => tail(&mut out, STRLEN, key),
            Self::GetDel { key } => tail(&mut out, GETDEL, key),
            Self::Type { key } => tail(&mut out, TYPE, key),
            Self::DbSize => out.put_u8(DBSIZE),
        }
        out.into()
    }

    /// Reads the bytes of a request. Never panics; borrows, copies nothing.
    ///
    /// # Errors
    /// When the bytes are no request.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (operation, rest) = bytes.split_first().ok_or(Malformed)?;
        Ok(match *operation {
            GET => Self::Get { key: rest },
            SET => {
                let (flags, rest) = rest.split_first().ok_or(Malformed)?;
                let (key, value) = take_string(rest)?;
                let condition = Condition::of_code(flags & !OLD_FLAG)?;
                Self::Set { key, value, condition, old: flags & OLD_FLAG != 0 }
            }
            DEL => Self::Del { keys: Strings::decode(rest)? },
            EXISTS => Self::Exists { keys: Strings::decode(rest)? },
            MGET => Self::MGet { keys: Strings::decode(rest)? },
            MSET => {
                let pairs = Strings::decode(rest)?;
                if !pairs.iter().count().is_multiple_of(2) {
                    return Err(Malformed);
                }
                Self::MSet { pairs }
            }
            ADD => {
                let (delta, key) = rest.split_first_chunk::<8>().ok_or(Malformed)?;
                Self::Add { key, delta: i64::from_le_bytes(*delta) }
            }
            APPEND => {
                let (key, value) = take_string(rest)?;
                Self::Append { key, value }
            }
            STRLEN => Self::StrLen { key: rest },
            GETDEL => Self::GetDel { key: rest },
            TYPE => Self::Type { key: rest },
            DBSIZE if rest.is_empty() => Self::DbSize,
            _ => return Err(Malformed),
        })
    }

    /// The length of the bytes: one allocation of exactly this size holds them.
    fn encoded_len(&self) -> usize {
        let operands = match self {
            Self::Get { key }
            | Self::StrLen { key }
            | Self::GetDel { key }
            | Self::Type { key } => key.len(),
            Self::Set { key, value, condition: _, old: _ } => 1 + string_len(key) + value.len(),
            Self::Append { key, value } => string_len(key) + value.len(),
            Self::Add { key, delta: _ } => size_of::<i64>() + key.len(),
            Self::Del { keys: strings }
            | Self::Exists { keys: strings }
            | Self::MGet { keys: strings }
            | Self::MSet { pairs: strings } => strings.iter().map(string_len).sum(),
            Self::DbSize => 0,
        };
        1 + operands
    }
}

impl Condition {
    const fn code(self) -> u8 {
        match self {
            Self::Always => 0,
            Self::IfAbsent => 1,
            Self::IfPresent => 2,
        }
    }

    const fn of_code(code: u8) -> Result<Self, Malformed> {
        match code {
            0 => Ok(Self::Always),
            1 => Ok(Self::IfAbsent),
            2 => Ok(Self::IfPresent),
            _ => Err(Malformed),
        }
    }
}

impl<'a> Strings<'a> {
    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let (mut encoded, listed) = match *self {
            Self::Encoded(bytes) => (bytes, [].iter()),
            Self::Listed(list) => (&[][..], list.iter()),
        };
        let from_bytes = core::iter::from_fn(move || {
            if encoded.is_empty() {
                return None;
            }
            let (string, rest) = take_string(encoded).ok()?;
            encoded = rest;
            Some(string)
        });
        from_bytes.chain(listed.map(Bytes::as_ref))
    }

    fn encode(&self, out: &mut Vec<u8>, operation: u8) {
        out.put_u8(operation);
        for one in self.iter() {
            string(out, one);
        }
    }

    fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = take_string(rest)?.1;
        }
        Ok(Self::Encoded(bytes))
    }
}

fn tail(out: &mut Vec<u8>, operation: u8, bytes: &[u8]) {
    out.put_u8(operation);
    out.put_slice(bytes);
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes.len();
    while rest >= 0x80 {
        out.put_u8((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
    out.put_slice(bytes);
}

/// The length of a string with the length before it: seven bits to the byte.
fn string_len(string: &[u8]) -> usize {
    let bits = usize::BITS - (string.len() | 1).leading_zeros();
    bits.div_ceil(7) as usize + string.len()
}

/// A string and what lies behind it.
fn take_string(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut len = 0usize;
    for (place, byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            // A last byte of 0 adds nothing: a shorter form of the same length exists.
            if *byte == 0 && place > 0 {
                return Err(Malformed);
            }
            return bytes[place + 1..].split_at_checked(len).ok_or(Malformed);
        }
    }
    Err(Malformed)
}

const GET: u8 = 1;
const SET: u8 = 2;
const DEL: u8 = 3;
const EXISTS: u8 = 4;
const MGET: u8 = 5;
const MSET: u8 = 6;
const ADD: u8 = 7;
const APPEND: u8 = 8;
const STRLEN: u8 = 9;
const GETDEL: u8 = 10;
const TYPE: u8 = 11;
const DBSIZE: u8 = 12;

/// In the flags of SET: answer the old value.
const OLD_FLAG: u8 = 4;

/// A length takes so many bytes at most.
const LENGTH_BYTES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    #[test]
    fn every_request_comes_back() {
        let long = vec![7u8; 70_000];
        let list = [Bytes::from_static(b"a"), Bytes::new(), Bytes::from(long.clone())];
        let strings = Strings::Listed(&list);
        let pairs = Strings::Listed(&list[..2]);
        let (key, value) = (&b"key"[..], &long[..]);
        let requests = [
            Request::Get { key },
            Request::Set { key, value, condition: Condition::Always, old: false },
            Request::Set { key, value, condition: Condition::IfAbsent, old: true },
            Request::Set { key: b"", value: b"", condition: Condition::IfPresent, old: false },
            Request::Del { keys: strings },
            Request::Exists { keys: strings },
            Request::MGet { keys: Strings::Listed(&[]) },
            Request::MSet { pairs },
            Request::Add { key, delta: i64::MIN },
            Request::Append { key, value },
            Request::StrLen { key },
            Request::GetDel { key },
            Request::Type { key },
            Request::DbSize,
        ];
        for request in requests {
            let bytes = request.encode();
            assert_eq!(bytes.len(), request.encoded_len(), "{request:?}");
            let back = Request::decode(&bytes).expect("its own bytes");
            assert_eq!(back.encode(), bytes);
            assert_eq!(back.is_read(), request.is_read());
            assert_eq!(core::mem::discriminant(&back), core::mem::discriminant(&request));
        }
        let bytes = Request::MGet { keys: strings }.encode();
        let Ok(Request::MGet { keys }) = Request::decode(&bytes) else { panic!("no MGET") };
        assert!(keys.iter().eq(strings.iter()), "the strings differ");
    }

    #[test]
    fn one_request_has_one_form() {
        let set =
            Request::Set { key: b"k", value: b"v", condition: Condition::IfAbsent, old: true };
        assert_eq!(&set.encode()[..], b"\x02\x05\x01kv");
        assert_eq!(
            &Request::Add { key: b"k", delta: -2 }.encode()[..],
            b"\x07\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFFk"
        );
        let bad: [&[u8]; 10] = [
            b"",
            b"\x00",
            b"\x0D",
            b"\x02",
            b"\x02\x03\x01kv", // no such condition
            b"\x02\x08\x01kv", // no such flag
            b"\x03\x81\x00k",  // a length of two bytes that fits into one
            b"\x03\x02k",      // a string that is cut off
            b"\x06\x01k",      // a key without its value
            b"\x0C\x00",       // something behind DBSIZE
        ];
        for bytes in bad {
            assert_eq!(Request::decode(bytes), Err(Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn no_bytes_panic_and_what_decodes_is_canonical() {
        let mut chance = Chance::new(3);
        let mut sound = 0;
        for _ in 0..50_000 {
            let bytes: Vec<u8> = (0..chance.below(16))
                .map(|place| if place == 0 { chance.below(14) } else { chance.below(6) } as u8)
                .collect();
            if let Ok(request) = Request::decode(&bytes) {
                assert_eq!(&request.encode()[..], &bytes[..]);
                sound += 1;
            }
        }
        assert!(sound > 10_000, "only {sound} decoded");
    }
}
