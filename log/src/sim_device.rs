//! A simulated disk that loses what a crash may lose, for tests and for the simulator.
//!
//! It remembers what was synced. A [power cut](SimDevice::power_cut) keeps, of everything else, an
//! arbitrary part that is drawn from a seed: sector by sector, so that writes are torn and later
//! ones may be kept while earlier ones are lost, and of the changes of names the first few. A
//! [killed process](SimDevice::kill) loses nothing, but what it had not synced stays unsynced.
//! Faults are [injected](SimDevice::inject) into single operations. The same calls with the same
//! seeds give the same disk, bit for bit.

mod disk;
mod faults;
mod file;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use disk::Disk;
pub use disk::Keep;
pub use faults::{DeviceFault, Operation};

use crate::{Device, DeviceFile};

/// A handle on a simulated disk. Clones are handles on the same disk.
///
/// A handle is of one run of the process: after a crash it only returns errors, and the new run
/// uses the handle that [`power_cut`](Self::power_cut) or [`kill`](Self::kill) returned.
#[derive(Clone, Debug)]
pub struct SimDevice {
    disk: Arc<Mutex<Disk>>,
    run: u64,
}

/// An open file of a [`SimDevice`].
#[derive(Clone, Debug)]
pub struct SimFile {
    device: SimDevice,
    file: usize,
}

impl SimDevice {
    /// An empty disk with sectors of `sector_bytes`, 512 or 4096, which are written whole or not
    /// at all.
    ///
    /// # Panics
    /// When `sector_bytes` is 0.
    #[must_use]
    pub fn new(sector_bytes: usize) -> Self {
        assert!(sector_bytes > 0, "a sector has at least one byte");
        Self { disk: Arc::new(Mutex::new(Disk::new(sector_bytes))), run: 0 }
    }

    /// An independent copy of the disk, with everything that is not durable yet.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { disk: Arc::new(Mutex::new(self.disk().clone())), run: self.run }
    }

    /// Cuts the power: of what is not durable, only what `keep` says is still there. Returns the
    /// handle for the next run; all others are dead.
    #[must_use]
    pub fn power_cut(&self, keep: Keep) -> Self {
        let mut disk = self.disk();
        disk.power_cut(keep);
        self.next_run(&mut disk)
    }

    /// Ends the process while the system goes on. Returns the handle for the next run.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.next_run(&mut self.disk())
    }

    /// Lets the `nth` of the coming operations of this kind, from 0, go wrong.
    pub fn inject(&self, operation: Operation, nth: u64, fault: DeviceFault) {
        self.disk().faults.inject(operation, nth, fault);
    }

    /// Cuts the power in the middle of the change number `nth` that is made from now on, from 0:
    /// that one and all later calls fail. [`power_cut`](Self::power_cut) decides what is kept.
    pub fn power_fails_at(&self, nth: u64) {
        self.disk().faults.power_fails_at(nth);
    }

    /// Whether the power has not failed in this run.
    #[must_use]
    pub fn has_power(&self) -> bool {
        !self.disk().faults.is_dead()
    }

    /// How many changes (writes, syncs, files made, renamed, cut or removed) were made so far.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.disk().faults.changes()
    }

    /// How many bytes were read from it so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.disk().bytes_read
    }

    /// Gives the disk so many bytes for all files together. It has no limit at first.
    pub fn set_capacity(&self, bytes: u64) {
        self.disk().capacity = bytes;
    }

    /// Flips bits of a byte, as it is read and as it is on the disk: bit rot. `false` when there
    /// is no such byte.
    #[must_use]
    pub fn rot(&self, name: &str, offset: u64, bits: u8) -> bool {
        self.disk().rot(name, offset, bits)
    }

    /// Replaces bytes as they are read and as they are on the disk: what a write of long ago left
    /// there that was lost or went astray. `false` when the file has no such bytes.
    #[must_use]
    pub fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> bool {
        self.disk().overwrite(name, offset, bytes)
    }

    /// The next read that meets these bytes shows others there, once, and the disk is sound: those
    /// that `shows` names (a misdirected read), or zeros, as before anything was written (a stale
    /// one). Forgotten when the process ends. `false` when there is no such file.
    #[must_use]
    pub fn misread(&self, name: &str, offset: u64, bytes: u64, shows: Option<u64>) -> bool {
        self.disk().misread(name, offset, bytes, shows)
    }

    /// A file is gone, as if its name had never been made. `false` when there was none.
    #[must_use]
    pub fn lose_file(&self, name: &str) -> bool {
        self.disk().lose_file(name)
    }

    /// What is on the disk for certain, by name: what a power cut would keep that keeps nothing
    /// else.
    #[must_use]
    pub fn media(&self) -> Vec<(String, Vec<u8>)> {
        self.disk().media().map(|(name, bytes)| (name.to_owned(), bytes.into_owned())).collect()
    }

    /// What a file reads as now.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        self.disk().contents(name).map(<[u8]>::to_vec)
    }

    /// Puts a file there as if somebody had copied it: durable at once.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.disk().put(name, bytes);
    }

    fn next_run(&self, disk: &mut Disk) -> Self {
        disk.run += 1;
        disk.faults.clear();
        disk.forget_misreads();
        Self { disk: Arc::clone(&self.disk), run: disk.run }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk, unless this handle is dead.
    fn live(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk();
        if disk.run == self.run && !disk.faults.is_dead() {
            return Ok(disk);
        }
        Err(io::Error::other("the power is cut"))
    }
}

impl Device for SimDevice {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.live()?.names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<SimFile> {
        let file = self.live()?.create(name, bytes)?;
        Ok(SimFile { device: self.clone(), file })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let file = self.live()?.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile { device: self.clone(), file })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.live()?.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.live()?.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.live()?.sync_directory()
    }

    fn describe(&self, name: &str) -> String {
        format!("simulated disk/{name}")
    }
}

impl DeviceFile for SimFile {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.device.live()?.files[self.file].len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.device.live()?.read(self.file, into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.device.live()?.write(self.file, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.device.live()?.sync(self.file)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.device.live()?.truncate(self.file, bytes)
    }
}
