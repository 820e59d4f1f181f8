//! Resource names, parsed once at the edge and typed from there on.
//!
//! An id is ASCII on purpose: `\w` would admit look-alikes. Trimming happens here and nowhere
//! else, so that two spellings of a name can never get two verdicts.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Public, Reason, refuse_pasted};

/// Longest id, in bytes.
const ID_LEN_MAX: usize = 128;

/// One segment of a name: `^[0-9A-Za-z_()-]{1,128}$`, case-sensitive.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Id(Arc<str>);

impl Id {
    /// Trims ASCII white space and checks the rule, and that no credential was pasted.
    ///
    /// # Errors
    /// `NAME_INVALID` with a violation on `field`. The text is not echoed: it may be a secret typed
    /// into the wrong field.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
        let id = Self::ruled(field, text)?;
        refuse_pasted(Reason::NameInvalid, field, id.as_str())?;
        Ok(id)
    }

    fn ruled(field: &'static str, text: &str) -> Result<Self, Error> {
        let text = trim(text);
        if text.is_empty() {
            return Err(invalid(
                field,
                "is empty; use 1 to 128 of the characters 0-9 A-Z a-z _ ( ) -",
            ));
        }
        if text.len() > ID_LEN_MAX {
            return Err(invalid(field, "is longer than 128 characters; shorten it"));
        }
        if !text.bytes().all(is_id_byte) {
            return Err(invalid(
                field,
                "has a character that is not allowed; use only the ASCII characters 0-9 A-Z a-z _ ( ) -",
            ));
        }
        Ok(Self(text.into()))
    }

    /// An id that is written in the code.
    pub fn from_static(text: &'static str) -> Self {
        debug_assert!(Self::parse("static", text).is_ok(), "`{text}` is not an id");
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Those of `known` that a person may have meant, at most three.
    pub fn near_misses<'a>(&self, known: impl Iterator<Item = &'a Self>) -> List<Self> {
        let wanted = self.0.to_ascii_lowercase();
        let distance = |id: &Self| strsim::levenshtein(&wanted, &id.0.to_ascii_lowercase());
        let mut near: Vec<(usize, &Self)> = known
            .map(|candidate| (distance(candidate), candidate))
            .filter(|(distance, _)| *distance <= 2)
            .collect();
        near.sort();
        List(near.into_iter().take(3).map(|(_, id)| id.clone()).collect())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Public for Id {}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // One that is kept already stays readable, whatever is refused by now.
        Self::ruled("id", &text).map_err(|_| serde::de::Error::custom("not an id"))
    }
}

/// Several ids or names in a sentence: "a, b" or "none"; the first ten of more.
#[derive(Clone, Debug)]
pub struct List<T>(pub Vec<T>);

impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, item) in self.0.iter().take(10).enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            item.fmt(f)?;
        }
        match self.0.len().checked_sub(10) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}

impl<T: Public> Public for List<T> {}

/// Identity of a resource that a deleted and re-made name does not inherit.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Uid(uuid::Uuid);

impl Uid {
    /// A fresh random uid.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }

    /// One that was written by Claviger.
    ///
    /// # Errors
    /// `INTEGRITY_FAILURE`.
    pub fn kept(text: &str) -> Result<Self, Error> {
        let uid = uuid::Uuid::try_parse(text);
        uid.map(Self)
            .map_err(|_| Error::new(Reason::IntegrityFailure))
    }

    /// This uid with its second half replaced: for many that only have to differ.
    pub fn numbered(&self, number: u64) -> Self {
        let (high, _) = self.0.as_u64_pair();
        Self(uuid::Uuid::from_u64_pair(high, number))
    }

    /// Its first byte: random, for spreading things out.
    pub fn first_byte(&self) -> u8 {
        let [first, ..] = *self.0.as_bytes();
        first
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Public for Uid {}

/// `projects/{project}`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ProjectName(Id);

impl ProjectName {
    /// Parses `projects/{project}`.
    ///
    /// # Errors
    /// `NAME_INVALID` with a violation on `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
        let [project] = segments(
            field,
            text,
            ["projects"],
            "is not a project name; write projects/{project}",
        )?;
        Ok(Self(project))
    }

    /// The project with this id.
    pub fn new(id: Id) -> Self {
        Self(id)
    }

    /// The project's id.
    pub fn id(&self) -> &Id {
        &self.0
    }

    /// The profile `id` of this project.
    pub fn profile(&self, id: Id) -> ProfileName {
        ProfileName {
            project: self.clone(),
            id,
        }
    }

    /// The definition `id` of this project.
    pub fn definition(&self, id: Id) -> DefinitionName {
        DefinitionName {
            project: self.clone(),
            id,
        }
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "projects/{}", self.0)
    }
}

