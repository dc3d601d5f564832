//! What is wrong with a command, in Redis's words.

use core::fmt;

use bytes::Bytes;

/// A command that is refused before anything is submitted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Complaint {
    /// No such command: its name and the start of its arguments.
    UnknownCommand(String, String),
    /// No such subcommand: what was asked for, and of which command.
    UnknownSubcommand(String, &'static str),
    /// Too few or too many arguments, or an odd number where pairs are wanted.
    WrongArity(String),
    /// Options that do not exist or do not go together.
    Syntax,
    /// SET was asked for a time to live.
    NoExpiry(String),
    /// An argument must be a 64-bit integer.
    NotAnInteger,
    /// DECRBY cannot negate the most negative integer.
    DecrementOverflow,
    /// There is database 0 only.
    NoSuchDatabase,
    /// There are versions 2 and 3 of the protocol.
    NoSuchVersion,
    /// The version of the protocol must be an integer.
    VersionNotAnInteger,
    /// HELLO does not know the option.
    HelloSyntax(String),
    /// A name, named first, must be visible ASCII without blanks.
    BadName(&'static str),
    /// CLIENT SETINFO does not know the attribute.
    UnknownAttribute(String),
    /// This server has no passwords; a user was named.
    NoUsers,
    /// This server has no passwords.
    NoPassword,
    /// CONFIG SET and its like.
    FixedSettings,
    /// CLIENT REPLY OFF and SKIP: a client that hears nothing cannot know what was decided.
    AlwaysReplies,
}

impl Complaint {
    /// As Redis words it: at most 128 bytes of the name and of the arguments.
    pub(super) fn unknown_command(args: &[Bytes]) -> Self {
        let text = |bytes: &[u8], len: usize| {
            // Redis's strings end at a NUL.
            let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(&bytes[..bytes.len().min(len)]).into_owned()
        };
        let (name, args) = args.split_first().map_or((&[][..], args), |(n, rest)| (&n[..], rest));
        let mut shown = String::new();
        for arg in args {
            let Some(room) = SHOWN_BYTES_MAX.checked_sub(shown.len()).filter(|room| *room > 0)
            else {
                break;
            };
            shown.push('\'');
            shown.push_str(&text(arg, room));
            shown.push_str("' ");
        }
        Self::UnknownCommand(text(name, SHOWN_BYTES_MAX), shown)
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand(name, args) => {
                write!(f, "ERR unknown command '{name}', with args beginning with: {args}")
            }
            Self::UnknownSubcommand(name, of) => {
                write!(f, "ERR unknown subcommand '{name}'. Try {of} HELP.")
            }
            Self::WrongArity(name) => {
                write!(f, "ERR wrong number of arguments for '{name}' command")
            }
            Self::Syntax => f.write_str("ERR syntax error"),
            Self::NoExpiry(option) => {
                write!(f, "ERR SET {option} is not supported: keys of this server do not expire")
            }
            Self::NotAnInteger => f.write_str("ERR value is not an integer or out of range"),
            Self::DecrementOverflow => f.write_str("ERR decrement would overflow"),
            Self::NoSuchDatabase => f.write_str("ERR DB index is out of range"),
            Self::NoSuchVersion => f.write_str("NOPROTO unsupported protocol version"),
            Self::VersionNotAnInteger => {
                f.write_str("ERR Protocol version is not an integer or out of range")
            }
            Self::HelloSyntax(option) => write!(f, "ERR Syntax error in HELLO option '{option}'"),
            Self::BadName(what) => {
                write!(f, "ERR {what} cannot contain spaces, newlines or special characters.")
            }
            Self::UnknownAttribute(name) => write!(f, "ERR Unrecognized option '{name}'"),
            Self::NoUsers => {
                f.write_str("WRONGPASS invalid username-password pair or user is disabled.")
            }
            Self::NoPassword => f.write_str(
                "ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            ),
            Self::FixedSettings => f.write_str(
                "ERR settings are fixed while the server runs: change its flags or its \
                 configuration file and restart it",
            ),
            Self::AlwaysReplies => f.write_str(
                "ERR CLIENT REPLY OFF and SKIP are not supported: every command is answered",
            ),
        }
    }
}

impl core::error::Error for Complaint {}

/// So many bytes of an unknown command are shown, and so many of its arguments.
const SHOWN_BYTES_MAX: usize = 128;
