use std::time::Duration;

use claviger_client::{Code, Service, Status};
use claviger_core::{Reason, refuse_pasted};
use claviger_proto::v1::vault_service_client::VaultServiceClient;
use claviger_proto::v1::{
    InspectVaultSecretRequest, InspectVaultSecretResponse, ListVaultSecretsRequest,
    ListVaultsRequest, VaultSecret,
};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::place::{Place, Taken};
use super::progress::Progress;
use crate::pages::{self, PAGE_SIZE};
use crate::patience::patiently;
use crate::stop::Stop;

/// How many calls are under way at once. The daemon has places for more, which others need.
pub(crate) const AT_ONCE: usize = 8;

/// A document with more keys is not taken apart: it is a configuration more than a secret.
pub(crate) const PROPERTIES_MAX: usize = 20;

/// As much of a name as is shown if it holds a credential: how those begin.
const PASTED_CHARS_SHOWN: usize = 8;

/// A look at a vault through the eyes of one project.
pub(crate) struct Walk<'a> {
    pub(crate) service: VaultServiceClient<Service>,
    pub(crate) project: String,
    pub(crate) vault: String,
    pub(crate) taken: &'a Taken,
    pub(crate) patience: Duration,
    pub(crate) progress: &'a Progress,
}

/// A value, and what the daemon says of it, or why it says nothing.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) inspected: Result<InspectVaultSecretResponse, String>,
}

/// All that there is.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Sorted, without what has a definition.
    pub(crate) found: Vec<Found>,
    /// What has one.
    pub(crate) pointed_at: Vec<Place>,
    /// How many secrets Claviger has made or adopted.
    pub(crate) ours: usize,
}

impl Walk<'_> {
    pub(crate) async fn walk(&self) -> Result<Walked, Stop> {
        let has_properties = self.has_properties().await?;
        let mut walked = Walked::default();
        let mut wholes = Vec::new();
        for secret in self.list().await? {
            let place = Place::whole(&secret.secret);
            let pasted = refuse_pasted(Reason::NameInvalid, "name", &secret.secret);
            if secret.ours {
                walked.ours += 1;
            } else if pasted.is_err() {
                walked.found.push(nameless(&secret.secret));
            } else if self.taken.has(&place) {
                walked.pointed_at.push(place);
            } else {
                wholes.push(place);
            }
        }
        self.progress.inspecting(wholes.len());
        let mut parts = Vec::new();
        for mut found in self.inspect_all(wholes).await? {
            parts.extend(parts_of(&found).into_iter().enumerate());
            if has_properties {
                found.name_only_property();
            }
            walked.found.push(found);
        }
        walked.found.retain(|found| !is_taken_apart(found));
        // Breadth first: the daemon looks at the same document once a second at most.
        parts.sort();
        let parts = parts.into_iter().map(|(_, place)| place);
        let (pointed_at, parts): (Vec<_>, Vec<_>) = parts.partition(|part| self.taken.has(part));
        walked.pointed_at.extend(pointed_at);
        self.progress.more(parts.len());
        walked.found.extend(self.inspect_all(parts).await?);
        let found = walked
            .found
            .extract_if(.., |found| self.taken.has(&found.place));
        walked.pointed_at.extend(found.map(|found| found.place));
        walked
            .found
            .sort_by(|one, other| one.place.cmp(&other.place));
        Ok(walked)
    }

    /// A look at what definitions point at, for what is the same elsewhere. What cannot be looked at is
    /// the same as nothing.
    pub(crate) async fn registered(&self) -> Vec<Found> {
        let places = self.taken.places();
        self.progress.more(places.len());
        let looks = places.into_iter().map(async |place| {
            let inspected = self.ask_about(place).await;
            self.progress.done_one();
            Found {
                place: place.clone(),
                inspected: inspected.map_err(|status| Stop::from(status).to_string()),
            }
        });
        stream::iter(looks).buffered(AT_ONCE).collect().await
    }

    /// Whether locations in it may name a property.
    async fn has_properties(&self) -> Result<bool, Stop> {
        let list = async || self.service.clone().list_vaults(ListVaultsRequest {}).await;
        let answer = patiently(self.patience, list).await?.into_inner();
        let name = self.name();
        let mut vaults = answer.vaults.into_iter();
        // One that is unknown is refused by name when it is listed.
        let vault = vaults.find(|vault| vault.name == name);
        Ok(vault.is_some_and(|vault| vault.capabilities.is_some_and(|able| able.property)))
    }

    async fn list(&self) -> Result<Vec<VaultSecret>, Stop> {
        pages::all(async |page_token: String| {
            let request = ListVaultSecretsRequest {
                parent: self.name(),
                project: self.project.clone(),
                page_size: PAGE_SIZE,
                page_token,
            };
            let list = async || {
                self.service
                    .clone()
                    .list_vault_secrets(request.clone())
                    .await
            };
            let page = patiently(self.patience, list).await?.into_inner();
            Ok((page.secrets, page.next_page_token))
        })
        .await
    }

    async fn inspect_all(&self, places: Vec<Place>) -> Result<Vec<Found>, Stop> {
        let inspections = places.into_iter().map(|place| self.inspect(place));
        let inspections = stream::iter(inspections).buffer_unordered(AT_ONCE);
        inspections.try_collect().await
    }

    async fn inspect(&self, place: Place) -> Result<Found, Stop> {
        let inspect = async || self.ask_about(&place).await;
        let inspected = match patiently(self.patience, inspect).await {
            Ok(inspection) => Ok(inspection),
            Err(status) if is_about_one(&status) => Err(Stop::from(status).to_string()),
            Err(status) => return Err(status.into()),
        };
        self.progress.done_one();
        Ok(Found { place, inspected })
    }

    async fn ask_about(&self, place: &Place) -> Result<InspectVaultSecretResponse, Status> {
        let request = InspectVaultSecretRequest {
            name: self.name(),
            project: self.project.clone(),
            secret: place.secret.clone(),
            property: place.property.clone(),
            ..Default::default()
        };
        let mut service = self.service.clone();
        let answer = service.inspect_vault_secret(request).await?;
        Ok(answer.into_inner())
    }

    fn name(&self) -> String {
        format!("vaults/{}", self.vault)
    }
}

