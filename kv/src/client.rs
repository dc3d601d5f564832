//! A small client of the Redis protocol, for the demo, the load generator and tests.

use core::fmt;
use core::time::Duration;
use std::io;

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::resp::{BadReply, Value, Version, Writer, decode};

/// A connection to a server, in RESP2. After an error it is of no use any more: what was sent and
/// not answered may or may not be applied.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
    patience: Duration,
}

/// The connection failed.
#[derive(Debug)]
pub enum ClientError {
    /// The socket failed or was closed.
    Io(io::Error),
    /// Nothing came in time.
    TimedOut(Duration),
    /// What came is no RESP.
    BadReply,
}

impl Client {
    /// Connects to `host:port`. Neither this nor any answer may take longer than `patience`.
    ///
    /// # Errors
    /// When nobody listens there, or nobody answers in time.
    pub async fn connect(address: &str, patience: Duration) -> Result<Self, ClientError> {
        let connecting = timeout(patience, TcpStream::connect(address));
        let stream = connecting.await.map_err(|_| ClientError::TimedOut(patience))??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: BytesMut::new(), output: BytesMut::new(), patience })
    }

    /// Appends a command to what [`Client::flush`] sends.
    pub fn push(&mut self, args: &[&[u8]]) {
        let mut writer = Writer::new(&mut self.output, Version::Two);
        writer.array(args.len());
        args.iter().for_each(|arg| writer.bulk(arg));
    }

    /// Sends raw bytes with the next [`Client::flush`], RESP or not.
    pub fn push_raw(&mut self, bytes: &[u8]) {
        self.output.put_slice(bytes);
    }

    /// Sends what was pushed.
    ///
    /// # Errors
    /// When the connection failed.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        let sending = timeout(self.patience, self.stream.write_all(&self.output));
        sending.await.map_err(|_| ClientError::TimedOut(self.patience))??;
        self.output.clear();
        Ok(())
    }

    /// The next answer.
    ///
    /// # Errors
    /// When the connection failed. An answer that is an error is a [`Value::Error`].
    pub async fn next(&mut self) -> Result<Value, ClientError> {
        loop {
            if let Some(value) = decode(&mut self.input)? {
                return Ok(value);
            }
            self.input.reserve(READ_BYTES);
            let reading = timeout(self.patience, self.stream.read_buf(&mut self.input));
            if reading.await.map_err(|_| ClientError::TimedOut(self.patience))?? == 0 {
                return Err(ClientError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Sends one command and waits for its answer.
    ///
    /// # Errors
    /// When the connection failed.
    pub async fn call(&mut self, args: &[&[u8]]) -> Result<Value, ClientError> {
        self.push(args);
        self.flush().await?;
        self.next().await
    }

    /// One field of `INFO`, such as `leader`.
    ///
    /// # Errors
    /// When the connection failed or the server has no such field.
    pub async fn info(&mut self) -> Result<Info, ClientError> {
        let answer = self.call(&[b"INFO"]).await?;
        let text = answer.as_bytes().ok_or(ClientError::BadReply)?;
        Ok(Info(String::from_utf8_lossy(text).into_owned()))
    }
}

/// The answer to `INFO`.
#[derive(Clone, Debug)]
pub struct Info(String);

impl Info {
    /// A field, such as `leader`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    }

    /// A field that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::TimedOut(patience) => write!(f, "no answer within {patience:?}"),
            Self::BadReply => BadReply.fmt(f),
        }
    }
}

impl core::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<BadReply> for ClientError {
    fn from(BadReply: BadReply) -> Self {
        Self::BadReply
    }
}

/// Room made for one read.
const READ_BYTES: usize = 16 << 10;
