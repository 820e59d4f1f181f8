//! Connections over TLS with a certificate: full handshakes, resumed ones, and none, as the floor.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, fs::Permissions};

use claviger_raw::Authority;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore};

use crate::figures::{figure, median};
use crate::machine::{Cores, on_core};
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

/// Who the client's certificate is of.
pub(crate) const CLIENT: &str = "spiffe://acme.example/bench";

/// Makes the files of a server and of a client with a certificate; returns the daemon's configuration.
pub(crate) fn configure(dir: &Path) -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let (root, acme) = (Authority::new("root", now), Authority::new("acme", now));
    let (server, client) = (root.server(&["localhost"]), acme.client(&[CLIENT], |_| ()));
    for (name, text) in [
        ("root.crt", &root.pem()),
        ("server.crt", &server.certificate),
        ("server.key", &server.key),
        ("acme.crt", &acme.pem()),
        ("client.crt", &client.certificate),
        ("client.key", &client.key),
    ] {
        fs::write(dir.join(name), text)?;
        fs::set_permissions(dir.join(name), Permissions::from_mode(0o600))?;
    }
    let dir = dir.display();
    Ok(format!(
        "[tls]\n\
         certificate_file = \"{dir}/server.crt\"\n\
         private_key_file = \"{dir}/server.key\"\n\
         client_auth = \"required\"\n\
         client_ca_file = \"{dir}/acme.crt\"\n\
         spiffe_trust_domain = \"acme.example\"\n"
    ))
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

/// What a client connects with that has the files in this directory.
pub(crate) fn connector(files: &Path) -> Result<TlsConnector> {
    Ok(TlsConnector::from(Arc::new(client_config(files)?)))
}

/// The name of the server.
pub(crate) fn server_name() -> Result<ServerName<'static>> {
    Ok(ServerName::try_from("localhost")?)
}

fn client_config(files: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(files.join("root.crt"))?)?;
    let chain = CertificateDer::pem_file_iter(files.join("client.crt"))?;
    let key = PrivateKeyDer::from_pem_file(files.join("client.key"))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let mut config =
        builder.with_client_auth_cert(chain.collect::<std::result::Result<_, _>>()?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
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
