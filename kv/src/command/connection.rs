//! Commands about the connection itself.

use bytes::Bytes;

use super::subcommand::{self, Subcommand};
use super::{Call, Complaint, Session, Step};
use crate::integer;
use crate::resp::Version;

type Done = Result<Step, Complaint>;

pub(super) fn ping(call: &mut Call<'_>) -> Done {
    match call.args {
        [_] => call.writer().simple("PONG"),
        [_, text] => call.writer().bulk(text),
        [] | [_, _, _, ..] => return Err(Complaint::WrongArity("ping".to_owned())),
    }
    Ok(Step::Answered)
}

pub(super) fn echo(call: &mut Call<'_>) -> Done {
    let text = &call.args[1];
    call.writer().bulk(text);
    Ok(Step::Answered)
}

/// No passwords exist, so none is right. To say so is better than to let a client believe that
/// the port is guarded.
pub(super) fn auth(call: &Call<'_>) -> Complaint {
    match call.args.len() {
        0..=2 => Complaint::NoPassword,
        3 => Complaint::NoUsers,
        4.. => Complaint::Syntax,
    }
}

pub(super) fn quit(call: &mut Call<'_>) -> Done {
    call.writer().simple("OK");
    Ok(Step::Close)
}

pub(super) fn reset(call: &mut Call<'_>) -> Done {
    *call.session = Session::new(call.session.id, core::mem::take(&mut call.session.address));
    call.writer().simple("RESET");
    Ok(Step::Answered)
}

pub(super) fn select(call: &mut Call<'_>) -> Done {
    match integer::parse(&call.args[1]) {
        Some(0) => call.ok(),
        Some(_) => Err(Complaint::NoSuchDatabase),
        None => Err(Complaint::NotAnInteger),
    }
}

pub(super) fn hello(call: &mut Call<'_>) -> Done {
    let (mut version, mut name) = (call.session.version, None);
    if let Some(wanted) = call.args.get(1) {
        version = match integer::parse(wanted) {
            Some(2) => Version::Two,
            Some(3) => Version::Three,
            Some(_) => return Err(Complaint::NoSuchVersion),
            None => return Err(Complaint::VersionNotAnInteger),
        };
        let mut options = call.args[2..].iter();
        while let Some(option) = options.next() {
            if option.eq_ignore_ascii_case(b"AUTH") && options.len() >= 2 {
                return Err(Complaint::NoUsers);
            }
            match options.next() {
                Some(wanted) if option.eq_ignore_ascii_case(b"SETNAME") => name = Some(wanted),
                Some(_) | None => {
                    return Err(Complaint::HelloSyntax(
                        String::from_utf8_lossy(&option[..option.len().min(128)]).into_owned(),
                    ));
                }
            }
        }
    }
    // All is checked before anything is set.
    if let Some(name) = name {
        call.session.name = visible(name, CLIENT_NAMES)?;
    }
    call.session.version = version;
    let id = i64::try_from(call.session.id).unwrap_or(i64::MAX);
    let mut writer = call.writer();
    writer.map(7);
    writer.bulk(b"server");
    writer.bulk(b"redis");
    writer.bulk(b"version");
    writer.bulk(REDIS_VERSION.as_bytes());
    writer.bulk(b"proto");
    writer.integer(match version {
        Version::Two => 2,
        Version::Three => 3,
    });
    writer.bulk(b"id");
    writer.integer(id);
    writer.bulk(b"mode");
    writer.bulk(b"standalone");
    writer.bulk(b"role");
    writer.bulk(ROLE_FOR_CLIENTS.as_bytes());
    writer.bulk(b"modules");
    writer.array(0);
    Ok(Step::Answered)
}

#[derive(Clone, Copy)]
enum Client {
    GetName,
    Help,
    Id,
    Info,
    NoEvict,
    NoTouch,
    Reply,
    SetInfo,
    SetName,
}

