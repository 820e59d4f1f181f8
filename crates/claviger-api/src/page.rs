//! What a listener shows to clients that speak HTTP/1.1: one page.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::counts::Counts;
use crate::limits::Limits;

/// Where it is.
const PATH: &str = "/metrics";

/// Its text is in the format that Prometheus reads.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page of the metrics, written anew for each reader.
#[derive(Clone)]
pub struct Page(Arc<dyn Fn(&Counts) -> String + Send + Sync>);

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Page").finish_non_exhaustive()
    }
}

impl Page {
    /// A page with the text that `write` makes of all there is, and of what was counted at the door
    /// that shows it.
    pub fn new(write: impl Fn(&Counts) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// Answers one request. Readers come every few seconds at most: each with a new connection.
    pub(crate) async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        limits: Limits,
        counts: &Counts,
    ) -> hyper::Result<()> {
        let answer = service_fn(async |request: Request<Incoming>| {
            Ok::<_, Infallible>(self.answer(request.method(), request.uri().path(), counts))
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.handshake)
            .keep_alive(false)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), answer)
            .await
    }

    fn answer(&self, method: &Method, path: &str, counts: &Counts) -> Response<Full<Bytes>> {
        let (status, header, text) = match (path == PATH, method == Method::GET) {
            (true, true) => (StatusCode::OK, (CONTENT_TYPE, TEXT), (self.0)(counts)),
            (true, false) => (
                StatusCode::METHOD_NOT_ALLOWED,
                (ALLOW, "GET"),
                String::new(),
            ),
            (false, _) => (
                StatusCode::NOT_FOUND,
                (CONTENT_TYPE, TEXT),
                format!("only {PATH} is here, and gRPC over HTTP/2\n"),
            ),
        };
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        let (name, value) = header;
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
        response
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_finish_its_request_is_left() {
        let (mut client, stream) = duplex(1024);
        let begun = b"GET /metrics HTTP/1.1\r\nhost: claviger\r\n";
        client.write_all(begun).await.unwrap();
        let page = Page::new(|_| "text".to_owned());
        let (start, limits) = (Instant::now(), Limits::default());
        let served = page.serve(stream, limits, &Counts::new()).await;
        assert!(served.is_err());
        assert_eq!(start.elapsed(), limits.handshake);
    }
}
