//! The configured vaults, and the layers around every call to one: deadline, limits, allow list.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use claviger_core::{Detail, Error, Id, List, Reason, Result, Uid};

use tokio::time::{Instant, timeout_at};

use crate::limits::Gate;
use crate::{
    Address, Allow, Backend, Capabilities, Limits, ListedSecret, NameWarning, Reading, VersionInfo,
    VersionState, Write, Written,
};

/// What is said of a full name that no rule spells out.
const FULL_NAME: &str = "is an ARN of another region or account than the vault's, as far as its \
    settings say: ask whoever runs the daemon to set account_id there if it is of the vault's own \
    region and account, or else to put the ARN itself into allow";

/// All configured vaults, by id.
#[derive(Clone, Debug, Default)]
pub struct Vaults(BTreeMap<Id, Arc<Vault>>);

impl Vaults {
    /// These vaults.
    pub fn new(vaults: impl IntoIterator<Item = Vault>) -> Self {
        Self(
            vaults
                .into_iter()
                .map(|vault| (vault.id.clone(), Arc::new(vault)))
                .collect(),
        )
    }

    /// The vault of this id.
    ///
    /// # Errors
    /// `VAULT_UNKNOWN`, naming those there are.
    pub fn find(&self, id: &Id) -> Result<&Arc<Vault>> {
        self.0.get(id).ok_or_else(|| {
            Error::new(Reason::VaultUnknown)
                .with(Detail::Vault, id)
                .with(Detail::Vaults, List(self.0.keys().cloned().collect()))
        })
    }

    /// The one vault that is marked as default, of those that a project may use.
    ///
    /// # Errors
    /// `VAULT_UNKNOWN` if there is none, `VAULT_AMBIGUOUS` naming them if there are several.
    pub fn marked_default(&self, project: &Id) -> Result<&Arc<Vault>> {
        let marked = |vault: &&Arc<Vault>| vault.is_default && vault.allow.names(project);
        let marked: Vec<_> = self.0.values().filter(marked).collect();
        let ids = || List(marked.iter().map(|vault| vault.id.clone()).collect());
        match marked.as_slice() {
            [only] => Ok(only),
            [] => Err(Error::new(Reason::VaultUnknown)
                .with(Detail::Vault, "[Default] that this project may use")
                .with(Detail::Vaults, List(self.0.keys().cloned().collect()))),
            _ => Err(Error::new(Reason::VaultAmbiguous).with(Detail::Vaults, ids())),
        }
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Vault>> {
        self.0.values()
    }
}

/// One configured vault: a backend within its limits, and who may use which of its names.
#[derive(Debug)]
pub struct Vault {
    id: Id,
    backend: Arc<dyn Backend>,
    timeout: Duration,
    gate: Gate,
    allow: Allow,
    is_remote: bool,
    is_default: bool,
}

impl Vault {
    /// A vault whose every call keeps within the limits.
    pub fn new(id: Id, backend: Arc<dyn Backend>, limits: &Limits, allow: Allow) -> Self {
        Self {
            id,
            timeout: limits.timeout,
            gate: Gate::new(limits, backend.calls_per_second()),
            backend,
            allow,
            is_remote: limits.concurrent_calls.is_some(),
            is_default: false,
        }
    }

    /// The same vault, marked as default: `[Default]` in a location stands for it.
    #[must_use]
    pub fn marked_default(mut self) -> Self {
        self.is_default = true;
        self
    }

    /// Its id in the configuration.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Its backend's kind.
    pub fn kind(&self) -> &'static str {
        self.backend.kind()
    }

    /// Whether it is another system, asked over a network.
    pub fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    /// See [`Backend::check_name`].
    ///
    /// # Errors
    /// As there.
    pub fn check_name(&self, secret: &str) -> Result<Option<NameWarning>> {
        let checked = self.backend.check_name(secret);
        checked.map_err(|error| error.with(Detail::Vault, &self.id))
    }

    /// See [`Backend::derived_name`].
    pub fn derived_name(&self, project: &str, id: &str, hash: &str) -> String {
        self.backend.derived_name(project, id, hash)
    }

    /// See [`Backend::credentials`].
    pub fn credentials(&self) -> String {
        self.backend.credentials()
    }

    /// See [`Backend::check_version`].
    ///
    /// # Errors
    /// As there.
    pub fn check_version(&self, version: &str) -> Result<()> {
        let checked = self.backend.check_version(version);
        checked.map_err(|error| error.with(Detail::Vault, &self.id))
    }

    /// See [`Backend::check_caller_version`].
    ///
    /// # Errors
    /// As there.
    pub fn check_caller_version(&self, version: &Id) -> Result<()> {
        let checked = self.backend.check_caller_version(version);
        checked.map_err(|error| error.with(Detail::Vault, &self.id))
    }

