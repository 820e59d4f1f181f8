//! The refusals, case by case.

use claviger_keyvault_fake::{Behaviour, Fake, Filter, Recorded, TokenFault, VaultHandle};

use crate::client::{Answer, Client, keys, send};

const HOST: &str = "records.vault.azure.net";

/// One refusal as recorded: all but the message are exact.
struct Expected(u16, &'static str, Option<&'static str>, &'static str);

type Case = (
    fn(&VaultHandle),
    &'static str,
    &'static str,
    &'static str,
    Expected,
);

const UNKNOWN: Expected = Expected(
    404,
    "SecretNotFound",
    None,
    "A secret with (name/id) n was not found",
);

fn nothing(_: &VaultHandle) {}

fn disabled(vault: &VaultHandle) {
    let version = vault.set("n", "v", &[]);
    vault.disable("n", &version);
}

fn deleted(vault: &VaultHandle) {
    vault.set("n", "v", &[]);
    vault.delete("n");
}

fn deleted_while_disabled(vault: &VaultHandle) {
    disabled(vault);
    vault.delete("n");
}

/// The refusals that a vault makes by itself.
const CASES: &[Case] = &[
    (
        nothing,
        "GET",
        "/secrets/n",
        "",
        Expected(
            404,
            "SecretNotFound",
            None,
            "A secret with (name/id) n was not found in this key vault. If you recently deleted this secret you may be able to recover it",
        ),
    ),
    (
        |vault| {
            vault.set("n", "v", &[]);
        },
        "GET",
        "/secrets/n/0123456789abcdef0123456789abcdef",
        "",
        Expected(
            404,
            "SecretNotFound",
            None,
            "A secret with (name/id) n/0123456789abcdef0123456789abcdef was not found in this key vault.",
        ),
    ),
    (deleted, "GET", "/secrets/n", "", UNKNOWN),
    (
        nothing,
        "GET",
        "/deletedsecrets/n",
        "",
        Expected(404, "SecretNotFound", None, "Deleted Secret not found: n"),
    ),
    (
        nothing,
        "POST",
        "/deletedsecrets/n/recover",
        "",
        Expected(404, "SecretNotFound", None, "Secret not found: n"),
    ),
    (nothing, "DELETE", "/secrets/n", "", UNKNOWN),
    (
        disabled,
        "GET",
        "/secrets/n",
        "",
        Expected(
            403,
            "Forbidden",
            Some("SecretDisabled"),
            "Operation get is not allowed on a disabled secret.",
        ),
    ),
    (
        deleted_while_disabled,
        "GET",
        "/deletedsecrets/n",
        "",
        Expected(403, "Forbidden", Some("SecretDisabled"), ""),
    ),
    (
        deleted,
        "PUT",
        "/secrets/n",
        r#"{"value":"w"}"#,
        Expected(
            409,
            "Conflict",
            Some("ObjectIsDeletedButRecoverable"),
            "Secret n is currently in a deleted but recoverable state, and its name cannot be reused; in this state",
        ),
    ),
    (
        nothing,
        "PUT",
        "/secrets/a_b",
        r#"{"value":"w"}"#,
        Expected(
            400,
            "BadParameter",
            None,
            "The request URI contains an invalid name: a_b",
        ),
    ),
    (
        nothing,
        "GET",
        "/secrets/a%20b",
        "",
        Expected(
            400,
            "BadParameter",
            None,
            "The request URI contains an invalid name: a b",
        ),
    ),
    (
        nothing,
        "PUT",
        "/secrets/",
        r#"{"value":"w"}"#,
        Expected(405, "MethodNotAllowed", None, "HTTP PUT not allowed"),
    ),
];

#[test]
fn refusals_of_a_vault_are_as_recorded() {
    for (number, (prepare, method, path, body, expected)) in CASES.iter().enumerate() {
        let fake = Fake::start();
        prepare(&fake.vault("records"));
        let answer = Client::new(&fake, HOST).call(method, path, body);
        expected.check(&answer, &format!("case {number}: {method} {path}"));
    }
}

#[test]
fn refusals_on_demand_are_as_recorded() {
    let forbidden = |inner, message| Expected(403, "Forbidden", Some(inner), message);
    let unauthorized = |message| Expected(401, "Unauthorized", None, message);
    let token = Recorded::Unauthorized;
    let cases = [
        (
            Recorded::AccessDenied,
            forbidden("AccessDenied", "The user, group or application 'appid="),
        ),
        (
            Recorded::BeingDeleted,
            Expected(
                409,
                "Conflict",
                Some("ObjectIsBeingDeleted"),
                "Secret is currently being deleted.",
            ),
        ),
        (
            Recorded::ForbiddenByConnection,
            forbidden(
                "ForbiddenByConnection",
                "Public network access is disabled and request is not from a trusted service nor via an approved private link.\r\nCaller: ",
            ),
        ),
        (
            Recorded::ForbiddenByFirewall,
            forbidden(
                "ForbiddenByFirewall",
                "Client address is not authorized and caller is not a trusted service.\r\nClient address: ",
            ),
        ),
        (
            Recorded::ForbiddenByPolicy,
            forbidden(
                "ForbiddenByPolicy",
                "Operation is not allowed.\r\nOperation: \"",
            ),
        ),
        (
            Recorded::ForbiddenByRbac,
            forbidden(
                "ForbiddenByRbac",
                "Caller is not authorized to perform action on resource.\r\nIf role assignments",
            ),
        ),
        (
            Recorded::SecretDisabled,
            forbidden(
                "SecretDisabled",
                "Operation get is not allowed on a disabled secret.",
            ),
        ),
        (
            Recorded::Throttled { retry_after: None },
            Expected(
                429,
                "Throttled",
                None,
                "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached",
            ),
        ),
        (
            token(TokenFault::Issuer),
            unauthorized("AKV10032: Invalid issuer. Expected one of https://sts.windows.net/"),
        ),
        (
            token(TokenFault::Audience),
            unauthorized("AKV10022: Invalid audience. Expected https://vault.azure.net, found: "),
        ),
        (
            token(TokenFault::SigningKey),
            unauthorized("AKV10046: Unable to resolve the key used for signature validation."),
        ),
        (
            token(TokenFault::Expired),
            unauthorized("[TokenExpired] Error validating token: 'S2S12086'."),
        ),
    ];
    let fake = Fake::start();
    fake.vault("records").set("n", "v", &[]);
    let client = Client::new(&fake, HOST);
    for (recorded, expected) in cases {
        fake.next(Filter::ANY, 1, Behaviour::Recorded(recorded));
        let answer = client.get("/secrets/n");
        expected.check(&answer, &format!("{recorded:?}"));
        assert_eq!(answer.header("retry-after"), None, "{recorded:?}");
        assert_eq!(client.get("/secrets/n").status, 200, "once only");
    }
}

#[test]
fn role_denial_names_the_action_that_was_asked_for() {
    let fake = Fake::start();
    fake.vault("records");
    let client = Client::new(&fake, HOST);
    let rbac = Behaviour::Recorded(Recorded::ForbiddenByRbac);
    fake.next(Filter::ANY, 2, rbac);
    for (path, action) in [
        (
            "/secrets/n",
            "'Microsoft.KeyVault/vaults/secrets/getSecret/action'",
        ),
        (
            "/secrets",
            "'Microsoft.KeyVault/vaults/secrets/readMetadata/action'",
        ),
    ] {
        let (_, _, message) = client.get(path).error();
        assert!(message.contains(action), "{message}");
        assert!(message.contains("DecisionReason: 'DeniedWithNoValidRBAC' \r\n"));
    }
}

#[test]
fn throttling_names_a_delay_only_if_asked_to() {
    let fake = Fake::start();
    fake.vault("records");
    let throttled = Recorded::Throttled {
        retry_after: Some(30),
    };
    fake.next(Filter::ANY, 1, Behaviour::Recorded(throttled));
    let answer = Client::new(&fake, HOST).get("/secrets");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (429, Some("30"))
    );
}

