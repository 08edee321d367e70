//! Puts a local server online with ssh -R, on russh.
//!
//!     cargo run --release -- <relay> <port> <local_host> <local_port>
//!
//! README.md says what the environment sets. The relay's host key is not verified.

use std::{env, sync::Arc, time::Duration};

use russh::client::{self, ChannelOpenHandle, KeyboardInteractiveAuthResponse, Session};
use russh::keys::{load_secret_key, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelOpenFailure};
use tokio::io::{copy, split, AsyncWriteExt};
use tokio::net::TcpStream;

struct Forwarder {
    local: String,
}

impl client::Handler for Forwarder {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<client::Msg>,
        _connected_address: &str,
        _connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let local = self.local.clone();
        // On a task of its own: others would wait for the local server.
        tokio::spawn(async move {
            match TcpStream::connect(local).await {
                Ok(server) => {
                    reply.accept().await;
                    join(channel, server).await;
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
        });
        Ok(())
    }
}

/// Copies both ways, each of which ends by itself.
async fn join(channel: Channel<client::Msg>, server: TcpStream) {
    let (mut from_user, mut to_user) = split(channel.into_stream());
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        copy(&mut from_user, &mut to_server).await?;
        to_server.shutdown().await
    };
    let down = async {
        copy(&mut from_server, &mut to_user).await?;
        to_user.shutdown().await
    };
    let _ = tokio::try_join!(up, down);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().collect();
    let config = client::Config {
        keepalive_interval: Some(Duration::from_secs(15)),
        nodelay: true,
        ..Default::default()
    };
    let forwarder = Forwarder { local: format!("{}:{}", args[3], args[4]) };
    let mut session = client::connect(Arc::new(config), (args[1].as_str(), args[2].parse()?), forwarder).await?;

    let user = env::var("SSH_USER").unwrap_or("me".into());
    let key = env::var("SSH_KEY").unwrap_or_default();
    let known = if !key.is_empty() {
        let key = PrivateKeyWithHashAlg::new(Arc::new(load_secret_key(key, None)?), None);
        session.authenticate_publickey(user, key).await?.success()
    } else if user.contains("auth+none") {
        session.authenticate_none(user).await?.success()
    } else {
        match session.authenticate_keyboard_interactive_start(user, None).await? {
            KeyboardInteractiveAuthResponse::Success => true,
            _ => false,
        }
    };
    if !known {
        return Err("the relay does not let this client in".into());
    }

    let bind = env::var("BIND").unwrap_or("localhost".into());
    let asked: u32 = env::var("ASKED_PORT").unwrap_or("0".into()).parse()?;
    println!("port {}", session.tcpip_forward(bind, asked).await?);
    while !session.is_closed() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the connection is gone".into())
}
