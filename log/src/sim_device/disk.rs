//! The state of a simulated disk: what is seen, and what would survive.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use super::faults::{DeviceFault, Faults, Operation};
use super::file::FileState;

/// What a power cut keeps of what is not durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// An arbitrary part, drawn from this seed.
    Some(u64),
}

/// A simulated disk with one directory.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    sector_bytes: usize,
    pub(super) capacity: u64,
    pub(super) bytes_read: u64,
    /// Counts the runs of the process.
    pub(super) run: u64,
    /// Every file that ever was; names point at them.
    pub(super) files: Vec<FileState>,
    /// The names as they are seen.
    pub(super) names: BTreeMap<String, usize>,
    /// The names that would survive.
    durable_names: BTreeMap<String, usize>,
    /// What changed since, in order.
    name_changes: Vec<NameChange>,
    pub(super) faults: Faults,
    misreads: Vec<Misread>,
    chance: Chance,
}

/// Bytes that are read wrong once.
#[derive(Clone, Copy, Debug)]
struct Misread {
    file: usize,
    from: usize,
    to: usize,
    /// Where the bytes that are shown instead begin; none for zeros.
    shows: Option<usize>,
}

/// One atomic change of names.
#[derive(Clone, Debug)]
struct NameChange {
    unset: Option<String>,
    set: Option<(String, usize)>,
}

