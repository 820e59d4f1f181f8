//! One property of a JSON document: taken out for a reader, put in for a writer.
//!
//! Errors never echo any part of the document, not even the names of its keys.

use claviger_core::{Error, Reason, Result, SecretBytes};
use serde_json::{Map, Value};
use zeroize::Zeroize;

/// The part of a vault's value that a definition points at. Without a property a document with one
/// key stands for its value, and what is no JSON object stands for itself.
///
/// # Errors
/// `PROPERTY_REQUIRED`, `PROPERTY_NOT_FOUND`, `VALUE_NOT_JSON`.
pub(crate) fn extract(value: SecretBytes, property: Option<&str>) -> Result<SecretBytes> {
    let parsed = serde_json::from_slice::<Value>(value.expose()).map(Secret);
    let found = match (property, &parsed) {
        (None, Ok(Secret(Value::Object(object)))) => {
            let mut values = object.values();
            match (values.next(), values.next()) {
                (Some(only), None) => Some(text_of(only)),
                _ => return Err(Error::new(Reason::PropertyRequired)),
            }
        }
        (None, _) => return Ok(value),
        (Some(property), Ok(Secret(document @ Value::Object(_)))) => {
            find(document, property).map(text_of)
        }
        (Some(_), _) => return Err(Error::new(Reason::ValueNotJson)),
    };
    found.ok_or_else(|| Error::new(Reason::PropertyNotFound))
}

/// The document with one top-level property set and all others kept; a new one if there is none.
///
/// # Errors
/// `VALUE_NOT_JSON`.
pub(crate) fn merge(
    document: Option<&SecretBytes>,
    property: &str,
    value: &SecretBytes,
) -> Result<SecretBytes> {
    let not_json = || Error::new(Reason::ValueNotJson);
    let mut document = match document {
        None => Secret(Value::Object(Map::new())),
        Some(bytes) => Secret(serde_json::from_slice(bytes.expose()).map_err(|_| not_json())?),
    };
    let Value::Object(object) = &mut document.0 else {
        return Err(not_json());
    };
    let text = std::str::from_utf8(value.expose()).map_err(|_| Error::new(Reason::ValueNotText))?;
    if let Some(mut old) = object.insert(property.to_owned(), Value::String(text.to_owned())) {
        wipe(&mut old);
    }
    serde_json::to_vec(&document.0)
        .map(SecretBytes::new)
        .map_err(|_| not_json())
}

/// A plain key, or an RFC 6901 pointer when it starts with `/`.
fn find<'a>(document: &'a Value, property: &str) -> Option<&'a Value> {
    match property.starts_with('/') {
        true => document.pointer(property),
        false => document.get(property),
    }
}

/// A string as it is, anything else as JSON.
fn text_of(value: &Value) -> SecretBytes {
    SecretBytes::new(match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string().into_bytes()
        }
    })
}

/// A parsed document, wiped when dropped.
struct Secret(Value);

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(object) => object.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extracted(document: &str, property: Option<&str>) -> Result<String, Reason> {
        extract(SecretBytes::new(document.into()), property)
            .map(|value| String::from_utf8(value.into_exposed()).expect("text"))
            .map_err(|error| error.reason())
    }

    #[test]
    fn a_property_is_a_key_or_a_pointer() {
        let document = r#"{"apiKey":"a","a.b c/d":"b","deep":{"list":["x",{"y":7}]},"":"e"}"#;
        for (property, wanted) in [
            ("apiKey", Ok("a")),
            ("a.b c/d", Ok("b")),
            ("/deep/list/0", Ok("x")),
            ("/deep/list/1/y", Ok("7")),
            ("/a.b c~1d", Ok("b")),
            ("/", Ok("e")),
            ("deep.list", Err(Reason::PropertyNotFound)),
            ("/deep/list/9", Err(Reason::PropertyNotFound)),
            ("APIKEY", Err(Reason::PropertyNotFound)),
        ] {
            let wanted = wanted.map(str::to_owned);
            assert_eq!(extracted(document, Some(property)), wanted, "{property}");
        }
    }

    #[test]
    fn without_a_property_one_key_is_enough_and_plain_text_is_itself() {
        assert_eq!(extracted(r#"{"apiKey":"a"}"#, None), Ok("a".to_owned()));
        assert_eq!(
            extracted(r#"{"a":"1","b":"2"}"#, None),
            Err(Reason::PropertyRequired)
        );
        assert_eq!(extracted("{}", None), Err(Reason::PropertyRequired));
        assert_eq!(extracted("rk_test", None), Ok("rk_test".to_owned()));
        assert_eq!(extracted("[1]", None), Ok("[1]".to_owned()));
        assert_eq!(
            extracted("rk_test", Some("apiKey")),
            Err(Reason::ValueNotJson)
        );
    }

    #[test]
    fn a_merge_keeps_the_other_properties_and_errors_echo_nothing() {
        let value = SecretBytes::new(b"new".to_vec());
        let old = SecretBytes::new(br#"{"apiKey":"old","other":{"b":[1,2]}}"#.to_vec());
        let merged = merge(Some(&old), "apiKey", &value).expect("merged");
        let merged: Value = serde_json::from_slice(merged.expose()).expect("JSON");
        assert_eq!(
            merged,
            serde_json::json!({"apiKey": "new", "other": {"b": [1, 2]}})
        );
        let fresh = merge(None, "apiKey", &value).expect("made");
        assert_eq!(fresh.expose(), br#"{"apiKey":"new"}"#);
        let canary = SecretBytes::new(b"canary{".to_vec());
        let error = merge(Some(&canary), "apiKey", &value)
            .err()
            .expect("refused");
        assert!(!format!("{error:?}").contains("canary"));
    }
}
