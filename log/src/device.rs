//! What a log needs from its storage: named files in one directory.
//!
//! The log relies on these promises of a device, and on no others:
//!
//! 1. Bytes of a file are durable once [`DeviceFile::sync`] returned without an error after they
//!    were written. Until then a crash may keep any of them and lose any others, in any order,
//!    sector by sector. A sector that is being overwritten holds its old or its new bytes.
//! 2. Names are durable once [`Device::sync_directory`] returned without an error. A crash may
//!    undo names made, changed or removed since, the latest first. A rename is atomic.
//! 3. A file just created reads as zeros, and its space is reserved: writing inside it does not
//!    run out of space.
//! 4. After a failed sync the bytes written since the last good one are **undefined**, also when
//!    reading shows them and a later sync succeeds.

use std::io;

/// A directory of files. Blocking; errors are those of `std::io`.
pub trait Device: Clone + Send + 'static {
    /// An open file.
    type File: DeviceFile;

    /// The names of all files, in any order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file of `bytes` zeros whose space is reserved. Replaces one of that name.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when there is not enough space; the file may exist then.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Self::File>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none of that name.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Gives the file `from` the name `to`, in place of a file that has it.
    ///
    /// # Errors
    /// When there is no file `from`, or the directory cannot be changed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// When there is none of that name, or the directory cannot be changed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all changes of names durable.
    ///
    /// # Errors
    /// When they may not be durable. They are undefined then.
    fn sync_directory(&self) -> io::Result<()>;

    /// How to name a file to a person: its path, for instance.
    fn describe(&self, name: &str) -> String;

    /// A handle for a reader. It does not keep the directory in use when the log is gone.
    #[must_use]
    fn for_reading(&self) -> Self {
        self.clone()
    }
}

/// An open file of a [`Device`]. Clones are the same open file.
pub trait DeviceFile: Clone + Send + 'static {
    /// The length in bytes.
    ///
    /// # Errors
    /// When it cannot be found out.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Reads at `offset`. May read less than asked for; 0 is the end of the file.
    ///
    /// # Errors
    /// When the device cannot read.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`. May write less than asked for.
    ///
    /// # Errors
    /// When the device cannot write. What was being written is undefined then.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes everything written durable, and the length that the file was made with.
    ///
    /// # Errors
    /// When it may not be durable. It is undefined then.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file to `bytes`.
    ///
    /// # Errors
    /// When the device cannot.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
}

/// Reads until `into` is full or the file ends; returns how much was read.
pub(crate) fn read_full<F: DeviceFile>(
    file: &F,
    into: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `bytes`, however many calls it takes.
pub(crate) fn write_full<F: DeviceFile>(file: &F, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
