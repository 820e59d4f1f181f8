use std::fs;
use std::path::{Path, PathBuf};

use super::*;

#[test]
fn reasons_are_well_formed_and_unique() {
    let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert!(names.iter().all(|name| {
        name.len() <= 63 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
    }));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Reason::ALL.len());
}

#[test]
fn a_message_is_its_template_filled_and_the_violation() {
    let name = "projects/dev/secrets/stripe";
    let error = Error::new(Reason::DefinitionNotFound).with(Detail::Resource, name);
    assert_eq!(
        error.to_string(),
        "projects/dev/secrets/stripe does not exist; register it with PutSecretDefinition"
    );
    let error = Error::new(Reason::PayloadEmpty).violation("payload.text", "send the key");
    assert_eq!(
        error.to_string(),
        "the payload is empty: payload.text send the key"
    );
}

#[test]
fn a_shortened_text_keeps_whole_characters_and_says_that_it_is_one() {
    for (text, bytes_max, wanted) in [
        ("", 0, ""),
        ("short", 5, "short"),
        ("longer", 5, "lo…"),
        ("é€🔑", 9, "é€🔑"),
        ("é€🔑", 8, "é€…"),
        ("é€🔑", 7, "é…"),
        ("🔑🔑", 3, "…"),
        ("🔑🔑", 0, "…"),
    ] {
        assert_eq!(shortened(text, bytes_max), wanted, "{text} {bytes_max}");
    }
}

#[test]
fn the_first_word_about_a_detail_and_the_last_about_the_field_stay() {
    let error = Error::new(Reason::VaultUnknown)
        .at("name")
        .with(Detail::Vault, "aws")
        .with(Detail::Vaults, "managed")
        .with(Detail::Vault, "other")
        .at("parent");
    let said = "there is no vault aws; configured: managed";
    assert_eq!(error.to_string(), said);
    let violation = error.field_violation().expect("a field");
    assert_eq!((violation.field, &*violation.description), ("parent", said));
    let short = error.shortened(5).to_string();
    assert_eq!(short, "there is no vault aws; configured: ma…");
}

#[test]
fn the_source_is_for_logs_only() {
    let error = Error::new(Reason::StoreUnavailable).caused_by("disk I/O error");
    assert!(!error.to_string().contains("disk I/O"));
    assert!(format!("{error:?}").contains("disk I/O"));
}

#[test]
fn a_text_is_whole_whatever_details_are_known() {
    for reason in Reason::ALL {
        for template in reason.templates() {
            let places = template.matches('{').count();
            assert_eq!(
                places,
                placed(template).count(),
                "{reason} has an unknown place"
            );
        }
        let [first, rest @ ..] = reason.templates() else {
            panic!("{reason} has no text");
        };
        let mut needed = placed(rest.first().unwrap_or(first));
        assert!(
            needed.all(|detail| matches!(detail, Detail::Resource | Detail::Vault)),
            "{reason} needs a text for when its details are not known"
        );
        let bare = Error::new(*reason);
        assert!(!bare.to_string().contains(['{', '}']), "{bare}");
        let named = bare.with(Detail::Resource, "r").with(Detail::Vault, "v");
        assert_eq!(named.unsaid(), None, "{reason}");
        assert!(!named.to_string().contains("unnamed"), "{named}");
        let mut full = Error::new(*reason);
        for detail in Detail::ALL {
            full = full.with(*detail, detail.as_str());
        }
        let filled = first.replace(['{', '}'], "");
        assert_eq!(full.to_string(), filled);
    }
}

#[test]
fn a_resource_or_vault_that_nobody_named_is_seen() {
    let error = Error::new(Reason::SecretDeleted);
    assert_eq!(error.unsaid(), Some(Detail::Resource));
    let error = error.with(Detail::Resource, "projects/acme/secrets/stripe");
    assert_eq!(error.unsaid(), Some(Detail::Vault));
    assert_eq!(error.with(Detail::Vault, "aws").unsaid(), None);
}

/// The sources of a crate, but for its tests.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

#[test]
fn whoever_makes_an_error_about_a_vault_names_it() {
    let needs_vault = |reason: &&Reason| {
        let last = reason.templates().last().expect("one");
        placed(last).any(|detail| detail == Detail::Vault)
    };
    let about_vaults: Vec<String> = Reason::ALL
        .iter()
        .filter(needs_vault)
        .map(|reason| format!("{reason:?}"))
        .collect();
    // The errors of the vaults' own crates pass the layer that names the vault; and the resource is
    // named around all use cases.
    let mut files = Vec::new();
    for room in ["claviger-api", "claviger-broker"] {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        sources(&crates.join(room).join("src"), &mut files);
    }
    let mut seen = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        for made in text.split("Error::new(Reason::").skip(1) {
            let reason = made.split(')').next().expect("always");
            if about_vaults.iter().any(|about| about == reason) {
                seen += 1;
                // To the end of its expression, whichever this is.
                let expression = made.split(";\n").next().expect("always");
                let is_named = expression.contains("Detail::Vault,");
                assert!(is_named, "{}: {reason} names no vault", file.display());
            }
        }
    }
    assert!(seen > 5, "only {seen}");
}