impl Found {
    /// Of a document with one key the daemon has judged the value of that.
    fn name_only_property(&mut self) {
        if let Ok(InspectVaultSecretResponse {
            properties,
            hidden_properties: 0,
            ..
        }) = &self.inspected
            && let [property] = properties.as_slice()
        {
            self.place = self.place.property(property);
        }
    }
}

/// Whether a refusal is about what was asked for, and the next one may be granted.
pub(crate) fn is_about_one(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Aborted
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::NotFound
    )
}

/// Not even its name can be shown, and the daemon takes it nowhere.
fn nameless(secret: &str) -> Found {
    let start: String = secret.chars().take(PASTED_CHARS_SHOWN).collect();
    Found {
        place: Place::whole(&format!("{start}…")),
        inspected: Err(
            "its name has a credential in it; rename the secret, and roll the credential if it is a \
            real one"
                .to_owned(),
        ),
    }
}

/// The properties of a document that is no value by itself, those that are shown.
fn parts_of(found: &Found) -> Vec<Place> {
    let Ok(inspection) = &found.inspected else {
        return Vec::new();
    };
    let is_document = is_document(inspection);
    let properties = inspection.properties.iter().filter(|_| is_document);
    properties.map(|name| found.place.property(name)).collect()
}

/// Whether one of its keys has to be named, and there are not too many of them.
fn is_document(inspection: &InspectVaultSecretResponse) -> bool {
    let format = inspection.format.as_ref();
    format.is_some_and(|format| format.reason == "PROPERTY_REQUIRED")
        && properties_of(inspection) <= PROPERTIES_MAX
}

/// How many keys a document has.
pub(crate) fn properties_of(inspection: &InspectVaultSecretResponse) -> usize {
    let hidden = usize::try_from(inspection.hidden_properties).unwrap_or_default();
    inspection.properties.len() + hidden
}

/// Whether each of its keys is looked at by itself, and nothing is left to say about the whole.
fn is_taken_apart(found: &Found) -> bool {
    let inspection = found.inspected.as_ref();
    inspection.is_ok_and(|whole| is_document(whole) && whole.hidden_properties == 0)
}

#[cfg(test)]
mod tests {
    use claviger_proto::v1::check_secret_definition_response::Verdict;

    use super::*;

    fn document(properties: &[&str], hidden_properties: i32) -> Found {
        let has_one = properties.len() == 1 && hidden_properties == 0;
        Found {
            place: Place::whole("doc"),
            inspected: Ok(InspectVaultSecretResponse {
                properties: properties.iter().map(|&name| name.to_owned()).collect(),
                hidden_properties,
                format: Some(Verdict {
                    ok: has_one,
                    reason: if has_one { "" } else { "PROPERTY_REQUIRED" }.to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
        }
    }

    #[test]
    fn a_document_is_taken_apart_unless_it_has_many_keys() {
        let many = vec!["key"; PROPERTIES_MAX + 1];
        for (found, parts, is_apart) in [
            (document(&["a", "b"], 0), 2, true),
            (document(&["a", "b"], 1), 2, false),
            (document(&["a"], 0), 0, false),
            (document(&many[1..], 0), PROPERTIES_MAX, true),
            (document(&many[1..], 1), 0, false),
            (document(&many, 0), 0, false),
        ] {
            assert_eq!(parts_of(&found).len(), parts, "{found:?}");
            assert_eq!(is_taken_apart(&found), is_apart, "{found:?}");
        }
    }

    #[test]
    fn the_only_key_of_a_document_is_named() {
        for (mut found, expected) in [
            (document(&["a"], 0), "doc#a"),
            (document(&["a"], 1), "doc"),
            (document(&["a", "b"], 0), "doc"),
        ] {
            found.name_only_property();
            assert_eq!(found.place.to_string(), expected);
        }
    }

    #[test]
    fn of_a_name_that_is_a_credential_only_the_start_is_shown() {
        let found = nameless(concat!("sk_live", "_0123456789abcdeF"));
        assert_eq!(found.place.secret, "sk_live_…");
        assert!(found.inspected.unwrap_err().contains("rename"));
    }
}
