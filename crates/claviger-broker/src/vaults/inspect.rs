//! A secret of a vault that has no definition yet, looked at without showing its value.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use claviger_access::{Authorized, Call, Permission};
use claviger_audit::Facts;
use claviger_backend::Vault;
use claviger_core::{
    Coordinate, Detail, Error, Format, Id, Kind, ProjectName, Reason, Result, VaultName,
};
use claviger_stripe::{Settings, Verdict};

use crate::broker::Broker;
use crate::engine::found::{Asked, OnProject};
use crate::model::document::Document;
use crate::model::location::{Location, VaultRef};
use crate::model::project::Project;
use crate::model::route::{Route, check_coordinates, check_form};
use crate::model::warning::Warning;

/// Most names of properties that are shown.
const PROPERTIES_MAX: usize = 100;

/// Longest name of a property that is shown, in bytes: longer ones are more likely values.
const PROPERTY_BYTES_MAX: usize = 40;

/// From this length on, in bytes, letters and digits together are more likely a value.
const RANDOM_BYTES_MIN: usize = 16;

/// Shortest value that has a fingerprint, in bytes: callers that may put values could guess shorter
/// ones by comparing.
const FINGERPRINT_BYTES_MIN: usize = 16;

/// How many versions are looked through for the age of one.
const VERSIONS_MAX: usize = 100;

/// Which secret is looked at.
#[derive(Clone, Debug)]
pub struct InspectSecret {
    /// The vault.
    pub vault: VaultName,
    /// The project whose allow list counts.
    pub project: ProjectName,
    /// The secret's name in the vault.
    pub secret: String,
    /// The key of its document that is meant.
    pub property: Option<String>,
    /// Whether all of it is meant.
    pub is_whole: bool,
    /// A version, if not the latest one.
    pub version: Option<String>,
    /// What it is judged as; `None` for what it looks like.
    pub kind: Option<Kind>,
}

/// What [`Broker::inspect_secret`] found.
#[derive(Debug)]
pub struct InspectReport {
    /// The version that was looked at.
    pub version: Id,
    /// How long ago it was stored, where the vault says.
    pub age: Option<Duration>,
    /// The keys of its document, but for those that may be values themselves; sorted.
    pub properties: Vec<String>,
    /// How many of them are not shown.
    pub hidden_properties: usize,
    /// Whether a text definition of this part would be able to read it.
    pub format: Result<()>,
    /// What it was judged as; `None` if nothing about it is Stripe's and no kind was asked for.
    pub judged_as: Option<Kind>,
    /// Whether it is that; `None` for kinds that are not judged.
    pub kind: Option<Result<()>>,
    /// What it is, of a Stripe credential.
    pub stripe: Option<Verdict>,
    /// What deserves a look.
    pub warnings: Vec<Warning>,
    /// Equal for equal values in one project; `None` for short ones.
    pub fingerprint: Option<String>,
}

impl Broker {
    /// Looks at a secret of a vault without showing its value.
    ///
    /// # Errors
    /// See the RPC `InspectVaultSecret`.
    pub async fn inspect_secret(
        &self,
        call: &Arc<Call>,
        inspect: &InspectSecret,
    ) -> Result<InspectReport> {
        let permission = Permission::VaultsInspect;
        let asked = self
            .catalog
            .ask_project(call, permission, &inspect.project)
            .await?;
        let result = self.inspect_asked(&asked, inspect).await;
        let vault = inspect.vault.id().clone();
        let facts = |report: &InspectReport| Facts {
            vault: Some(vault),
            secret: Some(inspect.secret.clone()),
            property: inspect.property.clone(),
            version: Some(report.version.clone()),
            ..Facts::default()
        };
        self.concluded(asked, result, facts).await
    }

    async fn inspect_asked(
        &self,
        asked: &Asked<OnProject>,
        inspect: &InspectSecret,
    ) -> Result<InspectReport> {
        let proof = &asked.proof;
        let project = &asked.found.project()?.record;
        let vault = self.vaults.find_for(project.name.id(), inspect.vault.id());
        let vault = Arc::clone(vault.map_err(|error| error.at("name"))?);
        let (route, name) = inspect.route(vault, project)?;
        let named = |error: Error| error.with(Detail::Resource, Coordinate(&inspect.secret));
        let read = self.reads.refresh(proof, &route).await;
        let document = read.map_err(named)?.document;
        let age = self.age(proof, &route, &document.version).await;

        let (properties, hidden_properties) = properties_of(&document);
        let whole = self.fingerprint(project, document.value.expose());
        let mut warnings: Vec<_> = name.into_iter().collect();
        let (format, fingerprint, judged) = match route.present(&document, Format::Text) {
            Ok(value) => {
                let fingerprint = self.fingerprint(project, value.expose());
                let judged = inspect.judge(value.expose());
                let kind = judged.as_ref().map(|(kind, _)| *kind).or(inspect.kind);
                // It is not known yet what it will be, and nothing else deserves more of a look.
                let sort = (kind.unwrap_or(Kind::Password), Format::Text);
                let verdict = judged.as_ref().map(|(_, verdict)| verdict);
                warnings.extend(Warning::of_value(sort, &value, verdict, ""));
                (Ok(()), fingerprint, judged)
            }
            Err(error) => (Err(named(error)), whole, None),
        };
        let (kind, verdict) = judged.unzip();
        let refusal = |verdict: &Verdict| verdict.refusal(kind?, None).map(named);
        Ok(InspectReport {
            version: document.version.clone(),
            age,
            properties,
            hidden_properties,
            format,
            judged_as: kind.or(inspect.kind),
            kind: verdict
                .as_ref()
                .map(|found| refusal(found).map_or(Ok(()), Err)),
            warnings,
            stripe: verdict,
            fingerprint,
        })
    }

