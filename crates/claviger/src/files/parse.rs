//! Reads a file, and says where it cannot be used.
//!
//! SECURITY: a value that was put into it by mistake is not repeated, so no text of the file is, but
//! names of fields and ids.

use claviger_core::{Id, Reason, refuse_pasted};
use serde_saphyr::{Error, MergeKeyPolicy, options};

use super::document::Document;
use super::place::Place;
use crate::stop::Stop;

/// Fields of the proto that hold values.
const VALUES: [&str; 5] = [
    "api_key",
    "client_secret",
    "payload",
    "refresh_token",
    "value",
];

const NO_VALUES: &str = "no value belongs into a file; leave it out, and put it with claviger secret \
    put or claviger profile";

/// Reads a file of this name.
///
/// # Errors
/// The place, and what is allowed there.
pub(crate) fn parse(file: &str, text: &str) -> Result<Document, Stop> {
    for (index, line) in text.lines().enumerate() {
        if refuse_pasted(Reason::FieldInvalid, "file", line).is_err() {
            return Err(Stop::usage(format!(
                "{file}:{}: a key or a token stands in this line, and {NO_VALUES}; if it is a real \
                one, roll it",
                index + 1
            )));
        }
    }
    // As editors read it by the schema: yes is a text, and 1 is none.
    let options = options! {
        merge_keys: MergeKeyPolicy::Error,
        no_schema: true,
        reject_unsupported_tags: true,
        strict_booleans: true,
        with_snippet: false,
    };
    let document = serde_saphyr::from_str_with_options(text, options);
    document.map_err(|error| {
        let place = error.location().map(Place::from).unwrap_or_default();
        let line = text.lines().nth(place.line_index()).unwrap_or_default();
        Stop::usage(format!("{file}:{place}: {}", told(&error, line)))
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library has sixty errors, and may have more"
)]
fn told(error: &Error, line: &str) -> String {
    let list = |words: &[&str]| words.join(", ");
    match error.without_snippet() {
        Error::SerdeUnknownField {
            field, expected, ..
        } => match VALUES.contains(&field.as_str()) {
            true => format!("{field}: {NO_VALUES}; there are {}", list(expected)),
            false => format!(
                "there is no field{} here{}; there are {}",
                named(field),
                near(field, expected),
                list(expected)
            ),
        },
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map(named).unwrap_or_default();
            format!("the key{key} stands here twice")
        }
        Error::SerdeMissingField { field, .. } => format!("the field {field} is missing"),
        Error::MultipleDocuments { .. } => {
            "a second document begins here; a file has one".to_owned()
        }
        // The parser of YAML speaks of its syntax, and repeats no text.
        Error::ExternalMessage { msg, .. } => msg.clone(),
        Error::AliasError { error, .. } => told(error, line),
        other => match key_of(line) {
            Some(key) if VALUES.contains(&key.as_str()) => {
                format!("{key}: {}; {NO_VALUES}", wrong(other))
            }
            Some(key) => format!("{key}: {}", wrong(other)),
            None => wrong(other),
        },
    }
}

/// What a value should be.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library has sixty errors, and may have more"
)]
fn wrong(error: &Error) -> String {
    match error {
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => {
            let near = near(variant, expected);
            format!("this is none of {}{near}", expected.join(", "))
        }
        Error::Unexpected { expected, .. } => match *expected {
            "mapping start" => "this should be a mapping".to_owned(),
            "sequence start" => "this should be a list".to_owned(),
            "string scalar" => "this should be a text".to_owned(),
            other => format!("this should be {other}"),
        },
        Error::NullIntoString { .. } => "a text is missing; write \"\" for an empty one".to_owned(),
        Error::InvalidBooleanStrict { .. } => "this should be true or false".to_owned(),
        Error::QuotingRequired { .. } => {
            "this should be a text, and is none in YAML; put it into quotes".to_owned()
        }
        Error::UnsupportedTag { .. } => "a tag means nothing here; leave it out".to_owned(),
        Error::MergeKeyNotAllowed { .. } => {
            "a merge means nothing here; write the fields out".to_owned()
        }
        // By our own types.
        Error::Message { msg, .. } => msg.clone(),
        _ => "this is no YAML that can be used here".to_owned(),
    }
}

