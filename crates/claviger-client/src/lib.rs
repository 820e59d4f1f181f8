//! Calls a Claviger daemon: over its Unix socket or an address (there in plain text on its host, or
//! over TLS), with credentials and a deadline.
//!
//! ```no_run
//! # use std::{path::Path, time::Duration};
//! # use claviger_client::{Client, Token};
//! # use claviger_proto::v1::GetSecretRequest;
//! # async fn fetch() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect_tcp(([127, 0, 0, 1], 7433).into())
//!     .await?
//!     .with_token(Token::from_file(Path::new("/run/job/claviger.token"))?)
//!     .with_deadline(Duration::from_secs(5));
//! let request = GetSecretRequest {
//!     name: "projects/acme/secrets/stripe".to_owned(),
//!     ..Default::default()
//! };
//! let secret = client.secrets().get_secret(request).await?.into_inner();
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod tls;
mod token;

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claviger_proto::v1::access_service_client::AccessServiceClient;
use claviger_proto::v1::connection_profile_service_client::ConnectionProfileServiceClient;
use claviger_proto::v1::daemon_service_client::DaemonServiceClient;
use claviger_proto::v1::project_service_client::ProjectServiceClient;
use claviger_proto::v1::secret_definition_service_client::SecretDefinitionServiceClient;
use claviger_proto::v1::secret_service_client::SecretServiceClient;
use claviger_proto::v1::vault_service_client::VaultServiceClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::Request;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;
use tower::service_fn;

pub use tls::Tls;
pub use token::{Token, TokenError};
pub use tonic::{Code, Response, Status};

/// One caller over one connection, which is shared by its clones and made again when it breaks.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    headers: Headers,
}

/// The way that the calls of a [`Client`] take.
pub type Service = InterceptedService<Channel, Headers>;

/// Puts the token and the deadline of a [`Client`] into each of its calls.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    token: Option<Token>,
    deadline: Option<Duration>,
}

macro_rules! services {
    ($($name:ident $client:ident;)+) => {
        $(
            #[doc = concat!("A `", stringify!($client), "` that calls as this caller.")]
            pub fn $name(&self) -> $client<Service> {
                $client::new(self.service())
            }
        )+
    };
}

impl Client {
    /// Connects to the Unix socket of a daemon on this host, which knows callers by their uid.
    ///
    /// # Errors
    /// If no daemon answers there.
    pub async fn connect_unix(socket: impl AsRef<Path>) -> Result<Self, ConnectError> {
        let socket = socket.as_ref().to_path_buf();
        let address = socket.display().to_string();
        let connect = service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // Goes out as `:authority`, where the path of a socket is not valid; never resolved.
        let endpoint = Endpoint::from_static("http://localhost");
        let connected = endpoint.connect_with_connector(connect).await;
        connected
            .map(Self::over)
            .map_err(|cause| ConnectError { address, cause })
    }

    /// Connects to an address. Calls need a [token](Self::with_token) there.
    ///
    /// # Errors
    /// If no daemon answers there.
    pub async fn connect_tcp(address: SocketAddr) -> Result<Self, ConnectError> {
        let connect = async || {
            Endpoint::from_shared(format!("http://{address}"))?
                .connect()
                .await
        };
        let address = address.to_string();
        connect()
            .await
            .map(Self::over)
            .map_err(|cause| ConnectError { address, cause })
    }

    /// Connects to `host:port` over TLS, where the certificate of `tls` makes the caller.
    ///
    /// # Errors
    /// If no daemon answers there that has a certificate for this host.
    pub async fn connect_tls(address: &str, tls: Tls) -> Result<Self, ConnectError> {
        let connect = async || {
            let endpoint = Endpoint::from_shared(format!("https://{address}"))?;
            endpoint.tls_config(tls.into_config())?.connect().await
        };
        let address = address.to_owned();
        connect()
            .await
            .map(Self::over)
            .map_err(|cause| ConnectError { address, cause })
    }

    fn over(channel: Channel) -> Self {
        Self {
            channel,
            headers: Headers::default(),
        }
    }

    /// The same connection for the caller that this token stands for.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.headers.token = Some(token);
        self
    }

    /// The same caller, whose calls end after this time. The daemon is told, and gives up then as
    /// well. A deadline that a call brings along takes its place.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.headers.deadline = Some(deadline);
        self
    }

    services! {
        access AccessServiceClient;
        daemon DaemonServiceClient;
        definitions SecretDefinitionServiceClient;
        profiles ConnectionProfileServiceClient;
        projects ProjectServiceClient;
        secrets SecretServiceClient;
        vaults VaultServiceClient;
    }

    /// The way that the calls take, for clients of services that are not Claviger's own.
    pub fn service(&self) -> Service {
        InterceptedService::new(self.channel.clone(), self.headers.clone())
    }
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.token {
            let header = token.header().clone();
            request.metadata_mut().insert("authorization", header);
        }
        let brings_deadline = request.metadata().contains_key("grpc-timeout");
        if let (Some(deadline), false) = (self.deadline, brings_deadline) {
            request.set_timeout(deadline);
        }
        Ok(request)
    }
}

/// No daemon answers.
#[derive(Debug)]
pub struct ConnectError {
    address: String,
    cause: tonic::transport::Error,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no daemon answers at {}", self.address)
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.cause)
    }
}

/// Where a client on this host finds the daemon when nobody says where it is: by the directories of
/// its user for what lives as long as a session, and for state.
pub fn default_socket(runtime_dir: Option<&Path>, state_home: Option<&Path>) -> Option<PathBuf> {
    let state = || Some(state_home?.join("claviger/clavigerd.sock"));
    runtime_dir
        .map(|dir| dir.join("claviger/clavigerd.sock"))
        .or_else(state)
}

/// The daemon's own reason for a failed call, or `None` if it does not come from the daemon.
pub fn reason(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    details.error_info().map(|info| info.reason.clone())
}

/// How long the daemon wants to be left alone before a failed call is made again, if it says so.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_error_details().retry_info()?.retry_delay
}
