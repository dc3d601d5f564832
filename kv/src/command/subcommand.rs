//! Commands that have subcommands: one lookup for all of them.

use bytes::Bytes;

use super::{Call, Complaint, Step};

/// A subcommand: its name in lower case, its words (as in [`Spec`](super::Spec), the name of the
/// command counts), and what it does.
pub(super) struct Subcommand<R> {
    pub(super) name: &'static str,
    pub(super) arity: i64,
    pub(super) run: R,
}

impl<R> Subcommand<R> {
    pub(super) const fn new(name: &'static str, arity: i64, run: R) -> Self {
        Self { name, arity, run }
    }
}

/// The subcommand that `args` asks for.
pub(super) fn find<'a, R>(
    args: &[Bytes],
    of: &'static str,
    table: &'a [Subcommand<R>],
) -> Result<&'a R, Complaint> {
    let name = &args[1];
    let Some(sub) = table.iter().find(|sub| name.eq_ignore_ascii_case(sub.name.as_bytes())) else {
        let shown = String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned();
        return Err(Complaint::UnknownSubcommand(shown, of));
    };
    let words = i64::try_from(args.len()).unwrap_or(i64::MAX);
    let fits = if sub.arity >= 0 { words == sub.arity } else { words >= -sub.arity };
    if fits {
        Ok(&sub.run)
    } else {
        Err(Complaint::WrongArity(format!("{}|{}", of.to_lowercase(), sub.name)))
    }
}

/// Lists the subcommands.
pub(super) fn help<R>(
    call: &mut Call<'_>,
    of: &'static str,
    table: &[Subcommand<R>],
) -> Result<Step, Complaint> {
    let mut writer = call.writer();
    writer.array(table.len() + 1);
    writer.simple(&format!("{of} <subcommand> [<arg> ...]. Subcommands are:"));
    for sub in table {
        writer.simple(&sub.name.to_uppercase());
    }
    Ok(Step::Answered)
}
