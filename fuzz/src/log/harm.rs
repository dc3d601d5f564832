//! What becomes of files: rot, writes that land elsewhere or nowhere, clumsy hands.

use arbitrary::Arbitrary;

use super::image::{Files, Image};

/// One thing done to the files of a directory. Files are named by their place among all.
#[derive(Clone, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Harm {
    /// Bits of one byte flip.
    Flip(u8, At, u8),
    /// Bytes are zeros.
    Zero(u8, At, u16),
    /// Bytes of one place stand at another, of the same file or not.
    Copy((u8, At), (u8, At), u16),
    /// A record stands at the place of another, or at the end of it, whole: a misdirected write.
    Misdirect { from: u8, to: u8, behind: bool },
    /// Bytes are others.
    Overwrite(u8, At, Vec<u8>),
    /// The file ends early.
    Cut(u8, At),
    /// The file goes on.
    Extend(u8, u8),
    /// Two files have each other's names.
    Swap(u8, u8),
    /// The first file is there once more, in place of the second.
    Replace(u8, u8),
    /// The file is there once more, behind all others.
    Duplicate(u8),
    /// The file is gone.
    Remove(u8),
}

/// A place in a file: around the header, around its end, or anywhere in the records.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum At {
    Header(u16),
    Records(u16),
    End(u8),
}

impl Harm {
    /// Does it.
    pub(super) fn done_to(&self, files: &mut Files, image: &Image) {
        let name = |place: u8| nth_name(files, place);
        let offset = |place: u8, at: At| at.offset(image.used_bytes(&nth_name(files, place)));
        match self {
            Self::Flip(file, at, bits) => {
                let bits = (*bits).max(1);
                write(files, &name(*file), offset(*file, *at), 1, |bytes| bytes[0] ^= bits);
            }
            Self::Zero(file, at, len) => {
                let len = usize::from(len % 1024) + 1;
                write(files, &name(*file), offset(*file, *at), len, |bytes| bytes.fill(0));
            }
            Self::Copy((from, from_at), (to, to_at), len) => {
                let source = files.get(&name(*from)).cloned().unwrap_or_default();
                let at = offset(*from, *from_at).min(source.len());
                let end = (at + usize::from(len % 4096) + 1).min(source.len());
                let source = &source[at..end];
                overwrite(files, &name(*to), offset(*to, *to_at), source);
            }
            Self::Misdirect { from, to, behind } => {
                let (Some(from), Some(to)) = (image.place(*from), image.place(*to)) else { return };
                let source = files.get(from.0).and_then(|bytes| bytes.get(from.1..from.2));
                let source = source.unwrap_or_default().to_vec();
                overwrite(files, to.0, if *behind { to.2 } else { to.1 }, &source);
            }
            Self::Overwrite(file, at, bytes) => {
                overwrite(files, &name(*file), offset(*file, *at), bytes);
            }
            Self::Cut(file, at) => {
                let (name, end) = (name(*file), offset(*file, *at));
                files.entry(name).or_default().truncate(end);
            }
            Self::Extend(file, by) => {
                let more = [*by; 64];
                let name = name(*file);
                files.entry(name).or_default().extend_from_slice(&more);
            }
            Self::Swap(one, other) => {
                let (one, other) = (name(*one), name(*other));
                let found = (files.get(&one).cloned(), files.get(&other).cloned());
                files.extend(found.0.map(|bytes| (other, bytes)));
                files.extend(found.1.map(|bytes| (one, bytes)));
            }
            Self::Replace(one, other) => {
                let (from, to) = (name(*one), name(*other));
                let found = files.get(&from).cloned();
                files.extend(found.map(|bytes| (to, bytes)));
            }
            Self::Duplicate(file) => {
                let found = files.get(&name(*file)).cloned();
                files.extend(found.map(|bytes| ("00000099.seg".to_owned(), bytes)));
            }
            Self::Remove(file) => {
                let name = name(*file);
                files.remove(&name);
            }
        }
    }
}

impl At {
    fn offset(self, used: usize) -> usize {
        match self {
            Self::Header(at) => usize::from(at % 160),
            Self::Records(at) => usize::from(at) % used.max(1),
            // The last 192 bytes of the records, and 63 behind them.
            Self::End(back) => (used + 64).saturating_sub(usize::from(back)),
        }
    }
}

fn nth_name(files: &Files, place: u8) -> String {
    let place = usize::from(place) % files.len().max(1);
    files.keys().nth(place).cloned().unwrap_or_default()
}

/// Changes up to `len` bytes at `at`, as many as there are.
fn write(files: &mut Files, name: &str, at: usize, len: usize, change: impl FnOnce(&mut [u8])) {
    let Some(bytes) = files.get_mut(name) else { return };
    let end = (at + len).min(bytes.len());
    if at < end {
        change(&mut bytes[at..end]);
    }
}

fn overwrite(files: &mut Files, name: &str, at: usize, source: &[u8]) {
    write(files, name, at, source.len(), |bytes| bytes.copy_from_slice(&source[..bytes.len()]));
}
