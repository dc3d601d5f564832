//! The handshake: what the two ends of a new connection tell each other before any frame.
//!
//! The node that dials sends one [`Hello`] and waits; the node that accepts answers with one
//! [`Reply`], a welcome or a refusal. Only then do frames flow, both ways: between two nodes there
//! is one connection, whichever of them dialled it.
//!
//! Both texts are fixed for all versions of the library, so that any two versions can tell each
//! other why they do not work together. Numbers are little endian.
//!
//! | Hello | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic, `SYNOHELO` |
//! | 8 | 2 | length of the whole, checksum included; later versions may add before the checksum |
//! | 10 | 2 | oldest wire version that the dialler speaks |
//! | 12 | 2 | newest wire version that the dialler speaks |
//! | 14 | 2 | zero |
//! | 16 | 60 | cluster, group, epoch (number, first, digest), node, incarnation, boot |
//! | 76 | 8 | the node that it believes to have dialled |
//! | length - 4 | 4 | CRC-32C of everything before |
//!
//! | Reply | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic, `SYNOREPL` |
//! | 8 | 2 | length of the whole, checksum included |
//! | 10 | 2 | 0 for a welcome, else the [`Reason`] |
//! | 12 | 2 | wire version that the dialler is to speak |
//! | 14 | 2 | zero |
//! | 16 | 60 | who answers: cluster, group, epoch, node, incarnation, boot, as in a hello |
//! | 76 | length - 80 | a refusal in words, UTF-8 |
//! | length - 4 | 4 | CRC-32C of everything before |

use std::fmt;
use std::io;

use synod_core::checksum::crc32c;
use synod_core::{Boot, ClusterId, Epoch, GroupId, Header, Incarnation, NodeId, Slot};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What a dialler says first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    /// The oldest and the newest wire version that the dialler speaks.
    pub(crate) versions: (u16, u16),
    /// Who dials.
    pub(crate) header: Header,
    /// Whom it believes to have dialled.
    pub(crate) to: NodeId,
}

/// What an acceptor answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reply {
    /// Who answers.
    pub(crate) header: Header,
    /// The wire version to speak, or why not.
    pub(crate) verdict: Result<u16, Refusal>,
}

/// A refusal: the code of its reason, and words for the log of the dialler.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    /// The number of a [`Reason`]; a newer version may know more of them.
    pub(crate) code: u16,
    /// Cause and mend.
    pub(crate) text: String,
}

/// Why a connection is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// No wire version in common.
    WrongVersion = 1,
    /// Another cluster.
    WrongCluster = 2,
    /// Another group.
    WrongGroup = 3,
    /// The dialler believes to have reached another node.
    WrongNode = 4,
    /// The dialler is not a member of the group.
    UnknownNode = 5,
    /// The dialler has another list of members, or other quorum sizes.
    OtherMembers = 6,
    /// Two processes go by the same id.
    DuplicateNode = 7,
    /// An earlier run of the dialler: its connection was delayed, or recorded and replayed.
    EarlierRun = 8,
}

/// Why no handshake came about.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// The connection broke.
    Io(io::Error),
    /// These are no bytes of a handshake; the text says what is wrong.
    Garbage(&'static str),
}

/// The wire versions that this library speaks, oldest and newest.
pub(crate) const VERSIONS: (u16, u16) = (1, 1);

const HELLO_MAGIC: [u8; 8] = *b"SYNOHELO";
const REPLY_MAGIC: [u8; 8] = *b"SYNOREPL";
/// Magic and length: what is read first.
const PREFIX: usize = 10;
const HELLO_LEN: usize = 88;
const REPLY_LEN_MIN: usize = 80;
/// Neither text may be longer, in any version.
const LEN_MAX: usize = 1024;
const TEXT_MAX: usize = 600;

impl Hello {
    /// As it goes over the wire.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HELLO_LEN);
        out.extend_from_slice(&HELLO_MAGIC);
        out.extend_from_slice(&(HELLO_LEN as u16).to_le_bytes());
        out.extend_from_slice(&self.versions.0.to_le_bytes());
        out.extend_from_slice(&self.versions.1.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        put_header(&self.header, &mut out);
        out.extend_from_slice(&self.to.0.to_le_bytes());
        seal(out)
    }

    /// Reads one from a new connection.
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Self, HandshakeError> {
        let bytes = read_sealed(from, HELLO_MAGIC, HELLO_LEN).await?;
        let mut fields = Fields(bytes.get(PREFIX..).unwrap_or_default());
        let versions = (fields.u16()?, fields.u16()?);
        fields.u16()?;
        let header = fields.header()?;
        Ok(Self { versions, header, to: NodeId(fields.u64()?) })
    }

