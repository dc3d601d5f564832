//! A hand-made peer: speaks the handshake byte by byte as its documentation has it.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use synod_core::checksum::crc32c;
use synod_core::wire::{self, Payload};
use synod_core::{Ballot, Boot, Configuration, GroupId, Header, Incarnation, Kind, Message};
use synod_core::{NodeId, Proposal, Slot};
use synod_tokio::cluster_named;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::within;

/// What node `id` of the trial cluster of three puts on its messages.
pub fn header(id: u64) -> Header {
    let members = [1, 2, 3].map(NodeId);
    let configuration = Configuration::first(&members).expect("three members");
    Header {
        cluster: cluster_named("trial"),
        group: GroupId(0),
        epoch: configuration.epoch(),
        node: NodeId(id),
        incarnation: Incarnation(0xABCD),
        boot: Boot(2),
    }
}

/// A hello as the table in `handshake` has it.
pub fn hello(header: &Header, versions: (u16, u16), to: u64) -> Vec<u8> {
    let mut out = b"SYNOHELO".to_vec();
    out.extend_from_slice(&88_u16.to_le_bytes());
    out.extend_from_slice(&versions.0.to_le_bytes());
    out.extend_from_slice(&versions.1.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    put_header(header, &mut out);
    out.extend_from_slice(&to.to_le_bytes());
    let checksum = crc32c(0, &out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn put_header(header: &Header, out: &mut Vec<u8>) {
    out.extend_from_slice(&header.cluster.0.to_le_bytes());
    out.extend_from_slice(&header.group.0.to_le_bytes());
    out.extend_from_slice(&header.epoch.number.to_le_bytes());
    out.extend_from_slice(&header.epoch.first.0.to_le_bytes());
    out.extend_from_slice(&header.epoch.digest.to_le_bytes());
    out.extend_from_slice(&header.node.0.to_le_bytes());
    out.extend_from_slice(&header.incarnation.0.to_le_bytes());
    out.extend_from_slice(&header.boot.0.to_le_bytes());
}

/// The code and the words of a reply; code 0 is a welcome.
pub async fn read_reply(stream: &mut TcpStream) -> (u16, String) {
    let mut head = [0; 76];
    within(stream.read_exact(&mut head)).await.expect("a reply");
    assert_eq!(&head[..8], b"SYNOREPL");
    let length = usize::from(u16::from_le_bytes([head[8], head[9]]));
    let mut rest = vec![0; length - head.len()];
    within(stream.read_exact(&mut rest)).await.expect("the rest of the reply");
    let code = u16::from_le_bytes([head[10], head[11]]);
    let text = String::from_utf8(rest[..rest.len() - 4].to_vec()).expect("words");
    (code, text)
}

/// Connects as the speaker of `header` and says hello to node `to`.
pub async fn connect(
    address: SocketAddr,
    header: &Header,
    versions: (u16, u16),
    to: u64,
) -> (TcpStream, u16, String) {
    let mut stream = within(TcpStream::connect(address)).await.expect("somebody listens");
    stream.write_all(&hello(header, versions, to)).await.expect("the hello is sent");
    let (code, text) = read_reply(&mut stream).await;
    (stream, code, text)
}

/// Takes a connection, welcomes whoever it is, and hands it over unread.
pub async fn welcome(listener: &TcpListener, own: &Header) -> TcpStream {
    let (mut stream, _) = within(listener.accept()).await.expect("a connection");
    let mut hello = [0; 88];
    within(stream.read_exact(&mut hello)).await.expect("a hello");
    let mut out = b"SYNOREPL".to_vec();
    out.extend_from_slice(&80_u16.to_le_bytes());
    out.extend_from_slice(&0_u16.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    put_header(own, &mut out);
    let checksum = crc32c(0, &out);
    out.extend_from_slice(&checksum.to_le_bytes());
    stream.write_all(&out).await.expect("the welcome is sent");
    stream
}

/// A frame of `header` that would have a replica accept "forged" in a very high ballot.
pub fn forged_accept(header: &Header) -> Bytes {
    let ballot = Ballot { round: 1 << 40, node: header.node };
    let decree = Kind::App(Bytes::from_static(b"forged"));
    let proposals = [Proposal { slot: Slot(0), ballot, decree }];
    let from = Slot(0);
    encode(header, Message::Accept { ballot, from, proposals: &proposals, decided: from })
}

pub fn encode(header: &Header, message: Message<'_, Bytes>) -> Bytes {
    let mut out = BytesMut::new();
    wire::encode(header, &Payload::Replica(message), &mut out);
    out.freeze()
}

/// Whether the other end closes the connection without a further word.
pub async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(within(stream.read(&mut byte)).await, Ok(0) | Err(_))
}

/// Waits until the other end closes the connection, whatever it has to say before.
pub async fn until_closed(stream: &mut TcpStream) {
    let mut bytes = [0; 1 << 10];
    while matches!(within(stream.read(&mut bytes)).await, Ok(count) if count > 0) {}
}
