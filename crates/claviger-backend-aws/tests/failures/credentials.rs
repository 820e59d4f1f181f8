//! Credentials from the SDK's own chain: where they are missing, broken or borrowed, and where they
//! are not sent. In processes of their own, because that is where an environment can be set.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use claviger_backend::Backend as _;
use claviger_backend::testkit::{address, ignored_test};
use claviger_backend_aws::{Aws, AwsSettings};
use claviger_core::{Detail, ManualClock, Uid};

use crate::stub::{Reply, Stub};
use crate::support::{LONG, NOW, VALUE};

const ROLE: &str = "arn:aws:iam::123456789012:role/claviger";

/// What the processes get told their settings by.
const SETTINGS: [&str; 4] = [
    "CLAVIGER_TEST_ENDPOINT",
    "CLAVIGER_TEST_PROFILE",
    "CLAVIGER_TEST_ROLE",
    "CLAVIGER_TEST_EXTERNAL_ID",
];

#[expect(
    clippy::disallowed_methods,
    reason = "the environment rule is the daemon's; this is how a test tells its own process"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test]
#[ignore = "run by the tests below, in a process of its own"]
async fn read_with_the_credentials_of_the_environment() {
    let [endpoint_url, profile, role_arn, external_id] = SETTINGS.map(setting);
    let settings = AwsSettings {
        region: "eu-central-1".to_owned(),
        endpoint_url,
        profile,
        role_arn,
        external_id,
        ..AwsSettings::default()
    };
    assert_eq!(settings.problems(), []);
    let clock = Arc::new(ManualClock::at(NOW));
    let aws = Aws::new(&settings, Uid::random(), LONG, clock).await;
    println!("uses {}", aws.credentials());
    match aws.read(&address("acme/stripe"), None).await {
        Ok(_) => println!("read"),
        Err(error) => {
            let cause = error.detail(Detail::Cause).unwrap_or_default();
            println!("shown {} {cause} {error}\nlogged {error:?}", error.reason());
        }
    }
}

/// Reads in a process with this environment and nothing of ours; returns what it says.
fn read(environment: &[(&str, &str)]) -> String {
    let mut command = ignored_test("credentials::read_with_the_credentials_of_the_environment");
    command
        .arg("--nocapture")
        .env_clear()
        // Nobody waits for a machine's identity that is not there.
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied());
    let output = command.output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    said
}

/// What a client would be shown.
#[track_caller]
fn shown(said: &str) -> &str {
    let mut lines = said.lines();
    let shown = lines.find_map(|line| line.strip_prefix("shown "));
    shown.unwrap_or_else(|| panic!("it failed: {said}"))
}

fn found() -> Reply {
    let version = Uid::random();
    Reply::json(
        200,
        &format!(
            r#"{{"ARN":"arn:x","Name":"acme/stripe","VersionId":"{version}","SecretString":"{VALUE}"}}"#
        ),
    )
}

/// A directory that goes away with this value.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("claviger-{}", Uid::random()));
        fs::create_dir(&directory).expect("made");
        Self(directory)
    }

    /// A configuration file of AWS's with this text.
    fn write(&self, text: &str) -> String {
        let file = self.0.join("config");
        fs::write(&file, text).expect("written");
        Path::display(&file).to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("ours");
    }
}

#[test]
fn credentials_that_are_not_there_are_named_with_the_remedy() {
    let stub = Stub::start(Vec::new());
    let said = read(&[(SETTINGS[0], &stub.url())]);
    assert!(said.contains("uses what the AWS SDK's own chain finds"));
    let shown = shown(&said);
    assert!(shown.starts_with("VAULT_CREDENTIALS_REJECTED"), "{shown}");
    assert!(shown.contains("none were found"), "{shown}");
    assert!(stub.asked().is_empty(), "nothing was sent");
}

#[test]
fn profile_that_is_half_or_cannot_work_is_no_profile() {
    let stub = Stub::start(Vec::new());
    let directory = Directory::new();
    for text in [
        "[profile data]\naws_access_key_id = AKIAcanary\n",
        "[profile other]\naws_access_key_id = AKIAcanary\n",
        "[profile data]\nrole_arn = arn:aws:iam::123456789012:role/canary\n",
        // This build starts no processes.
        "[profile data]\ncredential_process = echo canary\n",
    ] {
        let said = read(&[
            (SETTINGS[0], &stub.url()),
            (SETTINGS[1], "data"),
            ("AWS_CONFIG_FILE", &directory.write(text)),
        ]);
        assert!(said.contains("uses profile data"), "{said}");
        let shown = shown(&said);
        assert!(
            shown.starts_with("VAULT_CREDENTIALS_REJECTED"),
            "{text}: {shown}"
        );
        assert!(shown.contains("none were found"), "{text}: {shown}");
        assert!(!shown.contains("canary"), "{text}: {shown}");
    }
    assert!(stub.asked().is_empty(), "nothing was sent");
}

#[test]
fn profile_of_the_settings_is_the_one_that_is_used() {
    let stub = Stub::start(vec![("GetSecretValue", vec![found()])]);
    let directory = Directory::new();
    let file = directory.write(
        "[profile data]\naws_access_key_id = AKIADATA\naws_secret_access_key = x\n\
         [default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = x\n",
    );
    let said = read(&[
        (SETTINGS[0], &stub.url()),
        (SETTINGS[1], "data"),
        ("AWS_CONFIG_FILE", &file),
    ]);
    assert!(said.contains("read\n"), "{said}");
    assert_eq!(stub.keys(), ["AKIADATA"]);
}

