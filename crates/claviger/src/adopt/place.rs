use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use claviger_proto::v1::{Location, SecretDefinition};

/// Where a value is in a vault: a secret, or one property of its document.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) secret: String,
    /// Empty for all of it.
    pub(crate) property: String,
}

impl Place {
    pub(crate) fn whole(secret: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            property: String::new(),
        }
    }

    pub(crate) fn property(&self, property: &str) -> Self {
        Self {
            secret: self.secret.clone(),
            property: property.to_owned(),
        }
    }

    pub(crate) fn location(&self, vault: &str) -> Location {
        Location {
            vault: vault.to_owned(),
            secret: self.secret.clone(),
            property: self.property.clone(),
            ..Default::default()
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.secret)?;
        match self.property.is_empty() {
            true => Ok(()),
            false => write!(f, "#{}", self.property),
        }
    }
}

/// The definitions that a project has: each id that is taken, with the places in the vault that it
/// points at.
#[derive(Debug, Default)]
pub(crate) struct Taken(BTreeMap<String, BTreeSet<Place>>);

impl Taken {
    /// `all` with those that are deleted, whose names are not free; `in_vault` as the daemon finds
    /// them, which knows the default vaults.
    pub(crate) fn new(
        all: &[SecretDefinition],
        in_vault: &[SecretDefinition],
        vault: &str,
    ) -> Self {
        let mut taken = Self::default();
        for definition in all {
            taken.0.insert(definition.id.clone(), BTreeSet::new());
        }
        for definition in in_vault {
            let locations = definition.environments.values();
            let locations = locations.chain(&definition.location);
            let here = locations.filter(|place| ["", "[Default]", vault].contains(&&*place.vault));
            let places = here.filter(|place| !place.secret.is_empty());
            let places = places.map(|place| Place::whole(&place.secret).property(&place.property));
            taken.0.insert(definition.id.clone(), places.collect());
        }
        taken
    }

    /// Where they point at, those that are not found by walking too: one may name a secret in full.
    pub(crate) fn places(&self) -> BTreeSet<&Place> {
        self.0.values().flatten().collect()
    }

    /// Whether some definition points there.
    pub(crate) fn has(&self, place: &Place) -> bool {
        self.0.values().any(|places| places.contains(place))
    }

    /// Whether the id is free, or that of a definition that points there.
    pub(crate) fn is_free_for(&self, id: &str, place: &Place) -> bool {
        self.0.get(id).is_none_or(|places| places.contains(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(id: &str, vault: &str, secret: &str, property: &str) -> SecretDefinition {
        let place = Place::whole(secret).property(property);
        SecretDefinition {
            id: id.to_owned(),
            location: Some(place.location(vault)),
            ..Default::default()
        }
    }

    #[test]
    fn a_place_is_taken_that_a_definition_points_at_in_this_vault() {
        let mut elsewhere = definition("both", "aws-us", "far", "");
        let near = Place::whole("near").location("aws-eu");
        elsewhere.environments.insert("dev".to_owned(), near);
        let in_vault = [
            elsewhere,
            definition("named", "aws-eu", "a", "key"),
            definition("default", "[Default]", "b", ""),
            definition("own", "aws-eu", "", ""),
        ];
        let all = [&in_vault[..], &[definition("deleted", "aws-eu", "c", "")]].concat();
        let taken = Taken::new(&all, &in_vault, "aws-eu");
        for (secret, property, is_taken) in [
            ("near", "", true),
            ("far", "", false),
            ("a", "key", true),
            ("a", "", false),
            ("b", "", true),
            ("c", "", false),
        ] {
            let place = Place::whole(secret).property(property);
            assert_eq!(taken.has(&place), is_taken, "{place}");
        }
        let places: Vec<_> = taken.places().into_iter().map(Place::to_string).collect();
        assert_eq!(places, ["a#key", "b", "near"]);
        let place = Place::whole("a").property("key");
        for (id, is_free) in [("named", true), ("deleted", false), ("new", true)] {
            assert_eq!(taken.is_free_for(id, &place), is_free, "{id}");
        }
    }
}
