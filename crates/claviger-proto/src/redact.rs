//! `Debug` of the messages that carry a value or a token: names and lengths, never bytes.
//!
//! prost ignores `debug_redact`, so `build.rs` leaves these out and they are written by hand.

use std::fmt;

use crate::v1;

/// Prints the length of something instead of its bytes.
struct Hidden(usize);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0)
    }
}

impl fmt::Debug for v1::Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Payload");
        match &self.value {
            Some(v1::payload::Value::Text(text)) => out.field("text", &Hidden(text.len())),
            Some(v1::payload::Value::Data(data)) => out.field("data", &Hidden(data.len())),
            None => &mut out,
        };
        out.finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::payload::Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(&Hidden(text.len())).finish(),
            Self::Data(data) => f.debug_tuple("Data").field(&Hidden(data.len())).finish(),
        }
    }
}

impl fmt::Debug for v1::GetSecretResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetSecretResponse")
            .field("version", &self.version)
            .field("value", &self.value)
            .field("environment", &self.environment)
            .field("vault", &self.vault)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::get_secret_response::Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(&Hidden(text.len())).finish(),
            Self::Data(data) => f.debug_tuple("Data").field(&Hidden(data.len())).finish(),
        }
    }
}

impl fmt::Debug for v1::CreateTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateTokenResponse")
            .field("token", &Hidden(self.token.len()))
            .field("info", &self.info)
            .finish()
    }
}

impl fmt::Debug for v1::ExchangeTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeTokenResponse")
            .field("token", &Hidden(self.token.len()))
            .field("expire_time", &self.expire_time)
            .field("name", &self.name)
            .finish()
    }
}

impl fmt::Debug for v1::ApiKeyAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyAuth")
            .field("definition", &self.definition)
            .field("api_key", &Hidden(self.api_key.len()))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::OauthAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthAuth")
            .field("client_id", &self.client_id)
            .field("client_secret", &Hidden(self.client_secret.len()))
            .field("refresh_token", &Hidden(self.refresh_token.len()))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::ResolveConnectionResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolveConnectionResponse")
            .field("credential", &Hidden(self.credential.len()))
            .field("version", &self.version)
            .field("expire_time", &self.expire_time)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_messages_with_values_shows_lengths_only() {
        let payload = v1::Payload {
            value: Some(v1::payload::Value::Text("canary-text".into())),
            crc32c: Some(0xdead_beef),
        };
        let put = v1::PutSecretValueRequest {
            payload: Some(payload.clone()),
            ..Default::default()
        };
        let register = v1::PutSecretDefinitionRequest {
            payload: Some(payload),
            ..Default::default()
        };
        let reply = v1::GetSecretResponse {
            value: Some(v1::get_secret_response::Value::Data(
                b"canary-data".to_vec(),
            )),
            crc32c: 0xdead_beef,
            ..Default::default()
        };
        let token = v1::CreateTokenResponse {
            token: "canary-token".into(),
            ..Default::default()
        };
        let profile = |auth| v1::PutConnectionProfileRequest {
            profile: Some(v1::ConnectionProfile {
                auth: Some(auth),
                ..Default::default()
            }),
            ..Default::default()
        };
        let pasted = profile(v1::connection_profile::Auth::ApiKey(v1::ApiKeyAuth {
            api_key: "canary-key".into(),
            ..Default::default()
        }));
        let oauth = profile(v1::connection_profile::Auth::Oauth(v1::OauthAuth {
            client_secret: "canary-client".into(),
            refresh_token: "canary-refresh".into(),
            ..Default::default()
        }));
        let resolved = v1::ResolveConnectionResponse {
            credential: "canary-access".into(),
            ..Default::default()
        };
        let shown =
            format!("{put:?} {register:?} {reply:?} {token:?} {pasted:?} {oauth:?} {resolved:?}");
        assert!(
            shown.contains("<11 bytes>") && shown.contains("<12 bytes>"),
            "{shown}"
        );
        for leak in ["canary", "99, 97, 110", "3735928559"] {
            assert!(!shown.contains(leak), "{shown}");
        }
    }
}
