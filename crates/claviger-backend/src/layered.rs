//! Layers: backends in front of another one, of which each changes no more than it means to.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use claviger_core::{Id, Result, Uid};

use crate::contract::{
    Address, Backend, Capabilities, ListedSecret, NameWarning, Reading, Site, Staged, VersionInfo,
    VersionState, Write, Written,
};

/// The calls of the contract that ask the vault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// [`Backend::check`].
    Check,
    /// [`Backend::find_write`].
    FindWrite,
    /// [`Backend::holders`].
    Holders,
    /// [`Backend::latest`].
    Latest,
    /// [`Backend::list`].
    List,
    /// [`Backend::purge`].
    Purge,
    /// [`Backend::read`].
    Read,
    /// [`Backend::replaced`].
    Replaced,
    /// [`Backend::set_state`].
    SetState,
    /// [`Backend::versions`].
    Versions,
    /// [`Backend::write`].
    Write,
}

/// A backend in front of another one. Everything goes through as it is, but for the verbs that a
/// layer implements: single ones, or [`around`](Self::around) for all that ask the vault.
pub trait Layered: fmt::Debug + Send + Sync + 'static {
    /// The backend that it is in front of.
    fn inner(&self) -> &dyn Backend;

    /// Runs a call that asks the vault.
    fn around<T: Send>(
        &self,
        _verb: Verb,
        call: impl Future<Output = Result<T>> + Send,
    ) -> impl Future<Output = Result<T>> + Send {
        call
    }

    /// See [`Backend::capabilities`].
    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }

    /// See [`Backend::check_name`].
    ///
    /// # Errors
    /// As there.
    fn check_name(&self, secret: &str) -> Result<Option<NameWarning>> {
        self.inner().check_name(secret)
    }

    /// See [`Backend::check_version`].
    ///
    /// # Errors
    /// As there.
    fn check_version(&self, version: &str) -> Result<()> {
        self.inner().check_version(version)
    }

    /// See [`Backend::check_caller_version`].
    ///
    /// # Errors
    /// As there.
    fn check_caller_version(&self, version: &Id) -> Result<()> {
        self.inner().check_caller_version(version)
    }

    /// See [`Backend::check`].
    fn check(&self) -> impl Future<Output = Result<()>> + Send {
        async move { self.around(Verb::Check, self.inner().check()).await }
    }

    /// See [`Backend::read`].
    fn read(
        &self,
        address: &Address,
        version: Option<&str>,
    ) -> impl Future<Output = Result<Reading>> + Send {
        async move {
            self.around(Verb::Read, self.inner().read(address, version))
                .await
        }
    }

    /// See [`Backend::write`].
    fn write(
        &self,
        address: &Address,
        write: &Write<'_>,
    ) -> impl Future<Output = Result<Written>> + Send {
        async move {
            self.around(Verb::Write, self.inner().write(address, write))
                .await
        }
    }

    /// See [`Backend::stage`], which asks no other system.
    fn stage(
        &self,
        address: &Address,
        write: &Write<'_>,
    ) -> impl Future<Output = Result<Option<Staged>>> + Send {
        async move { self.inner().stage(address, write).await }
    }

    /// See [`Backend::find_write`].
    fn find_write(
        &self,
        address: &Address,
        write_id: Uid,
    ) -> impl Future<Output = Result<Option<Id>>> + Send {
        async move {
            let find = self.inner().find_write(address, write_id);
            self.around(Verb::FindWrite, find).await
        }
    }

    /// See [`Backend::list`].
    fn list(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<ListedSecret>>> + Send {
        async move {
            self.around(Verb::List, self.inner().list(is_wanted, after, limit))
                .await
        }
    }

    /// See [`Backend::versions`].
    fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<VersionInfo>>> + Send {
        async move {
            let versions = self.inner().versions(address, after, limit);
            self.around(Verb::Versions, versions).await
        }
    }

    /// See [`Backend::latest`].
    fn latest(&self, address: &Address) -> impl Future<Output = Result<Option<Id>>> + Send {
        async move {
            self.around(Verb::Latest, self.inner().latest(address))
                .await
        }
    }

    /// See [`Backend::replaced`].
    fn replaced(
        &self,
        address: &Address,
        version: &Id,
    ) -> impl Future<Output = Result<Option<Vec<Id>>>> + Send {
        async move {
            let replaced = self.inner().replaced(address, version);
            self.around(Verb::Replaced, replaced).await
        }
    }

    /// See [`Backend::set_state`].
    fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> impl Future<Output = Result<VersionInfo>> + Send {
        async move {
            let change = self.inner().set_state(address, version, state);
            self.around(Verb::SetState, change).await
        }
    }

    /// See [`Backend::holders`].
    fn holders(&self) -> impl Future<Output = Result<BTreeMap<u32, u64>>> + Send {
        async move { self.around(Verb::Holders, self.inner().holders()).await }
    }

    /// See [`Backend::purge`].
    fn purge(&self, address: &Address) -> impl Future<Output = Result<()>> + Send {
        async move { self.around(Verb::Purge, self.inner().purge(address)).await }
    }
}

