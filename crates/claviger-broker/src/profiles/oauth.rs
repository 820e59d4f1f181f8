//! A profile with OAuth: the install that it connects with.

use std::collections::BTreeSet;

use claviger_access::Facts;
use claviger_core::{DefinitionName, Error, Kind, Result, SecretBytes, Uid};
use claviger_store::Stored;
use claviger_stripe::Settings;
use claviger_stripe::oauth::{Flavor, fields};

use super::backing::{Changes, lost, unused_mode};
use super::invalid;
use super::put::Wanted;
use crate::broker::Broker;
use crate::engine::forms::Secrets;
use crate::engine::found::expect;
use crate::model::definition::Definition;
use crate::model::draft::OauthDraft;
use crate::model::install::{Install, ReconnectReason, State};
use crate::model::profile::{Auth, OauthAuth};
use crate::model::warning::Warning;

const CLIENT_ID: &str = "profile.oauth.client_id";
const CLIENT_SECRET: &str = "profile.oauth.client_secret";
const REFRESH_TOKEN: &str = "profile.oauth.refresh_token";

/// Until another client secret is put.
const REJECTED: State = State::ReconnectRequired(ReconnectReason::ClientKeyRejected);

/// Longest of what is pasted; Stripe's are a tenth of that.
const PASTED_BYTES_MAX: usize = 4096;

/// What is stored of an install.
struct Known {
    definition: Stored<Definition>,
    install: Stored<Install>,
    secrets: Secrets,
}

impl Broker {
    /// What becomes of a profile with OAuth.
    ///
    /// # Errors
    /// `FIELD_INVALID` with the field and the remedy.
    pub(super) async fn plan_oauth(
        &self,
        wanted: &Wanted<'_>,
        draft: &OauthDraft,
        changes: &mut Changes,
    ) -> Result<OauthAuth> {
        let client_id = draft.client_id.as_deref();
        let client_id = client_id.ok_or_else(|| missing(CLIENT_ID))?;
        fields::flavor(draft.flavor, self.installs.client())?;
        fields::client_id(client_id)?;
        check_texts(draft)?;
        if let Some(value) = &draft.client_secret {
            check_length(value, CLIENT_SECRET)?;
            fields::client_secret(value)?;
        }
        if let Some(value) = &draft.refresh_token {
            check_length(value, REFRESH_TOKEN)?;
            let odd = fields::refresh_token(value)?;
            let odd = odd.map(|text| Warning::new("REFRESH_TOKEN_UNUSUAL", text, REFRESH_TOKEN));
            changes.warnings.extend(odd);
        }
        let known = self.known(wanted).await?;
        let secret = draft.client_secret.as_ref();
        let secret = secret.or_else(|| known.as_ref().map(|known| &known.secrets.client_secret));
        let secret = secret.ok_or_else(|| missing(CLIENT_SECRET))?;
        let install = known.as_ref().map(|known| &*known.install.record);
        let install = install.filter(|install| is_of(install, draft, client_id));
        check_mode(draft, secret)?;
        let mode = draft.mode.or_else(|| fields::mode_of(secret));
        let unused = unused_mode(wanted.project, mode, "profile.oauth");
        changes.warnings.extend(unused);
        changes.warnings.push(of_flavor(draft.flavor));

        let is_same = install.is_some();
        if let Some(Auth::Oauth(before)) = wanted.existing.map(|profile| &profile.content.auth) {
            // SECURITY: the stored client secret serves what it was put for. Whoever does not know it
            // is not to reach other accounts and apps with it.
            let is_other_app = draft.app.is_some() && before.app != draft.app;
            if draft.client_secret.is_none() && (!is_same || is_other_app) {
                return Err(invalid(
                    CLIENT_SECRET,
                    "is missing: with another flavor, client_id, account, mode or app it has to be put \
                     again, so that nobody uses it for what it was not put for",
                ));
            }
        }
        let definition = match &known {
            Some(known) if is_same => self.renew(wanted, draft, known, changes)?,
            _ => {
                let token = draft.refresh_token.as_ref();
                let token = token.ok_or_else(|| match known {
                    None => missing(REFRESH_TOKEN),
                    Some(_) => invalid(
                        REFRESH_TOKEN,
                        "is missing: it is for one app or platform, account and mode, and one of \
                         these changes (oauth.flavor, client_id, account or mode); connect again, and \
                         put the new refresh token with the change",
                    ),
                })?;
                if known
                    .as_ref()
                    .is_some_and(|known| self.is_spent(known, token))
                {
                    // The connection there is would be gone, and the new one would not come about.
                    return Err(used_already());
                }
                let secrets = Secrets {
                    client_secret: secret.duplicate(),
                    refresh_token: token.duplicate(),
                    access_token: None,
                };
                self.connect(wanted, draft, client_id, &secrets, changes)?
            }
        };
        Ok(OauthAuth {
            flavor: draft.flavor,
            client_id: client_id.to_owned(),
            account: draft.account.clone(),
            mode: draft.mode,
            app: draft.app.clone(),
            definition,
        })
    }

