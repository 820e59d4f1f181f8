//! The contract of `claviger-backend`, kept with AWS Secrets Manager.

use async_trait::async_trait;
use claviger_backend::{
    Address, Backend, Capabilities, ListedSecret, Listing, NameWarning, Reading, Site, VersionInfo,
    VersionState, Write, Written,
};
use claviger_core::{Cause, Error, Id, Reason, Result, Uid};

use crate::error::{DENIED, NOT_FOUND};
use crate::name::SecretName;
use crate::shapes::{
    CURRENT, Content, TAG_STORE, has_tag, labelled, may_be_version_id, reading, stored_version,
    time, unusable, version_info,
};
use crate::vault::{Aws, PAGE, Selector};

/// A secret that need not be there, for asking whether AWS answers.
const PROBE: &str = "claviger/check";

/// Longest value, in bytes.
const VALUE_BYTES_MAX: usize = 65_536;

/// AWS's quota of GetSecretValue and DescribeSecret together, per account and region.
const CALLS_PER_SECOND: u32 = 10_000;

/// Longest staging label, in characters.
const LABEL_CHARS_MAX: usize = 256;

#[async_trait]
impl Backend for Aws {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            secret: true,
            property: true,
            version: true,
            latest: true,
            list: true,
            disable_version: false,
            destroy_version: false,
            value_bytes_max: VALUE_BYTES_MAX,
        }
    }

    fn calls_per_second(&self) -> Option<u32> {
        Some(CALLS_PER_SECOND)
    }

    fn check_name(&self, secret: &str) -> Result<Option<NameWarning>> {
        SecretName::parse(secret)?.judged(self.client.region())
    }

    fn derived_name(&self, project: &str, id: &str, hash: &str) -> String {
        // Ids have parentheses, AWS's names do not; the hash tells names apart that become the
        // same.
        format!("{project}/{id}-{hash}").replace(['(', ')'], "-")
    }

    fn credentials(&self) -> String {
        self.credentials.clone()
    }

    fn check_version(&self, version: &str) -> Result<()> {
        let is_label = (1..=LABEL_CHARS_MAX).contains(&version.chars().count())
            && !version.contains(char::is_control);
        match is_label {
            true => Ok(()),
            false => Err(Error::new(Reason::LocationInvalid).violation(
                "location.version",
                "is neither the id of a version nor a staging label, which has 1 to 256 characters",
            )),
        }
    }

    /// Not a label: anyone who may move one, or make one, would choose the value for a caller that
    /// relies on a version never to change.
    fn check_caller_version(&self, version: &Id) -> Result<()> {
        match may_be_version_id(version.as_str()) {
            true => Ok(()),
            false => Err(Error::new(Reason::VersionNotFound)),
        }
    }

    fn plain_name<'a>(&self, secret: &'a str) -> Option<&'a str> {
        let name = SecretName::parse(secret).ok()?;
        name.plain(self.client.region(), self.account_id.as_deref())
    }

    fn site(&self, secret: &str) -> Option<Site> {
        let name = SecretName::parse(secret).ok()?;
        Some(name.site(self.client.region(), self.own_account()))
    }

    async fn check(&self) -> Result<()> {
        // Counts against the same quota as reads do, which `calls_per_second` is a share of.
        let asked = self.client.sdk().describe_secret().secret_id(PROBE);
        match asked.send().await.map_err(|error| self.failure(&error)) {
            Ok(_) => Ok(()),
            // AWS says so only to credentials that it takes.
            Err(failure) if failure.has_code(NOT_FOUND) || failure.has_code(DENIED) => Ok(()),
            Err(failure) => Err(failure.into_read_error()),
        }
    }

    async fn read(&self, address: &Address, version: Option<&str>) -> Result<Reading> {
        let name = SecretName::parse(&address.secret)?;
        let by_id = version.filter(|version| may_be_version_id(version));
        let label = version.unwrap_or(CURRENT);
        let read = match by_id {
            Some(version) => match self.get(name, Selector::Version(version)).await {
                Ok(found) if found.version_id() != by_id => {
                    return Err(Error::unreachable(Cause::ServerError)
                        .caused_by("AWS answered with another version"));
                }
                // A label may be as long as the id of a version.
                Err(failure) if failure.has_code(NOT_FOUND) => {
                    self.get(name, Selector::Label(label)).await
                }
                read => read,
            },
            None => self.get(name, Selector::Label(label)).await,
        };
        match read {
            Ok(found) => reading(name, found),
            Err(failure) => Err(self.read_error(name, failure, version.is_some()).await),
        }
    }

    async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        let name = SecretName::parse(&address.secret)?;
        let content = Content::of(write)?;
        let Some(secret) = self.describe(name).await? else {
            return self.create(name, address, write, content).await;
        };
        if !name.leads_to(secret.arn(), self.client.region(), self.own_account()) {
            return Err(Error::new(Reason::LocationInvalid).violation(
                "location.secret",
                "leads to a secret of another name, region or account than the vault's settings \
                 say: ask whoever runs the daemon to correct account_id and the credentials there",
            ));
        }
        if secret.deleted_date.is_some() {
            return Err(Error::new(Reason::SecretDeleted));
        }
        if !self.owns(&secret, address) {
            if !write.adopt {
                return Err(Error::new(Reason::SecretNotOwned));
            }
            self.adopt(name, address).await?;
        }
        self.put(name, write, content).await
    }

    async fn find_write(&self, address: &Address, write_id: Uid) -> Result<Option<Id>> {
        let name = SecretName::parse(&address.secret)?;
        let Some(secret) = self.describe(name).await? else {
            return Ok(None);
        };
        let write_id = write_id.to_string();
        let is_labelled = secret
            .version_ids_to_stages()
            .is_some_and(|versions| versions.contains_key(&write_id));
        let is_there = is_labelled || {
            let versions = self.all_versions(name).await?;
            versions
                .iter()
                .any(|version| version.version_id() == Some(&write_id))
        };
        match is_there {
            true => Id::parse("version", &write_id).map(Some),
            false => Ok(None),
        }
    }

    async fn list(
        &self,
        is_wanted: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedSecret>> {
        let listed = self.client.sdk().list_secrets().max_results(PAGE);
        let mut pages = listed.into_paginator().send();
        // AWS has an order of its own, so all pages are looked at.
        let mut found = Listing::new(is_wanted, after, limit);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failure(&error).into_read_error())?;
            for secret in page.secret_list() {
                let Some(name) = secret.name() else { continue };
                found.add(ListedSecret {
                    name: name.to_owned(),
                    is_ours: has_tag(secret.tags(), TAG_STORE, &self.store_id),
                    change_time: time(secret.last_changed_date().or(secret.created_date())),
                });
            }
        }
        Ok(found.into_page())
    }

    async fn versions(
        &self,
        address: &Address,
        after: Option<&Id>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>> {
        let name = SecretName::parse(&address.secret)?;
        // Asked first: for an absent secret emulators answer the listing with 500.
        if self.describe(name).await?.is_none() {
            return Ok(Vec::new());
        }
        let versions = self.all_versions(name).await?;
        let infos = versions.iter().filter_map(version_info).collect();
        Ok(VersionInfo::page(infos, after, limit))
    }

    async fn latest(&self, address: &Address) -> Result<Option<Id>> {
        let secret = self.describe(SecretName::parse(&address.secret)?).await?;
        let secret = secret.filter(|secret| secret.deleted_date.is_none());
        let current = secret.as_ref().and_then(|secret| labelled(secret, CURRENT));
        current
            .map(|current| stored_version(Some(current), unusable))
            .transpose()
    }

    async fn set_state(&self, _: &Address, _: &Id, state: VersionState) -> Result<VersionInfo> {
        Err(state.unsupported())
    }

    async fn purge(&self, _: &Address) -> Result<()> {
        Ok(())
    }
}