/// The key that a line begins with.
fn key_of(line: &str) -> Option<Id> {
    let (key, _) = line.split_once(':')?;
    let key = key.trim_start_matches([' ', '-']);
    Id::parse("key", key).ok()
}

/// A name, unless it may be something else.
fn named(text: &str) -> String {
    let id = Id::parse("name", text);
    id.map(|id| format!(" {id}")).unwrap_or_default()
}

/// What was meant, perhaps.
fn near(text: &str, expected: &[&'static str]) -> String {
    let Ok(text) = Id::parse("name", text) else {
        return String::new();
    };
    let expected = expected.iter().map(|word| Id::from_static(word));
    let expected = expected.collect::<Vec<_>>();
    let near = text.near_misses(expected.iter());
    match near.0.is_empty() {
        true => String::new(),
        false => format!(", did you mean {near}"),
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use jsonschema::Validator;
    use serde_json::Value;

    use super::*;
    use crate::files::tests::validator;

    /// Whether an editor that knows the schema takes it.
    fn is_valid(schema: &Validator, text: &str) -> bool {
        let options = options! { strict_booleans: true };
        let value = serde_saphyr::from_str_with_options::<Value>(text, options);
        schema.is_valid(&value.unwrap())
    }

    /// What is said of a project `acme` with these lines.
    fn said(lines: &[&str]) -> (String, String) {
        let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
        let text = format!("projects:\n  acme:\n{lines}");
        let stop = parse("acme.yaml", &text).unwrap_err();
        (text, stop.to_string())
    }

    #[test]
    fn a_typo_is_told_with_its_place_and_what_is_allowed_and_the_schema_refuses_it_too() {
        let schema = validator();
        let cases: [(&[&str], &str); 20] = [
            (
                &["descripton: x"],
                "3:5: there is no field descripton here, did you mean description; there are \
                 description, default_vault, environments, definitions, profiles, grants",
            ),
            (
                &["definitions:", "  db:", "    kind: STRIPE_API_KY"],
                "5:15: kind: this is none of OPAQUE, PASSWORD, STRIPE_API_KEY, \
                 STRIPE_WEBHOOK_SECRET, did you mean STRIPE_API_KEY",
            ),
            (
                &["definitions:", "  db:", "    kind: stripe"],
                "5:15: kind: this is none of OPAQUE, PASSWORD, STRIPE_API_KEY, STRIPE_WEBHOOK_SECRET",
            ),
            (
                &["description: [x]"],
                "3:18: description: this should be a text",
            ),
            (
                &["description: 1"],
                "3:18: description: this should be a text, and is none in YAML; put it into quotes",
            ),
            (
                &["description:"],
                "3:16: description: a text is missing; write \"\" for an empty one",
            ),
            (
                &["environments: [prod]"],
                "3:19: environments: this should be a mapping",
            ),
            (&["grants: {}"], "3:13: grants: this should be a list"),
            (
                &["definitions:", "  d b: {}"],
                "4:7: an id has 1 to 128 of the characters 0-9 A-Z a-z _ ( ) -",
            ),
            (
                &["definitions:", "  db:", "    environment_fallback: yes"],
                "5:31: environment_fallback: this should be true or false",
            ),
            (
                &["definitions:", "  db:", "    rotate_by: [1]"],
                "5:20: rotate_by: this should be a text",
            ),
            (
                &[
                    "definitions:",
                    "  db:",
                    "    freshness:",
                    "      max_age: 5m",
                ],
                "6:20: max_age: a span of time is written in whole seconds, as 300s",
            ),
            (
                &["definitions:", "  db:", "    labels: {team: 1}"],
                "5:24: labels: this should be a text, and is none in YAML; put it into quotes",
            ),
            (
                &["profiles:", "  eu:", "    api_key: canary"],
                "5:18: api_key: this should be a mapping; no value belongs into a file",
            ),
            (
                &[
                    "profiles:",
                    "  eu:",
                    "    api_key:",
                    "      api_key: canary",
                ],
                "6:11: api_key: no value belongs into a file; leave it out, and put it with \
                 claviger secret put or claviger profile; there are definition, account, context",
            ),
            (
                &[
                    "profiles:",
                    "  eu:",
                    "    oauth:",
                    "      client_secret: canary",
                ],
                "6:11: client_secret: no value belongs into a file",
            ),
            (
                &["profiles:", "  eu:", "    oauth:", "      flavor: APPS"],
                "6:11: the field client_id is missing",
            ),
            (
                &["grants:", "- principal: unix:0", "  role: RUNER"],
                "5:13: role: this is none of ADMIN, AUDITOR, OPERATOR, RUNNER, did you mean RUNNER",
            ),
            (
                &["grants:", "- role: RUNNER"],
                "4:7: the field principal is missing",
            ),
            (
                &[
                    "grants:",
                    "- {principal: p, role: RUNNER, resource: secret/db}",
                ],
                "4:46: a grant is on secrets/ID or connectionProfiles/ID",
            ),
        ];
        for (lines, expected) in cases {
            let (text, said) = said(lines);
            let (place, _) = expected.split_once(' ').unwrap();
            assert!(said.starts_with(&format!("acme.yaml:{place}")), "{said}");
            assert!(said.contains(expected.trim_start_matches(place)), "{said}");
            assert!(!said.contains("canary"), "{said}");
            assert!(!is_valid(&schema, &text), "{text}");
        }
    }

    #[test]
    fn what_is_no_such_yaml_is_told_with_its_place() {
        for (text, expected) in [
            (
                "projects:\n  acme: {}\n  acme: {}\n",
                "3:3: the key acme stands here twice",
            ),
            (
                "projects:\n  a:\n    description: x\n    description: y\n",
                "4:5: the key description",
            ),
            ("projects:\n\tacme: {}\n", "2:2: tabs disallowed"),
            ("projects: {\n", "1:11: unclosed bracket"),
            (
                "projects: {}\n---\nprojects: {}\n",
                "3:1: a second document",
            ),
            (
                "projects:\n  acme: !x {}\n",
                "2:12: acme: a tag means nothing",
            ),
            (
                "projects: {a: &a {description: x}, b: {<<: *a}}\n",
                "1:40: projects: a merge",
            ),
            (
                "projects: {a: &a {descriptio: x}, b: *a}\n",
                "1:19: there is no field descriptio",
            ),
            (
                "projects:\n  a: {rotate_by: canary}\n",
                "2:7: there is no field rotate_by",
            ),
            ("- canary\n", "1:1: this should be a mapping"),
            ("canary\n", "1:1: this should be a mapping"),
        ] {
            let said = parse("f", text).unwrap_err().to_string();
            assert!(said.starts_with(&format!("f:{expected}")), "{said}");
            assert!(!said.contains("canary"), "{said}");
        }
        assert_eq!(parse("f", "").unwrap(), Document::default());
    }

    #[test]
    fn a_key_or_token_anywhere_is_refused_and_not_repeated() {
        let key = format!("{}_test_{}", "rk", "51Canary0123456789abcdef");
        for text in [
            format!("# {key}\n"),
            format!("\nprojects:\n  acme:\n    description: {key}\n"),
            format!("\n  {key}: x\n"),
        ] {
            let said = parse("f", &text).unwrap_err().to_string();
            assert!(
                said.contains("roll it") && !said.contains("Canary"),
                "{said}"
            );
        }
    }

    #[test]
    fn many_aliases_of_much_end() {
        let grants = ["- &g {principal: p, role: ADMIN}\n"].into_iter();
        let grants = grants.chain(
            slice::from_ref(&"- *g\n")
                .iter()
                .copied()
                .cycle()
                .take(100_000),
        );
        let text: String = ["grants:\n"].into_iter().chain(grants).collect();
        assert!(parse("f", &text).unwrap_err().to_string().starts_with("f:"));
    }
}