    async fn known(&self, wanted: &Wanted<'_>) -> Result<Option<Known>> {
        let Some(Auth::Oauth(auth)) = wanted.existing.map(|profile| &profile.content.auth) else {
            return Ok(None);
        };
        let name = &auth.definition;
        let definition = self.backing(&wanted.asked.proof, name).await?;
        let definition = definition.ok_or_else(|| lost(name))?;
        let uid = definition.record.uid;
        let install = self.installs.find(uid).await?;
        Ok(Some(Known {
            install: install.ok_or_else(|| lost(name))?,
            secrets: self.installs.secrets(uid).await?,
            definition,
        }))
    }

    /// A new install, with a definition of its own.
    fn connect(
        &self,
        wanted: &Wanted<'_>,
        draft: &OauthDraft,
        client_id: &str,
        secrets: &Secrets,
        changes: &mut Changes,
    ) -> Result<DefinitionName> {
        let name = wanted.own_name("oauth")?;
        let (kind, settings) = (Kind::StripeOauth, Settings::default());
        let definition = self.own_definition(name, wanted.name, kind, settings);
        let install = Install {
            definition: definition.name.clone(),
            flavor: draft.flavor,
            client_id: client_id.to_owned(),
            account: draft.account.clone(),
            mode: draft.mode,
            state: State::Unverified,
            is_claimed: false,
            generation: 1,
            // The year of a refresh token begins with it.
            refresh_time: Some(self.catalog.now()),
            expire_time: None,
            has_access: false,
            profiles: BTreeSet::from([wanted.name.clone()]),
            pasted: vec![self.installs.mark_of(&secrets.refresh_token)],
        };
        self.put_install(definition.uid, &install, secrets, None, changes)?;
        changes.put_definition(&definition, None);
        let facts = install_facts(definition.uid, &install)?;
        changes.facts.push(definition.making(facts));
        Ok(definition.name)
    }

    /// The same install, with what was put of its credentials.
    fn renew(
        &self,
        wanted: &Wanted<'_>,
        draft: &OauthDraft,
        known: &Known,
        changes: &mut Changes,
    ) -> Result<DefinitionName> {
        let definition = &*known.definition.record;
        let stored = &known.secrets;
        let before = &*known.install.record;
        let new_token = match &draft.refresh_token {
            Some(token) if self.is_new(known, token)? => Some(token),
            Some(_) | None => None,
        };
        let is_rejected = before.state == REJECTED;
        let is_other =
            |new: &&SecretBytes| !claviger_seal::equal(new.expose(), stored.client_secret.expose());
        let new_secret = draft.client_secret.as_ref();
        let new_secret = new_secret.filter(|new| is_rejected || is_other(new));
        let is_shared = before.profiles.iter().any(|name| name != wanted.name);
        if is_shared && (new_token.is_some() || new_secret.is_some()) {
            // The jobs of other profiles connect with it too.
            wanted.asked.proof.claim_everywhere()?;
        }
        let mut install = renewed(before, draft, new_token.is_some(), new_secret.is_some());
        if new_secret.is_some() {
            install.try_again(&stored.refresh_token, self.installs.client().reuse());
        }
        if let Some(token) = new_token {
            install.note_pasted(self.installs.mark_of(token));
            install.refresh_time = Some(self.catalog.now());
        }
        let access = stored.access_token.as_ref();
        let secrets = Secrets {
            client_secret: new_secret.unwrap_or(&stored.client_secret).duplicate(),
            refresh_token: new_token.unwrap_or(&stored.refresh_token).duplicate(),
            access_token: access
                .filter(|_| install.has_access)
                .map(SecretBytes::duplicate),
        };
        let uid = definition.uid;
        if install == *before {
            let id = uid.to_string();
            let found = expect(Some(&known.install));
            changes.add(|batch| batch.require::<Install>(&id, found));
            return Ok(definition.name.clone());
        }
        self.put_install(uid, &install, &secrets, Some(&known.install), changes)?;
        let facts = definition.changing_too(definition, install_facts(definition.uid, &install)?);
        changes.facts.push(facts);
        Ok(definition.name.clone())
    }

