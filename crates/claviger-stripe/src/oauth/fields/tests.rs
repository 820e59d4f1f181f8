use super::*;

const BODY: &str = "cAnArY51H8ZxQm";

/// Each field by its name, with the check and a value that is right.
type Check = fn(&str) -> Result<()>;

fn fields() -> [(&'static str, Check, String); 6] {
    let right = |prefix: &str| format!("{prefix}{BODY}");
    [
        (
            "profile.oauth.account",
            |text| account("profile.oauth.account", text),
            right("acct_"),
        ),
        ("profile.oauth.app", app, right("app_")),
        ("profile.oauth.client_id", client_id, right("ca_")),
        (
            "profile.oauth.client_secret",
            |text| client_secret(&secret(text)),
            right("sk_test_"),
        ),
        (
            "profile.api_key.context",
            |text| context("profile.api_key.context", text),
            right("acct_"),
        ),
        (
            "profile.oauth.refresh_token",
            |text| refresh_token(&secret(text)).map(drop),
            right("rt_"),
        ),
    ]
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(text.into())
}

/// The description of the refusal, which names the field and repeats nothing.
fn description(name: &str, check: Check, value: &str) -> String {
    let error = check(value).expect_err(value);
    assert_eq!(error.reason(), Reason::FieldInvalid);
    let violation = error.field_violation().expect("a field");
    assert_eq!(violation.field, name, "{value}");
    let text = violation.description;
    assert!(
        !format!("{text}{error}{error:?}").contains("cAnArY"),
        "{text}"
    );
    text
}

#[test]
fn each_right_value_is_taken() {
    for (name, check, right) in fields() {
        assert!(check(&right).is_ok(), "{name}: {right}");
    }
    assert!(client_secret(&secret(concat!("sk_", "live_cAnArY51H8ZxQm"))).is_ok());
    assert!(context("profile.api_key.context", "acct_1/acct_2").is_ok());
}

#[test]
fn each_wrong_beginning_is_refused_by_its_name_with_the_remedy_of_the_field() {
    let remedies = [
        ("profile.oauth.account", "Connect → Connected accounts"),
        ("profile.oauth.app", "Developers → Apps → the app"),
        ("profile.oauth.client_id", "copy the Client ID"),
        (
            "profile.oauth.client_secret",
            "Developers → API keys → Secret key",
        ),
        (
            "profile.api_key.context",
            "Settings → Business → Account details",
        ),
        (
            "profile.oauth.refresh_token",
            "copy the refresh_token (rt_…)",
        ),
    ];
    let beginnings = [
        ("ac_", "is an authorization code (ac_)"),
        ("acct_", "which belongs in account"),
        ("app_", "which belongs in app"),
        ("ca_", "which belongs in client_id"),
        ("ek_test_", "is an ephemeral key (ek_)"),
        ("pk_live_", "is a publishable key (pk_)"),
        ("pk_test_", "is a publishable key (pk_)"),
        ("rk_live_", "is a restricted key or an access token (rk_)"),
        ("rk_test_", "is a restricted key or an access token (rk_)"),
        ("rkcs_test_", "is a restricted key or an access token (rk_)"),
        ("rt_", "which belongs in refresh_token"),
        ("sk_live_", "which belongs in client_secret"),
        ("sk_test_", "which belongs in client_secret"),
        ("sk_org_test_", "is an organization key (sk_org_)"),
        ("we_", "is the id of a webhook endpoint (we_)"),
        ("whsec_", "is a webhook signing secret (whsec_)"),
    ];
    for (name, check, right) in fields() {
        let (_, remedy) = remedies.iter().find(|(of, _)| *of == name).expect("one");
        let mut taken = Vec::new();
        for (beginning, words) in beginnings {
            let value = format!("{beginning}{BODY}");
            if check(&value).is_ok() {
                taken.push(beginning);
                continue;
            }
            let text = description(name, check, &value);
            let is_named = text.contains(words) && text.contains(remedy);
            assert!(is_named, "{name}: {value}: {text}");
        }
        let own: &[_] = match name {
            "profile.oauth.client_secret" => &["sk_live_", "sk_test_"],
            _ => &[right.trim_end_matches(BODY)],
        };
        assert_eq!(taken, own, "{name}");
    }
}

#[test]
fn what_was_copied_along_is_refused_in_every_field() {
    let space = "has white space or a line break in it or around it";
    for (name, check, right) in fields() {
        let (start, end) = right.split_at(right.len() - 4);
        for (value, fault) in [
            (format!("{right}\n"), space),
            (format!(" {right}"), space),
            (format!("{right}\u{a0}"), "has characters that none has"),
            (format!("{start} {end}"), space),
            (format!("\"{right}\""), "has quotes around it"),
            (format!("Bearer {right}"), "begins like a header"),
            (format!("\u{feff}{right}"), "begins with a byte-order mark"),
            (format!("{{\"a\":\"{right}\"}}"), "is a JSON document"),
            (
                format!("{}...{end}", start.get(..3).expect("long")),
                "is masked",
            ),
            (String::new(), "is empty"),
            (" ".to_owned(), "is empty"),
        ] {
            let text = description(name, check, &value);
            assert!(text.contains(fault), "{name}: {value:?}: {text}");
        }
    }
}

#[test]
fn what_is_nothing_known_is_refused_but_for_a_refresh_token_which_warns() {
    for (name, check, right) in fields() {
        for value in ["pa55word", "cAnArY51H8ZxQm", "a/../b", &format!("{right};")] {
            let is_token = name == "profile.oauth.refresh_token" && !value.contains(';');
            match is_token {
                true => assert!(check(value).is_ok(), "{value}"),
                false => drop(description(name, check, value)),
            }
        }
    }
    let warning = |text| refresh_token(&secret(text)).expect("taken");
    assert_eq!(warning("rt_Your51H8ZxQm"), None);
    assert!(
        warning("eyJ0.eyJz-_.c2ln==")
            .expect("a warning")
            .contains("(rt_)")
    );
    for value in [
        "refresh_token=rt_cAnArY51H8ZxQm",
        "rt_",
        "==",
        "rt_xxxxxxxxxxxx",
    ] {
        assert!(refresh_token(&secret(value)).is_err(), "{value}");
    }
    assert!(
        client_secret(&secret("sk_cAnArY51H8ZxQm")).is_err(),
        "no mode"
    );
    assert!(
        account(
            "profile.oauth.account",
            &format!("acct_{}", "1".repeat(300))
        )
        .is_err()
    );
}

#[test]
fn the_mode_of_a_client_secret_is_that_of_its_beginning() {
    for (text, mode) in [
        (concat!("sk_", "live_cAnArY51H8ZxQm"), Some(Mode::Live)),
        ("sk_test_cAnArY51H8ZxQm", Some(Mode::Test)),
        ("sk_org_test_cAnArY51H8ZxQm", None),
        ("rk_test_cAnArY51H8ZxQm", None),
        ("sk_cAnArY51H8ZxQm", None),
    ] {
        assert_eq!(mode_of(&secret(text)), mode, "{text}");
    }
}
