//! For the package of fuzz tests: the decoders that no public type leads to.

use claviger_core::{Format, Id, Reason, Result, SecretBytes};
use claviger_store::Record;

use crate::engine::forms::{Ending, InstallKey, Made, PendingPointer, Seen};
use crate::model::definition::Definition;
use crate::model::document::{Document, Part, merge};
use crate::model::grants::Grants;
use crate::model::install::Install;
use crate::model::profile::Profile;
use crate::model::project::Project;
use crate::model::request::Request;
use crate::model::token::Token;

/// Reads a stored record and writes it again.
pub type Again = fn(&[u8]) -> Result<SecretBytes>;

/// Each kind of record.
pub const RECORDS: [(&str, Again); 12] = [
    (Definition::KIND, again::<Definition>),
    (Ending::KIND, again::<Ending>),
    (Grants::KIND, again::<Grants>),
    (Install::KIND, again::<Install>),
    (InstallKey::KIND, again::<InstallKey>),
    (Made::KIND, again::<Made>),
    (PendingPointer::KIND, again::<PendingPointer>),
    (Profile::KIND, again::<Profile>),
    (Project::KIND, again::<Project>),
    (Request::KIND, again::<Request>),
    (Seen::KIND, again::<Seen>),
    (Token::KIND, again::<Token>),
];

fn again<R: Record>(stored: &[u8]) -> Result<SecretBytes> {
    R::decode("fuzzed", stored)?.encode()
}

/// What a reader gets of a document, and what is left of it when this property is set.
///
/// # Errors
/// As a read and a write.
pub fn document(value: &[u8], property: &str, new: &str) -> Result<[SecretBytes; 2]> {
    let document = |value| Document {
        version: Id::from_static("1"),
        value,
    };
    let new = SecretBytes::new(new.as_bytes().to_vec());
    let value = SecretBytes::new(value.to_vec());
    let merged = merge(Some(&value), property, &new);
    let read = |document: Document| document.present(Part::Property(Some(property)), Format::Text);
    let old = document(value);
    old.keys();
    match (read(old), merged) {
        (Err(error), _) if error.reason() != Reason::PropertyNotFound => Err(error),
        (old, merged) => Ok([
            old.unwrap_or(SecretBytes::new(Vec::new())),
            read(document(merged?))?,
        ]),
    }
}

/// Whether a value is a document at all, in whatever part of it.
///
/// # Errors
/// As a read.
pub fn only_property(value: &[u8]) -> Result<SecretBytes> {
    let value = SecretBytes::new(value.to_vec());
    let version = Id::from_static("1");
    Document { version, value }.present(Part::Property(None), Format::Text)
}
