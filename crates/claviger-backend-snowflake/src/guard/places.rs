//! The hosts that the connector may reach.

use hyper::Uri;

use crate::SnowflakeSettings;

const HTTPS: &str = "https";
const HTTPS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

/// The account, or what stands for it, and the hosts of large results.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    is_tls: bool,
    host: String,
    port: u16,
    /// Over TLS only, at its usual port.
    results: Vec<String>,
}

impl Places {
    /// Those of these settings; `None` if they name no account.
    pub(crate) fn of(settings: &SnowflakeSettings) -> Option<Self> {
        let url = settings.url()?;
        Some(Self {
            is_tls: url.scheme() == HTTPS,
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
            results: settings.result_hosts.clone(),
        })
    }

    /// The place that a `CONNECT` is for, as a URL, if it leads there.
    pub(crate) fn tunnel(&self, asked: &Uri) -> Option<Uri> {
        let (host, port) = (asked.host()?, asked.port_u16()?);
        let is = |place: &str| place.eq_ignore_ascii_case(host);
        let is_account = self.is_tls && is(&self.host) && port == self.port;
        let is_result = port == HTTPS_PORT && self.results.iter().any(|place| is(place));
        (is_account || is_result).then_some(())?;
        format!("{HTTPS}://{host}:{port}").parse().ok()
    }

    /// The place that a plain request is for, if it is the emulator on this machine.
    pub(crate) fn plain(&self, asked: &Uri) -> Option<Uri> {
        let host = asked.host()?;
        let port = asked.port_u16().unwrap_or(HTTP_PORT);
        let is_emulator = !self.is_tls
            && asked.scheme_str() == Some("http")
            && self.host.eq_ignore_ascii_case(host)
            && port == self.port;
        is_emulator.then_some(())?;
        format!("http://{host}:{port}").parse().ok()
    }

    /// All that are reached over TLS, as URLs.
    pub(crate) fn tunnels(&self) -> impl Iterator<Item = Uri> {
        let account = self.is_tls.then_some((&self.host, self.port));
        let results = self.results.iter().map(|host| (host, HTTPS_PORT));
        let all = account.into_iter().chain(results);
        all.filter_map(|(host, port)| format!("{HTTPS}://{host}:{port}").parse().ok())
    }
}
