//! The words of options, and what they stand for.

use std::time::Duration;

use prost_types::Timestamp;

/// The value of an option whose empty text takes back what was set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Maybe<T>(pub Option<T>);

/// The one of these that has this name in the proto.
pub(super) fn one_of<T: Copy>(
    all: &[T],
    name: impl Fn(&T) -> &'static str,
    text: &str,
) -> Result<T, String> {
    let named = all.iter().copied().find(|one| name(one) == text);
    named.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(name).collect();
        format!("it is one of {}", names.join(", "))
    })
}

/// A time, such as 2027-01-31T00:00:00Z.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "give a time such as 2027-01-31T00:00:00Z".to_owned())
}

pub(super) fn time_or_none(text: &str) -> Result<Maybe<Timestamp>, String> {
    or_none(text, time)
}

pub(super) fn duration_or_none(text: &str) -> Result<Maybe<Duration>, String> {
    or_none(text, |text| {
        humantime::parse_duration(text).map_err(|error| error.to_string())
    })
}

/// What a text stands for, unless it is empty.
pub(super) fn or_none<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Maybe<T>, String> {
    match text {
        "" => Ok(Maybe(None)),
        text => read(text).map(|value| Maybe(Some(value))),
    }
}

/// The two sides of `KEY=VALUE`, of which the second may be empty.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_text_takes_back_what_was_set() {
        assert_eq!(duration_or_none(""), Ok(Maybe(None)));
        let minute = Duration::from_secs(60);
        assert_eq!(duration_or_none("1m"), Ok(Maybe(Some(minute))));
        assert!(duration_or_none("soon").is_err());
        assert_eq!(time_or_none(""), Ok(Maybe(None)));
        assert!(time_or_none("2027-01-31T00:00:00Z").is_ok());
        assert!(time_or_none("soon").unwrap_err().contains("2027-01-31"));
    }

    #[test]
    fn a_pair_has_a_key() {
        let both = ("a".to_owned(), "b=c".to_owned());
        assert_eq!(pair("a=b=c"), Ok(both));
        assert_eq!(pair("a="), Ok(("a".to_owned(), String::new())));
        for text in ["a", "=b", ""] {
            assert!(pair(text).is_err(), "{text}");
        }
    }
}
