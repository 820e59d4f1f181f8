//! A server that speaks TLS, and clients whose tickets a test keeps.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claviger_integration::{Client, Options, Server, own_directory};
use claviger_proto::v1;
use claviger_raw::{Authority, Certificate, Raw, connect_from, message};
use http::HeaderMap;
use prost::Message;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{
    ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion, version,
};

/// When the server's clock starts, since 1970.
pub(super) const NOW: Duration = Duration::from_secs(1_795_320_000);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(super) const ETL: &str = "spiffe://acme.example/ns/etl";

const WHO_AM_I: &str = "claviger.v1.AccessService/WhoAmI";

/// The files that the server was given, and those who signed them.
pub(crate) struct Files {
    dir: TempDir,
    /// Of the server.
    pub(super) root: Authority,
    /// Of its clients.
    pub(super) acme: Authority,
}

impl Files {
    /// With a list that revokes nobody.
    pub(crate) fn new() -> Self {
        let files = Self {
            dir: own_directory(),
            root: Authority::new("root", NOW),
            acme: Authority::new("acme", NOW),
        };
        files.replace_pair();
        files.write("ca.pem", &files.acme.pem());
        files.revoke(&[]);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).expect("set");
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("read")
    }

    /// Lets everybody write to a file, and read it.
    pub(super) fn open_to_all(&self, name: &str) {
        fs::set_permissions(self.path(name), Permissions::from_mode(0o666)).expect("set");
    }

    /// Puts a new certificate of the server there. Returns it.
    pub(super) fn replace_pair(&self) -> CertificateDer<'static> {
        let made = self.root.server(&["localhost"]);
        self.write("server.pem", &made.certificate);
        self.write("server.key", &made.key);
        chain(&made).remove(0)
    }

    pub(super) fn revoke(&self, certificates: &[&Certificate]) {
        self.write("acme.crl", &self.acme.revokes(certificates, 2 * DAY));
    }

    /// The settings, with these of the listeners and of TLS.
    pub(crate) fn config(&self, listen: &str, tls: &str) -> String {
        let dir = self.dir.path().display();
        format!(
            "listen = {{ admin = \"127.0.0.1:0\"{listen} }}\n\
             [tls]\n\
             certificate_file = \"{dir}/server.pem\"\n\
             private_key_file = \"{dir}/server.key\"\n\
             client_ca_file = \"{dir}/ca.pem\"\n\
             crl_file = \"{dir}/acme.crl\"\n\
             spiffe_trust_domain = \"acme.example\"\n\
             {tls}\n"
        )
    }

    /// The path of a file, as the configuration has it.
    pub(super) fn named(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Starts a server with these settings of TLS too.
    pub(super) async fn serve(&self, tls: &str) -> (Server, Client) {
        self.serve_with("", tls).await
    }

    /// The same with more settings of the listeners.
    pub(super) async fn serve_with(&self, listen: &str, tls: &str) -> (Server, Client) {
        let options = Options {
            config: self.config(listen, tls).leak(),
            ..Options::default()
        };
        Server::prepared(options).await
    }

    /// A client of the server; with tickets of its own.
    pub(super) fn client(&self, certificate: Option<&Certificate>) -> TlsClient {
        self.client_of(certificate, &[&version::TLS13])
    }

    pub(super) fn client_of(
        &self,
        certificate: Option<&Certificate>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsClient {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.root.pem().as_bytes()).expect("PEM");
        roots.add(root).expect("an authority");
        let builder =
            ClientConfig::builder_with_details(Arc::new(default_provider()), Arc::new(At));
        let builder = builder.with_protocol_versions(versions).expect("known");
        let builder = builder.with_root_certificates(roots);
        let mut config = match certificate {
            Some(certificate) => {
                let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).expect("PEM");
                builder
                    .with_client_auth_cert(chain(certificate), key)
                    .expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsClient(config)
    }
}

pub(super) fn chain(certificate: &Certificate) -> Vec<CertificateDer<'static>> {
    let chain = CertificateDer::pem_slice_iter(certificate.certificate.as_bytes());
    chain.collect::<Result<_, _>>().expect("PEM")
}

/// The client's clock.
#[derive(Debug)]
struct At;

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(NOW))
    }
}

/// A client with its tickets.
pub(super) struct TlsClient(pub(super) ClientConfig);

/// An open connection, and what its handshake was.
pub(super) struct Opened {
    pub(super) raw: Raw,
    pub(super) kind: HandshakeKind,
    pub(super) server: CertificateDer<'static>,
}

impl TlsClient {
    /// Connects and speaks HTTP/2.
    pub(super) async fn open(&self, server: &Server) -> Result<Opened, String> {
        self.open_from("127.0.0.1", server).await
    }

    /// The same from one of the addresses of this host.
    pub(super) async fn open_from(
        &self,
        from: &'static str,
        server: &Server,
    ) -> Result<Opened, String> {
        let (config, address) = (Arc::new(self.0.clone()), server.address());
        server.run_there(Opened::open(config, from, address)).await
    }

    /// Who the server thinks it is on a new connection, or why there is none.
    pub(super) async fn who(&self, server: &Server) -> Result<String, String> {
        self.open(server).await?.who(&[]).await
    }
}

impl Opened {
    async fn open(
        config: Arc<ClientConfig>,
        from: &'static str,
        address: SocketAddr,
    ) -> Result<Self, String> {
        let from = from.parse().expect("an address");
        let stream = connect_from(from, address).await.expect("connects");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(config).connect(name, stream).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let (_, connection) = stream.get_ref();
        let kind = connection.handshake_kind().expect("over");
        let chain = connection.peer_certificates().expect("the server's");
        let server = chain[0].clone().into_owned();
        let raw = Raw::over(stream).await.map_err(|error| error.to_string())?;
        Ok(Self { raw, kind, server })
    }

    /// Who the server thinks it is, or the code of the refusal.
    pub(super) async fn who(&mut self, headers: &[(&'static str, &str)]) -> Result<String, String> {
        Ok(self.whole(headers).await?.principal)
    }

    pub(super) async fn whole(
        &mut self,
        headers: &[(&'static str, &str)],
    ) -> Result<v1::WhoAmIResponse, String> {
        self.call(WHO_AM_I, headers, &v1::WhoAmIRequest {}).await
    }

    /// The answer to a call, or the code of the refusal.
    pub(super) async fn call<A: Message + Default>(
        &mut self,
        method: &str,
        headers: &[(&'static str, &str)],
        request: &impl Message,
    ) -> Result<A, String> {
        let said = |error: &dyn ToString| error.to_string();
        let begun = self.raw.begin(method, headers).await;
        let mut begun = begun.map_err(|error| said(&error))?;
        let request = request.encode_to_vec();
        begun.send(message(request.len(), &request)).await;
        begun.send_end();
        let whole = begun.whole().await.map_err(|error| said(&error))?;
        let code = |headers: &HeaderMap| {
            let code = headers.get("grpc-status")?;
            Some(code.to_str().expect("a number").to_owned())
        };
        let code = code(&whole.headers).or_else(|| code(&whole.trailers));
        match code.as_deref() {
            Some("0") => Ok(A::decode(&whole.bytes[5..]).expect("an answer")),
            code => Err(format!("code {}", code.unwrap_or("none"))),
        }
    }
}
