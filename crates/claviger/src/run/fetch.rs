//! Fetches all that a job needs, or says what stands in the way.

use std::collections::{BTreeMap, BTreeSet};

use claviger_client::Client;
use claviger_proto::v1::batch_get_secrets_response::result::Answer;
use claviger_proto::v1::get_secret_response::Value;
use claviger_proto::v1::{
    BatchGetSecretsRequest, GetSecretRequest, ResolveConnectionRequest, ResolveConnectionResponse,
};
use uuid::Uuid;

use crate::ask::Asking;
use crate::patience;
use crate::stop::Stop;

/// As many secrets as one call may ask for.
const BATCH_MAX: usize = 100;

/// The reason of a value that had no room beside others.
const TOO_LARGE_TOGETHER: &str = "RESPONSE_TOO_LARGE";

/// What a job needs, by full names, and for what.
pub(crate) struct Wanted {
    pub(crate) secrets: BTreeSet<String>,
    pub(crate) profiles: BTreeSet<String>,
    /// Empty where none is stated.
    pub(crate) purpose: String,
}

/// What has come, by full names.
#[derive(Default)]
pub(crate) struct Fetched {
    secrets: BTreeMap<String, Value>,
    profiles: BTreeMap<String, ResolveConnectionResponse>,
}

/// Asks again while the daemon or a vault is away, until the time is over.
pub(crate) async fn patiently(asking: &Asking, wanted: &Wanted) -> Result<Fetched, Stop> {
    let mut fetch = Fetch {
        asking,
        wanted,
        run_id: Uuid::new_v4().to_string(),
        fetched: Fetched::default(),
    };
    let fetching = patience::patiently(asking.patience, async || fetch.missing().await);
    fetching.await.map_err(|stop| match stop.may_pass() {
        true => {
            let patience = humantime::format_duration(asking.patience);
            Stop::failed(format!(
                "the job is not started, after {patience} (--timeout): {stop}"
            ))
        }
        false => stop,
    })?;
    Ok(fetch.fetched)
}

struct Fetch<'a> {
    asking: &'a Asking,
    wanted: &'a Wanted,
    /// Of all reads for one job.
    run_id: String,
    fetched: Fetched,
}

impl Fetch<'_> {
    /// Fetches what has not come yet.
    async fn missing(&mut self) -> Result<(), Stop> {
        let Wanted {
            secrets, profiles, ..
        } = self.wanted;
        if secrets.is_empty() && profiles.is_empty() {
            return Ok(());
        }
        let client = self.asking.client().await?;
        let has_come = &self.fetched.secrets;
        let missing = secrets.iter().filter(|name| !has_come.contains_key(*name));
        let missing = missing.cloned().collect::<Vec<_>>();
        for names in missing.chunks(BATCH_MAX) {
            self.secrets(&client, names).await?;
        }
        for name in profiles {
            if !self.fetched.profiles.contains_key(name) {
                self.profile(&client, name).await?;
            }
        }
        Ok(())
    }

    async fn secrets(&mut self, client: &Client, names: &[String]) -> Result<(), Stop> {
        let request = BatchGetSecretsRequest {
            names: names.to_vec(),
            environment: self.asking.environment.clone(),
            run_id: self.run_id.clone(),
            purpose: self.wanted.purpose.clone(),
            ..Default::default()
        };
        let answer = client.secrets().batch_get_secrets(request).await?;
        let mut failed = Vec::new();
        for result in answer.into_inner().results {
            let value = match result.answer {
                Some(Answer::Secret(secret)) => Ok(secret.value),
                Some(Answer::Error(error)) if error.reason == TOO_LARGE_TOGETHER => {
                    self.secret(client, &result.name).await
                }
                Some(Answer::Error(error)) => Err(error.into()),
                None => Ok(None),
            };
            match value {
                Ok(value) => self.fetched.secrets.extend(Some(result.name).zip(value)),
                Err(stop) => failed.push(without(&result.name, stop)),
            }
        }
        // Before all else what does not pass: no time heals the others then.
        let first = failed.into_iter().min_by_key(Stop::may_pass);
        first.map_or(Ok(()), Err)
    }

    async fn secret(&self, client: &Client, name: &str) -> Result<Option<Value>, Stop> {
        let request = GetSecretRequest {
            name: name.to_owned(),
            environment: self.asking.environment.clone(),
            run_id: self.run_id.clone(),
            purpose: self.wanted.purpose.clone(),
            ..Default::default()
        };
        let answer = client.secrets().get_secret(request).await?;
        Ok(answer.into_inner().value)
    }

    async fn profile(&mut self, client: &Client, name: &str) -> Result<(), Stop> {
        let request = ResolveConnectionRequest {
            name: name.to_owned(),
            environment: self.asking.environment.clone(),
            run_id: self.run_id.clone(),
            purpose: self.wanted.purpose.clone(),
            ..Default::default()
        };
        let answer = client.profiles().resolve_connection(request).await;
        let answer = answer.map_err(|status| without(name, status.into()))?;
        self.fetched.connect(name, answer.into_inner())
    }
}

impl Fetched {
    fn connect(
        &mut self,
        profile: &str,
        connection: ResolveConnectionResponse,
    ) -> Result<(), Stop> {
        if connection.credential.is_empty() {
            return Err(unanswered(profile));
        }
        self.profiles.insert(profile.to_owned(), connection);
        Ok(())
    }

    pub(crate) fn bytes(&self, secret: &str) -> Result<&[u8], Stop> {
        Ok(match self.secret(secret)? {
            Value::Text(text) => text.as_bytes(),
            Value::Data(data) => data,
        })
    }

    pub(crate) fn text(&self, secret: &str) -> Result<&str, Stop> {
        match self.secret(secret)? {
            Value::Text(text) => Ok(text),
            Value::Data(_) => Err(Stop::failed(format!(
                "{secret} has format BINARY, and a template is filled with text only; pass \
                --file VAR={secret}"
            ))),
        }
    }

    fn secret(&self, name: &str) -> Result<&Value, Stop> {
        let value = self.secrets.get(name);
        value.ok_or_else(|| unanswered(name))
    }

    pub(crate) fn profile(&self, name: &str) -> Result<&ResolveConnectionResponse, Stop> {
        let connection = self.profiles.get(name);
        connection.ok_or_else(|| unanswered(name))
    }
}

fn without(name: &str, stop: Stop) -> Stop {
    stop.about(&format!("the job is not started without {name}"))
}

fn unanswered(name: &str) -> Stop {
    let said = "the daemon did not say anything about it; are both of the same version?";
    without(name, Stop::failed(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_a_credential_is_none() {
        let mut fetched = Fetched::default();
        let connection = |credential: &str| ResolveConnectionResponse {
            credential: credential.to_owned(),
            account: "acct_1".to_owned(),
            ..Default::default()
        };
        let stop = fetched.connect("p", connection("")).unwrap_err();
        let said = stop.to_string();
        assert!(
            said.starts_with("the job is not started without p"),
            "{said}"
        );
        assert!(!stop.may_pass() && fetched.profile("p").is_err());
        fetched.connect("p", connection("rk_test_1")).unwrap();
        assert_eq!(fetched.profile("p").unwrap().account, "acct_1");
    }
}