    /// Whether a refresh token is another one than those that were put before. One of these is spent
    /// unless it is still the one that is stored: then whoever is asked for a token may say that it
    /// is good.
    ///
    /// # Errors
    /// `FIELD_INVALID` for a spent one where a new one is asked for.
    fn is_new(&self, known: &Known, token: &SecretBytes) -> Result<bool> {
        let install = &known.install.record;
        if !install.pasted.contains(&self.installs.mark_of(token)) {
            return Ok(true);
        }
        let is_stored = !self.is_spent(known, token);
        match install.state {
            State::ReconnectRequired(_) if is_stored => {
                Ok(install.may_repeat(self.installs.client().reuse()))
            }
            State::ReconnectRequired(ReconnectReason::ClientKeyRejected) => Ok(false),
            State::ReconnectRequired(_) => Err(used_already()),
            State::Unverified
            | State::Connected
            | State::Refreshing(_)
            | State::Uncertain
            | State::Shared => Ok(false),
        }
    }

    /// Whether a refresh token was put before, and is not the one that is stored.
    fn is_spent(&self, known: &Known, token: &SecretBytes) -> bool {
        let stored = &known.secrets.refresh_token;
        let was_put = known
            .install
            .record
            .pasted
            .contains(&self.installs.mark_of(token));
        was_put && !claviger_seal::equal(token.expose(), stored.expose())
    }

    fn put_install(
        &self,
        definition: Uid,
        install: &Install,
        secrets: &Secrets,
        found: Option<&Stored<Install>>,
        changes: &mut Changes,
    ) -> Result<()> {
        let batch = std::mem::take(&mut changes.batch);
        changes.batch = self
            .installs
            .put(batch, definition, install, secrets, found)?;
        Ok(())
    }
}

/// The same install once credentials of it were put.
fn renewed(before: &Install, draft: &OauthDraft, has_token: bool, has_secret: bool) -> Install {
    let mut install = before.clone();
    if !install.is_claimed && (has_token || install.state == State::Unverified) {
        // Nothing was proven yet.
        install.account.clone_from(&draft.account);
        install.mode = draft.mode;
    } else {
        install.account = install.account.or_else(|| draft.account.clone());
        install.mode = install.mode.or(draft.mode);
    }
    if has_token || has_secret {
        install.generation += 1;
    }
    if has_token {
        // An exchange that runs has lost its claim: what it brings is of the connection before.
        install.state = State::Unverified;
        install.has_access = false;
        install.expire_time = None;
    } else if has_secret && install.state == REJECTED {
        install.state = install.at_rest();
    }
    install
}

/// Whether this is the install that is wanted: bound to nothing else.
fn is_of(install: &Install, draft: &OauthDraft, client_id: &str) -> bool {
    let is_account = |own: &String| draft.account.as_ref().is_none_or(|account| account == own);
    let secret = draft.client_secret.as_ref();
    let mode = draft.mode.or_else(|| secret.and_then(fields::mode_of));
    install.flavor == draft.flavor
        && install.client_id == client_id
        && install.account.as_ref().is_none_or(is_account)
        && install
            .mode
            .is_none_or(|own| mode.is_none_or(|mode| mode == own))
}

fn check_length(value: &SecretBytes, field: &'static str) -> Result<()> {
    match value.len() > PASTED_BYTES_MAX {
        true => Err(invalid(
            field,
            "is longer than 4096 bytes, which none of Stripe's is; copy it alone",
        )),
        false => Ok(()),
    }
}

fn check_texts(draft: &OauthDraft) -> Result<()> {
    if let Some(account) = &draft.account {
        fields::account("profile.oauth.account", account)?;
    }
    draft.app.as_deref().map_or(Ok(()), fields::app)
}

/// The key of one mode gets no tokens of the other.
fn check_mode(draft: &OauthDraft, secret: &SecretBytes) -> Result<()> {
    let found = fields::mode_of(secret);
    let is_other = |mode| found.is_some_and(|found| found != mode);
    match draft.mode.is_some_and(is_other) {
        true => Err(invalid(
            "profile.oauth.mode",
            "is another one than that of the client secret (sk_live_, sk_test_); put the secret key of \
             the same mode, or leave mode out",
        )),
        false => Ok(()),
    }
}

fn used_already() -> Error {
    invalid(
        REFRESH_TOKEN,
        "was put before and is spent; connect the app to the account again, and put the refresh_token of \
         that answer",
    )
}