    /// Judges a dialler by what stands in its hello. `own` is the header of the node that was
    /// dialled, `members` are the ids in its group.
    ///
    /// Returns the wire version to speak.
    pub(crate) fn judge(&self, own: &Header, members: &[NodeId]) -> Result<u16, Refusal> {
        let (oldest, newest) = self.versions;
        let version = newest.min(VERSIONS.1);
        if version < oldest.max(VERSIONS.0) {
            return Err(Reason::WrongVersion.because(format_args!(
                "node {} speaks wire versions {oldest} to {newest}, node {} speaks {} to {}: \
                 upgrade the older of the two",
                self.header.node, own.node, VERSIONS.0, VERSIONS.1
            )));
        }
        let dialler = &self.header;
        if dialler.cluster != own.cluster {
            return Err(Reason::WrongCluster.because(format_args!(
                "node {} belongs to cluster {:#018x}, node {} at this address to cluster \
                 {:#018x}: correct the address in the list of members, or the cluster's name",
                dialler.node, dialler.cluster.0, own.node, own.cluster.0
            )));
        }
        if self.to != own.node {
            return Err(Reason::WrongNode.because(format_args!(
                "node {} looks for node {} at this address, but node {} listens here: correct \
                 the addresses in its list of members",
                dialler.node, self.to, own.node
            )));
        }
        if dialler.node == own.node {
            return Err(Reason::DuplicateNode.because(format_args!(
                "another process goes by the id {} of this node: give each its own id",
                own.node
            )));
        }
        if dialler.group != own.group {
            return Err(Reason::WrongGroup.because(format_args!(
                "node {} is about group {}, node {} about group {}: give both the same group",
                dialler.node, dialler.group.0, own.node, own.group.0
            )));
        }
        self.judge_membership(own, members)?;
        Ok(version)
    }

    fn judge_membership(&self, own: &Header, members: &[NodeId]) -> Result<(), Refusal> {
        let dialler = &self.header;
        if !members.contains(&dialler.node) {
            return Err(Reason::UnknownNode.because(format_args!(
                "node {} is not among the members {members:?} that node {} was given: give \
                 every node the same list",
                dialler.node, own.node
            )));
        }
        // Members may be an epoch apart while a change is under way; what may never differ is the
        // set behind one number.
        if dialler.epoch.number == own.epoch.number && dialler.epoch != own.epoch {
            return Err(Reason::OtherMembers.because(format_args!(
                "nodes {} and {} were given different lists of members or quorum sizes \
                 ({} and {}): give every node the same",
                dialler.node, own.node, dialler.epoch, own.epoch
            )));
        }
        Ok(())
    }
}

impl Reply {
    /// As it goes over the wire. A text too long is cut.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (code, version, text) = match &self.verdict {
            Ok(version) => (0, *version, ""),
            Err(refusal) => (refusal.code, 0, refusal.text.as_str()),
        };
        let mut end = text.len().min(TEXT_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        let length = REPLY_LEN_MIN + text.len();
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&REPLY_MAGIC);
        out.extend_from_slice(&(length as u16).to_le_bytes());
        out.extend_from_slice(&code.to_le_bytes());
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        put_header(&self.header, &mut out);
        out.extend_from_slice(text.as_bytes());
        seal(out)
    }

    /// Reads one from a connection on which a hello was sent.
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Self, HandshakeError> {
        let bytes = read_sealed(from, REPLY_MAGIC, REPLY_LEN_MIN).await?;
        let mut fields = Fields(bytes.get(PREFIX..).unwrap_or_default());
        let (code, version) = (fields.u16()?, fields.u16()?);
        fields.u16()?;
        let header = fields.header()?;
        if code == 0 {
            return Ok(Self { header, verdict: Ok(version) });
        }
        // Whoever answered may be anybody: nothing of theirs reaches a terminal unseen.
        let text = String::from_utf8_lossy(fields.0)
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        Ok(Self { header, verdict: Err(Refusal { code, text }) })
    }
}

