use claviger_proto::v1::connection_profile::Auth;
use claviger_proto::v1::environment::StripeMode;
use claviger_proto::v1::install::{ReconnectReason, State};
use claviger_proto::v1::oauth_auth::Flavor;
use claviger_proto::v1::{ConnectionProfile, Install, TestConnectionResponse};

use crate::output::{table, time};

type Row = [String; 2];

pub(crate) fn list(profiles: &[ConnectionProfile]) -> String {
    let mut rows = vec![["ID", "AUTH", "STATE", "DESCRIPTION"].map(str::to_owned)];
    rows.extend(profiles.iter().map(|profile| {
        let auth = match &profile.auth {
            Some(Auth::ApiKey(_)) => "API_KEY",
            Some(Auth::Oauth(_)) => "OAUTH",
            None => "",
        };
        let state = profile.install.as_ref().map(state).unwrap_or_default();
        let description = match profile.delete_time.is_some() {
            true => format!("(deleted) {}", profile.description),
            false => profile.description.clone(),
        };
        [profile.id.clone(), auth.to_owned(), state, description]
    }));
    table(&rows)
}

pub(crate) fn profile(profile: &ConnectionProfile) -> String {
    let labels = profile.labels.iter();
    let mut labels: Vec<_> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    labels.sort();
    let mut rows = vec![
        row("name", &profile.name),
        row("adapter", profile.adapter().as_str_name()),
        row("description", &profile.description),
        row("labels", &labels.join(" ")),
    ];
    rows.extend(profile.auth.as_ref().map(of_auth).unwrap_or_default());
    rows.extend(profile.install.as_ref().map(of_install).unwrap_or_default());
    rows.extend(profile.consumers.iter().map(|consumer| {
        let last = format!("{} at {}", consumer.principal, time(&consumer.last_time));
        row("resolved by", &last)
    }));
    rows.extend([
        row("etag", &profile.etag),
        row("updated", &time(&profile.update_time)),
        row("deleted", &time(&profile.delete_time)),
    ]);
    filled(rows)
}

pub(crate) fn install(install: &Install) -> String {
    filled(of_install(install))
}

pub(crate) fn test(answer: &TestConnectionResponse) -> String {
    let mut rows = Vec::new();
    if let Some(live) = &answer.live {
        let said = format!("{}: {}", live.outcome().as_str_name(), live.message);
        rows.push(row("stripe", &said));
    }
    rows.push(row("account", &answer.account));
    let install = answer.install.as_ref().map(of_install).unwrap_or_default();
    // The account that answered stands there already.
    rows.extend(
        install
            .into_iter()
            .filter(|[name, _]| name != "connected to"),
    );
    filled(rows)
}

fn of_auth(auth: &Auth) -> Vec<Row> {
    match auth {
        Auth::ApiKey(key) => vec![
            row("auth", "API_KEY"),
            row("definition", &key.definition),
            row("account", &key.account),
            row("context", &key.context),
        ],
        Auth::Oauth(oauth) => vec![
            row("auth", "OAUTH"),
            row("flavor", flavor(oauth.flavor())),
            row("client id", &oauth.client_id),
            row("app", &oauth.app),
            row("account", &oauth.account),
            row("mode", mode(oauth.mode())),
        ],
    }
}

fn of_install(install: &Install) -> Vec<Row> {
    let mut connected = vec![install.account.as_str(), mode(install.mode())];
    connected.retain(|part| !part.is_empty());
    let others = match install.profiles.len() {
        0 | 1 => String::new(),
        _ => install.profiles.join(" "),
    };
    vec![
        row("state", &state(install)),
        row("connected to", &connected.join(" ")),
        row("refreshed", &time(&install.refresh_time)),
        row("token ends", &time(&install.expire_time)),
        row("shared by", &others),
    ]
}

fn state(install: &Install) -> String {
    let state = install.state();
    let state = unless(state == State::Unspecified, state.as_str_name());
    let cause = install.reconnect_reason();
    match unless(cause == ReconnectReason::Unspecified, cause.as_str_name()) {
        "" => state.to_owned(),
        cause => format!("{state} ({cause})"),
    }
}

fn flavor(flavor: Flavor) -> &'static str {
    unless(flavor == Flavor::Unspecified, flavor.as_str_name())
}

fn mode(mode: StripeMode) -> &'static str {
    unless(mode == StripeMode::Unspecified, mode.as_str_name())
}

fn unless(is_unset: bool, name: &'static str) -> &'static str {
    if is_unset { "" } else { name }
}

fn row(name: &str, value: &str) -> Row {
    [name.to_owned(), value.to_owned()]
}

fn filled(mut rows: Vec<Row>) -> String {
    rows.retain(|[_, value]| !value.is_empty());
    table(&rows)
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1::{OauthAuth, connection_profile::Adapter};

    use super::*;

    #[test]
    fn a_profile_that_needs_a_person_says_why() {
        let needy = ConnectionProfile {
            name: "projects/acme/connectionProfiles/stripe".to_owned(),
            id: "stripe".to_owned(),
            adapter: Adapter::Stripe.into(),
            labels: [("team", "a"), ("cost", "b")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            auth: Some(Auth::Oauth(OauthAuth {
                flavor: Flavor::Apps.into(),
                client_id: "ca_1".to_owned(),
                ..Default::default()
            })),
            install: Some(Install {
                state: State::ReconnectRequired.into(),
                reconnect_reason: ReconnectReason::Revoked.into(),
                account: "acct_1".to_owned(),
                mode: StripeMode::Test.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let expected = "\
            name          projects/acme/connectionProfiles/stripe\n\
            adapter       STRIPE\n\
            labels        cost=b team=a\n\
            auth          OAUTH\n\
            flavor        APPS\n\
            client id     ca_1\n\
            state         RECONNECT_REQUIRED (REVOKED)\n\
            connected to  acct_1 TEST\n";
        assert_eq!(profile(&needy), expected);
        let expected = "\
            ID      AUTH   STATE                         DESCRIPTION\n\
            stripe  OAUTH  RECONNECT_REQUIRED (REVOKED)\n";
        assert_eq!(list(&[needy]), expected);
    }
}
