//! What a caller gets to know when Azure refuses or does not answer: the reason and the remedy, and
//! no word of Azure's own.

use claviger_e2e::Home;
use claviger_keyvault_fake::{Behaviour, Recorded, TokenFault};
use serde_json::json;
use tonic_types::StatusExt as _;

use super::support::{
    Caller, Cloud, HOST, VAULT, about_secrets, assert_refused, location, name, reads, seen,
};

/// In everything that upstream says.
const MARKER: &str = "upstream-marker";

/// What stands for a value in an answer that cannot be used.
const CANARY: &str = "cAnAry51a7b2e9";

/// An answer in Azure's shape, which quotes more than anybody should see.
fn error(status: u16, code: &str, inner: &str) -> Behaviour {
    let message = format!("Caller is not pleased\r\n{MARKER}: appid=0;oid=1;iss=2\r\n");
    let error = match inner {
        "" => json!({ "code": code, "message": message }),
        _ => json!({ "code": code, "message": message, "innererror": { "code": inner } }),
    };
    Behaviour::Status {
        status,
        headers: Vec::new(),
        body: json!({ "error": error }).to_string(),
    }
}

fn page(status: u16) -> Behaviour {
    Behaviour::Status {
        status,
        headers: Vec::new(),
        body: format!("<html>{MARKER} {CANARY}</html>"),
    }
}

/// A failure, of the secret that is named after it.
struct Case {
    secret: &'static str,
    /// The secret's name with a slash before and after.
    path: &'static str,
    answer: fn() -> Behaviour,
    reason: &'static str,
    /// In the message.
    word: &'static str,
}

/// A row of the table.
macro_rules! case {
    ($secret:literal, $answer:expr, $reason:literal, $word:literal) => {
        Case {
            secret: $secret,
            path: concat!("/secrets/", $secret, "/"),
            answer: || $answer,
            reason: $reason,
            word: $word,
        }
    };
}

const DENIED: &str = "VAULT_ACCESS_DENIED";

#[rustfmt::skip]
const CASES: &[Case] = &[
    // As recorded.
    case!("access-denied", Behaviour::Recorded(Recorded::AccessDenied), "VAULT_ACCESS_DENIED", "access policy"),
    case!("audience", Behaviour::Recorded(Recorded::Unauthorized(TokenFault::Audience)), "VAULT_CREDENTIALS_REJECTED", "tenant"),
    case!("being-deleted", Behaviour::Recorded(Recorded::BeingDeleted), "WRITE_IN_PROGRESS", "repeat"),
    case!("connection", Behaviour::Recorded(Recorded::ForbiddenByConnection), "VAULT_UNREACHABLE", "does not answer"),
    case!("disabled", Behaviour::Recorded(Recorded::SecretDisabled), "VERSION_DISABLED", "EnableSecretVersion"),
    case!("expired-token", Behaviour::Recorded(Recorded::Unauthorized(TokenFault::Expired)), "VAULT_CREDENTIALS_REJECTED", "clock"),
    case!("firewall", Behaviour::Recorded(Recorded::ForbiddenByFirewall), "VAULT_UNREACHABLE", "does not answer"),
    case!("issuer", Behaviour::Recorded(Recorded::Unauthorized(TokenFault::Issuer)), "VAULT_CREDENTIALS_REJECTED", "tenant"),
    case!("not-found", Behaviour::Recorded(Recorded::NotFound), "SECRET_NOT_FOUND", "has no value"),
    case!("perimeter", Behaviour::Recorded(Recorded::ForbiddenByPerimeter), "VAULT_UNREACHABLE", "does not answer"),
    case!("policy", Behaviour::Recorded(Recorded::ForbiddenByPolicy), "VAULT_ACCESS_DENIED", "policy"),
    case!("rbac", Behaviour::Recorded(Recorded::ForbiddenByRbac), "VAULT_ACCESS_DENIED", "role"),
    case!("throttled", Behaviour::Recorded(Recorded::Throttled { retry_after: Some(7) }), "VAULT_UNREACHABLE", "does not answer"),
    // The same with a text that nobody may see.
    case!("marked-access-denied", error(403, "Forbidden", "AccessDenied"), "VAULT_ACCESS_DENIED", "access policy"),
    case!("marked-connection", error(403, "Forbidden", "ForbiddenByConnection"), "VAULT_UNREACHABLE", "does not answer"),
    case!("marked-disabled", error(403, "Forbidden", "SecretDisabled"), "VERSION_DISABLED", "EnableSecretVersion"),
    case!("marked-firewall", error(403, "Forbidden", "ForbiddenByFirewall"), "VAULT_UNREACHABLE", "does not answer"),
    case!("marked-not-found", error(404, "SecretNotFound", ""), "SECRET_NOT_FOUND", "has no value"),
    case!("marked-policy", error(403, "Forbidden", "ForbiddenByPolicy"), "VAULT_ACCESS_DENIED", "policy"),
    case!("marked-rbac", error(403, "Forbidden", "ForbiddenByRbac"), "VAULT_ACCESS_DENIED", "role"),
    case!("marked-throttled", error(429, "Throttled", ""), "VAULT_UNREACHABLE", "does not answer"),
    case!("marked-token", error(401, "Unauthorized", ""), "VAULT_CREDENTIALS_REJECTED", "clock"),
    case!("unavailable", error(503, "ServiceUnavailable", ""), "VAULT_UNREACHABLE", "does not answer"),
    // Not known to be a denial, which would be final.
    case!("unlisted", error(403, "Forbidden", "ForbiddenBySomethingNew"), "VAULT_UNREACHABLE", "does not answer"),
    // Not Azure.
    case!("garbage", page(200), "VAULT_UNREACHABLE", "does not answer"),
    case!("gateway", page(502), "VAULT_UNREACHABLE", "does not answer"),
    case!("half", Behaviour::HalfBody, "VAULT_UNREACHABLE", "does not answer"),
    case!("in-between", page(403), "VAULT_UNREACHABLE", "does not answer"),
    case!("redirect", page(302), "VAULT_UNREACHABLE", "does not answer"),
];

