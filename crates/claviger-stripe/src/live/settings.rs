//! The operator's table `[stripe]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use claviger_settings::Table;

use super::base_url::BaseUrl;
use crate::oauth::Reuse;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(20);
const CHECKS_DEFAULT: u32 = 60;
const CHECKS_MAX: u32 = 6000;
const REFRESH_BEFORE_DEFAULT: Duration = Duration::from_secs(90);
const REFRESH_BEFORE: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(30 * 60);

/// How Stripe is asked about a key, and for access tokens.
#[derive(Debug)]
pub struct LiveSettings {
    /// Where Stripe is.
    pub base_url: BaseUrl,
    /// Where Connect's OAuth is; none if its host may not be asked.
    pub connect_url: Option<BaseUrl>,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How often it is asked, by all callers together.
    pub checks_per_minute: u32,
    /// How long before the end of an access token it is refreshed, at most half its life.
    pub oauth_refresh_before: Duration,
    /// Whether a refresh token may be sent once more.
    pub refresh_token_reuse: Reuse,
}

impl LiveSettings {
    /// Those that hold where nothing is configured but the addresses.
    pub fn at(base_url: BaseUrl, connect_url: Option<BaseUrl>) -> Self {
        Self {
            base_url,
            connect_url,
            timeout: TIMEOUT_DEFAULT,
            checks_per_minute: CHECKS_DEFAULT,
            oauth_refresh_before: REFRESH_BEFORE_DEFAULT,
            refresh_token_reuse: Reuse::Tolerated,
        }
    }

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
        let default = [BaseUrl::DEFAULT_HOST, BaseUrl::CONNECT_HOST];
        let hosts = hosts.unwrap_or_else(|| default.map(str::to_owned).into());
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
        let connect_url = match table.has("connect_url") {
            true => table.parsed("connect_url", parse),
            // Whoever lists hosts without it has no use for Connect.
            false => parse(BaseUrl::CONNECT).ok(),
        };
        let refresh_before = table.duration(
            "oauth_refresh_before",
            REFRESH_BEFORE,
            REFRESH_BEFORE_DEFAULT,
        );
        let reuse = table.parsed("refresh_token_reuse", |text| match text {
            "revokes" => Ok(Reuse::Revokes),
            "tolerated" => Ok(Reuse::Tolerated),
            _ => Err(
                "is neither \"tolerated\" (as Stripe does) nor \"revokes\" (a server that ends \
                 the connection when a spent refresh token is sent)",
            ),
        });
        let default = Self::at(base_url?, connect_url);
        Some(Self {
            timeout,
            checks_per_minute: checks.unwrap_or(default.checks_per_minute),
            oauth_refresh_before: refresh_before,
            refresh_token_reuse: reuse.unwrap_or(default.refresh_token_reuse),
            ..default
        })
    }
}
