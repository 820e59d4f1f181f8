//! Where Stripe is, checked against the hosts that may be asked.

use std::fmt;

use claviger_core::Public;
use reqwest::Url;

/// A checked address of Stripe's API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BaseUrl(Url);

/// The fault of a base URL: goes on from its name, and quotes nothing of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BaseUrlProblem {
    /// The host is not among the configured ones.
    HostNotAllowed,
    /// Neither https, nor http to this very host.
    NotEncrypted,
    /// User, path, query or fragment.
    NotJustOrigin,
    /// Not a URL at all.
    NotUrl,
}

impl BaseUrl {
    /// Where Stripe is if the configuration says nothing.
    pub const DEFAULT: &'static str = "https://api.stripe.com";

    /// The host of [`DEFAULT`](Self::DEFAULT).
    pub const DEFAULT_HOST: &'static str = "api.stripe.com";

    /// Where Connect's OAuth is if the configuration says nothing.
    pub const CONNECT: &'static str = "https://connect.stripe.com";

    /// The host of [`CONNECT`](Self::CONNECT).
    pub const CONNECT_HOST: &'static str = "connect.stripe.com";

    /// Checks an address: https, or http to loopback (a stub), and a host of this list.
    ///
    /// # Errors
    /// The fault of it.
    pub fn parse<H: AsRef<str>>(text: &str, hosts: &[H]) -> Result<Self, BaseUrlProblem> {
        let url = Url::parse(text).map_err(|_| BaseUrlProblem::NotUrl)?;
        let host = url.host_str().ok_or(BaseUrlProblem::NotUrl)?;
        let is_local = is_loopback(host);
        if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
            return Err(BaseUrlProblem::NotEncrypted);
        }
        let has_more = !url.username().is_empty()
            || url.password().is_some()
            || url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some();
        if has_more {
            return Err(BaseUrlProblem::NotJustOrigin);
        }
        let mut allowed = hosts.iter().map(AsRef::as_ref);
        if !allowed.any(|allowed| allowed.eq_ignore_ascii_case(host)) {
            return Err(BaseUrlProblem::HostNotAllowed);
        }
        Ok(Self(url))
    }

    pub(crate) fn is_local(&self) -> bool {
        self.0.host_str().is_some_and(is_loopback)
    }

    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }
}

impl fmt::Display for BaseUrlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostNotAllowed => {
                "names a host that may not be asked; add it to hosts if it is Stripe's or a stub's"
            }
            Self::NotEncrypted => "is not https (http is for 127.0.0.1, [::1] and localhost)",
            Self::NotJustOrigin => "has more than scheme, host and port; leave the rest out",
            Self::NotUrl => "is not a URL; write it as https://api.stripe.com",
        })
    }
}

impl Public for BaseUrlProblem {}

/// Addresses as the URL standard writes them, so that `127.1` and `[0:0::1]` are recognised.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "127.0.0.1" || host == "[::1]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_hosts_by_https_or_loopback_are_taken() {
        use BaseUrlProblem as P;
        let hosts = [BaseUrl::DEFAULT_HOST, "127.0.0.1", "[::1]"];
        for (text, expected) in [
            (BaseUrl::DEFAULT, None),
            ("https://API.stripe.com/", None),
            ("http://127.0.0.1:12111", None),
            ("http://127.1:12111", None),
            ("http://[::1]:12111", None),
            ("http://api.stripe.com", Some(P::NotEncrypted)),
            ("http://localhost:1", Some(P::HostNotAllowed)),
            ("https://api.stripe.com.evil.test", Some(P::HostNotAllowed)),
            ("https://api.stripe.com@evil.test", Some(P::NotJustOrigin)),
            ("https://user@api.stripe.com", Some(P::NotJustOrigin)),
            ("https://api.stripe.com/v1", Some(P::NotJustOrigin)),
            ("https://api.stripe.com?x", Some(P::NotJustOrigin)),
            ("https://169.254.169.254", Some(P::HostNotAllowed)),
            ("ftp://127.0.0.1", Some(P::NotEncrypted)),
            ("api.stripe.com", Some(P::NotUrl)),
            ("", Some(P::NotUrl)),
        ] {
            assert_eq!(BaseUrl::parse(text, &hosts).err(), expected, "{text}");
        }
        let none: [&str; 0] = [];
        assert_eq!(
            BaseUrl::parse(BaseUrl::DEFAULT, &none),
            Err(P::HostNotAllowed)
        );
    }
}