fn install_facts(uid: Uid, install: &Install) -> Result<Facts> {
    Ok(Facts {
        install: Some(uid),
        version: Some(install.version()?),
        ..Facts::default()
    })
}

fn missing(field: &'static str) -> Error {
    let remedy = match field {
        CLIENT_ID => "is missing; copy the Client ID of the app or platform (ca_…)",
        CLIENT_SECRET => {
            "is missing; copy the secret key of the account that owns the app or platform (sk_…)"
        }
        _ => {
            "is missing; connect the app to the account, and put the refresh_token (rt_…) of Stripe's \
             answer"
        }
    };
    invalid(field, remedy)
}

/// What everybody who uses it has to know.
fn of_flavor(flavor: Flavor) -> Warning {
    match flavor {
        Flavor::Apps => Warning::new(
            "OAUTH_TOKEN_SHORT",
            "access tokens last one hour: a job that runs longer has to resolve again, and where it \
             cannot, use a restricted key",
            "profile.oauth",
        ),
        Flavor::Connect => Warning::new(
            "OAUTH_CONNECT",
            "Stripe's own advice in place of Connect's access tokens is the platform's key with the id \
             of the connected account: api_key with account",
            "profile.oauth.flavor",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use claviger_core::ProjectName;
    use claviger_stripe::Mode;

    use super::*;
    use crate::model::install::Claim;

    fn install(state: State, has_access: bool) -> Install {
        let project = ProjectName::parse("name", "projects/acme").expect("a name");
        let id = claviger_core::Id::from_static("stripe");
        Install {
            definition: DefinitionName::new(project.clone(), id.clone()),
            flavor: Flavor::Apps,
            client_id: "ca_1".to_owned(),
            account: Some("acct_1".to_owned()),
            mode: Some(Mode::Test),
            state,
            is_claimed: true,
            generation: 3,
            refresh_time: Some(SystemTime::UNIX_EPOCH),
            expire_time: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(3600)),
            has_access,
            profiles: BTreeSet::from([project.profile(id)]),
            pasted: Vec::new(),
        }
    }

    fn states() -> Vec<State> {
        let claim = Claim {
            id: Uid::random(),
            lease_end: SystemTime::UNIX_EPOCH,
            is_sent: true,
            is_repeat: false,
        };
        let reasons = [
            ReconnectReason::Revoked,
            ReconnectReason::AnswerLost,
            ReconnectReason::AccountChanged,
            ReconnectReason::Idle,
            ReconnectReason::ClientKeyRejected,
        ];
        let others = [
            State::Unverified,
            State::Connected,
            State::Refreshing(claim),
            State::Uncertain,
            State::Shared,
        ];
        let reasons = reasons.map(State::ReconnectRequired);
        others.into_iter().chain(reasons).collect()
    }

    #[test]
    fn a_new_refresh_token_ends_every_state_and_the_access_token() {
        for state in states() {
            let before = install(state, true);
            let after = renewed(&before, &OauthDraft::default(), true, false);
            assert_eq!(after.state, State::Unverified, "{state:?}");
            assert_eq!((after.has_access, after.expire_time), (false, None));
            assert_eq!(after.generation, 4);
            // It stays bound, and its own.
            assert_eq!((&after.account, after.mode), (&before.account, before.mode));
            assert!(after.is_claimed);
        }
    }

    #[test]
    fn a_new_client_secret_ends_only_that_it_was_rejected() {
        let rejected = State::ReconnectRequired(ReconnectReason::ClientKeyRejected);
        for state in states() {
            for has_access in [true, false] {
                let before = install(state, has_access);
                let after = renewed(&before, &OauthDraft::default(), false, true);
                let expected = match (state == rejected, has_access) {
                    (false, _) => state,
                    (true, true) => State::Connected,
                    (true, false) => State::Unverified,
                };
                assert_eq!(after.state, expected, "{state:?}");
                assert_eq!((after.has_access, after.generation), (has_access, 4));
            }
        }
    }

    #[test]
    fn account_and_mode_are_bound_once() {
        let draft = OauthDraft {
            account: Some("acct_2".to_owned()),
            mode: Some(Mode::Live),
            ..OauthDraft::default()
        };
        let mut before = install(State::Connected, true);
        assert_eq!(renewed(&before, &draft, false, false), before);
        (before.account, before.mode) = (None, None);
        let after = renewed(&before, &draft, false, false);
        assert_eq!(
            (after.account, after.mode),
            (draft.account, Some(Mode::Live))
        );
        assert_eq!(after.generation, before.generation);
    }
}
