//! Runners that show a certificate, as others build them: grpcurl, Python, Go, and our own client.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use claviger_client::Tls;
use claviger_e2e::{Client, Daemon, Home, tools};
use claviger_proto::v1::{Grant, PutGrantRequest, Role, WhoAmIRequest};
use claviger_raw::{Authority, Certificate};
use uuid::Uuid;

use crate::python::generate_stubs;

pub(crate) const ETL: &str = "spiffe://acme.example/ns/etl";
const VALUE: &str = "rk_test_over_tls";

/// A daemon that lets in whoever `acme` vouches for, and the files that its clients have.
struct Served {
    home: Home,
    daemon: Daemon,
    acme: Authority,
}

impl Served {
    fn new(client_auth: &str) -> Self {
        let home = Home::new();
        let (config, acme) = configured(&home, client_auth);
        let daemon = home.start(&mut home.configured(&config));
        Self { home, daemon, acme }
    }

    /// Runs a program with the address and the files of a client.
    fn run(&self, command: &mut Command, name: &str) -> Output {
        let file = |name: String| self.home.path().join(name);
        let command = command
            .arg(self.daemon.tcp().to_string())
            .arg(file("root.crt".to_owned()))
            .args([file(format!("{name}.crt")), file(format!("{name}.key"))]);
        command.output().expect("it runs")
    }

    fn grpcurl(&self, name: &str) -> Output {
        let file = |name: String| self.home.path().join(name);
        let mut command = Command::new(tools::grpcurl());
        command.arg("-cacert").arg(file("root.crt".to_owned()));
        command.arg("-cert").arg(file(format!("{name}.crt")));
        command.arg("-key").arg(file(format!("{name}.key")));
        command.args(["-max-time", "20", &self.daemon.tcp().to_string()]);
        let method = "claviger.v1.AccessService/WhoAmI";
        command.arg(method).output().expect("it runs")
    }
}

/// The configuration of a daemon that lets in whoever `acme` vouches for; the files that it and its
/// clients have are made.
pub(crate) fn configured(home: &Home, client_auth: &str) -> (String, Authority) {
    let now = since_epoch();
    let (root, acme) = (Authority::new("root", now), Authority::new("acme", now));
    let server = root.server(&["127.0.0.1", "localhost"]);
    write(home, "root.crt", &root.pem());
    write(home, "acme.crt", &acme.pem());
    write_pair(home, "server", &server);
    write_pair(home, "etl", &acme.client(&[ETL], |_| ()));
    let dir = home.path().display();
    let config = format!(
        "[tls]\n\
         certificate_file = \"{dir}/server.crt\"\n\
         private_key_file = \"{dir}/server.key\"\n\
         client_auth = \"{client_auth}\"\n\
         client_ca_file = \"{dir}/acme.crt\"\n\
         spiffe_trust_domain = \"acme.example\"\n"
    );
    (config, acme)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the certificates are for programs that read the real clock"
)]
pub(crate) fn since_epoch() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("after 1970")
}

fn write(home: &Home, name: &str, text: &str) {
    let path = home.path().join(name);
    fs::write(&path, text).expect("a writable home");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("ours");
}

fn write_pair(home: &Home, name: &str, made: &Certificate) {
    write(home, &format!("{name}.crt"), &made.certificate);
    write(home, &format!("{name}.key"), &made.key);
}

fn lines(output: &Output) -> Vec<&str> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = std::str::from_utf8(&output.stdout).expect("text");
    text.lines().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcurl_python_go_and_our_client_call_with_a_certificate() {
    let served = Served::new("optional");
    let admin = Client::connect(&served.daemon.socket()).await;
    let created = admin.create("tls", VALUE, Uuid::new_v4()).await;
    created.expect("created");
    let own = claviger_client::Client::connect_unix(served.daemon.socket()).await;
    let own = own.expect("connects");
    let grant = PutGrantRequest {
        grant: Some(Grant {
            principal: "spiffe://acme.example/ns/*".to_owned(),
            role: Role::Runner.into(),
            resource: "projects/dev".to_owned(),
            ..Default::default()
        }),
    };
    own.access().put_grant(grant).await.expect("granted");

    let answer = served.grpcurl("etl");
    let answer = lines(&answer).join("\n");
    assert!(
        answer.contains(&format!("\"principal\": \"{ETL}\"")),
        "{answer}"
    );

    let stubs = served.home.path().join("stubs");
    generate_stubs(&stubs);
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(tools::python());
    python
        .arg(package.join("python/tls_runner.py"))
        .env("PYTHONPATH", &stubs)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("EXPECTED", VALUE);
    assert_eq!(
        lines(&served.run(&mut python, "etl")),
        [ETL, "UNAUTHENTICATED"]
    );

    let mut go = Command::new("go");
    go.arg("run").arg(package.join("go/tls_runner.go"));
    let expected = [format!("{ETL} false"), format!("{ETL} true")];
    assert_eq!(lines(&served.run(&mut go, "etl")), expected);

    let read = |name: &str| fs::read(served.home.path().join(name)).expect("written");
    let tls = Tls::trusting(read("root.crt")).with_certificate(read("etl.crt"), read("etl.key"));
    assert!(!format!("{tls:?}").contains("PRIVATE"));
    let address = served.daemon.tcp().to_string();
    let client = claviger_client::Client::connect_tls(&address, tls).await;
    let client = client.expect("connects");
    let who = client.access().who_am_i(WhoAmIRequest {}).await;
    assert_eq!(who.expect("believed").into_inner().principal, ETL);
}

#[test]
fn our_command_shows_a_certificate_to_a_daemon_it_believes_only() {
    let served = Served::new("required");
    let whoami = |authority: &str| {
        let mut command = served.home.program(tools::claviger(), &["whoami"]);
        command.args(["--address", &served.daemon.tcp().to_string()]);
        for (flag, file) in [
            ("--ca-file", authority),
            ("--certificate-file", "etl.crt"),
            ("--private-key-file", "etl.key"),
        ] {
            command.arg(flag).arg(served.home.path().join(file));
        }
        command.output().expect("it runs")
    };
    assert_eq!(lines(&whoami("root.crt")).first(), Some(&ETL));
    // Nobody is waited for, and nothing started, where no trust comes about.
    let distrusted = whoami("acme.crt");
    let told = String::from_utf8_lossy(&distrusted.stderr);
    assert_eq!(distrusted.status.code(), Some(1), "{told}");
    assert!(
        told.contains("invalid peer certificate") && told.contains("--ca-file"),
        "{told}"
    );
}

#[test]
fn grpcurl_with_another_certificate_does_not_get_in() {
    let served = Served::new("required");
    let two = served
        .acme
        .client(&[ETL, "spiffe://acme.example/ns/b"], |_| ());
    let other = Authority::new("acme", since_epoch()).client(&[ETL], |_| ());
    write_pair(&served.home, "two", &two);
    write_pair(&served.home, "other", &other);
    for name in ["two", "other"] {
        assert!(!served.grpcurl(name).status.success(), "{name}");
    }
    assert!(served.grpcurl("etl").status.success());
}
