//! The bytes of one file of a simulated disk: what is read, and what would survive.
//!
//! Mostly the two are the same but for what was written since the last sync. So the file is held
//! once, and each write remembers what it wrote over; only after a sync that failed, or damage,
//! are there two copies.

use std::borrow::Cow;
use std::ops::Range;

use super::disk::Chance;

/// The bytes of a file.
#[derive(Clone, Debug)]
pub(super) struct FileState {
    /// As they are read.
    seen: Vec<u8>,
    /// What would survive. None when that is what is read, without what is pending.
    media: Option<Vec<u8>>,
    /// What was cut off and would survive all the same, when that is the only other difference.
    cut: Option<Cut>,
    /// What was written since the last sync, in order.
    pending: Vec<Write>,
    /// Whether the file was ever synced: its length is uncertain until then.
    is_synced: bool,
}

#[derive(Clone, Debug)]
struct Write {
    offset: usize,
    bytes: Vec<u8>,
    /// What was read there before, as far as there was anything.
    before: Vec<u8>,
    /// The length of the file before.
    len_before: usize,
}

#[derive(Clone, Debug)]
struct Cut {
    /// The bytes behind the end of what is read, but for the zeros that they end with.
    rest: Vec<u8>,
    /// The length that would survive.
    len: usize,
}

impl FileState {
    /// A file with these bytes, not synced yet.
    pub(super) const fn new(bytes: Vec<u8>) -> Self {
        Self { seen: bytes, media: None, cut: None, pending: Vec::new(), is_synced: false }
    }

    /// What is left of a file that nothing leads to any more.
    pub(super) fn forgotten() -> Self {
        Self { is_synced: true, ..Self::new(Vec::new()) }
    }

    pub(super) fn len(&self) -> u64 {
        self.seen.len() as u64
    }

    /// What is read.
    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// What would survive.
    pub(super) fn media(&self) -> Cow<'_, [u8]> {
        match &self.media {
            Some(media) => media.into(),
            None if self.pending.is_empty() && self.cut.is_none() => (&self.seen).into(),
            None => self.survivor().into(),
        }
    }

    /// What is read, with the writes since the last sync undone, and what was cut off.
    fn survivor(&self) -> Vec<u8> {
        let mut bytes = self.seen.clone();
        for Write { offset, before, len_before, .. } in self.pending.iter().rev() {
            bytes.truncate(*len_before);
            let from = (*offset).min(bytes.len());
            bytes[from..from + before.len()].copy_from_slice(before);
        }
        if let Some(Cut { rest, len }) = &self.cut {
            bytes.extend_from_slice(rest);
            bytes.resize(*len, 0);
        }
        bytes
    }

    /// What would survive, as a copy of its own from now on.
    fn media_apart(&mut self) -> &mut Vec<u8> {
        if self.media.is_none() {
            self.media = Some(self.survivor());
            self.cut = None;
        }
        self.media.get_or_insert_default()
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        if self.cut.is_some() {
            self.media_apart();
        }
        let len_before = self.seen.len();
        let from = offset.min(len_before);
        let before = match self.media {
            Some(_) => Vec::new(),
            None => self.seen[from..(offset + bytes.len()).min(len_before).max(from)].to_vec(),
        };
        put(&mut self.seen, bytes, offset);
        self.pending.push(Write { offset, bytes: bytes.to_vec(), before, len_before });
    }

    /// Cuts the file. A file that is cut is not written any more here, so order does not matter:
    /// the cut `survives` when the power goes, or not, with what was written last.
    pub(super) fn truncate(&mut self, len: usize, survives: bool) {
        let seen_len = self.seen.len();
        let stays = |write: &Write| write.end() <= len && write.len_before == seen_len;
        if self.media.is_some() || self.cut.is_some() || !self.pending.iter().all(stays) {
            let media = self.media_apart();
            if survives {
                media.truncate(len);
            }
        } else if !survives && len < seen_len {
            let rest = &self.seen[len..];
            let zeros = rest.iter().rev().take_while(|byte| **byte == 0).count();
            let rest = rest[..rest.len() - zeros].to_vec();
            self.cut = Some(Cut { rest, len: seen_len });
        }
        // In the first case undoing is over, in the others no write reaches over the cut.
        for write in &mut self.pending {
            write.len_before = write.len_before.min(len);
        }
        self.seen.truncate(len);
        self.seen.shrink_to_fit();
        self.pending.retain(|write| write.end() <= len);
    }

    /// Changes these bytes, as they are read and as they would survive. False when they are not
    /// there.
    pub(super) fn change_both(&mut self, range: Range<usize>, change: impl Fn(&mut [u8])) -> bool {
        if self.seen.get(range.clone()).is_none() || self.media().get(range.clone()).is_none() {
            return false;
        }
        change(&mut self.media_apart()[range.clone()]);
        change(&mut self.seen[range]);
        true
    }

    pub(super) fn keep_nothing(&mut self) {
        if !self.pending.is_empty() {
            self.media_apart();
            self.pending.clear();
        }
    }

    pub(super) fn keep_all(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if let Some(media) = &mut self.media {
            for write in &pending {
                put(media, &write.bytes, write.offset);
            }
            if *media == self.seen {
                self.media = None;
            }
        }
        self.is_synced = true;
    }

    /// Of a file that was never synced, the end may be lost.
    pub(super) fn lose_length(&mut self, chance: &mut Chance) {
        if !self.is_synced {
            let media = self.media_apart();
            media.truncate(chance.below(media.len() + 1));
        }
    }

    /// Keeps, of each sector, what one of the writes to it left there, or what was there before.
    pub(super) fn keep_some(&mut self, sector_bytes: usize, chance: &mut Chance) {
        if !self.pending.is_empty() {
            self.media_apart();
        }
        let pending = std::mem::take(&mut self.pending);
        let first = pending.iter().map(|write| write.offset / sector_bytes).min();
        let end = pending.iter().map(|write| write.end().div_ceil(sector_bytes)).max();
        // Now and then a whole crash keeps nearly all, or nearly nothing.
        let odds = chance.below(5);
        for sector in first.unwrap_or(0)..end.unwrap_or(0) {
            let (from, to) = (sector * sector_bytes, (sector + 1) * sector_bytes);
            let meets = |write: &&Write| write.offset < to && write.end() > from;
            let writes: Vec<_> = pending.iter().filter(meets).collect();
            let kept = if odds == 0 && chance.below(8) > 0 {
                0
            } else if odds == 1 && chance.below(8) > 0 {
                writes.len()
            } else {
                chance.below(writes.len() + 1)
            };
            for write in &writes[..kept] {
                let (start, stop) = (write.offset.max(from), write.end().min(to));
                let bytes = &write.bytes[start - write.offset..stop - write.offset];
                put(self.media_apart(), bytes, start);
            }
        }
    }

    /// The power is back: what survived is what is read.
    pub(super) fn read_anew(&mut self) {
        if self.cut.is_some() {
            self.media_apart();
        }
        if let Some(media) = self.media.take() {
            self.seen = media;
        }
    }
}