impl Reason {
    /// A refusal for this reason.
    pub(crate) fn because(self, text: fmt::Arguments<'_>) -> Refusal {
        Refusal { code: self as u16, text: text.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (reason {})", self.text, self.code)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Garbage(what) => f.write_str(what),
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn put_header(header: &Header, out: &mut Vec<u8>) {
    let Header { cluster, group, epoch, node, incarnation, boot } = *header;
    out.extend_from_slice(&cluster.0.to_le_bytes());
    out.extend_from_slice(&group.0.to_le_bytes());
    out.extend_from_slice(&epoch.number.to_le_bytes());
    for number in [epoch.first.0, epoch.digest, node.0, incarnation.0, boot.0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Puts the checksum behind `out`.
fn seal(mut out: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c(0, &out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Reads a text that starts with `magic`, of at least `length_min` bytes, and takes its checksum
/// off. Reads no byte beyond it: frames follow.
async fn read_sealed(
    from: &mut (impl AsyncRead + Unpin),
    magic: [u8; 8],
    length_min: usize,
) -> Result<Vec<u8>, HandshakeError> {
    let mut bytes = vec![0; PREFIX];
    from.read_exact(&mut bytes).await?;
    if bytes[..8] != magic {
        return Err(HandshakeError::Garbage("these are no bytes of a Synod handshake"));
    }
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    if !(length_min..=LEN_MAX).contains(&length) {
        return Err(HandshakeError::Garbage("a handshake of an impossible length"));
    }
    bytes.resize(length, 0);
    from.read_exact(&mut bytes[PREFIX..]).await?;
    let checksum = bytes.split_off(length - 4);
    if crc32c(0, &bytes).to_le_bytes() != checksum[..] {
        return Err(HandshakeError::Garbage("a handshake with a wrong checksum"));
    }
    Ok(bytes)
}

/// Takes numbers off the front of bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], HandshakeError> {
        let short = HandshakeError::Garbage("a handshake that ends too early");
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u16(&mut self) -> Result<u16, HandshakeError> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, HandshakeError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, HandshakeError> {
        self.take().map(u64::from_le_bytes)
    }

    fn header(&mut self) -> Result<Header, HandshakeError> {
        let cluster = ClusterId(self.u64()?);
        let group = GroupId(self.u64()?);
        let epoch = Epoch { number: self.u32()?, first: Slot(self.u64()?), digest: self.u64()? };
        let node = NodeId(self.u64()?);
        let (incarnation, boot) = (Incarnation(self.u64()?), Boot(self.u64()?));
        Ok(Header { cluster, group, epoch, node, incarnation, boot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

    fn header(node: u64) -> Header {
        Header {
            cluster: ClusterId(7),
            group: GroupId(0),
            epoch: Epoch { number: 1, first: Slot::ZERO, digest: 99 },
            node: NodeId(node),
            incarnation: Incarnation(node + 100),
            boot: Boot(3),
        }
    }

    fn hello() -> Hello {
        Hello { versions: VERSIONS, header: header(1), to: NodeId(2) }
    }

    fn reason(hello: Hello) -> Option<u16> {
        hello.judge(&header(2), &MEMBERS).err().map(|refusal| refusal.code)
    }

    #[tokio::test]
    async fn both_texts_come_back_as_they_went() {
        let bytes = hello().encode();
        assert_eq!(bytes.len(), HELLO_LEN);
        assert_eq!(Hello::read(&mut bytes.as_slice()).await.expect("a hello"), hello());
        let refusal = Reason::WrongNode.because(format_args!("look elsewhere"));
        for verdict in [Ok(1), Err(refusal)] {
            let reply = Reply { header: header(2), verdict };
            let bytes = reply.encode();
            assert_eq!(Reply::read(&mut bytes.as_slice()).await.expect("a reply"), reply);
        }
    }

    #[tokio::test]
    async fn a_longer_hello_of_a_later_version_is_understood() {
        let mut bytes = hello().encode();
        bytes.truncate(HELLO_LEN - 4);
        bytes.extend_from_slice(&[0xAB; 40]);
        bytes[8..10].copy_from_slice(&((HELLO_LEN + 40) as u16).to_le_bytes());
        let bytes = seal(bytes);
        assert_eq!(Hello::read(&mut bytes.as_slice()).await.expect("a hello"), hello());
    }

    #[tokio::test]
    async fn no_damage_goes_unnoticed() {
        let whole = hello().encode();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x20;
            assert!(Hello::read(&mut bytes.as_slice()).await.is_err(), "byte {place}");
            assert!(Hello::read(&mut &whole[..place]).await.is_err(), "cut at {place}");
        }
        assert!(Reply::read(&mut whole.as_slice()).await.is_err(), "a hello is no reply");
    }

    #[tokio::test]
    async fn the_words_of_a_stranger_are_cut_and_cleaned() {
        let text = format!("\x1b[2J{}", "ä".repeat(TEXT_MAX));
        let verdict = Err(Refusal { code: 77, text });
        let bytes = Reply { header: header(2), verdict }.encode();
        let reply = Reply::read(&mut bytes.as_slice()).await.expect("a reply");
        let refusal = reply.verdict.expect_err("a refusal");
        assert_eq!(refusal.code, 77);
        assert!(refusal.text.len() <= TEXT_MAX);
        assert!(!refusal.text.chars().any(char::is_control));
    }

    #[test]
    fn strangers_are_told_why() {
        assert_eq!(reason(hello()), None);
        let changed = |change: fn(&mut Hello)| {
            let mut hello = hello();
            change(&mut hello);
            reason(hello)
        };
        assert_eq!(changed(|h| h.versions = (2, 9)), Some(Reason::WrongVersion as u16));
        assert_eq!(changed(|h| h.versions = (0, 0)), Some(Reason::WrongVersion as u16));
        assert_eq!(changed(|h| h.versions = (0, 9)), None);
        assert_eq!(changed(|h| h.header.cluster.0 = 8), Some(Reason::WrongCluster as u16));
        assert_eq!(changed(|h| h.header.group.0 = 8), Some(Reason::WrongGroup as u16));
        assert_eq!(changed(|h| h.to.0 = 3), Some(Reason::WrongNode as u16));
        assert_eq!(changed(|h| h.header.node.0 = 4), Some(Reason::UnknownNode as u16));
        assert_eq!(changed(|h| h.header.node.0 = 2), Some(Reason::DuplicateNode as u16));
        assert_eq!(changed(|h| h.header.epoch.digest = 1), Some(Reason::OtherMembers as u16));
        assert_eq!(changed(|h| h.header.epoch.number = 2), None);
    }
}
