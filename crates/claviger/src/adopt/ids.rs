use std::collections::{BTreeMap, BTreeSet};

use super::place::{Place, Taken};

/// Longest id, in bytes.
const LEN_MAX: usize = 128;

/// Of a name without a single character that an id may have.
const NAMELESS: &str = "secret";

/// An id for each place, made of its names. Those that would be the same are numbered in the order
/// of the places, so that the ids do not depend on what is registered already: `places` are all that
/// there are.
pub(crate) fn assign<'a>(
    places: &BTreeSet<&'a Place>,
    taken: &Taken,
) -> BTreeMap<&'a Place, String> {
    let mut used = BTreeSet::new();
    let mut ids = BTreeMap::new();
    for &place in places {
        let stem = stem(place);
        let numbered = (2u64..).map(|number| with_end(&stem, &format!("-{number}")));
        let mut candidates = [stem.clone()].into_iter().chain(numbered);
        let free = candidates.find(|id| !used.contains(id) && taken.is_free_for(id, place));
        if let Some(id) = free {
            used.insert(id.clone());
            ids.insert(place, id);
        }
    }
    ids
}

/// What ids may have of the names; a hyphen stands for the rest between.
fn stem(Place { secret, property }: &Place) -> String {
    let is_apart = |char: char| !char.is_ascii_alphanumeric() && char != '_';
    let parts = [secret, property].into_iter();
    let words = parts.flat_map(|part| part.split(is_apart));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    match words.is_empty() {
        true => NAMELESS.to_owned(),
        false => with_end(&words.join("-"), ""),
    }
}

/// As much of the stem as there is room for.
fn with_end(stem: &str, end: &str) -> String {
    let room = LEN_MAX.saturating_sub(end.len());
    let kept: String = stem.chars().take(room).collect();
    kept + end
}

#[cfg(test)]
mod tests {
    use claviger_core::Id;
    use claviger_proto::v1::SecretDefinition;

    use super::*;

    fn assigned(names: &[(&str, &str)], definitions: &[SecretDefinition]) -> Vec<String> {
        let places: Vec<_> = names
            .iter()
            .map(|(secret, property)| Place::whole(secret).property(property))
            .collect();
        let taken = Taken::new(definitions, definitions, "aws-eu");
        let ids = assign(&places.iter().collect(), &taken);
        places.iter().map(|place| ids[place].clone()).collect()
    }

    #[test]
    fn an_id_is_made_of_the_names() {
        let (long, cut) = ("x".repeat(512), "x".repeat(128));
        for (secret, property, expected) in [
            ("prod/stripe", "apiKey", "prod-stripe-apiKey"),
            ("prod/stripe", "", "prod-stripe"),
            ("//prod..stripe@2/", "", "prod-stripe-2"),
            ("db_password", "", "db_password"),
            ("鍵\x1b[2J", "", "2J"),
            ("鍵", "", "secret"),
            (&long, "key", &cut),
        ] {
            let ids = assigned(&[(secret, property)], &[]);
            assert_eq!(ids, [expected]);
            assert!(Id::parse("id", &ids[0]).is_ok());
        }
    }

    #[test]
    fn those_that_would_be_the_same_are_numbered() {
        let (short, longer) = ("x".repeat(128), "x".repeat(130));
        let ids = assigned(
            &[
                ("a-b", ""),
                ("a.b", ""),
                ("a/b", ""),
                ("a/b-2", ""),
                (&short, ""),
                (&longer, ""),
            ],
            &[],
        );
        let cut = format!("{}-2", "x".repeat(126));
        assert_eq!(ids, ["a-b", "a-b-2", "a-b-3", "a-b-2-2", &short, &cut]);
    }

    #[test]
    fn what_is_registered_changes_no_other_id() {
        let names = [("a-b", ""), ("a.b", ""), ("a/b", "")];
        let registered = |id: &str, secret: &str| SecretDefinition {
            id: id.to_owned(),
            location: Some(Place::whole(secret).location("aws-eu")),
            ..Default::default()
        };
        let foreign = registered("a-b", "elsewhere");
        let first = assigned(&names, std::slice::from_ref(&foreign));
        assert_eq!(first, ["a-b-2", "a-b-3", "a-b-4"]);
        for ((secret, _), id) in names.iter().zip(&first) {
            let again = assigned(&names, &[foreign.clone(), registered(id, secret)]);
            assert_eq!(again, first, "{id}");
        }
    }
}
