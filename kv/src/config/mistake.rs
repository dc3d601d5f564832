//! What can be wrong with settings.

use core::fmt;

use synod_core::{ConfigError, NodeId};

use super::nearest::nearest;

/// Settings that cannot work: names the key and what is allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mistake {
    /// The configuration file cannot be read.
    File {
        /// Its path.
        path: String,
        /// Why.
        why: String,
    },
    /// The configuration file is no TOML.
    Toml {
        /// Its path.
        path: String,
        /// Where and why.
        why: String,
    },
    /// There is no such key.
    UnknownKey {
        /// The key, with its section.
        key: String,
        /// The one that was probably meant.
        near: Option<String>,
        /// All there are.
        allowed: String,
    },
    /// A key has a value that it cannot have.
    BadValue {
        /// The key, with its section.
        key: String,
        /// The value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A key that must be set is not.
    Missing {
        /// The key.
        key: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Two peers have one id.
    DuplicateId(NodeId),
    /// Two peers have one address.
    DuplicateAddress(String),
    /// This node is not among the peers.
    NotAPeer {
        /// This node.
        id: NodeId,
        /// The peers.
        peers: Vec<NodeId>,
    },
    /// Limits or timeouts that are each in their range do not go together.
    Unworkable(ConfigError),
    /// A name has no address.
    Unresolvable {
        /// The key it stands under.
        key: &'static str,
        /// The address.
        address: String,
        /// Why.
        why: String,
    },
}

impl Mistake {
    /// An unknown key in a section, `prefix`, that has only these.
    pub(crate) fn unknown(key: &str, prefix: &str, allowed: &[&str]) -> Self {
        let near = nearest(key, allowed.iter().copied()).map(|near| format!("{prefix}{near}"));
        Self::UnknownKey { key: format!("{prefix}{key}"), near, allowed: allowed.join(", ") }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, why } => {
                write!(f, "cannot read the configuration file {path}: {why}")
            }
            Self::Toml { path, why } => write!(f, "{path} is no sound TOML: {}", why.trim_end()),
            Self::UnknownKey { key, near, allowed } => {
                write!(f, "there is no setting `{key}`")?;
                if let Some(near) = near {
                    write!(f, "; did you mean `{near}`?")?;
                }
                write!(f, " Allowed here: {allowed}")
            }
            Self::BadValue { key, value, allowed } => {
                write!(f, "`{key}` is {value:?}; allowed: {allowed}")
            }
            Self::Missing { key, allowed } => write!(
                f,
                "`{key}` is not set: give the flag --{key} or the key `{key}` in the \
                 configuration file; allowed: {allowed}"
            ),
            Self::DuplicateId(node) => {
                write!(f, "`peers` names node {node} twice: give each replica an id of its own")
            }
            Self::DuplicateAddress(address) => write!(
                f,
                "`peers` names the address {address} twice: give each replica an address of its \
                 own"
            ),
            Self::NotAPeer { id, peers } => {
                let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "`id` is {id}, which is not among the `peers`; allowed: {}",
                    peers.join(", ")
                )
            }
            Self::Unworkable(error) => {
                write!(f, "`limits` and `timeouts` do not go together: {error}")
            }
            Self::Unresolvable { key, address, why } => write!(
                f,
                "`{key}`: {address} cannot be resolved ({why}): check the name, or give an IP \
                 address"
            ),
        }
    }
}

impl core::error::Error for Mistake {}
