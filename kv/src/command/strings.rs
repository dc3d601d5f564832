//! From arguments to requests: the commands on keys.

use bytes::Bytes;

use super::Complaint;
use crate::integer;
use crate::store::request::Strings;
use crate::store::{Condition, Request};

/// A request, or what is wrong with the arguments.
type Checked<'a> = Result<Request<'a>, Complaint>;

pub(super) fn get(args: &[Bytes]) -> Checked<'_> {
    Ok(Request::Get { key: &args[1] })
}

pub(super) fn set(args: &[Bytes]) -> Checked<'_> {
    let (mut condition, mut old) = (Condition::Always, false);
    for option in &args[3..] {
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        if is(b"NX") && condition != Condition::IfPresent {
            condition = Condition::IfAbsent;
        } else if is(b"XX") && condition != Condition::IfAbsent {
            condition = Condition::IfPresent;
        } else if is(b"GET") {
            old = true;
        } else if EXPIRY.iter().any(|name| is(name.as_bytes())) {
            return Err(Complaint::NoExpiry(String::from_utf8_lossy(option).to_uppercase()));
        } else {
            return Err(Complaint::Syntax);
        }
    }
    Ok(Request::Set { key: &args[1], value: &args[2], condition, old })
}

pub(super) fn getset(args: &[Bytes]) -> Checked<'_> {
    let condition = Condition::Always;
    Ok(Request::Set { key: &args[1], value: &args[2], condition, old: true })
}

pub(super) fn getdel(args: &[Bytes]) -> Checked<'_> {
    Ok(Request::GetDel { key: &args[1] })
}

pub(super) fn del(args: &[Bytes]) -> Checked<'_> {
    Ok(Request::Del { keys: Strings::Listed(&args[1..]) })
}

pub(super) fn exists(args: &[Bytes]) -> Checked<'_> {
    Ok(Request::Exists { keys: Strings::Listed(&args[1..]) })
}

pub(super) fn mget(args: &[Bytes]) -> Checked<'_> {
    Ok(Request::MGet { keys: Strings::Listed(&args[1..]) })
}

pub(super) fn mset(args: &[Bytes]) -> Checked<'_> {
    let pairs = &args[1..];
    if pairs.len().is_multiple_of(2) {
        Ok(Request::MSet { pairs: Strings::Listed(pairs) })
    } else {
        Err(Complaint::WrongArity("mset".to_owned()))
    }
}

pub(super) fn incr(args: &[Bytes]) -> Checked<'_> {
    Ok(Request::Add { key: &args[1], delta: 1 })
}

pub(super) fn decr(args: &[Bytes]) -> Checked<'_> {
    Ok(Request::Add { key: &args[1], delta: -1 })
}

pub(super) fn incrby(args: &[Bytes]) -> Checked<'_> {
    let delta = integer::parse(&args[2]).ok_or(Complaint::NotAnInteger)?;
    Ok(Request::Add { key: &args[1], delta })
}

pub(super) fn decrby(args: &[Bytes]) -> Checked<'_> {
    let delta = integer::parse(&args[2]).ok_or(Complaint::NotAnInteger)?;
    let delta = delta.checked_neg().ok_or(Complaint::DecrementOverflow)?;
    Ok(Request::Add { key: &args[1], delta })
}

pub(super) fn append(args: &[Bytes]) -> Checked<'_> {
    Ok(Request::Append { key: &args[1], value: &args[2] })
}

pub(super) fn strlen(args: &[Bytes]) -> Checked<'_> {
    Ok(Request::StrLen { key: &args[1] })
}

pub(super) fn kind(args: &[Bytes]) -> Checked<'_> {
    Ok(Request::Type { key: &args[1] })
}

pub(super) fn dbsize(_args: &[Bytes]) -> Checked<'_> {
    Ok(Request::DbSize)
}

/// Options of SET that only make sense for keys that expire.
const EXPIRY: [&str; 5] = ["EX", "PX", "EXAT", "PXAT", "KEEPTTL"];
