//! Why nobody was reached, over real sockets.

use std::sync::Arc;

use azure_core::http::{HttpClient, Url};
use claviger_backend::Backend as _;
use claviger_backend_azure::{Azure, Credential};
use claviger_core::Detail;
use claviger_stub::{Reply, Stub};

use crate::hostile::Astray;
use crate::stub;
use crate::support::{ID, LONG, address, azure_over};

/// Reads over these connections.
async fn cause(http: Arc<impl HttpClient + 'static>) -> String {
    let stub = stub::Stub::new(Vec::new());
    let credential = Credential::ClientSecret {
        tenant_id: ID.to_owned(),
        client_id: ID.to_owned(),
        secret_file: stub.secret_file.path().to_path_buf(),
    };
    let azure = azure_over(http, LONG, credential);
    let read = azure
        .read(&address(), None)
        .await
        .expect_err("nobody there");
    let checked = azure.check().await.expect_err("nobody there");
    let [read, checked] =
        [read, checked].map(|error| error.detail(Detail::Cause).map(str::to_owned));
    assert_eq!(read, checked);
    read.expect("has one")
}

#[tokio::test]
async fn who_does_not_answer_is_told_from_who_is_not_there() {
    let gone = Stub::always(Reply::Reset).url();
    let (reset, plain) = (
        Stub::always(Reply::Reset),
        Stub::always(Reply::text(400, "")),
    );
    let half = Stub::always(Reply::HalfBody("{".to_owned()));
    let tls = plain.url().replace("http://", "https://");
    for (place, expected) in [
        (gone.as_str(), "CONNECTION"),
        (&reset.url(), "CONNECTION"),
        (&half.url(), "CONNECTION"),
        ("https://claviger.invalid", "DNS"),
        (&tls, "TLS"),
    ] {
        let astray = Astray {
            connections: Azure::connections(LONG).expect("certificates"),
            place: Url::parse(place).expect("a URL"),
        };
        assert_eq!(cause(Arc::new(astray)).await, expected, "{place}");
    }
}

#[tokio::test]
async fn proxy_that_refuses_or_is_not_there_is_named() {
    let gone = Stub::always(Reply::Reset).url();
    for reply in [407, 403, 502].map(|status| Reply::text(status, "")) {
        let proxy = Stub::always(reply.clone());
        for url in [&proxy.url(), &gone] {
            let proxy = reqwest::Proxy::all(url).expect("a proxy");
            let http = reqwest::Client::builder().proxy(proxy).build();
            let http = Arc::new(http.expect("a client"));
            assert_eq!(cause(http).await, "PROXY", "{reply:?}");
        }
        let asked = proxy.asked();
        assert!(
            asked
                .iter()
                .all(|asked| asked.target().starts_with("CONNECT "))
        );
    }
}
