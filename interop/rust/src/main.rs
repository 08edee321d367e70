//! A relay client for the protocol "multiplex", with the crate yamux.
//!
//! Usage: multiplex <relay_host> <relay_port> <local_host> <local_port>

use std::collections::HashMap;
use std::env;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{ready, Context, Poll};
use std::time::Duration;

use tokio::io::{copy, copy_bidirectional, sink};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use tokio_util::io::InspectReader;
use yamux::{Config, Connection, Mode, Stream};

const DATA: u8 = 0;
const SYN: u8 = 1;
const FIN: u8 = 4;
const RST: u8 = 8;

/// The flags that have come on each stream. For a reader of the crate a FIN, a reset and
/// the end of the session look alike; after our own FIN nothing else distinguishes them.
type Flags = Arc<Mutex<HashMap<u32, u8>>>;

/// Records the flags of the frames in what is read from the relay.
fn note(flags: Flags) -> impl FnMut(&[u8]) {
    let (mut header, mut body) = (Vec::new(), 0);
    move |mut bytes| {
        while !bytes.is_empty() {
            let wanted = if body > 0 { body } else { 12 - header.len() };
            let (read, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if body > 0 {
                body -= read.len();
                continue;
            }
            header.extend(read);
            if header.len() < 12 {
                continue;
            }
            let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
            let (kind, flag, id) = (header[1], header[3], word(4));
            if kind == DATA {
                body = word(8) as usize;
            }
            let mut flags = flags.lock().unwrap();
            if flag & SYN != 0 {
                flags.insert(id, flag);
            } else if let Some(all) = flags.get_mut(&id) {
                *all |= flag;
            }
            header.clear();
        }
    }
}

/// A user's stream, which ends with the user's FIN only; any other end is an error.
struct User {
    stream: Compat<Stream>,
    flags: Flags,
    ended: bool,  // by the user
    closed: bool, // by the server
}

impl Drop for User {
    fn drop(&mut self) {
        self.flags.lock().unwrap().remove(&self.id());
    }
}

impl User {
    fn id(&self) -> u32 {
        self.stream.get_ref().id().val()
    }

    /// Resets the user, as far as the crate can: after our own FIN a drop sends nothing
    /// to the relay, and after the user's it sends FIN.
    async fn reset(mut self) {
        if self.closed {
            // The user has the whole answer. What it still sends would stall.
            let _ = copy(&mut self, &mut sink()).await;
        } else if self.ended {
            // A FIN would make the answer look complete. Without one the relay resets the
            // user, when nothing has moved for 10 minutes.
            while !self.stream.get_ref().is_closed() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

impl AsyncRead for User {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() == before {
            let flags = self.flags.lock().unwrap()[&self.id()];
            if flags & (FIN | RST) != FIN {
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for User {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closed = true;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Joins a user with the local server; if it fails, the server is reset.
async fn join(user: &mut User, local: (String, u16)) -> io::Result<()> {
    // Acknowledges the stream; the crate waits for the first data.
    user.write(&[]).await?;
    let mut server = TcpStream::connect(local).await?;
    server.set_nodelay(true)?;
    server.set_zero_linger()?;
    copy_bidirectional(user, &mut server).await?;
    #[allow(deprecated)] // for blocking, which None does not
    server.set_linger(None)
}

async fn serve(mut user: User, local: (String, u16)) {
    if let Err(error) = join(&mut user, local).await {
        eprintln!("{error}");
        user.reset().await;
    }
}

async fn read_line(relay: &mut TcpStream) -> io::Result<String> {
    let mut line = String::new();
    loop {
        // Byte by byte: what follows the line belongs to yamux.
        match relay.read_u8().await? {
            b'\n' => return Ok(line),
            byte => line.push(byte.into()),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().collect();
    let [_, relay_host, relay_port, local_host, local_port] = &args[..] else {
        return Err("usage: multiplex <relay_host> <relay_port> <local_host> <local_port>".into());
    };
    let local = (local_host.clone(), local_port.parse()?);

    let mut relay = TcpStream::connect((relay_host.as_str(), relay_port.parse()?)).await?;
    relay.set_nodelay(true)?;
    relay.write_all(b"multiplex\n").await?;
    let line = read_line(&mut relay).await?;
    let port: u16 = line.parse().map_err(|_| format!("refused: {line}"))?;
    println!("{port}");

    let mut config = Config::default();
    config.set_max_num_streams(4096); // for one stream more the crate sends GO_AWAY
    let flags = Flags::default();
    let relay = InspectReader::new(relay, note(flags.clone()));
    let mut session = Connection::new(relay.compat(), config, Mode::Server);
    while let Some(stream) = poll_fn(|cx| session.poll_next_inbound(cx)).await {
        let user = User {
            stream: stream?.compat(),
            flags: flags.clone(),
            ended: false,
            closed: false,
        };
        tokio::spawn(serve(user, local.clone()));
    }
    Err("the relay is gone".into())
}
