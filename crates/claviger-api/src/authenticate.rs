//! From a connection and a header to a caller.

use std::error::Error as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

use claviger_access::{Caller, Principal, Proof};
use claviger_broker::Broker;
use claviger_core::{Error, Reason, Result};
use claviger_identity::{Refusal, Verifier};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::serve::Certificate;

/// The uid that the kernel shows for those that have no number in the daemon's user namespace.
static OVERFLOW_UID: LazyLock<u32> = LazyLock::new(|| {
    let text = std::fs::read_to_string("/proc/sys/kernel/overflowuid");
    let uid = text.ok().and_then(|text| text.trim().parse().ok());
    uid.unwrap_or(OVERFLOW_UID_DEFAULT)
});

/// What it is unless an administrator of the host has changed it.
const OVERFLOW_UID_DEFAULT: u32 = 65_534;

/// The other end of a connection: those that share one share its places and bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Peer {
    /// A client on TCP, which proves its identity with a token or a certificate. Of an IPv6 address only the network
    /// (/64), because a host has as many addresses in it as it likes.
    Tcp(IpAddr),
    /// A process of this uid on the Unix socket.
    Unix(u32),
}

impl Peer {
    /// A client at this address.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Tcp(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Ipv6Addr::from_bits(network).into()
            }
            address @ IpAddr::V4(_) => address,
        })
    }

    /// The name in the audit log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Unix(_) => "unix",
        }
    }
}

/// Finds out the caller. A token counts on either listener; without one the certificate of the
/// connection does, or the socket's uid.
///
/// # Errors
/// `CREDENTIALS_REQUIRED`, `IDENTITY_UNAVAILABLE`, `TOKEN_INVALID`, `TOKEN_EXPIRED`,
/// `TOKEN_REVOKED`, `UID_UNMAPPED`.
pub(crate) async fn caller(
    broker: &Broker,
    verifier: &Verifier,
    peer: Peer,
    certificate: Option<&Certificate>,
    headers: &HeaderMap,
) -> Result<Caller> {
    match (headers.get(AUTHORIZATION), certificate, peer) {
        (Some(header), _, _) => {
            let header = header
                .to_str()
                .map_err(|_| Error::new(Reason::TokenInvalid))?;
            let token = bearer(header).ok_or_else(|| Error::new(Reason::TokenInvalid))?;
            // A token of Claviger's own has no dot.
            match token.contains('.') {
                true => Box::pin(bearer_of_jwt(verifier, token)).await,
                false => broker.authenticate(token).await,
            }
        }
        (None, Some(certificate), _) => certificate.caller(),
        // SECURITY: a grant to it would be one to whoever happens to be shown so.
        (None, None, Peer::Unix(uid)) if uid == *OVERFLOW_UID => {
            Err(Error::new(Reason::UidUnmapped))
        }
        (None, None, Peer::Unix(uid)) => Ok(Caller {
            principal: Principal::Unix(uid),
            proof: Proof::Uid,
            expire_time: None,
        }),
        (None, None, Peer::Tcp(_)) => Err(Error::new(Reason::CredentialsRequired)),
    }
}

async fn bearer_of_jwt(verifier: &Verifier, token: &str) -> Result<Caller> {
    let verified = verifier.verify(token).await;
    let verified = verified.map_err(|refusal| Error::new(refusal.reason()).caused_by(refusal))?;
    // A name with what looks like a key in it would be kept in records and in the audit log.
    let principal = Principal::parse("authorization", &verified.principal);
    Ok(Caller {
        principal: principal.map_err(|_| Error::new(Reason::TokenInvalid))?,
        proof: Proof::Jwt(verified.identity.clone()),
        expire_time: Some(verified.ends),
    })
}

/// Why a JWT was not believed, if that is what the error is about.
pub(crate) fn refusal(error: &Error) -> Option<Refusal> {
    error.source()?.downcast_ref().copied()
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_host_are_one_peer() {
        let peer = |address: &str| Peer::at(address.parse().unwrap());
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:127.0.0.2"), peer("127.0.0.2"));
        assert_ne!(peer("127.0.0.1"), peer("127.0.0.2"));
    }
}
