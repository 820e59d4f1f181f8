//! The way to a host of Stripe's: one connection for one call, which ends in time and is taken once.

use std::time::Duration;

use claviger_core::SecretBytes;
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use crate::live::BaseUrl;

/// Most of an answer that is read; the usual ones have a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Set up for each call: they are rare, a host without certificates of authorities must not keep the
/// daemon from starting, and of a connection that was kept nobody can tell whether a call got
/// through.
pub(crate) fn client(base: &BaseUrl, timeout: Duration) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .timeout(timeout)
        // A host that swallows everything is known by then to have taken nothing.
        .connect_timeout(timeout / 2)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false);
    let builder = match base.is_local() {
        true => builder.no_proxy(),
        false => builder.https_only(true),
    };
    builder.build()
}

/// The header with the key; none for bytes that no header can carry.
pub(crate) fn bearer(key: &SecretBytes) -> Option<HeaderValue> {
    let bearer = SecretBytes::new([b"Bearer ", key.expose()].concat());
    let mut authorization = HeaderValue::from_bytes(bearer.expose()).ok()?;
    authorization.set_sensitive(true);
    Some(authorization)
}

/// The body, wiped after use; none if it is longer than any answer of Stripe's to us.
pub(crate) async fn body(mut response: Response) -> reqwest::Result<Option<SecretBytes>> {
    let mut body = Vec::with_capacity(ANSWER_BYTES_MAX);
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(SecretBytes::new(body)))
}
