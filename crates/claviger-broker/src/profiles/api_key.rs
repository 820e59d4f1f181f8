//! A profile with an API key: one that was pasted, or a definition that exists.

use claviger_access::{Facts, Permission};
use claviger_core::{DefinitionName, Detail, Error, Format, Kind, Reason, Result, SecretBytes};
use claviger_store::Stored;
use claviger_stripe::oauth::fields;
use claviger_stripe::{Settings, Verdict};

use super::backing::{Changes, lost, unused_mode};
use super::invalid;
use super::put::Wanted;
use crate::broker::Broker;
use crate::engine::steps::NewValue;
use crate::model::definition::{Current, Definition, PlaceState, not_found};
use crate::model::draft::ApiKeyDraft;
use crate::model::profile::{ApiKeyAuth, Auth, Profile};
use crate::model::registered::Registered;
use crate::model::route::Route;
use crate::model::warning::Warning;

const PASTED: &str = "profile.api_key.api_key";
const POINTED: &str = "profile.api_key.definition";
const CONTEXT: &str = "profile.api_key.context";

impl Broker {
    /// What becomes of a profile with an API key.
    ///
    /// # Errors
    /// `FIELD_INVALID`, `DEFINITION_NOT_FOUND`, `DEFINITION_DELETED`, `VALUE_*`, each with the field
    /// and the remedy; `ACCESS_DENIED` for a definition to point at.
    pub(super) async fn plan_api_key(
        &self,
        wanted: &Wanted<'_>,
        draft: &ApiKeyDraft,
        changes: &mut Changes,
    ) -> Result<ApiKeyAuth> {
        if let Some(account) = &draft.account {
            fields::account("profile.api_key.account", account)?;
        }
        if let Some(context) = &draft.context {
            fields::context(CONTEXT, context)?;
        }
        let existing = wanted
            .existing
            .and_then(|profile| match &profile.content.auth {
                Auth::ApiKey(auth) => Some(auth),
                Auth::Oauth(_) => None,
            });
        let own = existing.filter(|auth| auth.is_own);
        let own = own.map(|auth| &auth.definition);
        let named = draft.definition.as_ref();
        let definition = match (&draft.api_key, named, own) {
            (Some(_), Some(named), own) if Some(named) != own => {
                return Err(invalid(
                    POINTED,
                    "does not go with api_key, which gets a definition of its own; leave one of both \
                     out",
                ));
            }
            (None, Some(named), own) if Some(named) != own => {
                let is_new = existing.is_none_or(|auth| auth.definition != *named);
                self.point_at(wanted, named, is_new, changes).await?;
                named.clone()
            }
            (None, None, None) => {
                return Err(invalid(
                    PASTED,
                    "is missing; paste the key, or name a STRIPE_API_KEY of the project in definition",
                ));
            }
            (Some(_), _, None) => self.make_key(wanted, draft, changes).await?,
            (_, _, Some(own)) => self.change_key(wanted, own, draft, changes).await?,
            // The definition that is named is its own, or there is none of its own.
            (None, Some(named), None) => named.clone(),
        };
        Ok(ApiKeyAuth {
            is_own: named.is_none_or(|named| Some(named) == own),
            definition,
            account: draft.account.clone(),
            context: draft.context.clone(),
        })
    }

    /// Points at a definition that exists: jobs get its value by the profile, without a right on it.
    async fn point_at(
        &self,
        wanted: &Wanted<'_>,
        name: &DefinitionName,
        is_new: bool,
        changes: &mut Changes,
    ) -> Result<()> {
        let proof = &wanted.asked.proof;
        if name.project() != &wanted.project.name {
            return Err(invalid(
                POINTED,
                "is of another project; name a STRIPE_API_KEY of the profile's own project",
            ));
        }
        if is_new {
            // First: what is refused about it tells what there is.
            proof.claim_on_project(Permission::DefinitionsPut, None)?;
        }
        let found = self.backing(proof, name).await?;
        let found = found.filter(|found| !self.catalog.is_gone(&found.record));
        let found = found.ok_or_else(|| not_found(name).at(POINTED))?;
        let definition = found.record.live().map_err(|error| error.at(POINTED))?;
        if definition.content.kind != Kind::StripeApiKey {
            return Err(invalid(
                POINTED,
                "is not a STRIPE_API_KEY; name one, or paste the key in api_key",
            ));
        }
        let is_own = |profile: &Profile| profile.content.auth.own_definition() == Some(name);
        let is_own = is_new && self.leading_to(proof, name, is_own).await?.is_some();
        if is_own {
            return Err(invalid(
                POINTED,
                "is what another profile made of the key pasted there, and ends with it; use that \
                 profile, or register a definition for both",
            ));
        }
        changes.rely_on(&found);
        Ok(())
    }

    /// Makes a definition of the pasted key.
    async fn make_key(
        &self,
        wanted: &Wanted<'_>,
        draft: &ApiKeyDraft,
        changes: &mut Changes,
    ) -> Result<DefinitionName> {
        let name = wanted.own_name("api_key")?;
        let settings = settings(draft, &Settings::default());
        let mut definition = self.own_definition(name, wanted.name, Kind::StripeApiKey, settings);
        self.paste(wanted, &mut definition, None, draft, changes)
            .await?;
        Ok(definition.name)
    }