impl Public for ProjectName {}

/// `projects/{project}/secrets/{id}`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct DefinitionName {
    project: ProjectName,
    id: Id,
}

impl DefinitionName {
    /// The name of this id in a project.
    pub fn new(project: ProjectName, id: Id) -> Self {
        Self { project, id }
    }

    /// Parses `projects/{project}/secrets/{id}`.
    ///
    /// # Errors
    /// `NAME_INVALID` with a violation on `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
        let [project, id] = segments(
            field,
            text,
            ["projects", "secrets"],
            "is not a definition name; write projects/{project}/secrets/{id}",
        )?;
        Ok(Self {
            project: ProjectName(project),
            id,
        })
    }

    /// The project it belongs to.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// The definition's id.
    pub fn id(&self) -> &Id {
        &self.id
    }
}

impl fmt::Display for DefinitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/secrets/{}", self.project, self.id)
    }
}

impl Public for DefinitionName {}

/// `projects/{project}/connectionProfiles/{id}`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ProfileName {
    project: ProjectName,
    id: Id,
}

impl ProfileName {
    /// Parses `projects/{project}/connectionProfiles/{id}`.
    ///
    /// # Errors
    /// `NAME_INVALID` with a violation on `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
        let [project, id] = segments(
            field,
            text,
            ["projects", "connectionProfiles"],
            "is not a profile name; write projects/{project}/connectionProfiles/{id}",
        )?;
        Ok(Self {
            project: ProjectName(project),
            id,
        })
    }

    /// The project it belongs to.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// The profile's id.
    pub fn id(&self) -> &Id {
        &self.id
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/connectionProfiles/{}", self.project, self.id)
    }
}

impl Public for ProfileName {}

/// `projects/{project}/secrets/{id}/versions/{version}`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VersionName {
    definition: DefinitionName,
    version: Id,
}

impl VersionName {
    /// Parses `projects/{project}/secrets/{id}/versions/{version}`.
    ///
    /// # Errors
    /// `NAME_INVALID` with a violation on `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
        let [project, id, version] = segments(
            field,
            text,
            ["projects", "secrets", "versions"],
            "is not a version name; write projects/{project}/secrets/{id}/versions/{version}",
        )?;
        Ok(Self {
            definition: DefinitionName {
                project: ProjectName(project),
                id,
            },
            version,
        })
    }

    /// The version `version` of a definition.
    pub fn new(definition: DefinitionName, version: Id) -> Self {
        Self {
            definition,
            version,
        }
    }

    /// The definition whose version it is.
    pub fn definition(&self) -> &DefinitionName {
        &self.definition
    }

    /// The version's id.
    pub fn version(&self) -> &Id {
        &self.version
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/versions/{}", self.definition, self.version)
    }
}

impl Public for VersionName {}

/// `vaults/{id}`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct VaultName(Id);

impl VaultName {
    /// Parses `vaults/{id}`.
    ///
    /// # Errors
    /// `NAME_INVALID` with a violation on `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
        let [id] = segments(
            field,
            text,
            ["vaults"],
            "is not a vault name; write vaults/{id}",
        )?;
        Ok(Self(id))
    }

    /// The vault with this id.
    pub fn new(id: Id) -> Self {
        Self(id)
    }

    /// The vault's id.
    pub fn id(&self) -> &Id {
        &self.0
    }
}

impl fmt::Display for VaultName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vaults/{}", self.0)
    }
}

impl Public for VaultName {}

/// The scope of a permission that is asked, and of a grant that is given.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Resource {
    /// The whole daemon, written `*`.
    Daemon,
    /// One definition.
    Definition(DefinitionName),
    /// One connection profile.
    Profile(ProfileName),
    /// A project and all in it.
    Project(ProjectName),
}

impl Resource {
    /// Parses `*`, `projects/{project}`, `projects/{project}/secrets/{id}` or
    /// `projects/{project}/connectionProfiles/{id}`.
    ///
    /// # Errors
    /// `NAME_INVALID` with a violation on `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
        let text = trim(text);
        match text.bytes().filter(|byte| *byte == b'/').count() {
            0 if text == "*" => Ok(Self::Daemon),
            1 => ProjectName::parse(field, text).map(Self::Project),
            3 if text.contains("/connectionProfiles/") => {
                ProfileName::parse(field, text).map(Self::Profile)
            }
            3 => DefinitionName::parse(field, text).map(Self::Definition),
            _ => Err(invalid(
                field,
                "is not a resource; write *, projects/{project}, projects/{project}/secrets/{id} or \
                 projects/{project}/connectionProfiles/{id}",
            )),
        }
    }
}

