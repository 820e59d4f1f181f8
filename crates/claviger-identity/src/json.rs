//! JSON in which no member is there twice: two readers of such an object may see two objects.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};

/// Why a text is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum JsonFault {
    Duplicate,
    /// Not JSON, or not an object.
    Malformed,
}

/// The object that `bytes` are.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    let Strict(value) = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => JsonFault::Duplicate,
        Category::Eof | Category::Io | Category::Syntax => JsonFault::Malformed,
    })?;
    match value {
        Value::Object(members) => Ok(members),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {
            Err(JsonFault::Malformed)
        }
    }
}

/// A value whose objects, however deep, have each member once.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        let mut seen = HashSet::new();
        while let Some((name, Strict(value))) = entries.next_entry::<String, _>()? {
            // SECURITY: some readers take `Sub` for `sub`.
            if !seen.insert(name.to_lowercase()) {
                return Err(de::Error::custom("a member is there twice"));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_that_is_there_twice_is_refused_at_every_depth() {
        for (text, fault) in [
            (r#"{"a":1,"b":[{"a":null}],"c":-1.5}"#, None),
            (r#"{"a":1,"a":1}"#, Some(JsonFault::Duplicate)),
            (r#"{"a":1,"\u0061":1}"#, Some(JsonFault::Duplicate)),
            (r#"{"sub":1,"Sub":1}"#, Some(JsonFault::Duplicate)),
            (r#"{"a":{"b":1,"b":1}}"#, Some(JsonFault::Duplicate)),
            (r#"{"a":[{"b":1,"b":1}]}"#, Some(JsonFault::Duplicate)),
            (r#"{"a":1} x"#, Some(JsonFault::Malformed)),
            (r#"{"a":1}{"a":1}"#, Some(JsonFault::Malformed)),
            (r#"{"a":1e999}"#, Some(JsonFault::Malformed)),
            (r#"["a"]"#, Some(JsonFault::Malformed)),
            ("", Some(JsonFault::Malformed)),
        ] {
            assert_eq!(object(text.as_bytes()).err(), fault, "{text}");
        }
        let deep = "[".repeat(100_000);
        let deep = format!(r#"{{"a":{deep}"#);
        assert_eq!(object(deep.as_bytes()), Err(JsonFault::Malformed));
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(JsonFault::Malformed));
    }
}
