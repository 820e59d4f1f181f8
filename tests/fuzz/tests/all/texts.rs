//! Names, labels, tokens of pages, documents of vaults, values of Stripe's shape.

use std::fmt::Display;

use claviger_access::{Label, Principal};
use claviger_backend::{NamePattern, Rule};
use claviger_broker::{PageRequest, testkit};
use claviger_core::{
    DefinitionName, Error, Id, Kind, ProjectName, Reason, Resource, SecretBytes, VaultName,
    VersionName, refuse_pasted,
};
use claviger_fuzz::fuzz;
use claviger_stripe::{Settings, admit, judge, kind_of};

/// What is accepted is one line of bounded length, and reads again as itself.
fn reads_again<T: Display + PartialEq>(text: &str, parse: impl Fn(&str) -> Result<T, Error>) {
    if let Ok(parsed) = parse(text) {
        let shown = parsed.to_string();
        assert!(shown.len() <= 1024 && !shown.contains(char::is_control));
        assert!(parse(&shown).is_ok_and(|again| again == parsed), "{shown}");
    }
}

#[test]
fn names() {
    fuzz("names", |input| {
        let text = &String::from_utf8_lossy(input);
        reads_again(text, |text| Id::parse("field", text));
        reads_again(text, |text| ProjectName::parse("field", text));
        reads_again(text, |text| DefinitionName::parse("field", text));
        reads_again(text, |text| VersionName::parse("field", text));
        reads_again(text, |text| VaultName::parse("field", text));
        reads_again(text, |text| Resource::parse("field", text));
        reads_again(text, |text| Principal::parse("field", text));
    });
}

#[test]
fn labels() {
    fuzz("labels", |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(Some(label)) = Label::parse("field", &text) {
            assert!(label.as_str().len() <= 256);
            assert!(!label.as_str().contains(char::is_control));
            let again = Label::parse("field", label.as_str()).unwrap().unwrap();
            assert_eq!(again.as_str(), label.as_str());
        }
    });
}

#[test]
fn page_tokens() {
    fuzz("page-tokens", |input| {
        let text = String::from_utf8_lossy(input);
        let size = i32::try_from(input.len()).unwrap() - 16;
        if let Ok(page) = PageRequest::parse(size, &text) {
            assert!((1..=1000).contains(&page.size));
        }
    });
}

#[test]
fn allow_lists() {
    fuzz("allow-lists", |input| {
        let text = String::from_utf8_lossy(input);
        let (pattern, name) = text.split_once('\n').unwrap_or((&text, ""));
        drop(Rule::parse_project(pattern));
        if let Ok(allowed) = NamePattern::parse(pattern) {
            let whole = pattern.split('*').next().unwrap();
            assert!(!allowed.matches(name) || name.starts_with(whole));
        }
    });
}

/// The property on the first line, then the document.
#[test]
fn documents() {
    fuzz("documents", |input| {
        let end = input.iter().position(|byte| *byte == b'\n');
        let (property, document) = input.split_at(end.unwrap_or_default());
        let property = String::from_utf8_lossy(property);
        drop(testkit::only_property(document));
        // A pointer reads deeper than a write goes.
        if let Ok([_, new]) = testkit::document(document, &property, "a \"new\" value")
            && !property.starts_with('/')
        {
            assert_eq!(new.expose(), b"a \"new\" value");
        }
    });
}

#[test]
fn values() {
    fuzz("values", |input| {
        let settings = Settings::default();
        for kind in [Kind::StripeApiKey, Kind::StripeWebhookSecret] {
            let value = SecretBytes::new(input.to_vec());
            let (stored, _) = admit(kind, value, &settings, None);
            assert_eq!(stored.expose(), input.trim_ascii());
            assert!(judge(kind, stored.expose(), &settings, None).is_some());
        }
        kind_of(input);
        let text = String::from_utf8_lossy(input);
        refuse_pasted(Reason::FieldInvalid, "purpose", &text).ok();
    });
}
