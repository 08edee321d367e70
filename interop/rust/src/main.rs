//! A relay client for the protocol "multiplex", with the crate yamux.
//!
//! Usage: multiplex <relay_host> <relay_port> <local_host> <local_port>

use std::env;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use tokio::io::{copy_bidirectional, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode, Stream};

/// A user's stream. The crate shows a reset as an end; here it is an error.
struct User {
    stream: Compat<Stream>,
    closed: bool,
}

impl AsyncRead for User {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let end = buf.filled().len() == before;
        // A FIN of the user alone does not close the stream in both directions.
        if end && self.stream.get_ref().is_closed() && !self.closed {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
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

/// Whatever is not a good end drops both connections, which resets both.
async fn serve(stream: Stream, local: (String, u16)) -> io::Result<()> {
    let mut user = User {
        stream: stream.compat(),
        closed: false,
    };
    // Acknowledges the stream, which the crate leaves until the first data.
    user.write(&[]).await?;
    let mut server = TcpStream::connect(local).await?;
    server.set_nodelay(true)?;
    server.set_zero_linger()?;
    copy_bidirectional(&mut user, &mut server).await?;
    #[allow(deprecated)] // for blocking, which None does not
    server.set_linger(None)
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
    config.set_max_num_streams(4096); // at one stream more the crate gives up the connection
    let mut session = Connection::new(relay.compat(), config, Mode::Server);
    while let Some(stream) = poll_fn(|cx| session.poll_next_inbound(cx)).await {
        let (stream, local) = (stream?, local.clone());
        tokio::spawn(async {
            if let Err(error) = serve(stream, local).await {
                eprintln!("{error}");
            }
        });
    }
    Err("the relay is gone".into())
}
