//! Real files in one directory, locked against a second process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Device, DeviceFile, IoFailure, OpenError};

/// A directory of the file system as a [`Device`].
///
/// One process at a time: the directory holds a file `lock`, which is locked as long as the device
/// or a clone of it lives (but not those for readers), and which names the process. The lock goes
/// with the process, however it ends.
#[derive(Clone, Debug)]
pub struct FileDevice {
    directory: Arc<PathBuf>,
    /// `None` in a handle for reading.
    lock: Option<Arc<File>>,
}

/// The name of the lock file.
const LOCK: &str = "lock";

impl FileDevice {
    /// Opens a directory, which is made if it does not exist, and locks it.
    ///
    /// # Errors
    /// When the path is no directory, cannot be made or may not be written to, and when a running
    /// process has it open.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        let directory = directory.as_ref();
        make_directory(directory)?;
        let path = directory.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).open(&path);
        let mut lock = lock.map_err(|error| denied_or(error, "open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let directory = directory.display().to_string();
                return Err(OpenError::InUse { directory, pid: read_pid(&mut lock) });
            }
            Err(TryLockError::Error(error)) => {
                return Err(IoFailure::new("lock", path.display(), &error).into());
            }
        }
        match write_pid(&mut lock) {
            Ok(()) => {}
            // The number is a courtesy: a full disk must not keep a log from starting.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            Err(error) => return Err(denied_or(error, "write", &path)),
        }
        Ok(Self { directory: Arc::new(directory.to_path_buf()), lock: Some(Arc::new(lock)) })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether this handle keeps other processes out.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Device for FileDevice {
    type File = Arc<File>;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for item in fs::read_dir(&*self.directory)? {
            // A name that is no UTF-8 is none of ours.
            if let Ok(name) = item?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Self::File> {
        let path = self.path(name);
        // A new file, never the old one cut and grown: its old blocks must not come back.
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        reserve(&file, bytes)?;
        // The length too, which a start relies on; `sync_data` need not cover it.
        file.sync_all()?;
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        let writable = self.lock.is_some();
        let file = OpenOptions::new().read(true).write(writable).open(self.path(name))?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        sync_names(&self.directory)
    }

    fn describe(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn for_reading(&self) -> Self {
        Self { directory: Arc::clone(&self.directory), lock: None }
    }
}

impl DeviceFile for Arc<File> {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&**self, into, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&**self, into, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&**self, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&**self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        // The length was made durable with the file, and files are never written beyond it.
        self.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}

/// Makes the directory and the missing ones above it, durably.
fn make_directory(directory: &Path) -> Result<(), OpenError> {
    match fs::metadata(directory) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(OpenError::NotADirectory { path: directory.display().to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // A file stands where a directory above should be.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(OpenError::NotADirectory { path: directory.display().to_string() });
        }
        Err(error) => return Err(denied_or(error, "open", directory)),
    }
    let above = match directory.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) | None => Path::new("."),
    };
    make_directory(above)?;
    match fs::create_dir(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(denied_or(error, "make", directory)),
    }
    sync_names(above).map_err(|error| IoFailure::new("sync", above.display(), &error).into())
}

#[cfg(unix)]
fn sync_names(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Windows cannot sync a directory; its file systems write names through a journal.
#[cfg(not(unix))]
fn sync_names(_directory: &Path) -> io::Result<()> {
    Ok(())
}

/// Reserves space, so that a full disk is noticed now and not in the middle of a record.
#[cfg(target_os = "linux")]
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            // Not every file system can: there the zeros are written.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return write_zeros(file, bytes),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    write_zeros(file, bytes)
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(bytes), &mut file)?;
    Ok(())
}

fn denied_or(error: io::Error, doing: &'static str, path: &Path) -> OpenError {
    let path = path.display().to_string();
    if error.kind() == io::ErrorKind::PermissionDenied {
        return OpenError::Denied { doing, path };
    }
    IoFailure::new(doing, path, &error).into()
}

fn read_pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    // The lock may be held by a process that has not written its number yet.
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}
