//! A value as a vault has it, and one property of it: taken out for a reader, put in for a writer.
//!
//! Errors never echo any part of the document, not even the names of its keys.

use std::fmt;

use claviger_core::{Error, Format, Id, Reason, Result, SecretBytes};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
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
    /// `PROPERTY_*`, `VALUE_EMPTY`, `VALUE_NOT_JSON`, `VALUE_NOT_TEXT`.
    pub(crate) fn present(&self, part: Part<'_>, format: Format) -> Result<SecretBytes> {
        let value = match part {
            Part::Property(name) => extract(&self.value, name)?,
            Part::Whole => self.value.duplicate(),
        };
        match format {
            _ if value.is_empty() => Err(Error::new(Reason::ValueEmpty)),
            Format::Text if std::str::from_utf8(value.expose()).is_err() => {
                Err(Error::new(Reason::ValueNotText))
            }
            Format::Binary | Format::Text => Ok(value),
        }
    }

    /// The key that a write changes where none is named; `None` of what is no document, which a
    /// write replaces.
    ///
    /// # Errors
    /// `PROPERTY_REQUIRED`, `VALUE_NOT_TEXT`.
    pub(crate) fn only_key(&self) -> Result<Option<String>> {
        let Some(object) = Object::parse(self.value.expose())? else {
            return Ok(None);
        };
        object.only().map(|(key, _)| Some(key.clone()))
    }

    /// Whether this is its value of a key, which is no pointer even if it begins with `/`.
    pub(crate) fn has(&self, key: &str, value: &SecretBytes) -> bool {
        let object = Object::of(&self.value);
        let found = object.ok().and_then(|object| object.get(key));
        let found = found.and_then(|found| text_of(found).ok());
        found.is_some_and(|found| claviger_seal::equal(found.expose(), value.expose()))
    }

    /// The top-level keys of a JSON object; none of anything else.
    pub(crate) fn keys(&self) -> Vec<String> {
        let object = Object::of(&self.value);
        let members = object.into_iter().flat_map(|object| object.0);
        members.map(|(key, _)| key).collect()
    }
}

/// The part of a document that is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    /// The property of this name, or the only one there is.
    Property(Option<&'a str>),
    /// All of it, whatever it is.
    Whole,
}

/// Whether a reader that names no property would be given a part of this value, or nothing.
pub(crate) fn is_document(value: &SecretBytes) -> bool {
    !matches!(Object::parse(value.expose()), Ok(None))
}