#[test]
fn role_is_assumed_with_the_external_id_and_its_credentials_are_used() {
    let assumed = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
        <AssumeRoleResult>
        <AssumedRoleUser><AssumedRoleId>AROA:claviger</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/claviger/x</Arn></AssumedRoleUser>
        <Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>x</SecretAccessKey>
        <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
        </AssumeRoleResult></AssumeRoleResponse>"#;
    let sts = Stub::start(vec![("", vec![Reply::text(200, assumed)])]);
    let stub = Stub::start(vec![("GetSecretValue", vec![found()])]);
    let said = read(&[
        (SETTINGS[0], &stub.url()),
        (SETTINGS[2], ROLE),
        (SETTINGS[3], "ours:42"),
        ("AWS_ENDPOINT_URL_STS", &sts.url()),
        ("AWS_ACCESS_KEY_ID", "AKIABASE"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ]);
    assert!(said.contains(&format!("uses role {ROLE}")), "{said}");
    assert!(said.contains("read\n"), "{said}");
    let asked = sts.asked();
    let [(_, body)] = asked.as_slice() else {
        panic!("asked once: {asked:?}");
    };
    for part in [
        "Action=AssumeRole&",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fclaviger",
        "ExternalId=ours%3A42",
        "RoleSessionName=claviger",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert_eq!(
        (sts.keys(), stub.keys()),
        (vec!["AKIABASE".to_owned()], vec!["ASIAROLE".to_owned()])
    );
}

#[test]
fn role_that_may_not_be_assumed_is_named_with_the_remedy() {
    let denied = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                  <Message>upstream</Message></Error></ErrorResponse>";
    let sts = Stub::start(vec![("", vec![Reply::text(403, denied)])]);
    let stub = Stub::start(Vec::new());
    let said = read(&[
        (SETTINGS[0], &stub.url()),
        (SETTINGS[2], ROLE),
        ("AWS_ENDPOINT_URL_STS", &sts.url()),
        ("AWS_ACCESS_KEY_ID", "AKIABASE"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ]);
    let shown = shown(&said);
    assert!(shown.starts_with("VAULT_CREDENTIALS_REJECTED"), "{shown}");
    assert!(shown.contains("could not be obtained"), "{shown}");
    assert!(!shown.contains("upstream"), "{shown}");
    assert!(stub.asked().is_empty(), "nothing was sent");
}

/// Credentials that nobody refused are not wrong ones.
#[test]
fn who_gives_credentials_and_is_not_heard_is_told_from_one_that_refuses() {
    let sts = |status: u16, code: &str| {
        let text = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code></Error></ErrorResponse>"
        );
        claviger_stub::Stub::always(Reply::text(status, &text))
    };
    let (throttling, failing) = (sts(400, "Throttling"), sts(500, "InternalFailure"));
    let gone = sts(200, "").url();
    let tls = throttling.url().replace("http://", "https://");
    let directory = Directory::new();
    let token = directory.write("a token of the pod's");
    let of_role = [(SETTINGS[2], ROLE), ("AWS_ACCESS_KEY_ID", "AKIABASE")];
    let of_pod = [
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
    ];
    for (url, cause) in [
        (throttling.url().as_str(), "THROTTLED"),
        (failing.url().as_str(), "SERVER_ERROR"),
        (gone.as_str(), "CONNECTION"),
        ("https://claviger.invalid", "DNS"),
        (tls.as_str(), "TLS"),
    ] {
        for identity in [of_role, of_pod] {
            let stub = Stub::start(Vec::new());
            let mut environment = vec![
                (SETTINGS[0], stub.url()),
                ("AWS_ENDPOINT_URL_STS", url.to_owned()),
                ("AWS_REGION", "eu-central-1".to_owned()),
            ];
            environment.extend(identity.map(|(name, value)| (name, value.to_owned())));
            if identity == of_role {
                environment.push(("AWS_SECRET_ACCESS_KEY", "x".to_owned()));
            }
            let environment: Vec<_> = environment
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let said = read(&environment);
            let expected = format!("VAULT_UNREACHABLE {cause} ");
            assert!(shown(&said).starts_with(&expected), "{url}: {said}");
            assert!(stub.asked().is_empty(), "nothing was sent");
        }
    }
}

/// The identity services of a machine and a container, and the one that gives roles.
#[test]
fn endless_answer_of_who_gives_credentials_is_left() {
    let base = [
        ("AWS_ACCESS_KEY_ID", "AKIABASE"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        (SETTINGS[2], ROLE),
    ];
    let machine = [("AWS_EC2_METADATA_DISABLED", "false")];
    for (variable, more) in [
        ("AWS_ENDPOINT_URL_STS", base.as_slice()),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &[]),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &machine),
    ] {
        let endless = Reply::Endless(200, "x".repeat(64 * 1024));
        let giver = claviger_stub::Stub::always(endless);
        let stub = Stub::start(Vec::new());
        let mut environment = vec![(SETTINGS[0], stub.url()), (variable, giver.url())];
        environment.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let said = read(&environment);
        assert!(said.contains("logged"), "{variable}: {said}");
        assert!(giver.sent() > 0, "{variable}: was not asked");
        assert!(
            giver.sent() < 48 * 1024 * 1024,
            "{variable}: {}",
            giver.sent()
        );
        assert!(stub.asked().is_empty(), "nothing was sent");
    }
}
