//! A value as a vault has it, and one property of it: taken out for a reader, put in for a writer.
//!
//! Errors never echo any part of the document, not even the names of its keys.

use std::fmt;

use claviger_core::{Error, Format, Id, Reason, Result, SecretBytes};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A whole value of a vault, lent to all that need a part of it.
pub(crate) struct Document {
    /// The version it is.
    pub(crate) version: Id,
    /// The bytes as the vault has them.
    pub(crate) value: SecretBytes,
}

impl Document {
    /// What a reader gets of it: the part, in the definition's format.
    ///
    /// # Errors
    /// `PROPERTY_*`, `VALUE_NOT_JSON`, `VALUE_NOT_TEXT`.
    pub(crate) fn present(&self, part: Part<'_>, format: Format) -> Result<SecretBytes> {
        let value = match (part, format) {
            (Part::Property(name), Format::Text) => extract(&self.value, name)?,
            (Part::Property(_), Format::Binary) | (Part::Whole, _) => self.value.duplicate(),
        };
        match format {
            Format::Text if std::str::from_utf8(value.expose()).is_err() => {
                Err(Error::new(Reason::ValueNotText))
            }
            Format::Binary | Format::Text => Ok(value),
        }
    }

    /// Whether this is its value of a property.
    pub(crate) fn has(&self, property: &str, value: &SecretBytes) -> bool {
        let found = extract(&self.value, Some(property));
        found.is_ok_and(|found| claviger_seal::equal(found.expose(), value.expose()))
    }

    /// The top-level keys of a JSON object; none of anything else.
    pub(crate) fn keys(&self) -> Vec<String> {
        let object = Object::parse(self.value.expose());
        let members = object.into_iter().flat_map(|object| object.0);
        members.map(|(key, _)| key).collect()
    }
}

/// The part of a document that is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    /// The property of this name, or the only one there is.
    Property(Option<&'a str>),
    /// All of it: values of this vault have no properties.
    Whole,
}

/// The property that a definition points at. Without a name a document with one key stands for its
/// value, and what is not a JSON object stands for itself.
///
/// # Errors
/// `PROPERTY_REQUIRED`, `PROPERTY_NOT_FOUND`, `VALUE_NOT_JSON`.
fn extract(value: &SecretBytes, property: Option<&str>) -> Result<SecretBytes> {
    match (property, Object::parse(value.expose())) {
        (None, None) => Ok(value.duplicate()),
        (None, Some(object)) => match object.0.as_slice() {
            [(_, only)] => Ok(text_of(only)),
            _ => Err(Error::new(Reason::PropertyRequired)),
        },
        (Some(property), Some(object)) => match object.find(property) {
            Some(found) => Ok(text_of(found)),
            None => Err(Error::new(Reason::PropertyNotFound)),
        },
        (Some(_), None) => Err(Error::new(Reason::ValueNotJson)),
    }
}

/// The document with one top-level property set and all others as they were written; a new one if
/// there is none.
///
/// # Errors
/// `VALUE_NOT_JSON`, `VALUE_NOT_TEXT`.
pub(crate) fn merge(
    document: Option<&SecretBytes>,
    property: &str,
    value: &SecretBytes,
) -> Result<SecretBytes> {
    let not_json = || Error::new(Reason::ValueNotJson);
    let object = match document {
        None => Object(Vec::new()),
        Some(bytes) => Object::parse(bytes.expose()).ok_or_else(not_json)?,
    };
    let text = std::str::from_utf8(value.expose()).map_err(|_| Error::new(Reason::ValueNotText))?;
    let quoted = serde_json::to_string(text).map_err(|_| not_json())?;
    let is_there = object.0.iter().any(|(key, _)| key == property);
    let new = (!is_there).then_some((property, quoted.as_str()));
    let members = object.0.iter().map(|(key, old)| match key == property {
        true => (key.as_str(), quoted.as_str()),
        false => (key.as_str(), old.get()),
    });
    write_object(members.chain(new))
}

