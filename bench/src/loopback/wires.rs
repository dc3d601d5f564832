//! One connection to each peer: frames with a length in front, read as they come, and written at
//! the end of a turn.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream as Blocking};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;

/// The connections of one replica.
pub(super) struct Wires {
    wires: Vec<Option<Wire>>,
}

struct Wire {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
}

impl Wires {
    /// Connects replicas that all do the same: each dials those behind it.
    ///
    /// # Errors
    /// When a connection cannot be made.
    pub(super) fn connect(place: usize, listener: &TcpListener, ports: &[u16]) -> io::Result<Self> {
        let mut wires: Vec<Option<Wire>> = ports.iter().map(|_| None).collect();
        for (peer, port) in ports.iter().enumerate().skip(place + 1) {
            let mut stream = Blocking::connect(("127.0.0.1", *port))?;
            stream.write_all(&[place as u8])?;
            wires[peer] = Some(Wire::new(stream)?);
        }
        for _ in 0..place {
            let (mut stream, _) = listener.accept()?;
            let mut peer = [0];
            stream.read_exact(&mut peer)?;
            wires[usize::from(peer[0])] = Some(Wire::new(stream)?);
        }
        Ok(Self { wires })
    }

    /// Ready when there is something to read, or room for what is left to write.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = Poll::Pending;
        for wire in self.wires.iter().flatten() {
            if wire.stream.poll_read_ready(cx).is_ready() {
                ready = Poll::Ready(());
            }
            if !wire.output.is_empty() && wire.stream.poll_write_ready(cx).is_ready() {
                ready = Poll::Ready(());
            }
        }
        ready
    }

    /// Hands on every frame that has arrived.
    ///
    /// # Errors
    /// When a peer is gone.
    pub(super) fn read(&mut self, mut each: impl FnMut(usize, Bytes)) -> io::Result<()> {
        for (peer, wire) in self.wires.iter_mut().enumerate() {
            let Some(wire) = wire else { continue };
            loop {
                wire.input.reserve(READ_BYTES / 2);
                match wire.stream.try_read_buf(&mut wire.input) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(count) if count < READ_BYTES / 2 => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            while let Some(head) = wire.input.first_chunk::<4>() {
                let len = u32::from_le_bytes(*head) as usize;
                if wire.input.len() < 4 + len {
                    break;
                }
                wire.input.advance(4);
                each(peer, wire.input.split_to(len).freeze());
            }
        }
        Ok(())
    }

    /// Adds a frame for `peer` that `write` fills.
    ///
    /// # Panics
    /// When it is this replica itself.
    pub(super) fn frame(&mut self, peer: usize, write: impl FnOnce(&mut BytesMut)) {
        let wire = self.wires[peer].as_mut().expect("nobody writes to himself");
        let begin = wire.output.len();
        wire.output.put_u32_le(0);
        write(&mut wire.output);
        let len = (wire.output.len() - begin - 4) as u32;
        wire.output[begin..begin + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Writes what the sockets take.
    ///
    /// # Errors
    /// When a peer is gone.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        for wire in self.wires.iter_mut().flatten() {
            while !wire.output.is_empty() {
                match wire.stream.try_write(&wire.output) {
                    Ok(count) => wire.output.advance(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            if wire.output.is_empty() {
                // Back to the front of its memory.
                wire.output.clear();
                wire.output.reserve(READ_BYTES);
            }
        }
        Ok(())
    }
}

impl Wire {
    fn new(stream: Blocking) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        let input = BytesMut::with_capacity(READ_BYTES);
        Ok(Self { stream, input, output: BytesMut::with_capacity(READ_BYTES) })
    }
}

const READ_BYTES: usize = 128 << 10;
