#!/usr/bin/env bash
# The Rust crate yamux 0.14.1: a reset that comes reads as a clean end, and
# dropping a stream sends a reset or a clean end, depending on what the peer did.
#
# Behavior: (1) the peer sends 5 bytes and a reset (flag RST). The reader gets the
# 5 bytes and end of file, as if the flag had been FIN. (2) A program that drops a
# stream in the middle of its answer, as `?` does, sends RST; but if the peer has
# sent its FIN before, as a client does that has asked everything, it sends FIN.
# In both cases data that was cut looks complete at the other end.
#
# What to do: where a length or an end mark is not in the payload, do not take the
# end of file for the whole. There is no call that sends a reset after the peer's
# FIN: end the connection instead, or have the payload say that it failed.
#
# Needs cargo. Exits with 0 while the behavior is as described, 1 once it differs.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# What is downloaded goes into the folder too; an installed registry setting is kept.
if [ -e "${CARGO_HOME:-$HOME/.cargo}/config.toml" ]; then
	mkdir "$dir/cargo" && cp "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$dir/cargo/"
fi
export CARGO_HOME=$dir/cargo
mkdir "$dir/finding" "$dir/finding/src" && cd "$dir/finding"
cat >Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
yamux = "=0.14.1"
tokio = { version = "=1.48.0", features = ["io-util", "rt", "macros"] }
tokio-util = { version = "=0.7.17", features = ["compat"] }
futures = "=0.3.31"
TOML
cat >src/main.rs <<'RUST'
use futures::{future::poll_fn, AsyncReadExt, AsyncWriteExt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_util::compat::TokioAsyncReadCompatExt;
use yamux::{Config, Connection, Mode, Stream};

const DATA: u8 = 0;
const SYN: u16 = 1;
const FIN: u16 = 4;
const RST: u16 = 8;

/// A frame of stream 1, as a peer sends it that speaks yamux by hand.
fn frame(flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut f = vec![0, DATA];
    f.extend(flags.to_be_bytes());
    f.extend(1u32.to_be_bytes());
    f.extend((payload.len() as u32).to_be_bytes());
    f.extend(payload);
    f
}

/// A stream that the peer has opened, and the peer's end of the connection.
async fn accepted(first: Vec<u8>) -> (Stream, DuplexStream) {
    let (near, mut peer) = tokio::io::duplex(1 << 16);
    let mut connection = Connection::new(near.compat(), Config::default(), Mode::Server);
    peer.write_all(&first).await.unwrap();
    let stream = poll_fn(|cx| connection.poll_next_inbound(cx)).await.unwrap().unwrap();
    tokio::spawn(async move { while poll_fn(|cx| connection.poll_next_inbound(cx)).await.is_some() {} });
    (stream, peer)
}

async fn reading_after(flag: u16) -> String {
    let (mut stream, mut peer) = accepted(frame(SYN, b"12345")).await;
    peer.write_all(&frame(flag, b"")).await.unwrap();
    let mut all = Vec::new();
    let end = stream.read_to_end(&mut all).await;
    format!("{} bytes, clean end={}", all.len(), end.is_ok())
}

/// What the peer is sent last when a stream is dropped after some of an answer.
async fn dropped(peer_ended: bool) -> &'static str {
    let flags = if peer_ended { SYN | FIN } else { SYN };
    let (mut stream, mut peer) = accepted(frame(flags, b"12345")).await;
    let mut asked = [0; 5];
    stream.read_exact(&mut asked).await.unwrap();
    if peer_ended {
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }
    stream.write_all(b"part").await.unwrap();
    drop(stream);
    loop {
        let mut header = [0; 12];
        peer.read_exact(&mut header).await.unwrap();
        let flags = u16::from_be_bytes([header[2], header[3]]);
        let length = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        if header[1] == DATA {
            peer.read_exact(&mut vec![0; length as usize]).await.unwrap();
        }
        if flags & RST != 0 {
            return "RST";
        }
        if flags & FIN != 0 {
            return "FIN";
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("reading, peer sends FIN: {}", reading_after(FIN).await);
    println!("reading, peer sends RST: {}", reading_after(RST).await);
    println!("dropped, peer still open:      {}", dropped(false).await);
    println!("dropped, peer has sent FIN:    {}", dropped(true).await);
}
RUST
cargo run --quiet >seen 2>build.log || { cat build.log; exit 1; }
cat seen
# Seen on 2026-11-30 with rustc 1.95:
diff - seen <<'SEEN' && echo "as described"
reading, peer sends FIN: 5 bytes, clean end=true
reading, peer sends RST: 5 bytes, clean end=true
dropped, peer still open:      RST
dropped, peer has sent FIN:    FIN
SEEN