impl Resource {
    /// The project that it is, or is in.
    pub fn project(&self) -> Option<&ProjectName> {
        match self {
            Self::Daemon => None,
            Self::Definition(name) => Some(name.project()),
            Self::Profile(name) => Some(name.project()),
            Self::Project(name) => Some(name),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => f.write_str("*"),
            Self::Definition(name) => name.fmt(f),
            Self::Profile(name) => name.fmt(f),
            Self::Project(name) => name.fmt(f),
        }
    }
}

impl Public for Resource {}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace())
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'(' | b')' | b'-')
}

fn invalid(field: &'static str, remedy: &'static str) -> Error {
    Error::new(Reason::NameInvalid).violation(field, remedy)
}

/// Splits `collection/id/collection/id…` into its ids.
fn segments<const N: usize>(
    field: &'static str,
    text: &str,
    collections: [&str; N],
    remedy: &'static str,
) -> Result<[Id; N], Error> {
    let wrong_shape = || invalid(field, remedy);
    let parts: Vec<&str> = trim(text).split('/').collect();
    if parts.len() != 2 * N {
        return Err(wrong_shape());
    }
    let mut ids = Vec::with_capacity(N);
    for (pair, collection) in parts.chunks_exact(2).zip(collections) {
        let [name, id] = pair else {
            return Err(wrong_shape());
        };
        if *name != collection {
            return Err(wrong_shape());
        }
        ids.push(Id::parse(field, id)?);
    }
    ids.try_into().map_err(|_| wrong_shape())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bad_ids_are_refused() {
        let long = "a".repeat(129);
        for text in [
            "",
            " ",
            &long,
            "a\0b",
            "a\nb",
            "..",
            ".",
            "a/b",
            "a b",
            "stripе",
            "ｓtripe",
            "e\u{301}",
            "a\u{200b}",
            "\u{a0}a",
            "a%2f",
            "*",
        ] {
            let error = Id::parse("name", text).expect_err(text);
            assert_eq!(error.reason(), Reason::NameInvalid, "{text:?}");
        }
    }

    #[test]
    fn good_ids_are_kept_as_they_are() {
        let longest = "a".repeat(128);
        for text in ["a", "Stripe", "stripe", "a_(b)-9", &longest] {
            assert_eq!(Id::parse("name", text).expect(text).as_str(), text);
        }
    }

    #[test]
    fn white_space_around_a_name_or_an_id_is_trimmed() {
        let plain = DefinitionName::parse("name", "projects/dev/secrets/stripe").expect("plain");
        for text in [
            " projects/dev/secrets/stripe\n",
            "projects/ dev /secrets/ stripe ",
        ] {
            assert_eq!(DefinitionName::parse("name", text).expect(text), plain);
        }
    }

    #[test]
    fn names_of_another_shape_are_refused() {
        for text in [
            "projects/dev",
            "projects/dev/secrets",
            "projects/dev/secret/x",
            "/projects/dev/secrets/x",
            "projects/dev/secrets/x/",
            "projects//secrets/x",
            "Projects/dev/secrets/x",
            "projects/dev/secrets/x/versions/1",
        ] {
            DefinitionName::parse("name", text).expect_err(text);
        }
    }

    #[test]
    fn a_typo_names_what_was_meant() {
        let known = ["dev", "prod", "staging"].map(Id::from_static);
        let near = Id::from_static("prdo").near_misses(known.iter());
        assert_eq!(near.to_string(), "prod");
        assert_eq!(
            Id::from_static("elsewhere")
                .near_misses(known.iter())
                .to_string(),
            "none"
        );
    }

    proptest! {
        #[test]
        fn a_parsed_name_prints_and_parses_back(p in "[0-9A-Za-z_()-]{1,128}", s in "[0-9A-Za-z_()-]{1,128}") {
            let text = format!("projects/{p}/secrets/{s}");
            let name = DefinitionName::parse("name", &text).expect("valid");
            prop_assert_eq!(name.to_string(), text);
        }

        #[test]
        fn any_text_is_a_name_or_an_error(text in ".*") {
            if let Ok(id) = Id::parse("name", &text) {
                prop_assert_eq!(id.as_str(), text.trim_matches(|c: char| c.is_ascii_whitespace()));
            }
        }
    }
}
