//! The kinds of vault that other systems are, each with the crate that knows it.

use claviger_backend::BackendKind;

/// A kind of vault.
pub(crate) struct VaultKind {
    /// As written in the file.
    pub(crate) name: &'static str,
    /// `None` if its crate is not in this build.
    pub(crate) backend: Option<BackendKind>,
}

/// A kind whose crate is in this build if the feature of its name is on.
macro_rules! kind {
    ($name:literal, $backend:ident) => {
        VaultKind {
            name: $name,
            #[cfg(feature = $name)]
            backend: Some($backend::KIND),
            #[cfg(not(feature = $name))]
            backend: None,
        }
    };
}

/// The kinds besides Claviger's own. A new backend is one more line.
pub(crate) const VAULT_KINDS: &[VaultKind] = &[
    kind!("aws", claviger_backend_aws),
    kind!("azure", claviger_backend_azure),
    kind!("snowflake", claviger_backend_snowflake),
];
