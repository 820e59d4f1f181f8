//! The verdicts about values of every shape, at a put and at a read.
//!
//! Keys are put together at run time, so that a secret scanner finds none in any file.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "code around the tests of a test package may fail like a test"
)]

use claviger_core::{Kind, Reason, SecretBytes};
use claviger_stripe::{Class, Finding, Mode, Settings, Verdict, admit, judge, kind_of};
use proptest::prelude::*;

const SK_LIVE: &str = concat!("sk_", "live_");
const RK_LIVE: &str = concat!("rk_", "live_");
const RK_TEST: &str = concat!("rk_", "test_");
const SK_TEST: &str = concat!("sk_", "test_");
const PK_TEST: &str = concat!("pk_", "test_");
const SK_ORG_LIVE: &str = concat!("sk_", "org_", "live_");
const WHSEC: &str = concat!("wh", "sec_");

const BODY: &str = "51H8ZxQmC0nFiGzyXwVu";

fn key(prefix: &str) -> String {
    format!("{prefix}{BODY}")
}

fn judged(kind: Kind, value: &str) -> Verdict {
    judge(kind, value.as_bytes(), &Settings::default(), None).expect("a kind of Stripe's")
}

fn refusing(verdict: &Verdict) -> Vec<&'static str> {
    let findings = verdict.findings.iter();
    let refusing = findings.filter(|finding| finding.reason().is_some());
    refusing.map(|finding| finding.as_str()).collect()
}

fn warning(verdict: &Verdict) -> Vec<&'static str> {
    verdict.warnings().map(Finding::as_str).collect()
}

fn last_four(verdict: &Verdict) -> Option<String> {
    verdict.last_four.map(|last_four| last_four.to_string())
}

fn in_context() -> Settings {
    Settings {
        context: Some("acct_1".to_owned()),
        ..Settings::default()
    }
}

#[test]
fn each_class_is_told_by_its_prefix_and_judged_by_the_kind() {
    use Class as C;
    let (live, test) = (Some(Mode::Live), Some(Mode::Test));
    for (prefix, class, mode, as_key, as_webhook) in [
        (RK_LIVE, C::Restricted, live, &[][..], &["API_KEY"][..]),
        (RK_TEST, C::Restricted, test, &[], &["API_KEY"]),
        ("rkcs_test_", C::Restricted, test, &[], &["API_KEY"]),
        (SK_TEST, C::Secret, test, &[], &["API_KEY"]),
        (SK_LIVE, C::Secret, live, &[], &["API_KEY"]),
        ("sk_", C::Secret, None, &[], &["API_KEY"]),
        (
            SK_ORG_LIVE,
            C::Organization,
            live,
            &["CONTEXT_REQUIRED"],
            &["API_KEY"],
        ),
        (
            PK_TEST,
            C::Publishable,
            test,
            &["PUBLISHABLE_KEY"],
            &["API_KEY"],
        ),
        (
            "ek_live_",
            C::Ephemeral,
            live,
            &["EPHEMERAL_KEY"],
            &["API_KEY"],
        ),
        (WHSEC, C::WebhookSecret, None, &["WEBHOOK_SECRET"], &[]),
        (
            "acct_",
            C::Identifier,
            None,
            &["IDENTIFIER"],
            &["ENDPOINT_IDENTIFIER"],
        ),
        (
            "we_",
            C::Identifier,
            None,
            &["IDENTIFIER"],
            &["ENDPOINT_IDENTIFIER"],
        ),
        ("", C::Unknown, None, &[], &[]),
    ] {
        let value = key(prefix);
        let verdict = judged(Kind::StripeApiKey, &value);
        assert_eq!((verdict.class, verdict.mode), (class, mode), "{prefix}");
        assert_eq!(refusing(&verdict), as_key, "{prefix}");
        let has_end = !matches!(class, C::Identifier | C::Unknown);
        let shown = has_end.then(|| "XwVu".to_owned());
        assert_eq!(last_four(&verdict), shown, "{prefix}");
        let verdict = judged(Kind::StripeWebhookSecret, &value);
        assert_eq!(refusing(&verdict), as_webhook, "{prefix}");
    }
}

