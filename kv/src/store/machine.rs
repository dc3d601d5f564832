//! The state machine.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;
use synod_core::service::{At, StateMachine};

use super::pair::Pair;
use super::request::{Condition, Request, Strings};
use super::{Failure, Reply, VALUE_BYTES_MAX};
use crate::integer;

/// The replicated map.
#[derive(Debug, Default)]
pub struct Machine {
    pairs: HashTable<Pair>,
    /// Drawn anew in each process: nobody can choose keys that all fall into one place.
    hasher: RandomState,
    /// Invariant: the wrapping sum of the digests of `pairs`.
    digest: u64,
    key_count: KeyCount,
}

/// The number of keys, for others to look at while the [`Machine`] works. At most one decree old.
#[derive(Clone, Debug, Default)]
pub struct KeyCount(Arc<AtomicU64>);

impl KeyCount {
    /// The number of keys at the end of the last decree.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Machine {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A view of the number of keys.
    #[must_use]
    pub fn key_count(&self) -> KeyCount {
        self.key_count.clone()
    }

    /// Does what the request says. Public for tests and for hosts without consensus.
    pub fn perform(&mut self, request: &Request<'_>) -> Reply {
        match *request {
            Request::Get { key } => self.get(key),
            Request::Set { key, value, condition, old } => self.set(key, value, condition, old),
            Request::Del { keys } => self.del(keys),
            Request::Exists { keys } => self.exists(keys),
            Request::MGet { keys } => self.mget(keys),
            Request::MSet { pairs } => self.mset(pairs),
            Request::Add { key, delta } => self.add(key, delta),
            Request::Append { key, value } => self.append(key, value),
            Request::StrLen { key } => {
                Reply::Integer(self.find(key).map_or(0, |pair| count(pair.value().len())))
            }
            Request::GetDel { key } => {
                self.remove(key).map_or(Reply::Nil, |pair| Reply::Bulk(pair.share()))
            }
            Request::Type { key } => {
                Reply::Kind(if self.find(key).is_some() { "string" } else { "none" })
            }
            Request::DbSize => Reply::Integer(count(self.pairs.len())),
        }
    }

    fn get(&self, key: &[u8]) -> Reply {
        self.find(key).map_or(Reply::Nil, |pair| Reply::Bulk(pair.share()))
    }

    fn set(&mut self, key: &[u8], value: &[u8], condition: Condition, old: bool) -> Reply {
        if value.len() > VALUE_BYTES_MAX {
            return Reply::Failed(Failure::TooLong);
        }
        if condition == Condition::Always && !old {
            self.write(key, value);
            return Reply::Ok;
        }
        let before = self.find(key).map(Pair::share);
        let holds = match condition {
            Condition::Always => true,
            Condition::IfAbsent => before.is_none(),
            Condition::IfPresent => before.is_some(),
        };
        if holds {
            self.write(key, value);
        }
        match (old, holds) {
            (true, _) => before.map_or(Reply::Nil, Reply::Bulk),
            (false, true) => Reply::Ok,
            (false, false) => Reply::Nil,
        }
    }

    fn del(&mut self, keys: Strings<'_>) -> Reply {
        Reply::Integer(count(keys.iter().filter(|key| self.remove(key).is_some()).count()))
    }

    fn exists(&self, keys: Strings<'_>) -> Reply {
        Reply::Integer(count(keys.iter().filter(|key| self.find(key).is_some()).count()))
    }

    fn mget(&self, keys: Strings<'_>) -> Reply {
        let value = |key| self.find(key).map(Pair::share);
        Reply::Values(keys.iter().map(value).collect())
    }

    fn mset(&mut self, pairs: Strings<'_>) -> Reply {
        // All or nothing: the lengths are looked at before anything is written.
        if pairs.iter().any(|string| string.len() > VALUE_BYTES_MAX) {
            return Reply::Failed(Failure::TooLong);
        }
        let mut strings = pairs.iter();
        while let (Some(key), Some(value)) = (strings.next(), strings.next()) {
            self.write(key, value);
        }
        Reply::Ok
    }