    /// See [`Backend::place_name`].
    pub fn place_name(&self, secret: &str) -> String {
        self.backend.place_name(secret)
    }

    /// See [`Backend::plain_name`].
    pub fn plain_name<'a>(&self, secret: &'a str) -> Option<&'a str> {
        self.backend.plain_name(secret)
    }

    /// Checks that definitions of this project may have secrets here under names that are made for
    /// them: any rule for the project says so, because such a name is nobody else's.
    ///
    /// # Errors
    /// `LOCATION_NOT_ALLOWED` with the remedy.
    pub fn check_derived(&self, project: &Id) -> Result<()> {
        match self.allow.names(project) {
            true => Ok(()),
            false => Err(Error::new(Reason::LocationNotAllowed).with(Detail::Vault, &self.id)),
        }
    }

    /// Checks that definitions of this project may point at this secret: by its plain name, or by
    /// its full one where a rule spells that out.
    ///
    /// # Errors
    /// `LOCATION_NOT_ALLOWED` with the remedy.
    pub fn check_allowed(&self, project: &Id, secret: &str) -> Result<()> {
        let plain = self.plain_name(secret);
        if plain.is_some_and(|name| self.allow.allows(project, name))
            || self.allow.allows_in_full(project, secret)
        {
            return Ok(());
        }
        let error = Error::new(Reason::LocationNotAllowed).with(Detail::Vault, &self.id);
        Err(match plain {
            Some(_) => error,
            None => error.violation("location.secret", FULL_NAME),
        })
    }

    /// See [`Backend::check`].
    ///
    /// # Errors
    /// As there.
    pub async fn check(&self) -> Result<()> {
        self.within(Reason::VaultUnreachable, self.backend.check())
            .await
    }

    /// See [`Backend::read`].
    ///
    /// # Errors
    /// As there.
    pub async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        self.within(
            Reason::VaultUnreachable,
            self.backend.read(address, version),
        )
        .await
    }

    /// See [`Backend::write`].
    ///
    /// # Errors
    /// As there; a write that outlives the deadline may or may not have been taken.
    pub async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        let write = self.backend.write(address, write);
        self.within(Reason::WriteOutcomeUnknown, write).await
    }

    /// See [`Backend::find_write`].
    ///
    /// # Errors
    /// As there.
    pub async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        let find = self.backend.find_write(address, write_id);
        self.within(Reason::VaultUnreachable, find).await
    }

    /// See [`Backend::list`]; only of secrets that definitions of this project may point at.
    ///
    /// # Errors
    /// As there.
    pub async fn list(
        &self,
        project: &Id,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        let is_allowed = |name: &str| self.allow.allows(project, name);
        let list = self.backend.list(&is_allowed, after, limit);
        self.within(Reason::VaultUnreachable, list).await
    }

    /// See [`Backend::versions`].
    ///
    /// # Errors
    /// As there.
    pub async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let versions = self.backend.versions(address, after, limit);
        self.within(Reason::VaultUnreachable, versions).await
    }

    /// See [`Backend::replaced`].
    ///
    /// # Errors
    /// As there.
    pub async fn replaced(&self, address: &Address, version: &Id) -> Result<Option<Id>> {
        let replaced = self.backend.replaced(address, version);
        self.within(Reason::VaultUnreachable, replaced).await
    }

    /// See [`Backend::set_state`].
    ///
    /// # Errors
    /// As there, and `VAULT_CAPABILITY_MISSING` where it is not declared.
    pub async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        let (is_able, capability) = match state {
            VersionState::Destroyed => (self.capabilities().destroy_version, "destroy a version"),
            VersionState::Disabled | VersionState::Enabled => (
                self.capabilities().disable_version,
                "enable or disable a version",
            ),
        };
        if !is_able {
            return Err(Error::new(Reason::VaultCapabilityMissing)
                .with(Detail::Vault, &self.id)
                .with(Detail::Capability, capability));
        }
        let change = self.backend.set_state(address, version, state);
        self.within(Reason::VaultUnreachable, change).await
    }

    /// See [`Backend::holders`].
    ///
    /// # Errors
    /// As there.
    pub async fn holders(&self) -> Result<BTreeMap<u32, u64>> {
        self.within(Reason::VaultUnreachable, self.backend.holders())
            .await
    }

    /// See [`Backend::purge`].
    ///
    /// # Errors
    /// As there.
    pub async fn purge(&self, address: &Address) -> Result<()> {
        self.within(Reason::VaultUnreachable, self.backend.purge(address))
            .await
    }

    /// Runs a call within the limits and names the vault in its error. Only a call that reached the
    /// vault can be `late`.
    async fn within<T>(&self, late: Reason, call: impl Future<Output = Result<T>>) -> Result<T> {
        let start = Instant::now();
        let deadline = start + self.timeout;
        let result = async {
            // A call that waited has half of the time left at least, so that a vault is not called
            // unreachable because its queue was long.
            let _place = self.gate.enter(start + self.timeout / 2).await?;
            match timeout_at(deadline, call).await {
                Ok(result) => result,
                Err(elapsed) => Err(Error::new(late).caused_by(elapsed)),
            }
        };
        result
            .await
            .map_err(|error| error.with(Detail::Vault, &self.id))
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use claviger_core::{Format, SecretBytes};

    use super::*;

    /// Never answers, and can do nothing.
    #[derive(Debug)]
    struct Silent;

    #[async_trait]
    impl Backend for Silent {
        fn kind(&self) -> &'static str {
            "silent"
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities {
                secret: false,
                property: false,
                version: false,
                latest: false,
                list: false,
                disable_version: false,
                destroy_version: false,
                value_bytes_max: 1,
            }
        }
        fn plain_name<'a>(&self, secret: &'a str) -> Option<&'a str> {
            (!secret.starts_with("arn:")).then_some(secret)
        }
        async fn check(&self) -> Result<()> {
            std::future::pending().await
        }
        async fn read(&self, _: &Address, _: Option<&str>) -> Result<Reading> {
            std::future::pending().await
        }
        async fn write(&self, _: &Address, _: &Write<'_>) -> Result<Written> {
            std::future::pending().await
        }
        async fn find_write(&self, _: &Address, _: Uid) -> Result<Option<Id>> {
            std::future::pending().await
        }
        async fn versions(
            &self,
            _: &Address,
            _: Option<&Id>,
            _: usize,
        ) -> Result<Vec<VersionInfo>> {
            std::future::pending().await
        }
        async fn set_state(&self, _: &Address, _: &Id, _: VersionState) -> Result<VersionInfo> {
            std::future::pending().await
        }
        async fn purge(&self, _: &Address) -> Result<()> {
            std::future::pending().await
        }
    }

    fn silent() -> (Vault, Address) {
        let vault = Vault::new(
            Id::from_static("quiet"),
            Arc::new(Silent),
            &Limits::timeout(Duration::from_secs(5)),
            Allow::default(),
        );
        let address = Address {
            owner: Uid::random(),
            secret: "s".into(),
        };
        (vault, address)
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_vault_is_left_at_its_deadline() {
        let (vault, address) = silent();
        let start = tokio::time::Instant::now();
        let error = vault.read(&address, None).await.expect_err("silent");
        assert_eq!(error.reason(), Reason::VaultUnreachable);
        assert_eq!(error.detail(Detail::Vault), Some("quiet"));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_outlives_the_deadline_has_an_unknown_outcome() {
        let (vault, address) = silent();
        let value = SecretBytes::new(b"v".to_vec());
        let write = Write {
            write_id: Uid::random(),
            value: &value,
            format: Format::Text,
            adopt: false,
        };
        let error = vault.write(&address, &write).await.expect_err("silent");
        assert_eq!(error.reason(), Reason::WriteOutcomeUnknown);
    }

    #[tokio::test]
    async fn a_missing_capability_is_named_without_asking_the_vault() {
        let (vault, address) = silent();
        let version = Id::from_static("1");
        for state in [VersionState::Disabled, VersionState::Destroyed] {
            let error = vault
                .set_state(&address, &version, state)
                .await
                .expect_err("silent");
            assert_eq!(error.reason(), Reason::VaultCapabilityMissing);
        }
    }

    #[test]
    fn a_name_that_is_not_allowed_is_refused_with_the_remedy() {
        let error = silent().0.check_allowed(&Id::from_static("acme"), "stripe");
        let error = error
            .expect_err("nothing is allowed")
            .with(Detail::Secret, "stripe");
        assert_eq!(
            error.to_string(),
            "this project may not use stripe in vault quiet; ask whoever runs the daemon to add it \
             to vaults.quiet.allow"
        );
    }

    #[test]
    fn a_full_name_of_elsewhere_is_allowed_only_where_a_rule_spells_it_out() {
        let (acme, arn) = (Id::from_static("acme"), "arn:there:acme/stripe-AbCdEf");
        for (pattern, is_allowed) in [("*", false), ("acme/*", false), ("arn:there:acme/*", true)] {
            let rule = Allow::parse_rule("acme", &[pattern.to_owned()]).expect("valid");
            let mut vault = silent().0;
            vault.allow = Allow::new(vec![rule]);
            let checked = vault.check_allowed(&acme, arn);
            assert_eq!(checked.is_ok(), is_allowed, "{pattern}");
            let remedy = checked.err().map(|error| error.to_string());
            assert!(
                remedy.is_none_or(|text| text.contains("account_id")),
                "{pattern}"
            );
        }
    }

    #[test]
    fn an_unknown_vault_names_the_known_ones() {
        let error = Vaults::new([silent().0])
            .find(&Id::from_static("aws"))
            .expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "there is no vault aws; configured: quiet"
        );
    }
}