#[tokio::test]
async fn every_failure_has_its_reason_and_remedy_and_no_word_of_azure() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let daemon = cloud.daemon(&home);
    let (caller, runner) = (Caller::of(&daemon).await, Caller::runner(&daemon).await);
    for case in CASES {
        cloud.handle().set(case.secret, CANARY, &[]);
        let put = caller
            .put(case.secret, location(case.secret, ""), None)
            .await;
        put.expect("registered");
        if case.secret.ends_with("not-found") {
            cloud.handle().delete(case.secret);
            let deleted = assert_refused(runner.text(case.secret).await, "SECRET_DELETED");
            assert!(!seen(&deleted).contains("SecretNotFound"), "{deleted:?}");
            continue;
        }
        cloud
            .fake
            .next(reads(case.path), usize::MAX, (case.answer)());
        let status = assert_refused(runner.text(case.secret).await, case.reason);
        let message = status.message();
        assert!(message.contains(case.word), "{}: {message}", case.secret);
        let seen = seen(&status);
        for word in [
            MARKER,
            CANARY,
            "Forbidden",
            "appid",
            "AKV",
            "Caller",
            "HTTP",
        ] {
            assert!(!seen.contains(word), "{}: {word} in {seen}", case.secret);
        }
    }
    let log = home.log();
    let failed = log.matches("call failed").count();
    assert_eq!(failed, CASES.len(), "each is logged:\n{log}");
    // Azure says which action a role or policy does not allow, and its operator needs to know; all
    // else it says may quote what was sent.
    let denied = |line: &&str| line.contains("HTTP 403, Forbidden");
    assert!(log.lines().any(|line| denied(&line)), "{log}");
    for line in log.lines().filter(|line| !denied(line)) {
        assert!(!line.contains(MARKER), "{line}");
    }
    let secrets = [CANARY, "fake-bearer", cloud.fake.client_secret()];
    for word in secrets {
        let found = log.lines().find(|line| line.contains(word));
        assert_eq!(found, None, "{word} in the log");
    }
}

#[tokio::test]
async fn throttled_vault_is_asked_once_per_read_and_a_refused_token_is_replaced_once() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let daemon = cloud.daemon(&home);
    let (caller, runner) = (Caller::of(&daemon).await, Caller::runner(&daemon).await);
    let throttled = Recorded::Throttled {
        retry_after: Some(7),
    };
    let long = Recorded::Throttled {
        retry_after: Some(3600),
    };
    let expired = Recorded::Unauthorized(TokenFault::Expired);
    for (secret, path, recorded, times, retry_after) in [
        ("throttled", "/secrets/throttled/", throttled, 1, Some(7)),
        ("long", "/secrets/long/", long, 1, Some(60)),
        ("rbac", "/secrets/rbac/", Recorded::ForbiddenByRbac, 1, None),
        (
            "firewall",
            "/secrets/firewall/",
            Recorded::ForbiddenByFirewall,
            1,
            None,
        ),
        ("expired", "/secrets/expired/", expired, 2, None),
    ] {
        cloud.handle().set(secret, "v", &[]);
        let put = caller.put(secret, location(secret, ""), None).await;
        put.expect("registered");
        // Before, so that the challenge is known.
        assert_eq!(runner.text(secret).await.expect("well"), "v");
        let before = about_secrets(&cloud.handle()).len();
        cloud
            .fake
            .next(reads(path), times, Behaviour::Recorded(recorded));
        let status = runner.text(secret).await.expect_err("a failure");
        let details = status.get_error_details();
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        if retry_after.is_some() {
            assert_eq!(
                delay.map(|delay| delay.as_secs()),
                retry_after,
                "{status:?}"
            );
        }
        let asked = about_secrets(&cloud.handle()).len() - before;
        assert_eq!(asked, times, "{secret}");
        assert_eq!(runner.text(secret).await.expect("well again"), "v");
    }
    let logins = cloud.fake.logins();
    cloud.fake.expire_tokens();
    assert_eq!(runner.text("rbac").await.expect("a fresh token"), "v");
    assert!(cloud.fake.logins() > logins);
}

#[tokio::test]
async fn who_may_only_read_secrets_has_a_vault_that_is_well_and_cannot_browse() {
    let (home, cloud) = (Home::new(), Cloud::start());
    let rbac = Behaviour::Recorded(Recorded::ForbiddenByRbac);
    cloud.fake.next(reads("/secrets?"), usize::MAX, rbac);
    let daemon = cloud.daemon(&home);
    let caller = Caller::of(&daemon).await;
    let checked = caller.check(VAULT).await;
    assert!(checked.ok, "{checked:?}");
    let browse = claviger_proto::v1::ListVaultSecretsRequest {
        parent: format!("vaults/{VAULT}"),
        project: "projects/dev".to_owned(),
        ..Default::default()
    };
    assert_refused(caller.vaults().list_vault_secrets(browse).await, DENIED);
    cloud.fake.vault(HOST).set("s", "v", &[]);
    let put = caller.put("s", location("s", ""), None).await;
    let definition = put.expect("registered").definition.expect("told");
    assert_eq!(definition.name, name("s"));
    assert_eq!(caller.text("s").await.expect("read"), "v");
}
