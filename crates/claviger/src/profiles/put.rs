use std::path::Path;

use claviger_proto::v1::connection_profile::Auth;
use claviger_proto::v1::{ApiKeyAuth, ConnectionProfile, OauthAuth, PutConnectionProfileRequest};
use prost_types::FieldMask;
use uuid::Uuid;

use super::find::find;
use crate::ask::Asking;
use crate::cli::PutProfile;
use crate::output::{end, show, warn};
use crate::stop::Stop;
use crate::value;

pub(crate) async fn put(asking: &Asking, options: &PutProfile) -> Result<(), Stop> {
    let name = asking.profile(&options.id)?;
    let client = asking.client().await?;
    let before = find(&client, &name).await?;
    let (profile, paths) = Change::of(asking, options, &name, before.as_ref())?;
    if before.is_some() && paths.is_empty() {
        // Without a field, a put is one of all of them.
        return Err(Stop::usage(format!(
            "nothing of {name} is to change; give what is, such as --refresh-token-from FILE"
        )));
    }
    let request = PutConnectionProfileRequest {
        profile: Some(profile),
        update_mask: before.is_some().then_some(FieldMask { paths }),
        validate_only: options.dry_run,
        request_id: Uuid::new_v4().to_string(),
    };
    let profiles = client.profiles();
    let put = async || {
        profiles
            .clone()
            .put_connection_profile(request.clone())
            .await
    };
    let answer = asking.answer_to(&name, put).await?;
    let answer = answer.map_err(|status| Stop::of_change(status, &name, "profile get"))?;
    warn(&answer.warnings);
    show(asking.is_json, &answer, || {
        let profile = answer.profile.as_ref();
        let name = profile.map_or("", |profile| profile.name.as_str());
        let end = end(options.dry_run);
        match answer.version.as_str() {
            "" => format!("{name}{end}"),
            version => format!("{name}, version {version} of its key{end}"),
        }
    })
}

/// What is to become of a profile.
struct Change<'a> {
    asking: &'a Asking,
    options: &'a PutProfile,
    name: &'a str,
    /// The fields that are given.
    paths: Vec<String>,
}

impl<'a> Change<'a> {
    /// The profile with what is given, and the fields of it that are.
    fn of(
        asking: &'a Asking,
        options: &'a PutProfile,
        name: &'a str,
        before: Option<&ConnectionProfile>,
    ) -> Result<(ConnectionProfile, Vec<String>), Stop> {
        let mut change = Change {
            asking,
            options,
            name,
            paths: Vec::new(),
        };
        let description = change.given("description", options.description.as_ref());
        let mut labels = before
            .map(|before| before.labels.clone())
            .unwrap_or_default();
        if !options.labels.is_empty() || !options.removed_labels.is_empty() {
            change.paths.push("labels".to_owned());
            for key in &options.removed_labels {
                labels.remove(key);
            }
            labels.extend(options.labels.iter().cloned());
        }
        let auth = change.auth(before.and_then(|before| before.auth.as_ref()))?;
        let paths = change.paths;
        let profile = ConnectionProfile {
            name: name.to_owned(),
            description,
            labels,
            auth: Some(auth),
            etag: before.map(|before| before.etag.clone()).unwrap_or_default(),
            ..Default::default()
        };
        Ok((profile, paths))
    }

    fn given(&mut self, path: &str, option: Option<&String>) -> String {
        if option.is_some() {
            self.paths.push(path.to_owned());
        }
        option.cloned().unwrap_or_default()
    }

    fn auth(&mut self, before: Option<&Auth>) -> Result<Auth, Stop> {
        let PutProfile {
            key,
            oauth,
            client_secret_from,
            refresh_token_from,
            ..
        } = self.options;
        let is_oauth_given =
            oauth.any() || client_secret_from.is_some() || refresh_token_from.is_some();
        let stays_oauth = matches!(before, Some(Auth::Oauth(_))) && !key.any();
        match (is_oauth_given || stays_oauth, before) {
            (true, Some(Auth::Oauth(_))) => self.oauth(false).map(Auth::Oauth),
            (true, Some(Auth::ApiKey(_)) | None) => {
                self.whole("oauth", |change| change.oauth(true).map(Auth::Oauth))
            }
            (false, Some(Auth::ApiKey(_))) => self.key(false).map(Auth::ApiKey),
            (false, Some(Auth::Oauth(_)) | None) => {
                self.whole("api_key", |change| change.key(true).map(Auth::ApiKey))
            }
        }
    }

