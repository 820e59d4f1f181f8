//! One connection of the connector's, which is one request.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use claviger_backend::upstream::cause_of;
use claviger_seal::equal;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1 as client;
use hyper::header::{
    CONNECTION, HOST, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, copy, split};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::shared::Shared;
use super::way::Stream;

/// How long a request may take to say what it is.
const HEADER_WAIT: Duration = Duration::from_secs(5);

/// Longest head of a request, in bytes.
const HEADER_LEN_MAX: usize = 64 * 1024;

/// One connection, whose request may or may not be let through.
struct Call {
    shared: Arc<Shared>,
    is_known: Arc<AtomicBool>,
    /// Held to the end of the connection.
    turn: OnceLock<OwnedSemaphorePermit>,
    /// A tunnel, which begins when the connector has heard that it may.
    granted: OnceLock<(OnUpgrade, Stream)>,
}

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, is_known: Arc<AtomicBool>) {
    let call = Call {
        shared,
        is_known,
        turn: OnceLock::new(),
        granted: OnceLock::new(),
    };
    let answers = service_fn(|request| async {
        Ok::<_, Infallible>(call.answer(request).await.unwrap_or_else(refusal))
    });
    let served = server::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_buf_size(HEADER_LEN_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answers)
        .with_upgrades();
    if served.await.is_err() {
        return;
    }
    if let Some((upgrade, outside)) = call.granted.into_inner()
        && let Ok(inside) = upgrade.await
    {
        tunnel(inside, outside, call.shared.bounds.bytes).await;
    }
}

/// Ends as soon as one of the two sides does, or has had its bytes.
async fn tunnel(inside: Upgraded, outside: Stream, bytes: u64) {
    let (mut from_inside, mut to_inside) = split(TokioIo::new(inside));
    let (from_outside, mut to_outside) = split(outside.into_inner());
    let mut from_outside = from_outside.take(bytes);
    tokio::select! {
        _ = copy(&mut from_inside, &mut to_outside) => {}
        _ = copy(&mut from_outside, &mut to_inside) => {}
    }
}

impl Call {
    /// # Errors
    /// The status of the refusal.
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, StatusCode> {
        let shared = &self.shared;
        let shown = request.headers().get(PROXY_AUTHORIZATION);
        let shown = shown.map(HeaderValue::as_bytes).unwrap_or_default();
        if !equal(shown, shared.authorization.expose()) {
            return Err(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        }
        self.is_known.store(true, Ordering::SeqCst);
        let turn = Arc::clone(&shared.tunnels).try_acquire_owned();
        let turn = turn.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        self.turn.get_or_init(|| turn);
        let is_tunnel = request.method() == Method::CONNECT;
        let place = match is_tunnel {
            true => shared.places.tunnel(request.uri()),
            false => shared.places.plain(request.uri()),
        };
        let Some(place) = place else {
            shared.strayed.fetch_add(1, Ordering::SeqCst);
            return Err(StatusCode::FORBIDDEN);
        };
        match is_tunnel {
            true => self.grant(request, &place).await,
            false => self.forward(request, &place).await,
        }
    }

    async fn grant(
        &self,
        request: Request<Incoming>,
        place: &Uri,
    ) -> Result<Response<Full<Bytes>>, StatusCode> {
        let way = self.shared.way.tunnel(place).await;
        let outside = way.map_err(|error| {
            *self.shared.cause() = cause_of(&error);
            StatusCode::BAD_GATEWAY
        })?;
        self.granted
            .get_or_init(|| (hyper::upgrade::on(request), outside));
        Ok(Response::default())
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
        place: &Uri,
    ) -> Result<Response<Full<Bytes>>, StatusCode> {
        let request = onward(request, place).ok_or(StatusCode::BAD_REQUEST)?;
        let outside = self.shared.way.plain(place).await;
        let outside = outside.map_err(|_| StatusCode::BAD_GATEWAY)?;
        let handshake = client::handshake(outside).await;
        let (mut sender, connection) = handshake.map_err(|_| StatusCode::BAD_GATEWAY)?;
        let len_max = usize::try_from(self.shared.bounds.bytes).unwrap_or(usize::MAX);
        let exchange = async move {
            let answer = sender.send_request(request).await;
            let (mut head, body) = answer.map_err(|_| StatusCode::BAD_GATEWAY)?.into_parts();
            let body = Limited::new(body, len_max).collect().await;
            let body = body.map_err(|_| StatusCode::BAD_GATEWAY)?.to_bytes();
            for of_connection in [CONNECTION, TRANSFER_ENCODING] {
                head.headers.remove(of_connection);
            }
            Ok(Response::from_parts(head, Full::new(body)))
        };
        // The connection ends when the exchange has.
        let (answer, _) = tokio::join!(exchange, connection);
        answer
    }
}

/// A request to a proxy as the server itself gets it.
fn onward(mut request: Request<Incoming>, place: &Uri) -> Option<Request<Incoming>> {
    *request.uri_mut() = request.uri().path_and_query()?.as_str().parse().ok()?;
    let host = HeaderValue::from_str(place.authority()?.as_str()).ok()?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().remove(PROXY_AUTHORIZATION);
    Some(request)
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = status;
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        let scheme = HeaderValue::from_static("Basic");
        response.headers_mut().insert(PROXY_AUTHENTICATE, scheme);
    }
    response
}
