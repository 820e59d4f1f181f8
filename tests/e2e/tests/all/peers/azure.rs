use std::fs::{self, Permissions};
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::thread;

use claviger_keyvault_fake::{Behaviour, Fake, Filter, Login, Seen, VaultHandle};
use serde_json::json;
use tempfile::TempDir;

use crate::stage::{Failure, Loss, MARKER, Peer};

/// The name of the vault in Azure.
pub(crate) const HOST: &str = "acme";

/// Azure, under the real host names and with the SDK's checks on: the daemon gets nothing but a proxy,
/// a certificate and the secret of an application.
pub(crate) struct Azure {
    pub(crate) fake: Fake,
    files: TempDir,
}

/// The reads of one secret, by its name with a slash before and after.
pub(crate) const fn reads(path_contains: &'static str) -> Filter {
    let method = Some("GET");
    Filter {
        method,
        path_contains,
    }
}

/// The puts of secrets with this beginning.
pub(crate) const fn puts(path_contains: &'static str) -> Filter {
    let method = Some("PUT");
    Filter {
        method,
        path_contains,
    }
}

/// An answer in Azure's shape, which says more than anybody should see.
fn error(status: u16, code: &str, inner: &str, headers: Vec<(String, String)>) -> Behaviour {
    let message = format!("Caller is not pleased\r\n{MARKER}: appid=0;oid=1;iss=2\r\n");
    let error = json!({ "code": code, "message": message, "innererror": { "code": inner } });
    let body = json!({ "error": error }).to_string();
    Behaviour::Status {
        status,
        headers,
        body,
    }
}

impl Azure {
    pub(super) fn start() -> Self {
        // It drives a runtime of its own, which cannot be inside another.
        let fake = thread::spawn(Fake::start).join().expect("started");
        fake.vault(HOST);
        let files = tempfile::tempdir().expect("a directory for temporary files");
        let azure = Self { fake, files };
        azure.file("ca.pem", azure.fake.ca_pem());
        azure.file("client.secret", azure.fake.client_secret());
        azure
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let file = self.files.path().join(name);
        fs::write(&file, content).expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("closed");
        file
    }

    /// The vault as its owner sees it in the portal.
    pub(crate) fn portal(&self) -> VaultHandle {
        self.fake.vault(HOST)
    }

    /// Tenant and application, as every credential of an application has them.
    pub(crate) fn application(&self) -> String {
        let (tenant, client) = (self.fake.tenant(), self.fake.client_id());
        format!("tenant_id = {tenant:?}, client_id = {client:?}")
    }

    /// The settings of a vault in Azure.
    pub(crate) fn settings_of(&self, host: &str, credential: &str) -> String {
        let url = self.fake.vault(host).url();
        format!("vault_url = {url:?}\ncredential = {credential}")
    }

    /// The credential of most tests.
    pub(crate) fn client_secret(&self) -> String {
        let (application, file) = (self.application(), self.files.path().join("client.secret"));
        format!("{{ kind = \"client_secret\", {application}, secret_file = {file:?} }}")
    }

    /// All that was asked about secrets; the daemon also looks by itself whether the vault is well.
    pub(crate) fn seen(&self, host: &str) -> Vec<Seen> {
        let mut seen = self.fake.vault(host).requests();
        seen.retain(|request| !request.path_and_query.starts_with("/secrets?"));
        seen
    }
}

impl Peer for Azure {
    fn kind(&self) -> &'static str {
        "azure"
    }

    fn settings(&self) -> String {
        self.settings_of(HOST, &self.client_secret())
    }

    fn surround(&self, command: &mut Command) {
        let (endpoint, header) = self.fake.managed_identity_endpoint();
        command
            .env("HTTPS_PROXY", self.fake.proxy_url())
            .env("SSL_CERT_FILE", self.files.path().join("ca.pem"))
            .env("IDENTITY_ENDPOINT", endpoint)
            .env("IDENTITY_HEADER", header);
    }

    fn set(&self, secret: &str, text: &str) -> String {
        self.portal().set(secret, text, &[])
    }

    fn value(&self, secret: &str) -> Option<String> {
        let latest = self.portal().versions(secret).pop();
        latest.map(|(_, text, _)| text)
    }

    fn versions(&self, secret: &str) -> Vec<String> {
        let versions = self.portal().versions(secret).into_iter();
        versions.map(|(version, ..)| version).collect()
    }

    fn delete(&self, secret: &str) {
        self.portal().delete(secret);
    }

    fn names(&self) -> Vec<String> {
        let puts = self
            .seen(HOST)
            .into_iter()
            .filter(|one| one.method == "PUT");
        let name = |put: Seen| {
            let mut segments = put.path_and_query.split(['/', '?']);
            segments.nth(2).expect("a name").to_owned()
        };
        let mut names: Vec<String> = puts.map(name).collect();
        names.sort();
        names.dedup();
        names
    }

    fn asked(&self) -> usize {
        self.seen(HOST).len()
    }

    fn writes(&self) -> usize {
        let seen = self.seen(HOST).into_iter();
        // The first one without a token asks for the challenge, and has no body.
        seen.filter(|one| one.method == "PUT" && one.has_bearer)
            .count()
    }

    fn fail(&self, failure: Failure) -> &'static str {
        let retry_after = || vec![("retry-after".to_owned(), "7".to_owned())];
        let (answer, word) = match failure {
            Failure::Busy => (
                error(429, "Throttled", "", retry_after()),
                "asked too often",
            ),
            Failure::Denied => (
                error(403, "Forbidden", "ForbiddenByRbac", Vec::new()),
                "role",
            ),
            Failure::Rejected => {
                self.fake.fail_login(Login::InvalidClient);
                self.fake.expire_tokens();
                return "not its id";
            }
        };
        self.fake.next(reads("/secrets/stripe/"), 1, answer);
        word
    }

    fn lose(&self, loss: Loss) {
        let behaviour = match loss {
            Loss::Half => Behaviour::HalfBody,
            Loss::Undone => Behaviour::Garbage200,
        };
        self.fake.next(puts("/secrets/"), 1, behaviour);
    }

    fn end(self: Box<Self>) -> Option<TempDir> {
        Some(self.files)
    }

    fn hang(&self) {
        let reads = reads("acme.vault.azure.net/secrets/stripe/");
        self.fake.next(reads, usize::MAX, Behaviour::Hang);
    }

    fn held(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(self.fake.held(1))
    }

    fn mend(&self) {
        self.fake.mend_login();
        self.fake.release();
    }
}
