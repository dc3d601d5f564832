//! Answers with many values, written piece by piece.

use std::vec;

use bytes::{Bytes, BytesMut};

use crate::resp::{Version, Writer};

/// The values of an answer that are not written yet.
///
/// One small MGET can ask for one large value thousands of times. In memory that is one value and
/// thousands of handles; it must not become thousands of copies before the client takes them.
#[derive(Debug)]
pub(super) struct LongAnswer {
    values: vec::IntoIter<Option<Bytes>>,
    version: Version,
}

impl LongAnswer {
    /// Writes the head of the answer; the values are still to come.
    pub(super) fn begin(values: Vec<Option<Bytes>>, version: Version, out: &mut BytesMut) -> Self {
        Writer::new(out, version).array(values.len());
        Self { values: values.into_iter(), version }
    }

    /// Writes values until there are none or `out` holds `bytes_max` or more. Whether there are
    /// none.
    pub(super) fn write(&mut self, bytes_max: usize, out: &mut BytesMut) -> bool {
        while out.len() < bytes_max {
            let Some(value) = self.values.next() else { return true };
            let mut writer = Writer::new(out, self.version);
            match value {
                Some(bytes) => writer.bulk(&bytes),
                None => writer.null(),
            }
        }
        self.values.as_slice().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_much_more_than_allowed() {
        let value = Bytes::from(vec![b'v'; 1000]);
        let values = (0..1000).map(|n| (n % 2 == 0).then(|| value.clone())).collect();
        let mut out = BytesMut::new();
        let mut long = LongAnswer::begin(values, Version::Two, &mut out);
        let mut whole = Vec::new();
        loop {
            let is_done = long.write(3000, &mut out);
            assert!(out.len() < 3000 + 1000 + 16, "{} bytes", out.len());
            whole.extend_from_slice(&out.split());
            if is_done {
                break;
            }
        }
        let text = String::from_utf8(whole).expect("text");
        let one = format!("$1000\r\n{}\r\n$-1\r\n", "v".repeat(1000));
        assert_eq!(text, format!("*1000\r\n{}", one.repeat(500)));
    }
}
