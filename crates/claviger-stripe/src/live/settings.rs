//! The operator's table `[stripe]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use claviger_settings::Table;

use super::base_url::BaseUrl;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(20);
const CHECKS_DEFAULT: u32 = 60;
const CHECKS_MAX: u32 = 6000;

/// How Stripe is asked about a key.
#[derive(Debug)]
pub struct LiveSettings {
    /// Where Stripe is.
    pub base_url: BaseUrl,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How often it is asked, by all callers together.
    pub checks_per_minute: u32,
}

impl LiveSettings {
    /// Reads them; everything wrong goes to the table's problems. `None` if the address is.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let timeout = table.duration("timeout", TIMEOUT, TIMEOUT_DEFAULT);
        let checks = table.number("checks_per_minute", 1..=CHECKS_MAX);
        let hosts = table.texts("hosts", |host| {
            let has_port = !host.starts_with('[') && host.contains(':');
            match has_port || host.contains(['/', '@']) {
                false => Ok(host.to_owned()),
                true => {
                    Err("is not a host alone; write it without scheme and port: api.stripe.com")
                }
            }
        });
        let hosts = hosts.unwrap_or_else(|| vec![BaseUrl::DEFAULT_HOST.to_owned()]);
        let parse = |url: &str| BaseUrl::parse(url, &hosts).map_err(|problem| problem.to_string());
        let base_url = match table.has("base_url") {
            true => table.parsed("base_url", parse),
            false => {
                let default = parse(BaseUrl::DEFAULT).ok();
                if default.is_none() {
                    let remedy = "hosts does not list api.stripe.com, where it would be";
                    table.require("base_url", remedy);
                }
                default
            }
        };
        Some(Self {
            base_url: base_url?,
            timeout,
            checks_per_minute: checks.unwrap_or(CHECKS_DEFAULT),
        })
    }
}