#[async_trait]
impl<L: Layered> Backend for L {
    fn kind(&self) -> &'static str {
        self.inner().kind()
    }

    fn capabilities(&self) -> Capabilities {
        Layered::capabilities(self)
    }

    fn calls_per_second(&self) -> Option<u32> {
        self.inner().calls_per_second()
    }

    fn check_name(&self, secret: &str) -> Result<Option<NameWarning>> {
        Layered::check_name(self, secret)
    }

    fn plain_name<'a>(&self, secret: &'a str) -> Option<&'a str> {
        self.inner().plain_name(secret)
    }

    fn derived_name(&self, project: &str, id: &str, hash: &str) -> String {
        self.inner().derived_name(project, id, hash)
    }

    fn credentials(&self) -> String {
        self.inner().credentials()
    }

    fn fold(&self, secret: &str) -> String {
        self.inner().fold(secret)
    }

    fn place_name(&self, secret: &str) -> String {
        self.inner().place_name(secret)
    }

    fn site(&self, secret: &str) -> Option<Site> {
        self.inner().site(secret)
    }

    async fn check(&self) -> Result<()> {
        Layered::check(self).await
    }

    fn check_version(&self, version: &str) -> Result<()> {
        Layered::check_version(self, version)
    }

    fn check_caller_version(&self, version: &Id) -> Result<()> {
        Layered::check_caller_version(self, version)
    }

    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        Layered::read(self, address, version).await
    }

    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        Layered::write(self, address, write).await
    }

    async fn stage(&self, address: &Address, write: &Write<'_>) -> Result<Option<Staged>> {
        Layered::stage(self, address, write).await
    }

    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        Layered::find_write(self, address, write_id).await
    }

    async fn list(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        Layered::list(self, is_wanted, after, limit).await
    }

    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        Layered::versions(self, address, after, limit).await
    }

    async fn latest(&self, address: &Address) -> Result<Option<Id>> {
        Layered::latest(self, address).await
    }

    async fn replaced(&self, address: &Address, version: &Id) -> Result<Option<Vec<Id>>> {
        Layered::replaced(self, address, version).await
    }

    async fn set_state(
        &self,
        address: &Address,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        Layered::set_state(self, address, version, state).await
    }

    async fn holders(&self) -> Result<BTreeMap<u32, u64>> {
        Layered::holders(self).await
    }

    async fn purge(&self, address: &Address) -> Result<()> {
        Layered::purge(self, address).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use claviger_core::{Error, Format, Reason, SecretBytes};
    use claviger_store::Batch;

    use super::*;

    /// Answers everything, and nothing as the contract does by default.
    #[derive(Debug)]
    struct Unlike;

    fn info(version: &str) -> VersionInfo {
        VersionInfo {
            version: Id::parse("version", version).expect("valid"),
            state: VersionState::Enabled,
            create_time: SystemTime::UNIX_EPOCH,
        }
    }

    #[async_trait]
    impl Backend for Unlike {
        fn kind(&self) -> &'static str {
            "unlike"
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities {
                secret: true,
                property: false,
                version: true,
                latest: false,
                list: true,
                disable_version: false,
                destroy_version: true,
                value_bytes_max: 3,
            }
        }
        fn calls_per_second(&self) -> Option<u32> {
            Some(4)
        }
        fn check_name(&self, _: &str) -> Result<Option<NameWarning>> {
            Err(Error::new(Reason::NameInvalid))
        }
        fn plain_name<'a>(&self, _: &'a str) -> Option<&'a str> {
            None
        }
        fn derived_name(&self, project: &str, _: &str, _: &str) -> String {
            format!("derived of {project}")
        }
        fn credentials(&self) -> String {
            "credentials".to_owned()
        }
        fn fold(&self, secret: &str) -> String {
            format!("fold of {secret}")
        }
        fn place_name(&self, secret: &str) -> String {
            format!("place of {secret}")
        }
        fn site(&self, _: &str) -> Option<Site> {
            None
        }
        async fn check(&self) -> Result<()> {
            Err(Error::new(Reason::VaultCredentialsRejected))
        }
        fn check_version(&self, _: &str) -> Result<()> {
            Err(Error::new(Reason::VersionDisabled))
        }
        fn check_caller_version(&self, _: &Id) -> Result<()> {
            Err(Error::new(Reason::VersionDestroyed))
        }
        async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
            Ok(Reading::new(
                address.secret.clone(),
                Id::parse("version", version.unwrap_or("none"))?,
                SecretBytes::new(address.secret.clone().into_bytes()),
            ))
        }
        async fn write(&self, _: &Address, write: &Write<'_>) -> Result<Written> {
            let version = Id::parse("version", &write.write_id.to_string())?;
            Ok(Written::new(version).recovering(true))
        }
        async fn stage(&self, _: &Address, write: &Write<'_>) -> Result<Option<Staged>> {
            Ok(Some(Staged {
                version: Id::parse("version", &write.write_id.to_string())?,
                replaced: None,
                batch: Batch::new(),
            }))
        }
        async fn find_write(&self, _: &Address, write_id: Uid) -> Result<Option<Id>> {
            Id::parse("version", &write_id.to_string()).map(Some)
        }
        async fn list(
            &self,
            is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
            after: Option<&str>,
            limit: usize,
        ) -> Result<Vec<ListedSecret>> {
            Ok(vec![ListedSecret {
                name: format!("{} {after:?} {limit}", is_wanted("wanted")),
                is_ours: true,
                change_time: None,
            }])
        }
        async fn versions(
            &self,
            _: &Address,
            after: Option<&Id>,
            limit: usize,
        ) -> Result<Vec<VersionInfo>> {
            Ok(vec![info(&format!("{}-{limit}", after.expect("given")))])
        }
        async fn latest(&self, address: &Address) -> Result<Option<Id>> {
            Id::parse("version", &address.secret).map(Some)
        }
        async fn replaced(&self, _: &Address, version: &Id) -> Result<Option<Vec<Id>>> {
            Ok(Some(vec![info(&format!("before-{version}")).version]))
        }
        async fn set_state(
            &self,
            _: &Address,
            version: &Id,
            state: VersionState,
        ) -> Result<VersionInfo> {
            Ok(VersionInfo {
                state,
                ..info(version.as_str())
            })
        }
        async fn holders(&self) -> Result<BTreeMap<u32, u64>> {
            Ok(BTreeMap::from([(5, 6)]))
        }
        async fn purge(&self, _: &Address) -> Result<()> {
            Err(Error::new(Reason::SecretDeleted))
        }
    }

    /// A layer that changes nothing.
    #[derive(Debug)]
    struct Glass(Arc<dyn Backend>);

    impl Layered for Glass {
        fn inner(&self) -> &dyn Backend {
            &*self.0
        }
    }

    /// The answers of a backend to one call of each sort.
    async fn answers(backend: &dyn Backend, write_id: Uid) -> Vec<String> {
        let address = Address {
            project: Id::from_static("acme"),
            owner: Uid::random(),
            secret: "s".to_owned(),
        };
        let write = Write {
            write_id,
            value: &SecretBytes::new(b"v".to_vec()),
            format: Format::Text,
            adopt: false,
        };
        let version = Id::from_static("7");
        let is_wanted = |name: &str| name == "wanted";
        let disabled = VersionState::Disabled;
        let listed = backend.list(&is_wanted, Some("after"), 8).await;
        vec![
            backend.kind().to_owned(),
            format!("{:?}", backend.capabilities()),
            format!("{:?}", backend.calls_per_second()),
            format!("{:?}", backend.check_name("s")),
            format!("{:?}", backend.plain_name("s")),
            backend.derived_name("p", "i", "h"),
            backend.credentials(),
            backend.fold("s"),
            backend.place_name("s"),
            format!("{:?}", backend.site("s")),
            format!("{:?}", backend.check().await),
            format!("{:?}", backend.check_version("1")),
            format!("{:?}", backend.check_caller_version(&version)),
            format!("{:?}", backend.read(&address, Some("7")).await),
            format!("{:?}", backend.write(&address, &write).await),
            format!("{:?}", backend.stage(&address, &write).await),
            format!("{:?}", backend.find_write(&address, write_id).await),
            format!("{listed:?}"),
            format!("{:?}", backend.versions(&address, Some(&version), 9).await),
            format!("{:?}", backend.latest(&address).await),
            format!("{:?}", backend.replaced(&address, &version).await),
            format!(
                "{:?}",
                backend.set_state(&address, &version, disabled).await
            ),
            format!("{:?}", backend.holders().await),
            format!("{:?}", backend.purge(&address).await),
        ]
    }

    #[tokio::test]
    async fn everything_goes_through_a_layer_that_changes_nothing() {
        let write_id = Uid::random();
        let direct = answers(&Unlike, write_id).await;
        let layered = answers(&Glass(Arc::new(Unlike)), write_id).await;
        assert_eq!(layered, direct);
    }
}