#[test]
fn missing_token_is_challenged_before_anything_else_is_looked_at() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    for (method, target) in [
        ("GET", "/secrets/n?api-version=7.4"),
        ("PUT", "/secrets/?api-version=7.4"),
        ("GET", "/nonsense"),
    ] {
        let answer = send(&fake, HOST, method, target, &[], "").expect("an answer");
        let expected = Expected(
            401,
            "Unauthorized",
            None,
            "AKV10000: Request is missing a Bearer or PoP token.",
        );
        expected.check(&answer, target);
        let challenge = format!(
            r#"Bearer authorization="https://login.windows.net/{}", resource="https://vault.azure.net""#,
            fake.tenant()
        );
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
    }
    let seen = vault.requests();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| !seen.has_bearer));
}

#[test]
fn value_of_25600_bytes_is_taken_and_one_byte_more_is_not() {
    let fake = Fake::start();
    let vault = fake.vault("records");
    let client = Client::new(&fake, HOST);
    let put = |size| {
        let body = format!(r#"{{"value":"{}"}}"#, "x".repeat(size));
        client.call("PUT", "/secrets/n", &body)
    };
    assert_eq!(put(25_600).status, 200);
    let refused = put(25_601);
    assert_eq!(
        (refused.status, refused.error().0.as_str()),
        (400, "BadParameter")
    );
    assert_eq!(vault.versions("n").len(), 1);
}

#[test]
fn api_version_is_required_and_pages_hold_25_at_most() {
    let fake = Fake::start();
    fake.vault("records");
    let bearer = format!("Bearer {}", fake.issue_token());
    let headers = [("Authorization", bearer.as_str())];
    for (target, status) in [
        ("/secrets?api-version=2025-07-01", 200),
        ("/secrets?api-version=7.4&maxresults=25", 200),
        ("/secrets?api-version=7.4&maxresults=26", 400),
        ("/secrets?api-version=9.9", 400),
        ("/secrets", 400),
    ] {
        let answer = send(&fake, HOST, "GET", target, &headers, "").expect("an answer");
        assert_eq!(answer.status, status, "{target}");
    }
}

impl Expected {
    /// The message has to begin as expected.
    fn check(&self, answer: &Answer, case: &str) {
        let Self(status, code, inner, message) = self;
        assert_eq!(answer.status, *status, "{case}: {}", answer.body);
        let found = answer.error();
        assert_eq!(found.0, *code, "{case}");
        assert_eq!(found.1.as_deref(), *inner, "{case}");
        assert!(found.2.starts_with(message), "{case}: {}", found.2);
        let error = answer.body.strip_prefix(r#"{"error":"#);
        let error = error
            .and_then(|rest| rest.strip_suffix('}'))
            .expect("one field");
        let expected: &[&str] = match inner {
            Some(_) => &["code", "message", "innererror"],
            None => &["code", "message"],
        };
        assert_eq!(keys(error), expected, "{case}");
    }
}
