//! What a client was told about its writes, and whether the cluster keeps to it.
//!
//! Each writer writes keys of its own, each once, with a value that tells which write it was. So a
//! later look at the keys decides, per write, whether what the writer was told is true.

use crate::client::{Client, ClientError};
use crate::resp::Value;

/// What a writer was told about one write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// It is done: it must be there.
    Acknowledged,
    /// It was refused for certain: it must not be there.
    Refused,
    /// Nothing certain: `UNCERTAIN`, or the connection broke. It may be there.
    Unknown,
}

/// The writes of one writer, by their numbers from 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    /// Names the writer.
    pub writer: usize,
    /// What it was told.
    pub told: Vec<Told>,
}

/// How the keys compare with what writers were told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// Writes that were acknowledged and are there.
    pub kept: u64,
    /// Writes that were acknowledged and are **not** there.
    pub lost: u64,
    /// Writes that were refused for certain and are **there**.
    pub undead: u64,
    /// Keys with a value that nobody wrote.
    pub wrong: u64,
    /// Writes that were refused for certain and are not there.
    pub refused: u64,
    /// Writes of which nothing certain was told, and that are there.
    pub unknown_applied: u64,
    /// Writes of which nothing certain was told, and that are not there.
    pub unknown_absent: u64,
}

impl Findings {
    /// Whether every writer was told the truth.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.lost == 0 && self.undead == 0 && self.wrong == 0
    }

    /// Takes up one write: what was told, and what is there.
    fn take(&mut self, told: Told, wanted: &[u8], found: Option<&[u8]>) {
        let place = match (told, found) {
            (_, Some(found)) if found != wanted => &mut self.wrong,
            (Told::Acknowledged, Some(_)) => &mut self.kept,
            (Told::Acknowledged, None) => &mut self.lost,
            (Told::Refused, Some(_)) => &mut self.undead,
            (Told::Refused, None) => &mut self.refused,
            (Told::Unknown, Some(_)) => &mut self.unknown_applied,
            (Told::Unknown, None) => &mut self.unknown_absent,
        };
        *place += 1;
    }
}

impl Ledger {
    /// The key of a write.
    #[must_use]
    pub fn key(&self, number: usize) -> String {
        format!("w{}:{number}", self.writer)
    }

    /// The value of a write.
    #[must_use]
    pub fn value(&self, number: usize) -> String {
        format!("value {number} of writer {}", self.writer)
    }

    /// What an answer to a write tells.
    #[must_use]
    pub fn judge(answer: &Value) -> Told {
        match answer.as_error() {
            None => Told::Acknowledged,
            Some(text) if text.starts_with(b"UNCERTAIN") => Told::Unknown,
            Some(_) => Told::Refused,
        }
    }

    /// Reads all keys back and adds what is found to `findings`.
    ///
    /// # Errors
    /// When the keys cannot be read.
    pub async fn audit(
        &self,
        client: &mut Client,
        findings: &mut Findings,
    ) -> Result<(), ClientError> {
        for (chunk, told) in self.told.chunks(KEYS_AT_ONCE).enumerate() {
            let first = chunk * KEYS_AT_ONCE;
            let keys: Vec<String> = (first..first + told.len()).map(|n| self.key(n)).collect();
            let mut args: Vec<&[u8]> = vec![b"MGET"];
            args.extend(keys.iter().map(String::as_bytes));
            let Value::Array(found) = client.call(&args).await? else {
                return Err(ClientError::BadReply);
            };
            if found.len() != told.len() {
                return Err(ClientError::BadReply);
            }
            for ((place, told), found) in told.iter().enumerate().zip(&found) {
                let wanted = self.value(first + place);
                findings.take(*told, wanted.as_bytes(), found.as_bytes());
            }
        }
        Ok(())
    }
}

/// Keys per MGET of an audit.
const KEYS_AT_ONCE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lie_is_found() {
        let cases = [
            (Told::Acknowledged, Some("x"), true),
            (Told::Acknowledged, None, false),
            (Told::Acknowledged, Some("y"), false),
            (Told::Refused, None, true),
            (Told::Refused, Some("x"), false),
            (Told::Unknown, None, true),
            (Told::Unknown, Some("x"), true),
            (Told::Unknown, Some("y"), false),
        ];
        for (told, found, is_sound) in cases {
            let mut findings = Findings::default();
            findings.take(told, b"x", found.map(str::as_bytes));
            assert_eq!(findings.is_sound(), is_sound, "{told:?} {found:?}");
        }
    }

    #[test]
    fn only_uncertain_is_unknown() {
        let error = |text: &'static str| Ledger::judge(&Value::Error(text.into()));
        assert_eq!(error("UNCERTAIN who knows"), Told::Unknown);
        assert_eq!(error("TRYAGAIN UNCERTAIN"), Told::Refused);
        assert_eq!(Ledger::judge(&Value::Simple("OK".into())), Told::Acknowledged);
    }
}