    fn add(&mut self, key: &[u8], delta: i64) -> Reply {
        let before = match self.find(key) {
            None => 0,
            Some(pair) => match integer::parse(pair.value()) {
                Some(number) => number,
                None => return Reply::Failed(Failure::NotAnInteger),
            },
        };
        let Some(sum) = before.checked_add(delta) else {
            return Reply::Failed(Failure::Overflow);
        };
        self.write(key, sum.to_string().as_bytes());
        Reply::Integer(sum)
    }

    fn append(&mut self, key: &[u8], more: &[u8]) -> Reply {
        let hash = self.hasher.hash_one(key);
        let Some(pair) = self.pairs.find_mut(hash, |pair| pair.key() == key) else {
            if more.len() > VALUE_BYTES_MAX {
                return Reply::Failed(Failure::TooLong);
            }
            self.write(key, more);
            return Reply::Integer(count(more.len()));
        };
        let len = pair.value().len() + more.len();
        if len > VALUE_BYTES_MAX {
            return Reply::Failed(Failure::TooLong);
        }
        self.digest = self.digest.wrapping_sub(pair.digest());
        pair.append(more);
        self.digest = self.digest.wrapping_add(pair.digest());
        Reply::Integer(count(len))
    }

    fn find(&self, key: &[u8]) -> Option<&Pair> {
        self.pairs.find(self.hasher.hash_one(key), |pair| pair.key() == key)
    }

    /// The only way in for a whole value: keeps the digest.
    fn write(&mut self, key: &[u8], value: &[u8]) {
        let hash = self.hasher.hash_one(key);
        let digest = if let Some(pair) = self.pairs.find_mut(hash, |pair| pair.key() == key) {
            self.digest = self.digest.wrapping_sub(pair.digest());
            pair.set(value);
            pair.digest()
        } else {
            let pair = Pair::new(key, value);
            let digest = pair.digest();
            self.pairs.insert_unique(hash, pair, |pair| self.hasher.hash_one(pair.key()));
            digest
        };
        self.digest = self.digest.wrapping_add(digest);
    }

    /// The only way out: keeps the digest.
    fn remove(&mut self, key: &[u8]) -> Option<Pair> {
        let hash = self.hasher.hash_one(key);
        let place = self.pairs.find_entry(hash, |pair| pair.key() == key).ok()?;
        let (pair, _) = place.remove();
        self.digest = self.digest.wrapping_sub(pair.digest());
        Some(pair)
    }
}

impl StateMachine for Machine {
    type Reply = Reply;

    fn apply(&mut self, _at: At, request: &[u8]) -> Reply {
        match Request::decode(request) {
            Ok(request) => self.perform(&request),
            Err(_) => Reply::Failed(Failure::Malformed),
        }
    }

    fn after_decree(&mut self, _at: At) {
        self.key_count.0.store(self.pairs.len() as u64, Ordering::Relaxed);
    }

    fn digest(&self) -> u64 {
        self.digest
    }
}