    /// A way to authenticate that takes the place of another, with all of its fields.
    fn whole(
        &mut self,
        path: &str,
        auth: impl FnOnce(&mut Self) -> Result<Auth, Stop>,
    ) -> Result<Auth, Stop> {
        let paths = self.paths.clone();
        let auth = auth(self)?;
        self.paths = paths;
        self.paths.push(path.to_owned());
        Ok(auth)
    }

    fn key(&mut self, is_new: bool) -> Result<ApiKeyAuth, Stop> {
        let PutProfile { key, account, .. } = self.options;
        let account = self.given("api_key.account", account.as_ref());
        let context = self.given("api_key.context", key.stripe_context.as_ref());
        let definition = self.given("api_key.definition", key.definition.as_ref());
        let definition = match definition.is_empty() {
            true => definition,
            false => self.asking.secret(&definition)?,
        };
        // Of a profile that there is, a put with nothing else is that of a key.
        let is_key_meant = definition.is_empty() && (is_new || self.paths.is_empty());
        let api_key = match key.value_from.is_some() || is_key_meant {
            true => {
                self.paths.push("api_key.api_key".to_owned());
                let noun = format!("API key of {}", self.name);
                value::credential(key.value_from.as_deref(), &noun)?
            }
            false => String::new(),
        };
        Ok(ApiKeyAuth {
            definition,
            api_key,
            account,
            context,
        })
    }

    fn oauth(&mut self, is_new: bool) -> Result<OauthAuth, Stop> {
        let PutProfile {
            oauth,
            client_secret_from,
            refresh_token_from,
            account,
            ..
        } = self.options;
        if is_new && oauth.client_id.is_none() {
            return Err(Stop::usage(
                "a profile that is to have OAuth needs --client-id ca_...",
            ));
        }
        let client_id = self.given("oauth.client_id", oauth.client_id.as_ref());
        let account = self.given("oauth.account", account.as_ref());
        let app = self.given("oauth.app", oauth.app.as_ref());
        for (path, is_given) in [
            ("oauth.flavor", oauth.flavor.is_some()),
            ("oauth.mode", oauth.mode.is_some()),
        ] {
            if is_given {
                self.paths.push(path.to_owned());
            }
        }
        let reads = [client_secret_from, refresh_token_from].map(|file| is_new || file.is_some());
        let files = [client_secret_from, refresh_token_from].map(|file| file.as_deref());
        let [client_secret, refresh_token] = files;
        if reads == [true, true] && value::are_both_piped(client_secret, refresh_token) {
            return Err(Stop::usage(
                "standard input holds one credential; pass --client-secret-from FILE and \
                --refresh-token-from FILE",
            ));
        }
        let [reads_secret, reads_token] = reads;
        let mut credential = |path: &str, noun: &str, reads: bool, file: Option<&Path>| {
            if !reads {
                return Ok(String::new());
            }
            self.paths.push(path.to_owned());
            value::credential(file, &format!("{noun} of {}", self.name))
        };
        let client_secret = credential(
            "oauth.client_secret",
            "client secret",
            reads_secret,
            client_secret,
        )?;
        let refresh_token = credential(
            "oauth.refresh_token",
            "refresh token",
            reads_token,
            refresh_token,
        )?;
        Ok(OauthAuth {
            flavor: oauth.flavor.unwrap_or_default().into(),
            client_id,
            client_secret,
            refresh_token,
            account,
            mode: oauth.mode.unwrap_or_default().into(),
            app,
            ..Default::default()
        })
    }
}