    /// Changes the definition that was made before: by a new key, or by what goes with the key.
    async fn change_key(
        &self,
        wanted: &Wanted<'_>,
        own: &DefinitionName,
        draft: &ApiKeyDraft,
        changes: &mut Changes,
    ) -> Result<DefinitionName> {
        let found = self.backing(&wanted.asked.proof, own).await?;
        let found = found.ok_or_else(|| lost(own))?;
        let mut definition = (*found.record).clone();
        definition.content.stripe = settings(draft, &definition.content.stripe);
        if definition.content.stripe != found.record.content.stripe {
            definition.generation += 1;
            definition.update_time = self.catalog.now();
        } else if draft.api_key.is_none() {
            changes.rely_on(&found);
            return Ok(definition.name);
        }
        self.paste(wanted, &mut definition, Some(&found), draft, changes)
            .await?;
        Ok(definition.name)
    }

    /// Adds to the changes that a definition has this key, and is as it is to be.
    async fn paste(
        &self,
        wanted: &Wanted<'_>,
        definition: &mut Definition,
        found: Option<&Stored<Definition>>,
        draft: &ApiKeyDraft,
        changes: &mut Changes,
    ) -> Result<()> {
        let proof = &wanted.asked.proof;
        let registered = Registered {
            definition: &*definition,
            project: wanted.project,
            vaults: &self.vaults,
        };
        let route = registered.only_route().map_err(|_| elsewhere())?;
        // One that is switched off is the one to be replaced.
        let known = match found {
            Some(_) => self.reads.read_around(proof, &route, None).await.ok(),
            None => None,
        };
        let known = known.as_ref().map(|known| (&known.version, &known.value));
        let value = draft.api_key.as_ref().or(known.map(|(_, value)| value));
        let Some(value) = value.map(SecretBytes::duplicate) else {
            return settle_settings(definition, found, changes);
        };
        let (value, verdict) = judged(value, definition, &route)?;
        changes.warnings.extend(Warning::of_value(
            (Kind::StripeApiKey, Format::Text),
            &value,
            [&verdict],
            PASTED,
        ));
        let unused = unused_mode(wanted.project, verdict.mode, PASTED);
        changes.warnings.extend(unused);
        let is_same = |known: &SecretBytes| claviger_seal::equal(known.expose(), value.expose());
        if let Some((version, _)) =
            known.filter(|(_, known)| draft.api_key.is_none() || is_same(known))
        {
            changes.version = draft.api_key.is_some().then(|| version.clone());
            return settle_settings(definition, found, changes);
        }
        let new = NewValue {
            bytes: &value,
            format: Format::Text,
            is_adopting: false,
        };
        let staged = self.writes.stage(proof, &route, new).await?;
        let staged = staged.ok_or_else(elsewhere)?;
        let facts = Facts {
            version: Some(staged.version.clone()),
            ..route.facts()
        };
        changes.facts.push(match found {
            Some(found) => found.record.changing_too(definition, facts),
            None => definition.making(facts),
        });
        changes.add(|_| staged.batch);
        changes.version = Some(staged.version);
        let state = PlaceState {
            current: Some(Current::Newest),
            ..PlaceState::default()
        };
        definition.places.insert(route.place.clone(), state);
        changes.put_definition(definition, found);
        Ok(())
    }
}

/// The key stays.
fn settle_settings(
    definition: &Definition,
    found: Option<&Stored<Definition>>,
    changes: &mut Changes,
) -> Result<()> {
    let found = found.ok_or_else(|| lost(&definition.name))?;
    if definition.generation == found.record.generation {
        changes.rely_on(found);
        return Ok(());
    }
    let facts = Facts::default();
    changes
        .facts
        .push(found.record.changing_too(definition, facts));
    changes.put_definition(definition, Some(found));
    Ok(())
}

/// What goes with the key: the same by the profile and by its definition.
fn settings(draft: &ApiKeyDraft, existing: &Settings) -> Settings {
    Settings {
        allowed_classes: existing.allowed_classes.clone(),
        account: draft.account.clone(),
        context: draft.context.clone(),
    }
}

/// The key as it is stored.
fn judged(
    value: SecretBytes,
    definition: &Definition,
    route: &Route,
) -> Result<(SecretBytes, Verdict)> {
    let bytes_max = route.vault.capabilities().value_bytes_max;
    if value.len() > bytes_max {
        return Err(Error::new(Reason::PayloadTooLarge)
            .with(Detail::Limit, bytes_max)
            .at(PASTED));
    }
    let kind = Kind::StripeApiKey;
    // Its mode is judged in an environment: by a resolve and by a test.
    let (value, verdict) = claviger_stripe::admit(kind, value, &definition.content.stripe, None);
    let verdict = verdict.ok_or_else(|| Error::new(Reason::Internal))?;
    match verdict.refusal(kind, Some(PASTED)) {
        Some(error) if error.reason() == Reason::StripeContextRequired => Err(invalid(
            CONTEXT,
            "is missing: an organization key works on the account that is named with each call; set \
             the account (acct_…), or the path of accounts, that jobs work on",
        )),
        Some(error) => Err(error),
        None => Ok((value, verdict)),
    }
}

fn elsewhere() -> Error {
    invalid(
        PASTED,
        "is for a definition that was changed to lead elsewhere than to the managed vault; rotate the \
         key there, or point at that definition in definition",
    )
}
