//! From a connection and a header to a caller.

use claviger_access::{Caller, Principal};
use claviger_broker::Broker;
use claviger_core::{Error, Reason, Result};
use tonic::metadata::MetadataMap;

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
/// `CREDENTIALS_REQUIRED`, `TOKEN_INVALID`, `TOKEN_EXPIRED`, `TOKEN_REVOKED`.
pub(crate) async fn caller(broker: &Broker, peer: Peer, metadata: &MetadataMap) -> Result<Caller> {
    match (metadata.get("authorization"), peer) {
        (Some(header), _) => {
            let header = header
                .to_str()
                .map_err(|_| Error::new(Reason::TokenInvalid))?;
            let token = bearer(header).ok_or_else(|| Error::new(Reason::TokenInvalid))?;
            broker.authenticate(token).await
        }
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
