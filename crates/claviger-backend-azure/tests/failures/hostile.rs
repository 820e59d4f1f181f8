//! The answers that no backend may believe, over the connections that the daemon makes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::{AsyncRawResponse, HttpClient, Request, Url};
use claviger_backend::testkit::{Facing, Lie, address, hostile_answers};
use claviger_backend_azure::{Azure, Credential};
use claviger_stub::{Reply, Stub};
use tempfile::NamedTempFile;

use crate::support::{ID, VERSION, azure_over};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest value of Key Vault's, in bytes.
const VALUE_BYTES_MAX: usize = 25_600;

/// Leads every request to one place.
pub(crate) struct Astray {
    pub(crate) connections: Arc<dyn HttpClient>,
    pub(crate) place: Url,
}

#[async_trait]
impl HttpClient for Astray {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut request = request.clone();
        let mut url = self.place.clone();
        url.set_path(request.url().path());
        *request.url_mut() = url;
        self.connections.execute_request(&request).await
    }
}

impl fmt::Debug for Astray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Astray")
    }
}

fn value(name: &str, len: usize) -> Reply {
    let id = format!("https://acme.vault.azure.net/secrets/{name}/{VERSION}");
    let value = "x".repeat(len);
    Reply::json(200, &format!(r#"{{"id":"{id}","value":"{value}"}}"#))
}

fn play(lie: Lie, request: &claviger_stub::Request, elsewhere: &str) -> Reply {
    let endless = |status| Reply::Endless(status, "x".repeat(64 * 1024));
    if request.target().contains("/oauth2/") && lie != Lie::EndlessLogin {
        let token = r#"{"token_type":"Bearer","expires_in":86399,"access_token":"token"}"#;
        return Reply::json(200, token);
    }
    match lie {
        Lie::EndlessLogin if request.target().contains("/oauth2/") => endless(200),
        Lie::Endless | Lie::EndlessRefusal if request.header("authorization").is_none() => {
            challenge()
        }
        Lie::Endless => endless(200),
        Lie::EndlessRefusal => endless(403),
        Lie::Garbage => Reply::text(200, Lie::CANARY),
        Lie::Redirect => Reply::text(307, "").header(&format!("Location: {elsewhere}")),
        _ if request.header("authorization").is_none() => challenge(),
        Lie::LongValue => value("acme", VALUE_BYTES_MAX + 1),
        Lie::OtherName | Lie::EndlessLogin => value("other", 1),
    }
}

fn challenge() -> Reply {
    Reply::json(401, "{}").header(
        "WWW-Authenticate: Bearer authorization=\"https://login.windows.net/t\", \
         resource=\"https://vault.azure.net\"",
    )
}

#[tokio::test]
async fn hostile_answers_are_not_believed() {
    let secret_file = NamedTempFile::new().expect("a file");
    std::fs::write(secret_file.path(), "canary-client-secret\n").expect("written");
    let credential = Credential::ClientSecret {
        tenant_id: ID.to_owned(),
        client_id: ID.to_owned(),
        secret_file: secret_file.path().to_path_buf(),
    };
    hostile_answers(async |lie| {
        let elsewhere = Stub::always(value("acme", 1));
        let url = elsewhere.url();
        let stub = Stub::start(move |request| play(lie, request, &url));
        let astray = Astray {
            connections: Azure::connections(TIMEOUT).expect("certificates"),
            place: Url::parse(&stub.url()).expect("a URL"),
        };
        let azure = azure_over(Arc::new(astray), TIMEOUT, credential.clone());
        Some(Facing {
            backend: Arc::new(azure),
            address: address("acme"),
            version: None,
            sent: Box::new(move || stub.sent()),
            strayed: Box::new(move || elsewhere.asked().len()),
        })
    })
    .await;
}