#[test]
fn what_is_around_or_inside_a_key_is_named_and_the_key_still_recognised() {
    let key = key(RK_TEST);
    for (value, expected) in [
        (format!("{key}\n"), &["SURROUNDING_SPACE"][..]),
        (format!(" {key}"), &["SURROUNDING_SPACE"]),
        (format!("\"{key}\""), &["QUOTES"]),
        (format!("'{key}'"), &["QUOTES"]),
        (format!("“{key}”"), &["QUOTES"]),
        (format!("{key}\""), &["QUOTES"]),
        (format!("Bearer {key}"), &["BEARER"]),
        (format!("bearer\t{key}"), &["BEARER"]),
        (format!("Authorization: Bearer {key}"), &["BEARER"]),
        (format!("\u{FEFF}{key}"), &["BYTE_ORDER_MARK"]),
        (
            format!("\u{FEFF} \"{key}\"\r\n"),
            &["BYTE_ORDER_MARK", "SURROUNDING_SPACE", "QUOTES"],
        ),
    ] {
        let verdict = judged(Kind::StripeApiKey, &value);
        assert_eq!(refusing(&verdict), expected, "{value:?}");
        assert_eq!(verdict.class, Class::Restricted, "{value:?}");
        assert_eq!(last_four(&verdict).as_deref(), Some("XwVu"), "{value:?}");
    }
    let nothing = judged(Kind::StripeApiKey, "Bearer");
    assert_eq!(refusing(&nothing), ["EMPTY"]);
}

