//! Logs for [Synod](synod_core): where the promises and the decrees of a replica are kept.
//!
//! # What it is
//!
//! A replica hands out records ([`Action::Persist`](synod_core::Action::Persist)); a [`Log`] writes
//! them and says up to where they are durable. It comes back after a crash with everything that it
//! called durable, or it does not come back and says what is lost. **It never forgets in silence:**
//! a replica that had forgotten a promise could help to choose two decrees for one slot.
//!
//! | log | for |
//! |-----|-----|
//! | [`FileLog`] on a [`FileDevice`] | real disks: segment files, reserved in advance |
//! | [`FileLog`] on a [`SimDevice`] | tests and the simulator: a disk that crashes and fails |
//! | [`MemoryLog`] | tests and measurements without a disk |
//!
//! # What it is not
//!
//! It decides nothing: what a record means is the replica's business. It keeps no state of the
//! application, and it does not repair damage: it reports it.
//!
//! A log of your own has to pass the suite in [`conformance`].
//!
//! # Use
//!
//! Three steps, so that a thread or a simulated disk can stand between them. Everything staged is
//! written in one go, so the slower the disk the larger the groups: group commit that adapts by
//! itself.
//!
//! ```
//! use synod_core::{Ballot, Body, ClusterId, Configuration, GroupId, Incarnation, Kind, NodeId};
//! use synod_core::{Proposal, Record, Slot, WriteId};
//! use synod_log::{FileDevice, FileLog, Identity, Log, LogConfig, Most, ReadBack};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = std::env::temp_dir().join(format!("synod-log-doc-{}", std::process::id()));
//! let members = Configuration::first(&[NodeId(1), NodeId(2), NodeId(3)])?;
//! let identity = Identity {
//!     cluster: ClusterId(0xC0FFEE),
//!     group: GroupId(0),
//!     epoch: members.epoch(),
//!     node: NodeId(1),
//! };
//! // Drawn at random by the host; used only if the directory is empty.
//! let incarnation = Incarnation(0x1234_5678);
//! let config = LogConfig::default();
//!
//! // 1. Open. What the log knows is what the replica starts from.
//! let device = FileDevice::open(&directory)?;
//! let (mut log, recovered) = FileLog::open(device, identity, config, incarnation)?;
//! assert_eq!(recovered.boot.0, 1);
//!
//! // 2. Stage what the replica hands out, write it, sync it. Only then it is durable.
//! let ballot = Ballot { round: 1, node: NodeId(1) };
//! let decree = Kind::App("a decree".into());
//! let run = [Proposal { slot: Slot(0), ballot, decree }];
//! let body = Body::Accepted(&run);
//! log.stage(WriteId(1), Record { promised: ballot, decided: Slot(0), body })?;
//! if let Some(ticket) = log.write()? {
//!     let upto = log.sync(ticket)?;
//!     assert_eq!(upto, WriteId(1)); // report `Event::Persisted { upto }`
//! }
//!
//! // 3. Read decided slots back, from any thread, to help a replica that lags behind.
//! let mut reader = log.reader();
//! let found = reader.read(Slot(0), Slot(1), Most { slots: 100, bytes: 1 << 20 })?;
//! assert_eq!(found, run);
//!
//! // 4. When idle and at the end: prove the last records, so that damage to them is noticed.
//! log.settle()?;
//! drop((log, reader));
//!
//! // Another run: a new boot, and nothing is lost.
//! let device = FileDevice::open(&directory)?;
//! let (log, recovered) = FileLog::open(device, identity, config, incarnation)?;
//! assert_eq!((recovered.boot.0, recovered.promised), (2, ballot));
//! assert_eq!(recovered.accepted, run);
//! # drop(log);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a start does
//!
//! Records stand in [segments](segment), one behind the other; each carries a checksum, the name of
//! its log, its own position, and the position that was known durable when it was written. A start
//! reads them in order. At the first place without a legible record it decides (rule R11):
//!
//! - A legible record behind it, or the header of the next segment, says that this place was
//!   durable: **damage**. The log does not open, and [`Damage`] names file, offset and slots.
//! - Otherwise nothing from here on was ever called durable: the **torn tail** of writes that a
//!   crash interrupted. It is cut off for good, also if later writes of it are whole.
//!
//! Then it writes the bytes that no record proves once more and syncs them, since they may have
//! been read from memory that a failed sync left behind, and makes the next segment, whose header
//! does three things in one atomic step: it seals what was read, it cuts off the torn tail, and it
//! starts a new generation, which is the boot of the replica. Nothing is written in a generation
//! before its header is durable. A start can crash anywhere and be repeated.
//!
//! **What cannot be told apart**: rot of the last records, before a later record proves them, looks
//! like a torn write. [`Log::settle`] writes that later record; call it when idle. And a directory
//! that is replaced by an older copy of itself looks like that older log: a peer that knows better
//! notices (rule R10).
//!
//! # When the device fails
//!
//! Every error of writing or syncing is final for the log, whatever the device says later: after a
//! failed sync the system may drop what it could not write and report success from then on. Stop
//! the replica; the process may live on. A new start finds out what is on the disk. Space for a
//! segment is reserved before anything in it is called durable, so a full disk stops a log between
//! two records and never within one.

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
pub mod segment;
mod segment_file;
mod sim_device;
mod slots;

pub use device::{Device, DeviceFile};
pub use error::{Damage, Fault, IoFailure, LogError, OpenError};
pub use file_device::FileDevice;
pub use file_log::{FileLog, Recovery};
pub use index::STRETCH_BYTES;
pub use log::{Identity, Log, LogConfig, Most, ReadBack, Ticket};
pub use memory_log::{MemoryLog, MemoryReader, WhenFull};
pub use reader::FileReader;
pub use sim_device::{DeviceFault, Keep, Operation, SimDevice, SimFile};
