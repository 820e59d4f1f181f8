use claviger_core::SecretBytes;
use claviger_proto::v1::ConnectionProfile;
use claviger_proto::v1::connection_profile::Auth;
use claviger_proto::v1::environment::StripeMode;
use claviger_proto::v1::oauth_auth::Flavor;
use claviger_stripe::Mode;
use claviger_stripe::oauth::fields;

use crate::cli::Connect;
use crate::stop::Stop;

/// What is to be connected: what is given, and of a profile that there is what it has.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) flavor: Flavor,
    pub(super) client_id: String,
    /// The one that is demanded; empty for any.
    pub(super) account: String,
    pub(super) mode: StripeMode,
    pub(super) app: String,
}

impl Wanted {
    pub(super) fn of(options: &Connect, before: Option<&ConnectionProfile>) -> Result<Self, Stop> {
        let connected = before.and_then(|before| before.install.as_ref());
        let before = match before.and_then(|before| before.auth.as_ref()) {
            Some(Auth::Oauth(before)) => before.clone(),
            Some(Auth::ApiKey(_)) | None => Default::default(),
        };
        let given = |option: &Option<String>, before: &String| {
            option.clone().unwrap_or_else(|| before.clone())
        };
        let oauth = &options.oauth;
        let flavor = match oauth.flavor.unwrap_or(before.flavor()) {
            Flavor::Unspecified => Flavor::Apps,
            flavor @ (Flavor::Apps | Flavor::Connect) => flavor,
        };
        let bound = connected.map(|install| install.account.clone());
        let bound = bound.filter(|account| !account.is_empty());
        let wanted = Self {
            flavor,
            client_id: given(&oauth.client_id, &before.client_id),
            account: given(&options.account, &bound.unwrap_or(before.account.clone())),
            mode: oauth.mode.unwrap_or(before.mode()),
            app: given(&oauth.app, &before.app),
        };
        if wanted.client_id.is_empty() {
            return Err(Stop::usage(
                "which app or platform is not said; pass --client-id ca_...",
            ));
        }
        if wanted.flavor == Flavor::Connect && options.channel.is_some() {
            return Err(Stop::usage(
                "a channel is of an app; leave --channel away, or pass --flavor apps",
            ));
        }
        Ok(wanted)
    }

    /// In the mode of the client secret, which is that of the connection at Stripe.
    pub(super) fn in_mode_of(self, client_secret: &SecretBytes) -> Result<Self, Stop> {
        let mode = match fields::mode_of(client_secret) {
            Some(Mode::Live) => StripeMode::Live,
            Some(Mode::Test) => StripeMode::Test,
            None => {
                return Err(Stop::usage(
                    "the client secret is not a secret key (sk_live_ or sk_test_); copy that of \
                    the account that owns the app or platform: Developers → API keys → Secret key",
                ));
            }
        };
        if ![StripeMode::Unspecified, mode].contains(&self.mode) {
            return Err(Stop::usage(format!(
                "the client secret is for mode {}, and the connection is to be for mode {}; bring \
                the other client secret and client ID, or pass --mode",
                mode.as_str_name(),
                self.mode.as_str_name()
            )));
        }
        Ok(Self { mode, ..self })
    }

    pub(super) fn stripe_flavor(&self) -> claviger_stripe::oauth::Flavor {
        match self.flavor {
            Flavor::Apps | Flavor::Unspecified => claviger_stripe::oauth::Flavor::Apps,
            Flavor::Connect => claviger_stripe::oauth::Flavor::Connect,
        }
    }

    pub(super) fn stripe_mode(&self) -> Option<Mode> {
        match self.mode {
            StripeMode::Live => Some(Mode::Live),
            StripeMode::Test => Some(Mode::Test),
            StripeMode::Unspecified => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use claviger_proto::v1::{Install, OauthAuth};

    use super::*;
    use crate::cli::{Cli, Command, ProfileCommand};

    fn wanted(line: &str, before: Option<&ConnectionProfile>) -> Result<Wanted, String> {
        let line = format!("claviger profile connect stripe {line}");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Profile {
            command: ProfileCommand::Connect(options),
        } = cli.command
        else {
            panic!("{line}");
        };
        Wanted::of(&options, before).map_err(|stop| stop.to_string())
    }

    #[test]
    fn what_is_not_given_is_that_of_the_profile() {
        let said = wanted("", None).unwrap_err();
        assert!(said.contains("--client-id"), "{said}");
        let new = wanted("--client-id ca_1", None).unwrap();
        assert_eq!((new.flavor, new.account.as_str()), (Flavor::Apps, ""));

        let before = ConnectionProfile {
            auth: Some(Auth::Oauth(OauthAuth {
                flavor: Flavor::Connect.into(),
                client_id: "ca_1".to_owned(),
                mode: StripeMode::Live.into(),
                ..Default::default()
            })),
            install: Some(Install {
                account: "acct_bound".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let again = wanted("", Some(&before)).unwrap();
        assert_eq!(again.flavor, Flavor::Connect);
        assert_eq!(again.client_id, "ca_1");
        assert_eq!(again.account, "acct_bound");
        assert_eq!(again.mode, StripeMode::Live);
        let other = wanted("--account acct_2 --mode test --flavor apps", Some(&before)).unwrap();
        assert_eq!(other.account, "acct_2");
        assert_eq!((other.mode, other.flavor), (StripeMode::Test, Flavor::Apps));
        let said = wanted("--channel chnlink_1", Some(&before)).unwrap_err();
        assert!(said.contains("--channel"), "{said}");
    }

    #[test]
    fn the_mode_is_that_of_the_client_secret() {
        let in_mode = |mode, secret: &str| {
            let wanted = Wanted {
                mode,
                ..Wanted::default()
            };
            let wanted = wanted.in_mode_of(&SecretBytes::new(secret.into()));
            wanted
                .map(|wanted| wanted.mode)
                .map_err(|stop| stop.to_string())
        };
        let [live, test] = ["live", "test"].map(|mode| format!("sk_{mode}_51H8ZxQmC0nF4b7d"));
        assert_eq!(
            in_mode(StripeMode::Unspecified, &live),
            Ok(StripeMode::Live)
        );
        assert_eq!(in_mode(StripeMode::Test, &test), Ok(StripeMode::Test));
        let said = in_mode(StripeMode::Test, &live).unwrap_err();
        assert!(said.contains("--mode"), "{said}");
        for secret in ["rk_test_51H8ZxQmC0nF4b7d", "", "cAnArY"] {
            let said = in_mode(StripeMode::Test, secret).unwrap_err();
            assert!(
                said.contains("sk_test_") && !said.contains("cAnArY"),
                "{said}"
            );
        }
    }
}