/// A JSON object of these members, whose values are written already.
pub(super) fn write_object<'a>(
    members: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<SecretBytes> {
    let not_json = |_| Error::new(Reason::ValueNotJson);
    let mut written = String::from("{");
    for (key, value) in members {
        if written.len() > 1 {
            written.push(',');
        }
        written.push_str(&serde_json::to_string(key).map_err(not_json)?);
        written.push(':');
        written.push_str(value);
    }
    written.push('}');
    Ok(SecretBytes::new(written.into_bytes()))
}

/// A JSON object whose values are left as they are written: a number must not be rounded by code
/// that only passes it on.
#[derive(Default)]
pub(super) struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    pub(super) fn of(document: &'a SecretBytes) -> Option<Self> {
        Self::parse(document.expose())
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Of a key that is there twice the last one counts, as with every parser.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let mut members = self.0.iter().rev();
        members
            .find(|(found, _)| found == key)
            .map(|(_, value)| *value)
    }

    /// A plain key, or an RFC 6901 pointer when it starts with `/`.
    fn find(&self, property: &str) -> Option<&'a RawValue> {
        let Some(pointer) = property.strip_prefix('/') else {
            return self.get(property);
        };
        let mut tokens = pointer
            .split('/')
            .map(|token| token.replace("~1", "/").replace("~0", "~"));
        let first = self.get(&tokens.next()?)?;
        tokens.try_fold(first, |value, token| {
            if let Some(object) = Self::parse(value.get().as_bytes()) {
                return object.get(&token);
            }
            let items: Vec<&'a RawValue> = serde_json::from_str(value.get()).ok()?;
            let is_index = token == "0" || !token.starts_with(['0', '+']);
            items
                .get(token.parse::<usize>().ok().filter(|_| is_index)?)
                .copied()
        })
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Object(members))
    }
}

/// A string as it is meant, anything else as it is written.
fn text_of(value: &RawValue) -> SecretBytes {
    let text = serde_json::from_str::<String>(value.get());
    SecretBytes::new(text.unwrap_or_else(|_| value.get().to_owned()).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extracted(document: &str, property: Option<&str>) -> Result<String, Reason> {
        extract(&SecretBytes::new(document.into()), property)
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
        let merged: serde_json::Value = serde_json::from_slice(merged.expose()).expect("JSON");
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

    #[test]
    fn what_is_not_asked_for_stays_as_it_was_written() {
        let value = SecretBytes::new("n\"ew".into());
        let old =
            r#"{ "z":123456789012345678901234567890, "key" : "old","a":1.10e+2,"\u0061a":[ 1 ] }"#;
        let old = SecretBytes::new(old.into());
        let merged = merge(Some(&old), "key", &value).expect("merged");
        let expected =
            r#"{"z":123456789012345678901234567890,"key":"n\"ew","a":1.10e+2,"aa":[ 1 ]}"#;
        assert_eq!(
            std::str::from_utf8(merged.expose()).expect("text"),
            expected
        );
        let number = extracted(expected, Some("z"));
        assert_eq!(number, Ok("123456789012345678901234567890".to_owned()));
    }

    #[test]
    fn broken_documents_are_not_json() {
        for document in [
            "{",
            r#"{"a":1}}"#,
            r#"{"a":01}"#,
            r#"{"a":"b}"#,
            "[1,2]",
            "\"a\"",
        ] {
            assert_eq!(
                extracted(document, Some("a")),
                Err(Reason::ValueNotJson),
                "{document}"
            );
            let (document, value) = (
                document.as_bytes().to_vec(),
                SecretBytes::new(b"x".to_vec()),
            );
            let merged = merge(Some(&SecretBytes::new(document)), "a", &value);
            assert_eq!(
                merged.err().map(|error| error.reason()),
                Some(Reason::ValueNotJson)
            );
        }
    }
}