const CLIENT: &[Subcommand<Client>] = &[
    Subcommand::new("getname", 2, Client::GetName),
    Subcommand::new("help", 2, Client::Help),
    Subcommand::new("id", 2, Client::Id),
    Subcommand::new("info", 2, Client::Info),
    Subcommand::new("no-evict", 3, Client::NoEvict),
    Subcommand::new("no-touch", 3, Client::NoTouch),
    Subcommand::new("reply", 3, Client::Reply),
    Subcommand::new("setinfo", 4, Client::SetInfo),
    Subcommand::new("setname", 3, Client::SetName),
];

pub(super) fn client(call: &mut Call<'_>) -> Done {
    match subcommand::find(call.args, "CLIENT", CLIENT)? {
        Client::GetName => {
            let name = call.session.name.clone();
            let mut writer = call.writer();
            if name.is_empty() { writer.null() } else { writer.bulk(&name) }
        }
        Client::Help => return subcommand::help(call, "CLIENT", CLIENT),
        Client::Id => {
            let id = i64::try_from(call.session.id).unwrap_or(i64::MAX);
            call.writer().integer(id);
        }
        Client::Info => {
            let line = describe(call.session);
            call.writer().text(&line);
        }
        // Nothing is evicted here and nothing counts touches: both hold already.
        Client::NoEvict | Client::NoTouch => {
            let option = &call.args[2];
            let known = [&b"ON"[..], b"OFF"].iter().any(|word| option.eq_ignore_ascii_case(word));
            return if known { call.ok() } else { Err(Complaint::Syntax) };
        }
        Client::Reply => {
            let option = &call.args[2];
            if option.eq_ignore_ascii_case(b"ON") {
                return call.ok();
            }
            let known = [&b"OFF"[..], b"SKIP"].iter().any(|word| option.eq_ignore_ascii_case(word));
            return Err(if known { Complaint::AlwaysReplies } else { Complaint::Syntax });
        }
        Client::SetInfo => return set_info(call),
        Client::SetName => {
            call.session.name = visible(&call.args[2], CLIENT_NAMES)?;
            return call.ok();
        }
    }
    Ok(Step::Answered)
}

fn set_info(call: &mut Call<'_>) -> Done {
    let (attribute, value) = (&call.args[2], &call.args[3]);
    if attribute.eq_ignore_ascii_case(b"lib-name") {
        call.session.library = visible(value, "lib-name")?;
    } else if attribute.eq_ignore_ascii_case(b"lib-ver") {
        call.session.library_version = visible(value, "lib-ver")?;
    } else {
        let shown = &attribute[..attribute.len().min(128)];
        return Err(Complaint::UnknownAttribute(String::from_utf8_lossy(shown).into_owned()));
    }
    call.ok()
}

fn describe(session: &Session) -> String {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let version = match session.version {
        Version::Two => 2,
        Version::Three => 3,
    };
    format!(
        "id={} addr={} name={} db=0 resp={version} lib-name={} lib-ver={}\n",
        session.id,
        session.address,
        text(&session.name),
        text(&session.library),
        text(&session.library_version),
    )
}

/// A name that can stand in a line of `key=value`, copied so that it does not hold on to the
/// buffer it came in.
fn visible(name: &[u8], what: &'static str) -> Result<Bytes, Complaint> {
    if name.len() <= NAME_BYTES_MAX && name.iter().all(u8::is_ascii_graphic) {
        Ok(Bytes::copy_from_slice(name))
    } else {
        Err(Complaint::BadName(what))
    }
}

/// The version of Redis whose answers this server gives: libraries choose features by it.
pub(super) const REDIS_VERSION: &str = "7.0.15";

/// Every replica takes every command, so each is, in the words of Redis's protocol, one that may
/// be written to. Libraries that read this word would refuse to write otherwise.
const ROLE_FOR_CLIENTS: &str = "master";

const CLIENT_NAMES: &str = "Client names";

/// A name of a client is not longer.
const NAME_BYTES_MAX: usize = 1024;
