//! Logs for Synod: where the promises and the decrees of a replica are kept.

pub mod conformance;
mod device;
mod error;
mod file_device;
mod file_log;
mod index;
mod log;
mod memory_log;
mod reader;
mod recovery;
mod scan;
mod segment;
mod sim_device;
mod slots;

pub use device::{Device, DeviceFile};
pub use error::{Damage, Fault, IoFailure, LogError, OpenError};
pub use file_device::FileDevice;
pub use file_log::{FileLog, Recovery};
pub use index::STRETCH_BYTES;
pub use log::{Identity, Log, LogConfig, Most, ReadBack, Ticket};
pub use memory_log::{MemoryLog, MemoryReader};
pub use reader::FileReader;
pub use sim_device::{DeviceFault, Keep, Operation, SimDevice, SimFile};
