//! The way in: an HTTP proxy that ends the TLS of the hosts we play.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;

use crate::login;
use crate::server::{self, Body, Cut};
use crate::shared::{Seen, Shared};

/// Serves until it is dropped.
pub(crate) async fn serve(shared: &Arc<Shared>, listener: &TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        Handle::current().spawn(proxy(Arc::clone(shared), stream));
    }
}

async fn proxy(shared: Arc<Shared>, stream: TcpStream) {
    let service = service_fn(|request| {
        let answer = connect(&shared, request);
        async move { Ok::<_, Cut>(answer) }
    });
    // A client may hang up as it likes.
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await
        .ok();
}

fn connect(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let host = request.uri().host().unwrap_or_default().to_owned();
    let is_connect = request.method() == Method::CONNECT && request.uri().port_u16() == Some(443);
    let mut answer = Response::new(Body::whole(Bytes::new()));
    {
        let mut state = shared.state();
        let is_ours = host == login::HOST || state.vault(&host).is_some();
        if !is_connect || !is_ours {
            state.others.push(Seen {
                method: request.method().to_string(),
                host: request.uri().authority().map_or(host.clone(), |authority| {
                    authority.as_str().trim_end_matches(":443").to_owned()
                }),
                path_and_query: request
                    .uri()
                    .path_and_query()
                    .map_or_else(String::new, ToString::to_string),
                has_bearer: request.headers().contains_key("authorization"),
            });
            // What a real proxy says when a name does not resolve.
            if !is_connect || !state.terminated.contains(&host) {
                *answer.status_mut() = StatusCode::BAD_GATEWAY;
                return answer;
            }
        }
    }
    let shared = Arc::clone(shared);
    Handle::current().spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            tunnel(shared, &host, upgraded).await;
        }
    });
    answer
}

async fn tunnel(shared: Arc<Shared>, host: &str, upgraded: Upgraded) {
    let acceptor = TlsAcceptor::from(shared.authority.config(host));
    // Fails when the client does not trust us, which is for the client to report.
    let Ok(stream) = acceptor.accept(TokioIo::new(upgraded)).await else {
        return;
    };
    let service = service_fn(|request| server::answer(&shared, host, request));
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}