/// A length or count as a reply holds it. Nothing in memory is longer than an i64 can say.
fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;
    use crate::chance::Chance;
    use crate::store::digest::Running;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn set(key: &'static str, value: &'static str) -> Request<'static> {
        let (key, value) = (key.as_bytes(), value.as_bytes());
        Request::Set { key, value, condition: Condition::Always, old: false }
    }

    #[test]
    fn set_and_its_conditions() {
        let mut machine = Machine::new();
        let mut set = |condition, old, value: &str| {
            let value = value.as_bytes();
            machine.perform(&Request::Set { key: b"k", value, condition, old })
        };
        assert_eq!(set(Condition::IfPresent, false, "a"), Reply::Nil);
        assert_eq!(set(Condition::IfPresent, true, "a"), Reply::Nil);
        assert_eq!(set(Condition::IfAbsent, true, "b"), Reply::Nil);
        assert_eq!(set(Condition::IfAbsent, false, "c"), Reply::Nil);
        assert_eq!(set(Condition::IfAbsent, true, "c"), bulk("b"));
        assert_eq!(set(Condition::IfPresent, false, "d"), Reply::Ok);
        assert_eq!(set(Condition::Always, true, "e"), bulk("d"));
        assert_eq!(set(Condition::Always, false, "f"), Reply::Ok);
        assert_eq!(machine.perform(&Request::GetDel { key: b"k" }), bulk("f"));
        assert_eq!(machine.perform(&Request::Type { key: b"k" }), Reply::Kind("none"));
        assert_eq!(machine.digest, 0, "nothing is left");
    }

    #[test]
    fn counters_and_their_ends() {
        let mut machine = Machine::new();
        let mut add = |key: &'static str, delta| {
            machine.perform(&Request::Add { key: key.as_bytes(), delta })
        };
        assert_eq!(add("n", 5), Reply::Integer(5));
        assert_eq!(add("n", i64::MAX), Reply::Failed(Failure::Overflow));
        assert_eq!(add("n", i64::MIN), Reply::Integer(i64::MIN + 5));
        assert_eq!(add("n", -6), Reply::Failed(Failure::Overflow));
        machine.perform(&set("s", "12 "));
        let add = Request::Add { key: b"s", delta: 1 };
        assert_eq!(machine.perform(&add), Reply::Failed(Failure::NotAnInteger));
        assert_eq!(machine.perform(&Request::Get { key: b"s" }), bulk("12 "));
    }

    #[test]
    fn an_answer_keeps_the_value_it_was_given() {
        let mut machine = Machine::new();
        machine.perform(&set("k", "one"));
        let before = machine.perform(&Request::Get { key: b"k" });
        let append = Request::Append { key: b"k", value: b" two" };
        assert_eq!(machine.perform(&append), Reply::Integer(7));
        assert_eq!(before, bulk("one"));
        assert_eq!(machine.perform(&Request::Get { key: b"k" }), bulk("one two"));
    }

    #[test]
    fn a_value_has_an_end() {
        let mut machine = Machine::new();
        let value = vec![0; VALUE_BYTES_MAX];
        let append = Request::Append { key: b"k", value: &value };
        assert_eq!(machine.perform(&append), Reply::Integer(VALUE_BYTES_MAX as i64));
        let one = Request::Append { key: b"k", value: b"x" };
        assert_eq!(machine.perform(&one), Reply::Failed(Failure::TooLong));
        let longer = vec![0; VALUE_BYTES_MAX + 1];
        let list =
            [b"a".to_vec().into(), b"b".to_vec().into(), b"c".to_vec().into(), longer.into()];
        let mset = Request::MSet { pairs: Strings::Listed(&list) };
        assert_eq!(machine.perform(&mset), Reply::Failed(Failure::TooLong));
        assert_eq!(machine.perform(&Request::DbSize), Reply::Integer(1), "all or nothing");
    }

    /// The dumb twin: one sorted map, every reply spelled out.
    #[derive(Default)]
    struct Twin(BTreeMap<Vec<u8>, Vec<u8>>);

    impl Twin {
        fn digest(&self) -> u64 {
            let pairs = self.0.iter().map(|(key, value)| Running::of(key, value).finish(value));
            pairs.fold(0, u64::wrapping_add)
        }

        fn old(&self, key: &[u8]) -> Reply {
            self.0.get(key).map_or(Reply::Nil, |value| Reply::Bulk(value.clone().into()))
        }

        fn perform(&mut self, request: &Request<'_>) -> Reply {
            match *request {
                Request::Get { key } => self.old(key),
                Request::Set { key, value, condition, old } => {
                    let before = self.old(key);
                    let there = before != Reply::Nil;
                    let write = condition == Condition::Always
                        || (condition == Condition::IfPresent) == there;
                    if write {
                        self.0.insert(key.to_vec(), value.to_vec());
                    }
                    if old {
                        before
                    } else if write {
                        Reply::Ok
                    } else {
                        Reply::Nil
                    }
                }
                Request::Del { keys } => {
                    let mut gone = 0;
                    keys.iter().for_each(|key| gone += i64::from(self.0.remove(key).is_some()));
                    Reply::Integer(gone)
                }
                Request::Exists { keys } => {
                    let there = keys.iter().filter(|key| self.0.contains_key(*key)).count();
                    Reply::Integer(there as i64)
                }
                Request::MGet { keys } => {
                    let value = |key: &[u8]| self.0.get(key).cloned().map(Bytes::from);
                    Reply::Values(keys.iter().map(value).collect())
                }
                Request::MSet { pairs } => {
                    let strings: Vec<&[u8]> = pairs.iter().collect();
                    for pair in strings.chunks(2) {
                        self.0.insert(pair[0].to_vec(), pair[1].to_vec());
                    }
                    Reply::Ok
                }
                Request::Add { key, delta } => {
                    let text = self.0.get(key).map_or(&b"0"[..], |value| value);
                    let Some(number) = integer::parse(text) else {
                        return Reply::Failed(Failure::NotAnInteger);
                    };
                    let sum = i128::from(number) + i128::from(delta);
                    let Ok(sum) = i64::try_from(sum) else {
                        return Reply::Failed(Failure::Overflow);
                    };
                    self.0.insert(key.to_vec(), sum.to_string().into());
                    Reply::Integer(sum)
                }
                Request::Append { key, value } => {
                    let place = self.0.entry(key.to_vec()).or_default();
                    place.extend_from_slice(value);
                    Reply::Integer(place.len() as i64)
                }
                Request::StrLen { key } => {
                    Reply::Integer(self.0.get(key).map_or(0, |value| value.len() as i64))
                }
                Request::GetDel { key } => {
                    let before = self.old(key);
                    self.0.remove(key);
                    before
                }
                Request::Type { key } => {
                    Reply::Kind(if self.0.contains_key(key) { "string" } else { "none" })
                }
                Request::DbSize => Reply::Integer(self.0.len() as i64),
            }
        }
    }

    #[test]
    fn agrees_with_the_dumb_twin() {
        let mut chance = Chance::new(11);
        let (mut machine, mut twin) = (Machine::new(), Twin::default());
        let keys = ["a", "b", "c", "d", ""];
        let values = ["", "1", "-7", "9223372036854775807", "text", "a longer text of words"];
        for _ in 0..20_000 {
            let key = keys[chance.below(5)].as_bytes();
            let value = values[chance.below(6)].as_bytes();
            let list: Vec<Bytes> = (0..2 * chance.below(3))
                .map(|_| Bytes::from_static(keys[chance.below(5)].as_bytes()))
                .collect();
            let several = Strings::Listed(&list);
            let condition = [Condition::Always, Condition::IfAbsent, Condition::IfPresent];
            let condition = condition[chance.below(3)];
            let request = match chance.below(12) {
                0 => Request::Get { key },
                1 => Request::Set { key, value, condition, old: chance.below(2) == 0 },
                2 => Request::Del { keys: several },
                3 => Request::Exists { keys: several },
                4 => Request::MGet { keys: several },
                5 => Request::MSet { pairs: several },
                6 => Request::Add { key, delta: chance.below(5) as i64 - 2 },
                7 => Request::Append { key, value },
                8 => Request::StrLen { key },
                9 => Request::GetDel { key },
                10 => Request::Type { key },
                11.. => Request::DbSize,
            };
            let bytes = request.encode();
            let decoded = Request::decode(&bytes).expect("its own bytes");
            let before = machine.digest;
            assert_eq!(machine.perform(&decoded), twin.perform(&request), "{request:?}");
            assert_eq!(machine.digest, twin.digest(), "{request:?}");
            assert!(!request.is_read() || machine.digest == before, "a read wrote: {request:?}");
        }
    }
}
