//! The pair and each bundle are taken over by themselves.

use std::time::Duration;

use claviger_integration::{Client, Server};
use claviger_raw::{Authority, Certificate};
use rcgen::{ExtendedKeyUsagePurpose, SanType};

use super::support::{DAY, ETL, Files, NOW, chain};
use super::{UNAUTHENTICATED, hears, tls_part};

const JOB: &str = "urn:job:7";

struct Daemon {
    files: Files,
    corp: Authority,
    server: Server,
    client: Client,
    /// What the server shows.
    pair: Certificate,
}

/// One whose pair ends in a day, before its revocation list and all else.
async fn daemon() -> Daemon {
    let (files, corp) = (Files::new(), Authority::new("corp", NOW));
    let pair = files.root.client(&[], |params| {
        params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().expect("ASCII"))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_after = params.not_before + 2 * DAY;
    });
    files.write("server.pem", &pair.certificate);
    files.write("server.key", &pair.key);
    files.write("corp.pem", &corp.pem());
    let settings = format!(
        "client_auth = \"required\"\n[identity.corp]\nkind = \"x509\"\nca_file = \"{}\"\n",
        files.named("corp.pem"),
    );
    let (server, client) = files.serve(&settings).await;
    Daemon {
        files,
        corp,
        server,
        client,
        pair,
    }
}

impl Daemon {
    /// Sees that a revocation holds that is there at the same time as a fault, which is told.
    async fn revokes_in_spite_of(&self, fault: &dyn Fn(), said: &str) {
        let Self { files, server, .. } = self;
        let etl = files.acme.client(&[ETL], |_| ());
        let mut open = files.client(Some(&etl)).open(server).await.expect("let in");
        hears(&mut open).await;
        fault();
        files.revoke(&[&etl]);
        server.look_at_tls();
        let who = open.who(&[]).await;
        assert_eq!(who, Err(UNAUTHENTICATED.to_owned()), "{said}");
        let who = files.client(Some(&etl)).who(server).await;
        assert!(who.is_err(), "{said}: {who:?}");
        assert_ne!(who, Err(UNAUTHENTICATED.to_owned()), "{said}");

        let job = self.corp.client(&[JOB], |_| ());
        let mut opened = files.client(Some(&job)).open(server).await.expect("let in");
        let who = opened.who(&[]).await;
        assert_eq!(who.as_deref(), Ok("x509:corp:urn:job:7"), "{said}");
        assert_eq!(opened.server, chain(&self.pair)[0], "{said}");
        let part = tls_part(&self.client).await;
        assert!(!part.ok && part.message.contains(said), "{}", part.message);
    }
}

#[tokio::test]
async fn what_is_wrong_with_one_piece_keeps_no_revocation_from_holding() {
    let daemon = daemon().await;
    let Daemon { files, server, .. } = &daemon;
    let other = files.root.server(&["localhost"]);
    let over = files.root.client(&[], |params| {
        params.not_after = params.not_before + DAY / 2;
    });
    for (name, text, said) in [
        ("server.pem", "garbage", "server.pem: holds no certificate"),
        ("server.key", "garbage", "server.key: holds no key"),
        ("server.key", &*other.key, "do not go together"),
        ("server.pem", &*over.certificate, "has ended; put a new"),
        ("corp.pem", "garbage", "corp.pem: holds no certificate"),
    ] {
        let before = files.read(name);
        daemon
            .revokes_in_spite_of(&|| files.write(name, text), said)
            .await;
        files.write(name, &before);
        server.look_at_tls();
        assert_eq!(tls_part(&daemon.client).await.message, "");
    }
    // It is no longer looked at, and ends meanwhile.
    server.clock.advance(DAY + Duration::from_secs(1));
    daemon
        .revokes_in_spite_of(&|| (), "its certificate has ended")
        .await;
}

#[tokio::test]
async fn each_fault_is_told_until_its_own_files_are_right() {
    let daemon = daemon().await;
    let Daemon { files, server, .. } = &daemon;
    let told = || async {
        server.look_at_tls();
        let message = tls_part(&daemon.client).await.message;
        ["server.key", "acme.crl"].map(|name| message.contains(name))
    };
    let key = files.read("server.key");
    files.write("server.key", "garbage");
    files.write("acme.crl", "garbage");
    assert_eq!(told().await, [true, true]);
    files.revoke(&[]);
    assert_eq!(told().await, [true, false]);
    files.write("acme.crl", "garbage");
    files.write("server.key", &key);
    assert_eq!(told().await, [false, true]);
    files.revoke(&[]);
    assert_eq!(told().await, [false, false]);
}

#[tokio::test]
async fn for_a_new_pair_nobody_is_judged_again() {
    let daemon = daemon().await;
    let Daemon { files, server, .. } = &daemon;
    let etl = files.acme.client(&[ETL], |_| ());
    let mut open = files.client(Some(&etl)).open(server).await.expect("let in");
    hears(&mut open).await;
    // The list ends, by which whoever is judged from now on is refused.
    server.clock.advance(3 * DAY);
    files.replace_pair();
    server.look_at_tls();
    assert_eq!(tls_part(&daemon.client).await.message, "");
    hears(&mut open).await;
    files.write("corp.pem", &(daemon.corp.pem() + &daemon.corp.pem()));
    server.look_at_tls();
    assert_eq!(open.who(&[]).await, Err(UNAUTHENTICATED.to_owned()));
}