impl Write {
    const fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

/// Writes into a file, which grows as needed.
fn put(into: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    let end = offset + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    into[offset..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file as it was held before: two copies of everything.
    #[derive(Default)]
    struct Twin {
        seen: Vec<u8>,
        media: Vec<u8>,
        pending: Vec<(usize, Vec<u8>)>,
    }

    impl Twin {
        fn keep(&mut self) {
            for (offset, bytes) in self.pending.drain(..) {
                put(&mut self.media, &bytes, offset);
            }
        }
    }

    /// Writes, cuts, syncs, damage and power cuts in any order leave what two copies would hold.
    #[test]
    fn one_copy_says_what_two_copies_say() {
        for seed in 0..2_000 {
            let mut chance = Chance::of(seed);
            let len = chance.below(40);
            let mut file = FileState::new(vec![0; len]);
            let mut twin = Twin { seen: vec![0; len], media: vec![0; len], ..Twin::default() };
            for step in 0..30 {
                let at = chance.below(40);
                match chance.below(8) {
                    0..=2 => {
                        let bytes = vec![step + 1; chance.below(9)];
                        file.write(&bytes, at);
                        put(&mut twin.seen, &bytes, at);
                        twin.pending.push((at, bytes));
                    }
                    3 => {
                        let survives = chance.below(2) == 0;
                        file.truncate(at, survives);
                        twin.seen.truncate(at);
                        twin.pending.retain(|(offset, bytes)| offset + bytes.len() <= at);
                        if survives {
                            twin.media.truncate(at);
                        }
                    }
                    4 => {
                        let there = twin.seen.len() > at && twin.media.len() > at;
                        let changed = file.change_both(at..at + 1, |byte| byte[0] ^= 0x80);
                        assert_eq!(changed, there, "seed {seed}");
                        if there {
                            twin.seen[at] ^= 0x80;
                            twin.media[at] ^= 0x80;
                        }
                    }
                    5 => {
                        file.keep_nothing();
                        file.read_anew();
                        twin.pending.clear();
                        twin.seen.clone_from(&twin.media);
                    }
                    _ => {
                        file.keep_all();
                        twin.keep();
                    }
                }
                assert_eq!(file.seen(), twin.seen, "seed {seed} step {step}");
                assert_eq!(*file.media(), twin.media, "seed {seed} step {step}");
            }
        }
    }
}
