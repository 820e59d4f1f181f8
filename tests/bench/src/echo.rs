use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use claviger_proto::v1;
use claviger_proto::v1::secret_service_server::{SecretService, SecretServiceServer};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::step::{Result, runtime};

/// Answers every GetSecret with the same reply: the cost of gRPC itself.
struct Echo {
    reply: v1::GetSecretResponse,
}

/// Serves on a free port until it is killed. The reply comes on the standard input, so that it is
/// as long as the daemon's.
/// With the files of TLS in `files` it speaks that, and wants a certificate as the daemon does.
pub(crate) fn serve(files: Option<&Path>) -> Result {
    let mut reply = Vec::new();
    std::io::stdin().read_to_end(&mut reply)?;
    let reply = v1::GetSecretResponse::decode(reply.as_slice())?;
    runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("echo ready tcp={}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let service = SecretServiceServer::new(Echo { reply });
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let mut server = Server::builder();
        if let Some(files) = files {
            server = server.tls_config(tls_config(files)?)?;
        }
        let server = server.add_service(service);
        Ok(server.serve_with_incoming(incoming).await?)
    })
}

fn tls_config(files: &Path) -> Result<ServerTlsConfig> {
    let read = |name| fs::read(files.join(name));
    let identity = Identity::from_pem(read("server.crt")?, read("server.key")?);
    let authority = Certificate::from_pem(read("acme.crt")?);
    let config = ServerTlsConfig::new().identity(identity);
    Ok(config.client_ca_root(authority))
}

fn absent() -> Status {
    Status::unimplemented("an echo server has GetSecret only")
}

#[tonic::async_trait]
impl SecretService for Echo {
    async fn get_secret(
        &self,
        _: Request<v1::GetSecretRequest>,
    ) -> std::result::Result<Response<v1::GetSecretResponse>, Status> {
        Ok(Response::new(self.reply.clone()))
    }

    async fn batch_get_secrets(
        &self,
        _: Request<v1::BatchGetSecretsRequest>,
    ) -> std::result::Result<Response<v1::BatchGetSecretsResponse>, Status> {
        Err(absent())
    }

    async fn put_secret_value(
        &self,
        _: Request<v1::PutSecretValueRequest>,
    ) -> std::result::Result<Response<v1::PutSecretValueResponse>, Status> {
        Err(absent())
    }

    async fn list_secret_versions(
        &self,
        _: Request<v1::ListSecretVersionsRequest>,
    ) -> std::result::Result<Response<v1::ListSecretVersionsResponse>, Status> {
        Err(absent())
    }

    async fn enable_secret_version(
        &self,
        _: Request<v1::EnableSecretVersionRequest>,
    ) -> std::result::Result<Response<v1::SecretVersion>, Status> {
        Err(absent())
    }

    async fn disable_secret_version(
        &self,
        _: Request<v1::DisableSecretVersionRequest>,
    ) -> std::result::Result<Response<v1::SecretVersion>, Status> {
        Err(absent())
    }

    async fn destroy_secret_version(
        &self,
        _: Request<v1::DestroySecretVersionRequest>,
    ) -> std::result::Result<Response<v1::SecretVersion>, Status> {
        Err(absent())
    }
}
