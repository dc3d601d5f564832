//! Logs for Synod: where the promises and the decrees of a replica are kept.

mod device;
mod error;
mod file_device;
mod log;
mod memory_log;
mod segment;
mod slots;

pub use device::{Device, DeviceFile};
pub use error::{Damage, Fault, IoFailure, LogError, OpenError};
pub use file_device::FileDevice;
pub use log::{Identity, Log, LogConfig, Most, ReadBack, Ticket};
pub use memory_log::{MemoryLog, MemoryReader};
