//! Asks issuers for their keys, over the network.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use claviger_core::SecretBytes;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode, Url};

use crate::address;

/// Most bytes of an answer or a file that are read.
pub(crate) const BYTES_MAX: usize = 64 * 1024;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

const NOT_AN_ADDRESS: Fault = Fault("is not an address that may be asked");
const TOO_LONG: Fault = Fault("is longer than 64 KiB, and no set of keys is");
const NO_CLIENT: Fault = Fault("cannot be asked: this host has no certificates of authorities");
const NO_CA: Fault = Fault("cannot be asked: ca_file cannot be read, or has no PEM certificate");
const NO_BEARER: Fault = Fault("cannot be asked: bearer_file cannot be read, or has no token");

/// Why an issuer's keys cannot be had: goes on from what was asked for, with the remedy, and quotes
/// nothing of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault(pub &'static str);

/// A way to read what is at an address.
#[async_trait]
pub trait Fetch: fmt::Debug + Send + Sync + 'static {
    /// The body at `url`, of at most 64 KiB, from there and from nowhere else.
    ///
    /// # Errors
    /// Why it cannot be had.
    async fn get(&self, url: &str) -> Result<Vec<u8>, Fault>;
}

/// The real way: each time with a client, authorities and a token of its own, because this is
/// rare and files change.
#[derive(Debug)]
pub(crate) struct HttpFetch {
    /// Instead of the host's own authorities.
    pub(crate) ca_file: Option<PathBuf>,
    /// Holds the token to show.
    pub(crate) bearer_file: Option<PathBuf>,
}

#[async_trait]
impl Fetch for HttpFetch {
    async fn get(&self, url: &str) -> Result<Vec<u8>, Fault> {
        let url = address::parse(url).ok_or(NOT_AN_ADDRESS)?;
        let mut request = self.client(&url)?.get(url);
        if let Some(file) = &self.bearer_file {
            request = request.header(AUTHORIZATION, bearer(file)?);
        }
        // Errors are not kept: an address or an answer may be in them.
        let unreachable = |_| Fault("does not answer in time; see that this host can reach it");
        let mut response = request.send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => {
                return Err(Fault(
                    "leads elsewhere, which is not followed; write jwks_uri with the last address",
                ));
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(Fault(
                    "wants credentials (401, 403); set bearer_file, or use a jwks_file",
                ));
            }
            _ => return Err(Fault("answers with another status than 200")),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > BYTES_MAX {
                return Err(TOO_LONG);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl HttpFetch {
    fn client(&self, url: &Url) -> Result<Client, Fault> {
        let mut builder = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        builder = match address::is_loopback(url) {
            true => builder.no_proxy(),
            false => builder.https_only(true),
        };
        if let Some(file) = &self.ca_file {
            let pem = read(file).map_err(|_| NO_CA)?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|_| NO_CA)?;
            if certificates.is_empty() {
                return Err(NO_CA);
            }
            builder = builder.tls_certs_only(certificates);
        }
        builder.build().map_err(|_| NO_CLIENT)
    }
}

/// The header with the token in a file, which whoever keeps it there renews.
fn bearer(file: &Path) -> Result<HeaderValue, Fault> {
    let token = SecretBytes::new(read(file).map_err(|_| NO_BEARER)?);
    let token = token.expose().trim_ascii();
    let bearer = SecretBytes::new([b"Bearer ", token].concat());
    let header = HeaderValue::from_bytes(bearer.expose());
    let mut header = header.ok().filter(|_| !token.is_empty()).ok_or(NO_BEARER)?;
    header.set_sensitive(true);
    Ok(header)
}

/// A whole file, if it is a regular one and short.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    const UNREADABLE: Fault = Fault("is not a file that can be read; correct its path or mode");
    let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        return Err(UNREADABLE);
    }
    let limit = u64::try_from(BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|_| UNREADABLE)?;
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|_| UNREADABLE)?;
    match bytes.len() > BYTES_MAX {
        true => Err(TOO_LONG),
        false => Ok(bytes),
    }
}
