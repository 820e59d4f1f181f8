//! The vault's other users.

use async_trait::async_trait;

/// The acts of somebody in the vault past Claviger.
#[async_trait]
pub trait Console: Send + Sync {
    /// Stores `text` as the latest value of a secret, creating it if need be.
    async fn put(&self, secret: &str, text: &str);

    /// Deletes a secret, such that it could be brought back where the vault can do that.
    async fn delete(&self, secret: &str);

    /// Whether what it deletes could be brought back; else it is absent.
    fn can_restore(&self) -> bool {
        true
    }
}
