//! The actions of the owner of a vault, past the data plane.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::vault::{Phase, Tags, Vault, Version, now};

impl Vault {
    pub(crate) fn console_set(&mut self, name: &str, value: &str, tags: Option<Tags>) -> String {
        let mut version = Version::new(value.to_owned());
        version.tags = tags;
        self.console_push(name, version)
    }

    pub(crate) fn console_set_certificate(&mut self, name: &str) -> String {
        let mut version = Version::new(STANDARD.encode("a certificate with its key"));
        version.content_type = Some("application/x-pkcs12".to_owned());
        version.is_managed = true;
        self.console_push(name, version)
    }

    fn console_push(&mut self, name: &str, version: Version) -> String {
        let id = version.id.clone();
        self.entry(name).versions.push(version);
        id
    }

    pub(crate) fn console_version(&mut self, name: &str, id: Option<&str>) -> &mut Version {
        let versions = &mut self.known(name).expect("a known secret").versions;
        let mut wanted = versions
            .iter_mut()
            .rev()
            .filter(|version| id.is_none_or(|id| id == version.id));
        wanted.next().expect("a known version")
    }

    pub(crate) fn console_delete(&mut self, name: &str) {
        let secret = self.known(name).expect("a known secret");
        secret.phase = Phase::Deleted;
        secret.deleted_at = now();
    }

    pub(crate) fn console_versions(&mut self, name: &str) -> Vec<(String, String, Tags)> {
        let versions = self.known(name).map(|secret| &secret.versions);
        versions
            .into_iter()
            .flatten()
            .map(|version| {
                let tags = version.tags.clone().unwrap_or_default();
                (version.id.clone(), version.value.clone(), tags)
            })
            .collect()
    }
}
