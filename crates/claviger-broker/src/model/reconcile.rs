//! Two changes of one document, brought together.

use claviger_core::{Result, SecretBytes};
use serde_json::value::RawValue;

use crate::model::document::{Object, write_object};

/// The document `latest` with what `theirs` changed of `base`, which both come from. Of a property
/// that both changed the later one stays; without a base theirs adds what the latest lacks.
///
/// # Errors
/// `VALUE_NOT_JSON`, `VALUE_NOT_TEXT`.
pub(crate) fn reconcile(
    latest: &SecretBytes,
    base: Option<&SecretBytes>,
    theirs: &SecretBytes,
    is_theirs_later: bool,
) -> Result<SecretBytes> {
    let (latest, theirs) = (Object::of(latest)?, Object::of(theirs)?);
    let base = match base {
        Some(base) => Object::of(base)?,
        None => Object::default(),
    };
    let is_theirs = |key: &str| {
        let was = text(&base, key);
        text(&theirs, key) != was && (is_theirs_later || text(&latest, key) == was)
    };
    let kept = latest
        .members()
        .filter_map(|(key, value)| match is_theirs(key) {
            true => Some((key, text(&theirs, key)?)),
            false => Some((key, value.get())),
        });
    let added = theirs
        .members()
        .filter(|(key, _)| latest.get(key).is_none() && is_theirs(key));
    let added = added.map(|(key, value)| (key, value.get()));
    write_object(kept.chain(added))
}

fn text<'a>(object: &Object<'a>, key: &str) -> Option<&'a str> {
    object.get(key).map(RawValue::get)
}

#[cfg(test)]
mod tests {
    use claviger_core::Reason;

    use super::*;

    fn document(text: &str) -> SecretBytes {
        SecretBytes::new(text.into())
    }

    #[test]
    fn what_one_side_changed_is_kept_and_ours_wins_where_both_did() {
        let base = r#"{"key":"old","other":"b","gone":1,"left":[1, 2]}"#;
        for (ours, theirs, both) in [
            (
                r#"{"key":"new","other":"b","gone":1,"left":[1, 2]}"#,
                r#"{"key":"old","other":"c","left":[1, 2],"more":1.0e1}"#,
                r#"{"key":"new","other":"c","left":[1, 2],"more":1.0e1}"#,
            ),
            (
                r#"{"key":"new","other":"b","gone":1,"left":[1, 2]}"#,
                r#"{"key":"theirs","other":"b","gone":1,"left":[1, 2]}"#,
                r#"{"key":"new","other":"b","gone":1,"left":[1, 2]}"#,
            ),
            (
                r#"{"key":"new","left":[1, 2]}"#,
                r#"{"key":"old","other":"c","gone":1,"left":[1, 2]}"#,
                r#"{"key":"new","left":[1, 2]}"#,
            ),
            (base, base, base),
        ] {
            let (ours, theirs) = (document(ours), document(theirs));
            let base = document(base);
            let merged = reconcile(&ours, Some(&base), &theirs, false).expect("JSON");
            let merged = String::from_utf8(merged.into_exposed()).expect("text");
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            assert_eq!(value(&merged), value(both));
        }
    }

    #[test]
    fn what_is_later_wins_where_both_changed() {
        let base = document(r#"{"key":"old","other":"a"}"#);
        let ours = document(r#"{"key":"new","other":"b"}"#);
        let theirs = document(r#"{"key":"old","other":"c"}"#);
        for (is_theirs_later, wanted) in [
            (false, r#"{"key":"new","other":"b"}"#),
            (true, r#"{"key":"new","other":"c"}"#),
        ] {
            let both = reconcile(&ours, Some(&base), &theirs, is_theirs_later).expect("JSON");
            assert_eq!(both.expose(), wanted.as_bytes());
        }
    }

    #[test]
    fn without_a_base_theirs_adds_what_is_missing() {
        let (ours, theirs) = (document(r#"{"key":"new"}"#), document(r#"{"key":1,"k":2}"#));
        let both = reconcile(&ours, None, &theirs, false).expect("JSON");
        assert_eq!(both.expose(), br#"{"key":"new","k":2}"#);
    }

    #[test]
    fn what_is_no_object_is_refused_without_an_echo() {
        let (object, text) = (document("{}"), document("canary"));
        for (ours, base, theirs) in [
            (&text, None, &object),
            (&object, Some(&text), &object),
            (&object, None, &text),
        ] {
            let error = reconcile(ours, base, theirs, false).err().expect("refused");
            assert_eq!(error.reason(), Reason::ValueNotJson);
            assert!(!format!("{error:?}").contains("canary"));
        }
    }
}
