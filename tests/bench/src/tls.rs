//! Connections over TLS with a certificate: full handshakes, resumed ones, and none, as the floor.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind};

use crate::figures::{figure, median};
use crate::machine::{Cores, on_core};
use crate::secure::{client_config, configure, server_name};
use crate::server::Server;
use crate::step::{Plan, Result, runtime};

/// Connections that are made at a time.
const AT_A_TIME: usize = 8;

/// How HTTP/2 begins: the preface of a client, and its settings, of which there are none.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// How a connection is made.
#[derive(Clone)]
enum Way {
    Plain,
    Tls(Arc<ClientConfig>, HandshakeKind),
}

/// Measures how many connections a second are made until the daemon's settings are there.
pub(crate) fn run(plan: Plan) -> Result {
    let cores = Cores::find()?;
    on_core(cores.load, || {
        let files = tempfile::tempdir()?;
        let config = configure(files.path())?;
        let plain = on_core(cores.server, || Server::ephemeral_daemon_with(""))?;
        let tls = on_core(cores.server, || Server::ephemeral_daemon_with(&config))?;
        let ways = [
            ("plain", plain.tcp, Way::Plain),
            ("full", tls.tcp, Way::full(files.path())?),
            ("resumed", tls.tcp, Way::resumed(files.path())?),
        ];
        let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
        for _ in 0..plan.rounds {
            for ((_, address, way), found) in ways.iter().zip(&mut rounds) {
                per_second(*address, way, plan.warm_up)?;
                found.push(per_second(*address, way, plan.run)?);
            }
        }
        for ((name, ..), found) in ways.iter().zip(&rounds) {
            let unit = "connections/s";
            figure(&format!("tls_{name}"), median(found.iter().copied()), unit);
        }
        Ok(())
    })
}

impl Way {
    fn full(files: &Path) -> Result<Self> {
        let mut config = client_config(files)?;
        config.resumption = Resumption::disabled();
        Ok(Self::Tls(Arc::new(config), HandshakeKind::Full))
    }

    fn resumed(files: &Path) -> Result<Self> {
        let config = client_config(files)?;
        Ok(Self::Tls(Arc::new(config), HandshakeKind::Resumed))
    }
}

/// Makes connections for a while, some at a time.
fn per_second(address: SocketAddr, way: &Way, time: Duration) -> Result<f64> {
    runtime()?.block_on(async {
        let began = Instant::now();
        let mut making: JoinSet<Result<u32>> = JoinSet::new();
        for _ in 0..AT_A_TIME {
            let way = way.clone();
            making.spawn(async move {
                let mut made = 0_u32;
                let mut as_wanted = 0_u32;
                while began.elapsed() < time {
                    as_wanted += u32::from(connect(address, &way).await?);
                    made += 1;
                }
                // The first has no ticket, and another one may be faster to take one.
                match made - as_wanted <= 1 + made / 10 {
                    true => Ok(made),
                    false => Err("handshakes are of another kind than wanted".into()),
                }
            });
        }
        let mut made = 0;
        while let Some(done) = making.join_next().await {
            made += done??;
        }
        Ok(f64::from(made) / began.elapsed().as_secs_f64())
    })
}

/// Whether the handshake was of the kind that is wanted.
async fn connect(address: SocketAddr, way: &Way) -> Result<bool> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    match way {
        Way::Plain => {
            hello(stream).await?;
            Ok(true)
        }
        Way::Tls(config, wanted) => {
            let connector = TlsConnector::from(Arc::clone(config));
            let stream = connector.connect(server_name()?, stream).await?;
            let kind = stream.get_ref().1.handshake_kind();
            // Tickets come with the first bytes.
            hello(stream).await?;
            Ok(kind == Some(*wanted))
        }
    }
}

async fn hello(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result {
    stream.write_all(HELLO).await?;
    stream.read_exact(&mut [0; 9]).await?;
    Ok(())
}