    /// Only for people: what the vault does not tell, or does not let us ask, is left out.
    async fn age(&self, proof: &Authorized, route: &Route, version: &Id) -> Option<Duration> {
        let (vault, address) = (Arc::clone(&route.vault), route.address.clone());
        let list = async move { vault.versions(&address, None, VERSIONS_MAX).await };
        let versions = self
            .reads
            .call(proof, &route.vault, &route.address.secret, list);
        let mut versions = versions.await.ok()?.into_iter();
        let stored = versions
            .find(|found| found.version == *version)?
            .create_time;
        self.catalog.now().duration_since(stored).ok()
    }

    /// Keyed, and another one in each project: it tells whether two values are equal, and only to
    /// callers that may inspect both.
    fn fingerprint(&self, project: &Project, value: &[u8]) -> Option<String> {
        if value.len() < FINGERPRINT_BYTES_MIN {
            return None;
        }
        let project = project.uid.to_string();
        let mac = self
            .catalog
            .mac("fingerprint", &[project.as_bytes(), value]);
        let (start, _) = mac.split_at(8);
        Some(claviger_seal::hex(start))
    }
}

impl InspectSecret {
    /// What the value is judged as, and how. `None` if it is nothing that is judged.
    fn judge(&self, value: &[u8]) -> Option<(Kind, Verdict)> {
        let kind = self.kind.or_else(|| claviger_stripe::kind_of(value))?;
        let verdict = claviger_stripe::judge(kind, value, &Settings::default(), None)?;
        Some((kind, verdict))
    }

    /// Where the secret is, as if a definition of the project pointed at it, and what deserves a look
    /// about its name.
    fn route(&self, vault: Arc<Vault>, project: &Project) -> Result<(Route, Option<Warning>)> {
        if !vault.capabilities().latest {
            let capability = "inspect a secret by its name; its values belong to definitions, and \
                CheckSecretDefinition judges those";
            return Err(Error::new(Reason::VaultCapabilityMissing)
                .with(Detail::Vault, vault.id())
                .with(Detail::Capability, capability));
        }
        if self.secret.is_empty() {
            return Err(Error::new(Reason::FieldInvalid)
                .violation("secret", "is missing; see ListVaultSecrets"));
        }
        let location = Location {
            vault: Some(VaultRef::Named(vault.id().clone())),
            secret: Some(self.secret.clone()),
            property: self.property.clone(),
            is_whole: self.is_whole,
            version: self.version.clone(),
        };
        check_form(&location, "secret")?;
        check_coordinates(&location, "secret", &vault)?;
        let name = vault.check_name(&self.secret).map_err(|e| e.at("secret"))?;
        vault
            .check_allowed(project.name.id(), &self.secret)
            .map_err(|e| {
                e.with(Detail::Secret, Coordinate(&self.secret))
                    .at("secret")
            })?;
        let name = name.map(|warning| Warning::of_name(warning, "secret"));
        let route = Route::foreign(project, vault, self.secret.clone(), location);
        Ok((route, name))
    }
}

/// The keys of a document that are shown, and how many are not.
fn properties_of(document: &Document) -> (Vec<String>, usize) {
    let keys: BTreeSet<String> = document.keys().into_iter().collect();
    let shown = keys.iter().filter(|key| may_show(key));
    let shown: Vec<String> = shown.take(PROPERTIES_MAX).cloned().collect();
    let hidden = keys.len() - shown.len();
    (shown, hidden)
}

/// SECURITY: a person that typed the document may have taken the fields of a form for each other, or
/// pasted a key where its name belongs. Only what is written like the name of a field is shown.
fn may_show(key: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let has = |is: fn(&u8) -> bool| key.as_bytes().iter().any(is);
    let is_random =
        key.len() >= RANDOM_BYTES_MIN && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
    key.len() <= PROPERTY_BYTES_MAX
        && key.bytes().all(is_plain)
        && !is_random
        && claviger_stripe::kind_of(key.as_bytes()).is_none()
}
