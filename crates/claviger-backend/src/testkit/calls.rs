//! Single calls, for the tests of a backend beyond the suite.

use claviger_core::{Format, Id, Result, SecretBytes, Uid};

use crate::contract::{Address, Backend, Write, Written};

/// A secret of this name, of a definition of its own.
pub fn address(secret: &str) -> Address {
    Address {
        project: Id::from_static("acme"),
        owner: Uid::random(),
        secret: secret.to_owned(),
    }
}

/// Stores a text.
///
/// # Errors
/// As the backend's.
pub async fn put(
    backend: &dyn Backend,
    address: &Address,
    text: &str,
    adopt: bool,
) -> Result<Written> {
    put_as(backend, address, text, Uid::random(), adopt).await
}

/// Stores a text by a write of this id.
///
/// # Errors
/// As the backend's.
pub async fn put_as(
    backend: &dyn Backend,
    address: &Address,
    text: &str,
    write_id: Uid,
    adopt: bool,
) -> Result<Written> {
    let value = SecretBytes::new(text.into());
    let write = Write {
        write_id,
        value: &value,
        format: Format::Text,
        adopt,
    };
    backend.write(address, &write).await
}

/// Reads a text.
///
/// # Errors
/// As the backend's.
pub async fn read(
    backend: &dyn Backend,
    address: &Address,
    version: Option<&Id>,
) -> Result<String> {
    let version = version.map(Id::as_str);
    let reading = backend.read(address, version).await?;
    Ok(String::from_utf8(reading.value.into_exposed()).expect("text"))
}
