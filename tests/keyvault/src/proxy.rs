//! The way in: an HTTP proxy that ends the TLS of the hosts we play.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use hyper::server::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;

use crate::call::Seen;
use crate::shared::Shared;
use crate::{login, service};

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(connect).with_state(shared)
}

async fn connect(State(shared): State<Arc<Shared>>, request: Request) -> StatusCode {
    let host = request.uri().host().unwrap_or_default().to_owned();
    let is_connect = request.method() == Method::CONNECT && request.uri().port_u16() == Some(443);
    let is_ours = host == login::HOST || shared.state().vault(&host).is_some();
    if !is_connect || !is_ours {
        let mut state = shared.state();
        state.others.push(seen(&request));
        if !is_connect || !state.terminated.contains(&host) {
            // As a real proxy says when a name does not resolve.
            return StatusCode::BAD_GATEWAY;
        }
    }
    Handle::current().spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            tunnel(shared, host, upgraded).await;
        }
    });
    StatusCode::OK
}

fn seen(request: &Request) -> Seen {
    let uri = request.uri();
    let authority = uri.authority().map(|authority| authority.as_str());
    let host = authority.map(|host| host.trim_end_matches(":443"));
    Seen {
        method: request.method().to_string(),
        host: host.unwrap_or_default().to_owned(),
        path_and_query: uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        has_bearer: request.headers().contains_key("authorization"),
    }
}

async fn tunnel(shared: Arc<Shared>, host: String, upgraded: Upgraded) {
    let acceptor = TlsAcceptor::from(shared.authority.config(&host));
    // Fails when the client does not trust us, which is for the client to report.
    let Ok(stream) = acceptor.accept(TokioIo::new(upgraded)).await else {
        return;
    };
    let router = match host.as_str() {
        login::HOST => login::router(shared),
        _ => service::router(shared, host),
    };
    // A client may hang up as it likes.
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
        .ok();
}
