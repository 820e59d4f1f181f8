//! The way on: straight to a place, or through the environment's proxy.

use std::fmt;
use std::io;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service as _;

use super::Places;

/// A connection to a place.
pub(crate) type Stream = TokioIo<TcpStream>;

/// How a place is reached.
pub(crate) struct Way(Matcher);

impl Way {
    /// As `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, which every client of HTTP reads, the
    /// connector too.
    pub(crate) fn of_environment() -> Self {
        Self(Matcher::from_env())
    }

    #[cfg(test)]
    pub(crate) fn of(matcher: Matcher) -> Self {
        Self(matcher)
    }

    /// What is wrong with the proxy that these places would be reached through.
    pub(crate) fn fault(&self, places: &Places) -> Option<&'static str> {
        let mut proxies = places
            .tunnels()
            .filter_map(|place| self.0.intercept(&place));
        // SECURITY: what the proxy takes as its credential would go to it in the clear.
        let is_odd = |proxy: Intercept| proxy.uri().scheme_str() != Some("http");
        proxies.any(is_odd).then_some(
            "HTTPS_PROXY or ALL_PROXY names a proxy that is not an http:// one, and Claviger goes \
             to Snowflake through no other (TLS goes through it unopened); name an http:// one, or \
             the account's host in NO_PROXY",
        )
    }

    /// To a place over TLS, which the connector speaks itself.
    pub(crate) async fn tunnel(&self, place: &Uri) -> io::Result<Stream> {
        let Some(proxy) = self.0.intercept(place) else {
            return connect(place).await;
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), connector());
        if let Some(credential) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credential.clone());
        }
        tunnel.call(place.clone()).await.map_err(io::Error::other)
    }

    /// To an emulator on this machine, past every proxy.
    pub(crate) async fn plain(&self, place: &Uri) -> io::Result<Stream> {
        let stream = connect(place).await?;
        match stream.inner().peer_addr()?.ip().is_loopback() {
            true => Ok(stream),
            false => Err(io::Error::other("not on this machine")),
        }
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").finish_non_exhaustive()
    }
}

async fn connect(place: &Uri) -> io::Result<Stream> {
    let connected = connector().call(place.clone()).await;
    connected.map_err(io::Error::other)
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector
}