#[test]
fn what_is_no_whole_key_is_refused_without_its_end() {
    let key = key(RK_TEST);
    for (value, expected) in [
        (format!("{key}\u{a0}"), "NOT_ASCII"),
        (format!("{RK_TEST}\u{430}{BODY}"), "NOT_ASCII"),
        (format!("{RK_TEST}12345678 {BODY}"), "INNER_SPACE"),
        (format!("{RK_TEST}1234\n{BODY}"), "INNER_SPACE"),
        (format!("{key}\0"), "INNER_SPACE"),
        (format!("{key}:"), "EMBEDDED"),
        (format!("{key}\\n"), "EMBEDDED"),
        (format!("{key},"), "EMBEDDED"),
        (format!("STRIPE_API_KEY={key}"), "EMBEDDED"),
        (format!(r#"{{"apiKey":"{key}","note":"n"}}"#), "JSON"),
        (format!("[\"{key}\"]"), "JSON"),
        ("hunter2 hunter2".to_owned(), "INNER_SPACE"),
        ("****".to_owned(), "MASKED"),
        (String::new(), "EMPTY"),
        (" \n".to_owned(), "EMPTY"),
        ("\"\"".to_owned(), "EMPTY"),
        ("Bearer ".to_owned(), "EMPTY"),
    ] {
        let verdict = judged(Kind::StripeApiKey, &value);
        assert_eq!(refusing(&verdict), [expected], "{value:?}");
        assert_eq!(last_four(&verdict), None, "{value:?}");
        assert_eq!(warning(&verdict), [""; 0], "{value:?}");
    }
}

#[test]
fn placeholders_are_no_keys_and_keys_are_no_placeholders() {
    let bodies = [
        "",
        "YOUR_SECRET_KEY",
        "your-key",
        "yourSecretKey",
        "YOUR_KEY_123",
        "xxxx",
        "XXXX_XXXX",
        "xxxxxxxxxxxxxxxxxxxxab12",
        "000",
        "0000000000",
        "1234567890",
        "secret_key",
        "KEY",
        "test",
        "live",
        "replace_me",
        "ChangeMe",
        "example",
        "<your key>",
        "<key>",
        "${STRIPE_KEY}",
        "{{ key }}",
    ];
    let prefixes = [SK_LIVE, SK_TEST, RK_LIVE, RK_TEST, "sk_", SK_ORG_LIVE];
    for (prefix, body) in prefixes
        .into_iter()
        .flat_map(|prefix| bodies.map(|body| (prefix, body)))
    {
        let value = format!("{prefix}{body}");
        let verdict = judge(Kind::StripeApiKey, value.as_bytes(), &in_context(), None);
        let verdict = verdict.expect("judged");
        assert_eq!(refusing(&verdict), ["PLACEHOLDER"], "{value}");
        assert_eq!(last_four(&verdict), None, "{value}");
        assert!(!warning(&verdict).contains(&"UNUSUAL_SHAPE"), "{value}");
        let refusal = verdict.refusal(Kind::StripeApiKey, None).expect("refused");
        assert_eq!(refusal.reason(), Reason::ValueMalformed, "{value}");
    }
    for body in bodies {
        let verdict = judged(Kind::StripeWebhookSecret, &format!("{WHSEC}{body}"));
        assert_eq!(refusing(&verdict), ["PLACEHOLDER"], "{body}");
    }
    for value in [
        "<your key>",
        "<STRIPE_KEY>",
        "${STRIPE_KEY}",
        "$STRIPE_KEY",
        "$(cat key)",
        "%STRIPE_KEY%",
        "{{ stripe.key }}",
        "YOUR_API_KEY",
        "your key here",
        "changeme",
        "TODO",
        "xxxxxxxx",
    ] {
        for kind in [Kind::StripeApiKey, Kind::StripeWebhookSecret] {
            assert_eq!(refusing(&judged(kind, value)), ["PLACEHOLDER"], "{value}");
        }
    }
    for value in [
        key(RK_TEST),
        format!("{RK_TEST}abc"),
        format!("{RK_TEST}1"),
        format!("{RK_TEST}51MadeUp00000000000001"),
        format!("{SK_LIVE}your51H8ZxQmC0nFiGzyX"),
        format!("{SK_LIVE}todoZxQmCnFiGzyXwVu5"),
        format!("{SK_LIVE}{BODY}key"),
        key("xk_live_"),
        "hunter2".to_owned(),
    ] {
        assert_eq!(
            refusing(&judged(Kind::StripeApiKey, &value)),
            [""; 0],
            "{value}"
        );
    }
}

proptest! {
    /// What a key's own part is made of.
    #[test]
    fn no_key_is_taken_for_a_placeholder(body in "[0-9A-Za-z]{24}|51[0-9A-Za-z]{97}") {
        let verdict = judged(Kind::StripeApiKey, &format!("{RK_LIVE}{body}"));
        prop_assert_eq!(refusing(&verdict), [""; 0]);
    }
}

#[test]
fn masked_keys_show_the_end_that_the_dashboard_shows() {
    for (value, shown) in [
        (format!("{SK_LIVE}…abcd"), Some("abcd")),
        (format!("{SK_LIVE}...abcd"), Some("abcd")),
        (format!("{SK_TEST}****abcd"), Some("abcd")),
        (format!("{SK_LIVE}••••••••"), None),
        ("sk_**abcd".to_owned(), None),
    ] {
        let verdict = judged(Kind::StripeApiKey, &value);
        assert_eq!(refusing(&verdict), ["MASKED"], "{value}");
        assert_eq!(last_four(&verdict).as_deref(), shown, "{value}");
    }
}

#[test]
fn the_mode_that_is_demanded_decides_and_a_key_without_one_only_warns() {
    for (prefix, demanded, refused, warns) in [
        (RK_LIVE, Mode::Test, &["LIVE_KEY"][..], false),
        (RK_TEST, Mode::Live, &["TEST_KEY"], false),
        (SK_ORG_LIVE, Mode::Test, &["LIVE_KEY"], false),
        (RK_LIVE, Mode::Live, &[], false),
        (RK_TEST, Mode::Test, &[], false),
        ("rk_", Mode::Test, &[], true),
    ] {
        let value = key(prefix);
        let verdict = judge(
            Kind::StripeApiKey,
            value.as_bytes(),
            &in_context(),
            Some(demanded),
        );
        let verdict = verdict.expect("judged");
        assert_eq!(refusing(&verdict), refused, "{prefix} {demanded}");
        assert_eq!(
            warning(&verdict).contains(&"MODE_UNKNOWN"),
            warns,
            "{prefix}"
        );
    }
    let signing = key(WHSEC);
    let settings = Settings::default();
    let verdict = judge(
        Kind::StripeWebhookSecret,
        signing.as_bytes(),
        &settings,
        Some(Mode::Test),
    );
    assert!(verdict.expect("judged").findings.is_empty());
}

#[test]
fn allowed_classes_and_context_decide_about_usable_keys() {
    let only_restricted = Settings {
        allowed_classes: [Class::Restricted].into(),
        ..Settings::default()
    };
    let judge = |prefix, settings: &Settings| {
        judge(Kind::StripeApiKey, key(prefix).as_bytes(), settings, None).expect("judged")
    };
    let refused = judge(SK_LIVE, &only_restricted);
    assert_eq!(refusing(&refused), ["CLASS_NOT_ALLOWED"]);
    assert!(refusing(&judge(RK_LIVE, &only_restricted)).is_empty());
    for prefix in ["", "xk_live_"] {
        let unknown = judge(prefix, &only_restricted);
        assert_eq!(refusing(&unknown), ["CLASS_NOT_ALLOWED"], "{prefix}");
        let refusal = unknown.refusal(Kind::StripeApiKey, None).expect("refused");
        assert_eq!(refusal.reason(), Reason::ValueClassNotAllowed);
        assert_eq!(
            refusing(&judge(prefix, &Settings::default())),
            [""; 0],
            "{prefix}"
        );
    }
    assert_eq!(
        warning(&judge(SK_LIVE, &Settings::default())),
        ["FULL_SECRET_KEY"]
    );
    assert_eq!(
        warning(&judge("rkcs_test_", &Settings::default())),
        ["SHORT_LIVED"]
    );
    assert!(refusing(&judge(SK_ORG_LIVE, &in_context())).is_empty());
}

#[test]
fn what_is_unknown_or_unusual_only_warns() {
    for (value, expected) in [
        (key(""), "UNKNOWN_PREFIX"),
        (key("xk_live_"), "UNKNOWN_PREFIX"),
        ("hunter2".to_owned(), "UNKNOWN_PREFIX"),
        (format!("{RK_TEST}abc"), "UNUSUAL_SHAPE"),
        (format!("{RK_TEST}{}", BODY.repeat(13)), "UNUSUAL_SHAPE"),
        (key(&format!("{RK_TEST}a-b.c")), "UNUSUAL_SHAPE"),
    ] {
        let verdict = judged(Kind::StripeApiKey, &value);
        assert_eq!(refusing(&verdict), [""; 0], "{value}");
        assert_eq!(warning(&verdict), [expected], "{value}");
    }
    let verdict = judged(Kind::StripeWebhookSecret, "hunter2");
    assert_eq!(warning(&verdict), ["UNKNOWN_WEBHOOK_PREFIX"]);
}

#[test]
fn a_put_takes_white_space_off_and_says_so_and_a_read_refuses_it() {
    let (settings, value) = (Settings::default(), key(RK_TEST));
    let pasted = SecretBytes::new(format!("\t{value}\r\n").into());
    let (stored, verdict) = admit(Kind::StripeApiKey, pasted.duplicate(), &settings, None);
    let verdict = verdict.expect("judged");
    assert_eq!(stored.expose(), value.as_bytes());
    assert_eq!(warning(&verdict), ["VALUE_TRIMMED"]);
    assert!(
        verdict
            .refusal(Kind::StripeApiKey, Some("payload.text"))
            .is_none()
    );

    let read = judge(Kind::StripeApiKey, pasted.expose(), &settings, None).expect("judged");
    let refusal = read.refusal(Kind::StripeApiKey, None).expect("refused");
    assert_eq!(refusal.reason(), Reason::ValueMalformed);
    assert!(refusal.field_violation().is_none());
}

#[test]
fn other_kinds_keep_every_byte_and_are_not_judged() {
    for kind in [Kind::Opaque, Kind::Password] {
        let value = SecretBytes::new(format!(" {}\n", key(PK_TEST)).into());
        let (kept, verdict) = admit(kind, value.duplicate(), &Settings::default(), None);
        assert_eq!(kept.expose(), value.expose());
        assert!(verdict.is_none());
    }
}

#[test]
fn a_refusal_says_what_was_found_and_what_to_click() {
    let verdict = judged(Kind::StripeApiKey, &key(PK_TEST));
    let error = verdict.refusal(Kind::StripeApiKey, None).expect("refused");
    assert_eq!(
        error.to_string(),
        "the value is not a STRIPE_API_KEY (publishable key, TEST, ending in XwVu): this is a \
         publishable key (pk_); create a restricted key: Developers → API keys → Create restricted \
         key"
    );
    let error = verdict.refusal(Kind::StripeApiKey, Some("payload.text"));
    let error = error.expect("refused");
    let violation = error.field_violation().expect("a field");
    assert_eq!(violation.field, "payload.text");
    assert_eq!(violation.description, error.to_string());
    let empty = judged(Kind::StripeApiKey, " ");
    let at_put = empty.refusal(Kind::StripeApiKey, Some("payload.text"));
    assert_eq!(at_put.expect("refused").reason(), Reason::PayloadEmpty);
}

#[test]
fn findings_have_names_of_their_own_and_a_remedy() {
    let mut names: Vec<_> = Finding::ALL
        .iter()
        .map(|finding| finding.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Finding::ALL.len());
    let mut texts: Vec<_> = Finding::ALL.iter().map(|finding| finding.text()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), Finding::ALL.len());
    for finding in Finding::ALL {
        let text = finding.text();
        let names_clicks = text.contains(" → ");
        assert!(finding.reason().is_none() || names_clicks, "{text}");
    }
}

#[test]
fn a_value_looks_like_what_it_holds_alone_or_among_other_text() {
    let (api, webhook) = (Some(Kind::StripeApiKey), Some(Kind::StripeWebhookSecret));
    let body = "0123456789abcdefWXYZ";
    for (value, kind) in [
        (key(PK_TEST), api),
        (key(WHSEC), webhook),
        (format!("{}\n", key(RK_LIVE)), api),
        (format!("STRIPE_API_KEY={}", key(SK_LIVE)), api),
        (format!("secret: {}", key(WHSEC)), webhook),
        (format!("\u{feff}{{\"a\":\"{}\"}}", key(RK_LIVE)), api),
        (format!("{SK_LIVE}****WXYZ"), api),
        (format!("acct_{body}"), api),
        (format!("rk_{body}"), api),
        ("hunter2".to_owned(), None),
        ("****".to_owned(), None),
        (String::new(), None),
        ("ca_cert".to_owned(), None),
        ("pk_id".to_owned(), None),
        ("we_are_of_some_length".to_owned(), None),
        (r#"{"a":"b"}"#.to_owned(), None),
    ] {
        assert_eq!(kind_of(value.as_bytes()), kind, "{value}");
    }
}

/// Cases of a property; `CLAVIGER_TEST_VOLUME` makes them more.
#[expect(
    clippy::disallowed_methods,
    reason = "how hard to try is said from outside"
)]
fn cases() -> ProptestConfig {
    let volume = std::env::var("CLAVIGER_TEST_VOLUME").ok();
    let volume: u32 = volume.and_then(|volume| volume.parse().ok()).unwrap_or(1);
    ProptestConfig {
        cases: 256 * volume.max(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn prefix() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        RK_LIVE,
        RK_TEST,
        SK_LIVE,
        SK_TEST,
        SK_ORG_LIVE,
        PK_TEST,
        WHSEC,
        "ek_test_",
        "acct_",
        "rkcs_test_",
        "",
        "sk_",
        "Bearer ",
        "{\"k\":\"",
        "\u{FEFF}",
        "'",
    ])
}

