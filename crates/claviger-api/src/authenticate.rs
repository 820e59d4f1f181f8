//! From a connection and a header to a caller.

use std::sync::LazyLock;

use claviger_access::{Caller, Principal};
use claviger_broker::Broker;
use claviger_core::{Error, Reason, Result};
use tonic::metadata::MetadataMap;

/// The uid that the kernel shows for those that have no number in the daemon's user namespace.
static OVERFLOW_UID: LazyLock<u32> = LazyLock::new(|| {
    let text = std::fs::read_to_string("/proc/sys/kernel/overflowuid");
    let uid = text.ok().and_then(|text| text.trim().parse().ok());
    uid.unwrap_or(OVERFLOW_UID_DEFAULT)
});

/// What it is unless an administrator of the host has changed it.
const OVERFLOW_UID_DEFAULT: u32 = 65_534;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peer {
    /// A client on TCP, which proves its identity with a token.
    Tcp,
    /// A process of this uid on the Unix socket.
    Unix(u32),
}

impl Peer {
    /// The name in the audit log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix(_) => "unix",
        }
    }
}

/// Finds out the caller. A token counts on either listener; without one the socket's uid does.
///
/// # Errors
/// `CREDENTIALS_REQUIRED`, `TOKEN_INVALID`, `TOKEN_EXPIRED`, `TOKEN_REVOKED`, `UID_UNMAPPED`.
pub(crate) async fn caller(broker: &Broker, peer: Peer, metadata: &MetadataMap) -> Result<Caller> {
    match (metadata.get("authorization"), peer) {
        (Some(header), _) => {
            let header = header
                .to_str()
                .map_err(|_| Error::new(Reason::TokenInvalid))?;
            let token = bearer(header).ok_or_else(|| Error::new(Reason::TokenInvalid))?;
            broker.authenticate(token).await
        }
        // SECURITY: a grant to it would be one to whoever happens to be shown so.
        (None, Peer::Unix(uid)) if uid == *OVERFLOW_UID => Err(Error::new(Reason::UidUnmapped)),
        (None, Peer::Unix(uid)) => Ok(Caller {
            principal: Principal::Unix(uid),
            expire_time: None,
        }),
        (None, Peer::Tcp) => Err(Error::new(Reason::CredentialsRequired)),
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
