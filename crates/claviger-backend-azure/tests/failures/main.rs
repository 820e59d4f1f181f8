//! What becomes of every failure of Azure: recorded answers, those that do not come, and those that
//! lead astray.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod causes;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod spelling;
#[cfg(test)]
mod stub;
#[cfg(test)]
mod transport;

#[cfg(test)]
mod support {
    use std::sync::Arc;
    use std::time::Duration;

    use azure_core::http::HttpClient;
    use claviger_backend::testkit::put_as;
    use claviger_backend::{Address, Allow, Backend, Vault, VersionInfo, VersionState, Written};
    use claviger_backend_azure::{Azure, AzureSettings, Credential};
    use claviger_core::{Error, Id, ManualClock, Result, Uid};

    use crate::stub::{Reply, Stub};

    /// Stored and served by the stub; must be in no error.
    pub(crate) const VALUE: &str = "canary-value";

    /// What the tests' clock shows: 2026-11-22 12:00:00 UTC.
    pub(crate) const NOW: Duration = Duration::from_secs(1_795_348_800);

    pub(crate) const LONG: Duration = Duration::from_secs(60);

    pub(crate) const ID: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

    pub(crate) const VERSION: &str = "0123456789abcdef0123456789abcdef";

    pub(crate) const GET: &str = "GET /secrets/acme/";
    pub(crate) const VERSIONS: &str = "GET /secrets/acme/versions";
    pub(crate) const DELETED: &str = "GET /deletedsecrets/acme";
    pub(crate) const RECOVER: &str = "POST /deletedsecrets/acme/recover";
    pub(crate) const PUT: &str = "PUT /secrets/acme";

    pub(crate) fn azure(stub: &Arc<Stub>, timeout: Duration) -> Azure {
        let credential = Credential::ClientSecret {
            tenant_id: ID.to_owned(),
            client_id: ID.to_owned(),
            secret_file: stub.secret_file.path().to_path_buf(),
        };
        azure_as(stub, timeout, credential)
    }

    pub(crate) fn azure_as(stub: &Arc<Stub>, timeout: Duration, credential: Credential) -> Azure {
        azure_over(Arc::clone(stub), timeout, credential)
    }

    pub(crate) fn azure_over(
        http: Arc<impl HttpClient + 'static>,
        timeout: Duration,
        credential: Credential,
    ) -> Azure {
        let settings = AzureSettings {
            vault_url: "https://acme.vault.azure.net".to_owned(),
            credential: Some(credential),
        };
        assert_eq!(settings.problems(), []);
        let clock = Arc::new(ManualClock::at(NOW));
        let azure = Azure::with_transport(&settings, http, Uid::random(), timeout, clock);
        azure.expect("set up")
    }

    /// A secret that is not there when a write looks for it, nor before `after` is listed.
    pub(crate) fn absent_until_put(after: Vec<Reply>, put: Reply) -> Arc<Stub> {
        let mut versions = vec![Reply::json(200, listed(&[]))];
        versions.extend(after);
        Stub::new(vec![
            (VERSIONS, versions),
            (GET, vec![Reply::absent()]),
            (DELETED, vec![Reply::absent()]),
            (PUT, vec![put]),
        ])
    }

    /// Within its deadline, as in the daemon.
    pub(crate) fn vault(azure: Azure, timeout: Duration) -> Vault {
        let id = Id::from_static("acme");
        Vault::new(
            id,
            Arc::new(azure),
            &claviger_backend::Limits::timeout(timeout),
            Allow::everything(),
        )
    }

    pub(crate) fn address() -> Address {
        Address {
            project: Id::from_static("acme"),
            owner: Uid::random(),
            secret: "acme".to_owned(),
        }
    }

    pub(crate) fn version() -> Id {
        Id::from_static(VERSION)
    }

    pub(crate) async fn read_fails(azure: &Azure, version: Option<&Id>) -> Error {
        let error = azure.read(&address(), version.map(Id::as_str)).await;
        safe(error.expect_err("the read fails"))
    }

    pub(crate) async fn write(azure: &Azure, write_id: Uid) -> Result<Written> {
        put_as(azure, &address(), VALUE, write_id, true).await
    }

    pub(crate) async fn switch(
        azure: &Azure,
        version: &Id,
        state: VersionState,
    ) -> Result<VersionInfo> {
        azure.set_state(&address(), version, state).await
    }

    pub(crate) async fn write_fails(azure: &Azure) -> Error {
        let error = write(azure, Uid::random()).await;
        safe(error.expect_err("the write fails"))
    }

    /// Nothing of what came from Azure is for clients, and no value is for logs.
    pub(crate) fn safe(error: Error) -> Error {
        let shown = error.to_string();
        for upstream in ["upstream", "appid", "Forbidden", "AADSTS", "https:"] {
            assert!(!shown.contains(upstream), "{shown}");
        }
        let logged = format!("{error:?}");
        assert!(!logged.contains("canary"), "{logged}");
        assert!(!logged.contains(['\r', '\n']), "{logged}");
        error
    }

    /// A version as Key Vault lists it, and with a value as it serves it.
    pub(crate) fn bundle(version: &str, more: &str) -> String {
        format!(
            r#"{{"value":"{VALUE}","id":"https://acme.vault.azure.net/secrets/acme/{version}","attributes":{{"enabled":true,"created":1795000000,"updated":1795000000,"recoveryLevel":"Recoverable+Purgeable","recoverableDays":90}}{more}}}"#
        )
    }

    pub(crate) fn listed(versions: &[String]) -> String {
        format!(r#"{{"value":[{}],"nextLink":null}}"#, versions.join(","))
    }
}
