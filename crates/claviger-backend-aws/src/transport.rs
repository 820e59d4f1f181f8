//! The wire: how long an answer may be, of Secrets Manager and of whoever gives credentials.

use aws_sdk_secretsmanager::config::http::{HttpRequest, HttpResponse};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpClient as _, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use claviger_backend::count_request;

/// The operation of a request.
const TARGET: &str = "x-amz-target";

/// Longest page of a list, in bytes: 100 secrets with all their tags are shorter.
const PAGE_LEN_MAX: usize = 4 * 1024 * 1024;

/// Longest other answer: the longest value is shorter even if each of its characters is escaped.
const ANSWER_LEN_MAX: usize = 512 * 1024;

/// Connections that follow no redirect, and hand on whole answers of bounded length only.
pub(crate) fn connections() -> SharedHttpClient {
    // One client for all: each would have its own connections, and load the root certificates.
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_https();
    http_client_fn(move |settings, components| {
        SharedHttpConnector::new(Bounded(http.http_connector(settings, components)))
    })
}

/// Reads answers for the SDK, which would take one of any length.
#[derive(Debug)]
struct Bounded(SharedHttpConnector);

impl HttpConnector for Bounded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get(TARGET).unwrap_or_default();
        // Who gives credentials has a quota of its own.
        if target.starts_with("secretsmanager.") {
            count_request();
        }
        let len_max = match target.starts_with("secretsmanager.List") {
            true => PAGE_LEN_MAX,
            false => ANSWER_LEN_MAX,
        };
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move { whole(answer.await?, len_max).await })
    }
}

/// An answer that has come in whole; one that is longer is left where it is.
async fn whole(mut answer: HttpResponse, len_max: usize) -> Result<HttpResponse, ConnectorError> {
    let mut body = ByteStream::new(answer.take_body());
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| ConnectorError::io(error.into()))?;
        if bytes.len() + chunk.len() > len_max {
            // Not one that is tried again.
            return Err(ConnectorError::other("the answer is too long".into(), None));
        }
        bytes.extend_from_slice(&chunk);
    }
    *answer.body_mut() = SdkBody::from(bytes);
    Ok(answer)
}