/// The property that a definition points at. Without a name a document with one key stands for its
/// value, and what is not a JSON object stands for itself.
///
/// # Errors
/// `PROPERTY_REQUIRED`, `PROPERTY_NOT_FOUND`, `VALUE_EMPTY`, `VALUE_NOT_JSON`, `VALUE_NOT_TEXT`.
fn extract(value: &SecretBytes, property: Option<&str>) -> Result<SecretBytes> {
    match (property, Object::parse(value.expose())?) {
        (None, None) => Ok(value.duplicate()),
        (None, Some(object)) => text_of(object.only()?.1),
        (Some(property), Some(object)) => match object.find(property) {
            Some(found) => text_of(found),
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
    let object = match document {
        None => Object(Vec::new()),
        Some(document) => Object::of(document)?,
    };
    let text = std::str::from_utf8(value.expose()).map_err(|_| Error::new(Reason::ValueNotText))?;
    let quoted = serde_json::to_string(text).map_err(|_| Error::new(Reason::ValueNotJson))?;
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
    /// # Errors
    /// `VALUE_NOT_JSON`, `VALUE_NOT_TEXT`.
    pub(super) fn of(document: &'a SecretBytes) -> Result<Self> {
        let object = Self::parse(document.expose())?;
        object.ok_or_else(|| Error::new(Reason::ValueNotJson))
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    /// `None` of what is no object.
    ///
    /// # Errors
    /// `VALUE_NOT_TEXT` for an object with a key that is no Unicode, or with bytes that are no
    /// UTF-8: it is a document, and nobody is to take it for a value that stands for itself.
    fn parse(bytes: &'a [u8]) -> Result<Option<Self>> {
        if let Ok(object) = serde_json::from_slice(bytes) {
            return Ok(Some(object));
        }
        let is_object = bytes.trim_ascii_start().starts_with(b"{");
        // What is ignored need not be text.
        match is_object && serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
            true => Err(Error::new(Reason::ValueNotText)),
            false => Ok(None),
        }
    }

    /// The member that stands for the whole.
    ///
    /// # Errors
    /// `PROPERTY_REQUIRED`.
    fn only(&self) -> Result<&(String, &'a RawValue)> {
        let last = self.0.last();
        let only = last.filter(|(last, _)| self.0.iter().all(|(key, _)| key == last));
        only.ok_or_else(|| Error::new(Reason::PropertyRequired))
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
            if let Ok(Some(object)) = Self::parse(value.get().as_bytes()) {
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

/// A string as it is meant, anything else as it is written: a number, `true`, `false`, an array, an
/// object.
///
/// # Errors
/// `VALUE_EMPTY` for `null`, which says that there is no value; `VALUE_NOT_TEXT` for a string with
/// half of a surrogate pair, which no text has.
fn text_of(value: &RawValue) -> Result<SecretBytes> {
    let text = match value.get() {
        "null" => return Err(Error::new(Reason::ValueEmpty)),
        // SECURITY: the library's own error quotes a part of the value.
        string if string.starts_with('"') => {
            serde_json::from_str(string).map_err(|_| Error::new(Reason::ValueNotText))?
        }
        other => other.to_owned(),
    };
    Ok(SecretBytes::new(text.into_bytes()))
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
        // One key, though it is there twice.
        assert_eq!(extracted(r#"{"a":"1","a":"2"}"#, None), Ok("2".to_owned()));
        assert_eq!(
            extracted(r#"{"a":"1","a":"2"}"#, Some("a")),
            Ok("2".to_owned())
        );
        assert_eq!(extracted("rk_test", None), Ok("rk_test".to_owned()));
        assert_eq!(extracted("[1]", None), Ok("[1]".to_owned()));
        assert_eq!(
            extracted("rk_test", Some("apiKey")),
            Err(Reason::ValueNotJson)
        );
    }

    #[test]
    fn null_and_half_a_character_are_no_values_however_they_are_reached() {
        for (value, expected) in [
            ("null", Err(Reason::ValueEmpty)),
            (r#""half \ud83d""#, Err(Reason::ValueNotText)),
            (r#""\udc00\ud83d""#, Err(Reason::ValueNotText)),
            (r#""\ud83d\udd11""#, Ok("\u{1f511}")),
            (r#""null""#, Ok("null")),
            ("0", Ok("0")),
            ("-0.10", Ok("-0.10")),
            ("false", Ok("false")),
            ("true", Ok("true")),
            ("[ null ]", Ok("[ null ]")),
            (r#"{"a" : "\ud83d"}"#, Ok(r#"{"a" : "\ud83d"}"#)),
        ] {
            let expected = expected.map(str::to_owned);
            let (one, deep) = (
                format!(r#"{{"a": {value} }}"#),
                format!(r#"{{"b":[{value}],"c":1}}"#),
            );
            for (document, property) in [
                (&one, None),
                (&one, Some("a")),
                (&one, Some("/a")),
                (&deep, Some("/b/0")),
            ] {
                let found = extracted(document, property);
                assert_eq!(found, expected, "{document} {property:?}");
            }
        }
    }

    #[test]
    fn what_is_presented_is_never_empty_and_text_if_it_is_to_be() {
        let present = |value: &[u8], part: Part<'_>, format| {
            let (version, value) = (Id::from_static("1"), SecretBytes::new(value.to_vec()));
            let document = Document { version, value };
            let presented = document.present(part, format);
            presented
                .map(SecretBytes::into_exposed)
                .map_err(|e| e.reason())
        };
        for format in [Format::Text, Format::Binary] {
            for part in [Part::Whole, Part::Property(None)] {
                assert_eq!(present(b"", part, format), Err(Reason::ValueEmpty));
            }
        }
        let document = br#" {"a":1,"a":null} "#;
        let whole = present(document, Part::Whole, Format::Text);
        assert_eq!(whole.as_deref(), Ok(&document[..]));
        let binary = present(b"\xff", Part::Whole, Format::Text);
        assert_eq!(binary, Err(Reason::ValueNotText));
        assert_eq!(
            present(b"\xff", Part::Whole, Format::Binary),
            Ok(vec![0xff])
        );
    }

    #[test]
    fn a_document_whose_strings_are_no_text_is_no_value_that_stands_for_itself() {
        for document in [
            br#"{"\ud83d":"v"}"#.as_slice(),
            br#" {"apiKey":"v","\udc00":1}"#,
            b"{\"apiKey\":\"v\",\"other\":\"\xff\"}",
            b"{\"apiKey\":\"v\",\"\xff\":[1]}",
        ] {
            let value = || SecretBytes::new(document.to_vec());
            for property in [None, Some("apiKey")] {
                let refused = extract(&value(), property).err().map(|e| e.reason());
                assert_eq!(refused, Some(Reason::ValueNotText), "{property:?}");
            }
            let refused = merge(Some(&value()), "apiKey", &value()).err();
            assert_eq!(refused.map(|e| e.reason()), Some(Reason::ValueNotText));
            assert!(is_document(&value()));
            let (version, value) = (Id::from_static("1"), value());
            let document = Document { version, value };
            let refused = document.only_key().err().map(|e| e.reason());
            assert_eq!(refused, Some(Reason::ValueNotText));
            assert!(document.keys().is_empty());
            let whole = document.present(Part::Whole, Format::Binary);
            assert!(whole.is_ok(), "all of it is what it is");
        }
    }

    #[test]
    fn a_key_that_begins_like_a_pointer_is_found_as_a_key() {
        let (version, value) = (
            Id::from_static("1"),
            SecretBytes::new(br#"{"/a":"v","a":"other"}"#.to_vec()),
        );
        let document = Document { version, value };
        assert!(document.has("/a", &SecretBytes::new(b"v".to_vec())));
        assert!(!document.has("/a", &SecretBytes::new(b"other".to_vec())));
    }

    #[test]
    fn documents_are_told_from_what_only_looks_like_one_however_deep_they_are() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        for (value, keys) in [
            ("{}", Some(Err(Reason::PropertyRequired))),
            (r#"{"a":1,"b":2}"#, Some(Err(Reason::PropertyRequired))),
            (r#"{"a":1}"#, Some(Ok(Some("a".to_owned())))),
            (" \t\r\n{\"/a\":1}\n", Some(Ok(Some("/a".to_owned())))),
            (&deep, Some(Ok(Some("a".to_owned())))),
            ("\u{feff}{\"a\":1}", None),
            ("\u{a0}{\"a\":1}", None),
            (r#"{"a":1}x"#, None),
            ("[1]", None),
            (r#""{}""#, None),
        ] {
            let (version, value) = (Id::from_static("1"), SecretBytes::new(value.into()));
            assert_eq!(is_document(&value), keys.is_some());
            let document = Document { version, value };
            let only = document.only_key().map_err(|error| error.reason());
            assert_eq!(only, keys.unwrap_or(Ok(None)));
        }
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
