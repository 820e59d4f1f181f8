use std::fmt;

use claviger_proto::v1::oauth_auth::Flavor;
use form_urlencoded::Serializer;
use uuid::Uuid;

use super::wanted::Wanted;

/// What ties an answer to one walk: random, and taken once.
pub(super) struct State(String);

impl State {
    /// RFC 6749 wants less than one chance in 2^128, and a UUID has 122 random bits.
    pub(super) fn random() -> Self {
        Self(
            [Uuid::new_v4(), Uuid::new_v4()]
                .map(|id| id.simple().to_string())
                .concat(),
        )
    }

    /// Whether this is it. Whoever guesses learns nothing: it is gone with the first that is right.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0 == text
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// SECURITY: whoever knows it can bring a code of their own.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

/// Where the owner of an account gives leave.
pub(super) struct Link<'a> {
    pub(super) wanted: &'a Wanted,
    /// That of an app that is not published.
    pub(super) channel: Option<&'a str>,
    /// Stripe's default is the first that is registered.
    pub(super) redirect_uri: Option<&'a str>,
}

impl Link<'_> {
    pub(super) fn with(&self, state: &State) -> String {
        let is_connect = self.wanted.flavor == Flavor::Connect;
        let address = match (is_connect, self.channel) {
            (true, _) => "https://connect.stripe.com/oauth/authorize".to_owned(),
            (false, None) => "https://marketplace.stripe.com/oauth/v2/authorize".to_owned(),
            (false, Some(channel)) => {
                format!("https://marketplace.stripe.com/oauth/v2/{channel}/authorize")
            }
        };
        let mut query = Serializer::new(String::new());
        if is_connect {
            // An app has its permissions in its manifest.
            query.append_pair("response_type", "code");
            query.append_pair("scope", "read_write");
        }
        query.append_pair("client_id", &self.wanted.client_id);
        if let Some(redirect_uri) = self.redirect_uri {
            query.append_pair("redirect_uri", redirect_uri);
        }
        query.append_pair("state", state.as_str());
        format!("{address}?{}", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(flavor: Flavor, channel: Option<&str>, redirect_uri: Option<&str>) -> String {
        let wanted = Wanted {
            flavor,
            client_id: "ca_1".to_owned(),
            ..Wanted::default()
        };
        let link = Link {
            wanted: &wanted,
            channel,
            redirect_uri,
        };
        link.with(&State("s1".to_owned()))
    }

    #[test]
    fn a_link_is_that_of_its_flavor() {
        let uri = Some("http://localhost:7435/callback");
        assert_eq!(
            link(Flavor::Apps, None, uri),
            "https://marketplace.stripe.com/oauth/v2/authorize?client_id=ca_1\
            &redirect_uri=http%3A%2F%2Flocalhost%3A7435%2Fcallback&state=s1"
        );
        assert_eq!(
            link(Flavor::Apps, Some("chnlink_1"), None),
            "https://marketplace.stripe.com/oauth/v2/chnlink_1/authorize?client_id=ca_1&state=s1"
        );
        assert_eq!(
            link(Flavor::Connect, None, None),
            "https://connect.stripe.com/oauth/authorize?response_type=code&scope=read_write\
            &client_id=ca_1&state=s1"
        );
    }

    #[test]
    fn a_state_is_new_for_each_walk_and_never_shown() {
        let (one, other) = (State::random(), State::random());
        assert!(one.is(one.as_str()) && !one.is(other.as_str()) && !one.is(""));
        assert_eq!(one.as_str().len(), 64);
        assert_eq!(format!("{one:?}"), "State");
    }
}
