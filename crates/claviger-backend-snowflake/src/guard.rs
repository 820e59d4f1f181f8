//! The connector's only way to the network: a forward proxy of our own, on loopback.
//!
//! The connector follows redirects, with the value that it is sending, and fetches parts of results
//! from wherever an answer says. It takes no transport of ours, but it does take a proxy; so what
//! may be reached is decided here. TLS goes through from end to end, and nothing here sees into it.
//!
//! `places` says where the way leads, `way` makes it, past the environment's proxy where there is
//! one, `call` is one connection of the connector's. Anyone on this machine may connect; who does
//! not know the credential, which is made for each guard and never leaves this process, gets a
//! refusal, and may hold no place that others need.

mod call;
mod places;
mod shared;
#[cfg(test)]
mod tests;
mod way;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener as Bound};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use claviger_core::{Cause, SecretBytes};
use claviger_seal::{hex, random_bytes};
use snowflake_connector_rs::{ProxyConfig, TransportConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

pub(crate) use places::Places;
pub(crate) use shared::Bounds;
use shared::Shared;
pub(crate) use way::Way;

/// The user of the credential.
const USER: &str = "claviger";

/// Connections that have not said who they are: of more, the oldest ends.
const STRANGERS_MAX: usize = 1024;

/// Pause when the machine gives no connection, for want of descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Bounds {
    /// Those of a vault whose calls may take this long. A schema of 10,000 secrets is listed in
    /// fewer bytes, and `concurrent_calls` is no more than the tunnels.
    pub(crate) fn of_calls(timeout: Duration) -> Self {
        Self {
            bytes: 8 * 1024 * 1024,
            time: timeout,
            tunnels: 1024,
        }
    }
}

/// A guard; its connections end with it.
pub(crate) struct Guard {
    url: Url,
    password: SecretBytes,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

impl Guard {
    /// Starts one, on the runtime that this is called on.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) fn start(places: Places, way: Way, bounds: Bounds) -> io::Result<Self> {
        let bound = Bound::bind((Ipv4Addr::LOCALHOST, 0))?;
        bound.set_nonblocking(true)?;
        let listener = TcpListener::from_std(bound)?;
        let url = format!("http://{}/", listener.local_addr()?);
        let url = Url::parse(&url).map_err(io::Error::other)?;
        let password = hex(&random_bytes::<32>());
        let pair = format!("{USER}:{password}");
        let authorization = format!("Basic {}", BASE64_STANDARD.encode(pair));
        let shared = Arc::new(Shared {
            places,
            way,
            bounds,
            authorization: SecretBytes::new(authorization.into_bytes()),
            tunnels: Arc::new(Semaphore::new(bounds.tunnels)),
            strayed: AtomicU64::new(0),
            cause: Mutex::new(Cause::Connection),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            url,
            password: SecretBytes::new(password.into_bytes()),
            shared,
            _accepting: accepting,
        })
    }

    /// Leads a connector through here, for everything it asks.
    pub(crate) fn transport(&self) -> TransportConfig {
        let password = String::from_utf8_lossy(self.password.expose());
        let proxy = ProxyConfig::new(self.url.clone()).with_basic_auth(USER, password);
        TransportConfig::new().with_proxy(proxy)
    }

    /// How often a way was asked for that leads elsewhere.
    pub(crate) fn strayed(&self) -> u64 {
        self.shared.strayed.load(Ordering::SeqCst)
    }

    /// Why there was no way when one was looked for last: the connector hears only that there is
    /// none.
    pub(crate) fn cause(&self) -> Cause {
        *self.shared.cause()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut calls = JoinSet::new();
    let mut newest = VecDeque::<(AbortHandle, Arc<AtomicBool>)>::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // A tunnel's bytes are not waited for; a connection that has gone by now ends by itself.
        stream.set_nodelay(true).ok();
        while calls.try_join_next().is_some() {}
        let is_known = Arc::new(AtomicBool::new(false));
        let call = calls.spawn(bounded(stream, Arc::clone(&shared), Arc::clone(&is_known)));
        newest.push_back((call, is_known));
        tokio::task::yield_now().await;
        // SECURITY: strangers take the places of each other. The connector says who it is at once,
        // so that nobody is faster than it by this many.
        if newest.len() > STRANGERS_MAX
            && let Some((oldest, is_known)) = newest.pop_front()
            && !is_known.load(Ordering::SeqCst)
        {
            oldest.abort();
        }
    }
}

async fn bounded(stream: TcpStream, shared: Arc<Shared>, is_known: Arc<AtomicBool>) {
    let time = shared.bounds.time;
    let call = call::serve(stream, shared, is_known);
    // Late or not, it ends here.
    tokio::time::timeout(time, call).await.ok();
}