fn settings() -> impl Strategy<Value = Settings> {
    let server = [Class::Organization, Class::Restricted, Class::Secret];
    let classes = prop::sample::subsequence(server.to_vec(), 0..=3);
    (classes, any::<bool>()).prop_map(|(classes, has_context)| Settings {
        allowed_classes: classes.into_iter().collect(),
        context: has_context.then(|| "acct_1".to_owned()),
        ..Settings::default()
    })
}

fn demanded() -> impl Strategy<Value = Option<Mode>> {
    prop::sample::select(vec![None, Some(Mode::Live), Some(Mode::Test)])
}

/// Everything that a verdict and its refusals can print.
fn printed(verdict: &Verdict, kind: Kind) -> String {
    let mut text = format!("{verdict:?} {verdict} {:?}", verdict.findings);
    for field in [None, Some("payload.text")] {
        if let Some(error) = verdict.refusal(kind, field) {
            text += &format!("{error:?} {error} {:?}", error.details());
        }
    }
    text
}

proptest! {
    #![proptest_config(cases())]

    /// The body has an alphabet of its own, so that none of it can come from our texts.
    #[test]
    fn nothing_of_a_value_but_its_last_four_is_ever_printed(
        prefix in prefix(),
        body in "[0-9]{0,40}",
        suffix in prop::sample::select(vec!["", "\n", "\"", "\"}", " 7777", "…"]),
        settings in settings(),
        demanded in demanded(),
    ) {
        let value = format!("{prefix}{body}{suffix}");
        for kind in [Kind::StripeApiKey, Kind::StripeWebhookSecret] {
            let verdict = judge(kind, value.as_bytes(), &settings, demanded).expect("judged");
            let printed = printed(&verdict, kind);
            let shown = last_four(&verdict).unwrap_or_default();
            prop_assert!(value.len() >= 12 || shown.is_empty());
            let digits: Vec<_> = printed.split(|c: char| !c.is_ascii_digit()).collect();
            for run in digits.into_iter().filter(|run| !run.is_empty()) {
                prop_assert_eq!(run, shown.as_str());
            }
        }
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic_and_an_admitted_value_reads_as_it_was_admitted(
        value in prop::collection::vec(any::<u8>(), 0..80),
        prefix in prefix(),
        settings in settings(),
        demanded in demanded(),
    ) {
        let value = [prefix.as_bytes(), &value].concat();
        for kind in [Kind::StripeApiKey, Kind::StripeWebhookSecret] {
            let (stored, put) = admit(kind, SecretBytes::new(value.clone()), &settings, demanded);
            let put = put.expect("judged");
            let read = judge(kind, stored.expose(), &settings, demanded).expect("judged");
            prop_assert_eq!(refusing(&put), refusing(&read));
            prop_assert_eq!(put.last_four, read.last_four);
        }
    }

    /// No wrapping makes a publishable key or a signing secret pass for a key.
    #[test]
    fn what_is_no_key_is_refused_in_every_disguise(
        prefix in prop::sample::select(vec![PK_TEST, WHSEC, "ek_live_", "acct_"]),
        body in "[A-Za-z0-9]{8,99}",
        around in prop::sample::select(vec![
            ("", ""), (" ", "\n"), ("\"", "\""), ("Bearer ", ""), ("\u{FEFF}", ""), ("", ":"),
            ("KEY=", ""), ("\u{FEFF}'", "'\r\n"), ("{\"k\":\"", "\"}"),
        ]),
        settings in settings(),
    ) {
        let value = format!("{}{prefix}{body}{}", around.0, around.1);
        let (_, verdict) = admit(
            Kind::StripeApiKey,
            SecretBytes::new(value.into_bytes()),
            &settings,
            None,
        );
        let refusal = verdict.expect("judged").refusal(Kind::StripeApiKey, None);
        // An id among other text may be anything.
        prop_assert!(refusal.is_some() || (prefix == "acct_" || prefix == "ek_live_"));
    }

    #[test]
    fn a_key_of_a_wrong_mode_is_refused_whatever_is_around_it(
        body in "[A-Za-z0-9]{16,99}",
        space in "[ \t\r\n]{0,3}",
        prefix in prop::sample::select(vec![RK_LIVE, SK_LIVE, SK_ORG_LIVE]),
    ) {
        let value = SecretBytes::new(format!("{space}{prefix}{body}{space}").into_bytes());
        let (_, verdict) = admit(Kind::StripeApiKey, value, &in_context(), Some(Mode::Test));
        let refusal = verdict.expect("judged").refusal(Kind::StripeApiKey, None);
        prop_assert_eq!(refusal.expect("refused").reason(), Reason::ValueWrongMode);
    }
}