/// A small generator (SplitMix64): the same seed, the same disk.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Disk {
    pub(super) fn new(sector_bytes: usize) -> Self {
        Self {
            sector_bytes,
            capacity: u64::MAX,
            bytes_read: 0,
            run: 0,
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            faults: Faults::default(),
            misreads: Vec::new(),
            chance: Chance(0),
        }
    }

    pub(super) fn create(&mut self, name: &str, bytes: u64) -> io::Result<usize> {
        let fault = self.faults.next(Operation::Create);
        let used: u64 = self.names.values().map(|file| self.files[*file].len()).sum();
        if fault == Some(DeviceFault::Full) || used.saturating_add(bytes) > self.capacity {
            // The name is there, as on a real disk, and the space is not.
            let file = self.add(Vec::new());
            self.change(NameChange { unset: None, set: Some((name.to_owned(), file)) });
            return Err(io::ErrorKind::StorageFull.into());
        }
        failed(fault)?;
        let Ok(len) = usize::try_from(bytes) else {
            return Err(io::ErrorKind::StorageFull.into());
        };
        let file = self.add(vec![0; len]);
        self.change(NameChange { unset: None, set: Some((name.to_owned(), file)) });
        self.faults.finish()?;
        Ok(file)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        failed(self.faults.next(Operation::Rename))?;
        let file = self.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        let (unset, set) = (Some(from.to_owned()), Some((to.to_owned(), file)));
        self.change(NameChange { unset, set });
        self.faults.finish()
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        failed(self.faults.next(Operation::Remove))?;
        if !self.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(NameChange { unset: Some(name.to_owned()), set: None });
        self.faults.finish()
    }

    pub(super) fn sync_directory(&mut self) -> io::Result<()> {
        if let Err(error) = failed(self.faults.next(Operation::SyncDirectory)) {
            let kept = self.chance.below(self.name_changes.len() + 1);
            self.keep_names(kept);
            return Err(error);
        }
        self.faults.finish()?;
        self.keep_names(self.name_changes.len());
        Ok(())
    }

    pub(super) fn read(&mut self, file: usize, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let fault = self.faults.next(Operation::Read);
        failed(fault)?;
        let seen = self.files[file].seen();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(seen.len());
        let mut len = into.len().min(seen.len() - from);
        if let Some(DeviceFault::Short(most)) = fault {
            len = len.min(most.max(1));
        }
        into[..len].copy_from_slice(&seen[from..from + len]);
        let meets = |misread: &Misread| {
            misread.file == file && misread.from < from + len && misread.to > from
        };
        if let Some(place) = self.misreads.iter().position(meets) {
            let Misread { from: start, to, shows, .. } = self.misreads.swap_remove(place);
            for at in start.max(from)..to.min(from + len) {
                let other = shows.and_then(|shows| seen.get(shows + (at - start)));
                into[at - from] = other.copied().unwrap_or_default();
            }
        }
        self.bytes_read += len as u64;
        Ok(len)
    }

    pub(super) fn write(&mut self, file: usize, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let fault = self.faults.next(Operation::Write);
        let Ok(mut offset) = usize::try_from(offset) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        let mut len = bytes.len();
        match fault {
            None => {}
            Some(DeviceFault::Full) => return Err(io::ErrorKind::StorageFull.into()),
            Some(DeviceFault::Interrupted) => return Err(io::ErrorKind::Interrupted.into()),
            Some(DeviceFault::Short(most)) => len = len.min(most.max(1)),
            Some(DeviceFault::Lost) => return Ok(len),
            Some(DeviceFault::Misdirected(further)) => {
                let room = self.files[file].seen().len().saturating_sub(offset + len);
                offset += usize::try_from(further).unwrap_or(0).min(room);
            }
            Some(DeviceFault::Error) => {
                // Any part of it may be there.
                let part = self.chance.below(len + 1);
                self.files[file].write(&bytes[..part], offset);
                return failed(fault).map(|()| 0);
            }
        }
        self.files[file].write(&bytes[..len], offset);
        // When the power goes during the write, any sectors of it may have been written.
        self.faults.finish()?;
        Ok(len)
    }

    pub(super) fn sync(&mut self, file: usize) -> io::Result<()> {
        if let Err(error) = failed(self.faults.next(Operation::Sync)) {
            // The pages that could not be written count as clean from now on: they are read back,
            // and no later sync writes them.
            let (sector_bytes, chance) = (self.sector_bytes, &mut self.chance);
            self.files[file].keep_some(sector_bytes, chance);
            return Err(error);
        }
        self.faults.finish()?;
        self.files[file].keep_all();
        Ok(())
    }

    pub(super) fn truncate(&mut self, file: usize, bytes: u64) -> io::Result<()> {
        failed(self.faults.next(Operation::Truncate))?;
        let Ok(len) = usize::try_from(bytes) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        let survives = self.chance.below(2) == 0;
        self.files[file].truncate(len, survives);
        self.faults.finish()
    }

    pub(super) fn power_cut(&mut self, keep: Keep) {
        let kept = match keep {
            Keep::Nothing => 0,
            Keep::Everything => self.name_changes.len(),
            Keep::Some(seed) => {
                self.chance = Chance(seed);
                self.chance.below(self.name_changes.len() + 1)
            }
        };
        self.keep_names(kept);
        self.names = self.durable_names.clone();
        for file in &mut self.files {
            match keep {
                Keep::Nothing => file.keep_nothing(),
                Keep::Everything => file.keep_all(),
                Keep::Some(_) => {
                    file.lose_length(&mut self.chance);
                    file.keep_some(self.sector_bytes, &mut self.chance);
                }
            }
            file.read_anew();
        }
    }

    pub(super) fn rot(&mut self, name: &str, offset: u64, bits: u8) -> bool {
        self.change_both(name, offset, 1, |byte| byte[0] ^= bits)
    }

    pub(super) fn overwrite(&mut self, name: &str, offset: u64, bytes: &[u8]) -> bool {
        self.change_both(name, offset, bytes.len(), |place| place.copy_from_slice(bytes))
    }

    /// Changes `len` bytes of a file, as they are read and as they would survive.
    fn change_both(
        &mut self,
        name: &str,
        offset: u64,
        len: usize,
        change: impl Fn(&mut [u8]),
    ) -> bool {
        let Some(file) = self.names.get(name) else { return false };
        let Ok(from) = usize::try_from(offset) else { return false };
        self.files[*file].change_both(from..from.saturating_add(len), change)
    }

    pub(super) fn misread(&mut self, name: &str, from: u64, len: u64, shows: Option<u64>) -> bool {
        let Some(file) = self.names.get(name).copied() else { return false };
        let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let (from, to) = (place(from), place(from.saturating_add(len)));
        self.misreads.push(Misread { file, from, to, shows: shows.map(place) });
        true
    }

    pub(super) fn forget_misreads(&mut self) {
        self.misreads.clear();
    }

    /// What would survive, by name.
    pub(super) fn media(&self) -> impl Iterator<Item = (&str, Cow<'_, [u8]>)> {
        self.durable_names.iter().map(|(name, file)| (&**name, self.files[*file].media()))
    }

    pub(super) fn lose_file(&mut self, name: &str) -> bool {
        let known = self.names.remove(name).is_some();
        self.durable_names.remove(name).is_some() && known
    }

    pub(super) fn contents(&self, name: &str) -> Option<&[u8]> {
        self.names.get(name).map(|file| self.files[*file].seen())
    }

    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) {
        let file = self.add(bytes.to_vec());
        self.files[file].keep_all();
        self.names.insert(name.to_owned(), file);
        self.durable_names.insert(name.to_owned(), file);
    }

    fn add(&mut self, bytes: Vec<u8>) -> usize {
        self.forget_unnamed();
        self.files.push(FileState::new(bytes));
        self.files.len() - 1
    }

    /// Frees the memory of files that no name leads to any more, now or after a power cut.
    fn forget_unnamed(&mut self) {
        let mut is_named = vec![false; self.files.len()];
        let set = self.name_changes.iter().filter_map(|change| change.set.as_ref());
        let changing = set.map(|(_, file)| file);
        let names = self.names.values().chain(self.durable_names.values());
        for file in names.chain(changing) {
            is_named[*file] = true;
        }
        for (file, is_named) in self.files.iter_mut().zip(is_named) {
            if !is_named {
                *file = FileState::forgotten();
            }
        }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    /// The first `count` changes of names are durable; the others never will be.
    fn keep_names(&mut self, count: usize) {
        for change in self.name_changes.drain(..).take(count) {
            change.apply(&mut self.durable_names);
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(name) = &self.unset {
            names.remove(name);
        }
        if let Some((name, file)) = &self.set {
            names.insert(name.clone(), *file);
        }
    }
}

impl Chance {
    #[cfg(test)]
    pub(super) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which is at least 1.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // The remainder is below `end`, which is a usize.
        (mixed % end as u64) as usize
    }
}

fn failed(fault: Option<DeviceFault>) -> io::Result<()> {
    match fault {
        Some(DeviceFault::Error) => Err(io::Error::other("input/output error")),
        Some(DeviceFault::Full) => Err(io::ErrorKind::StorageFull.into()),
        Some(DeviceFault::Interrupted) => Err(io::ErrorKind::Interrupted.into()),
        Some(DeviceFault::Short(_) | DeviceFault::Lost | DeviceFault::Misdirected(_)) | None => {
            Ok(())
        }
    }
}
