//! The commands: what is checked, what is answered at once, what is submitted.
//!
//! [`run`] takes one command of a client. It looks the name up in the [`TABLE`], checks the number
//! of arguments, and either answers from what this replica knows by itself (`PING`, `INFO`) or
//! hands back the [`Request`](crate::store::Request) to submit. It does no I/O and waits for
//! nothing.
//!
//! The texts of errors are Redis's own, so that client libraries recognise them.

mod complaint;
mod connection;
mod facts;
mod introspection;
mod strings;
mod subcommand;
mod table;

use bytes::{Bytes, BytesMut};

pub use complaint::Complaint;
pub use facts::{Facts, Link, Settings};
pub use introspection::inform;
pub use table::{Keys, Run, Spec, TABLE, find};

use crate::resp::{Version, Writer};
use crate::store::Reply;

/// What one connection has set for itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Names the connection; unique in one run of this process.
    pub id: u64,
    /// The address of the client, for `CLIENT INFO`.
    pub address: String,
    /// The version of the protocol.
    pub version: Version,
    /// `CLIENT SETNAME`; empty when not set.
    pub name: Bytes,
    /// `CLIENT SETINFO lib-name`; empty when not set.
    pub library: Bytes,
    /// `CLIENT SETINFO lib-ver`; empty when not set.
    pub library_version: Bytes,
}

impl Session {
    /// A connection that has set nothing.
    #[must_use]
    pub fn new(id: u64, address: String) -> Self {
        let (version, nothing) = (Version::default(), Bytes::new());
        let (name, library, library_version) = (nothing.clone(), nothing.clone(), nothing);
        Self { id, address, version, name, library, library_version }
    }
}

/// What comes next for a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The answer is written.
    Answered,
    /// Submit this request and answer with what comes of it.
    Submit {
        /// Its bytes.
        request: Bytes,
        /// It changes nothing, so losing it loses nothing.
        read: bool,
    },
    /// Ask the node how it is, and answer with [`inform`].
    Inform {
        /// The sections that were asked for; none for all.
        sections: Vec<Bytes>,
    },
    /// Close the connection when everything before is answered.
    Close,
}

/// What a command that is answered at once may look at and write to.
#[derive(Debug)]
pub struct Call<'a> {
    /// Name and arguments, as many as the table asks for.
    pub args: &'a [Bytes],
    /// The connection.
    pub session: &'a mut Session,
    /// The settings of the server.
    pub settings: &'a Settings,
    /// Where the answer goes.
    pub out: &'a mut BytesMut,
}

impl Call<'_> {
    /// A writer for the answer, in the version of the connection.
    pub fn writer(&mut self) -> Writer<'_> {
        Writer::new(self.out, self.session.version)
    }

    fn ok(&mut self) -> Result<Step, Complaint> {
        self.writer().simple("OK");
        Ok(Step::Answered)
    }
}

/// Runs one command: `args` is its name and its arguments. An answer that is known at once is
/// appended to `out`.
pub fn run(args: &[Bytes], session: &mut Session, settings: &Settings, out: &mut BytesMut) -> Step {
    match dispatch(&mut Call { args, session, settings, out }) {
        Ok(step) => step,
        Err(complaint) => {
            Writer::new(out, session.version).error(&complaint.to_string());
            Step::Answered
        }
    }
}

fn dispatch(call: &mut Call<'_>) -> Result<Step, Complaint> {
    let args = call.args;
    let name = args.first().map_or(&[][..], |name| name);
    let Some(spec) = find(name) else {
        // A browser that was lured into talking to this port speaks HTTP. What it says further
        // would run as commands, so Redis closes on these two words, and so does this server.
        let http = [&b"post"[..], b"host:"].iter().any(|word| name.eq_ignore_ascii_case(word));
        return if http { Ok(Step::Close) } else { Err(Complaint::unknown_command(args)) };
    };
    if !spec.takes(args.len()) {
        return Err(Complaint::WrongArity(spec.name.to_owned()));
    }
    match spec.run {
        Run::Submit(request) => {
            let request = request(args)?;
            Ok(Step::Submit { request: request.encode(), read: request.is_read() })
        }
        Run::Ping => connection::ping(call),
        Run::Echo => connection::echo(call),
        Run::Auth => Err(connection::auth(call)),
        Run::Hello => connection::hello(call),
        Run::Client => connection::client(call),
        Run::Select => connection::select(call),
        Run::Quit => connection::quit(call),
        Run::Reset => connection::reset(call),
        Run::Command => introspection::command(call),
        Run::Config => introspection::config(call),
        Run::Info => Ok(Step::Inform { sections: args[1..].to_vec() }),
    }
}

/// Writes the answer of the state machine.
pub fn answer(reply: &Reply, writer: &mut Writer<'_>) {
    match reply {
        Reply::Ok => writer.simple("OK"),
        Reply::Nil => writer.null(),
        Reply::Integer(number) => writer.integer(*number),
        Reply::Bulk(bytes) => writer.bulk(bytes),
        Reply::Values(values) => {
            writer.array(values.len());
            for value in values {
                match value {
                    Some(bytes) => writer.bulk(bytes),
                    None => writer.null(),
                }
            }
        }
        Reply::Kind(name) => writer.simple(name),
        Reply::Failed(failure) => writer.error(&failure.to_string()),
    }
}

#[cfg(test)]
mod tests;
