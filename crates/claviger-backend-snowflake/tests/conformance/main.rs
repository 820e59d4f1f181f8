//! The conformance suite against our Snowflake, for both ways to keep values; and what only
//! Snowflake has: comments, grants, readers, sealed rows.

#[cfg(test)]
mod console;
#[cfg(test)]
mod live;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod sealed;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use claviger_backend::Backend;
    use claviger_backend::testkit::{self, Console};
    use claviger_backend_snowflake::Storage;

    use crate::console::SnowflakeConsole;
    use crate::support::Account;

    type WithConsole = (Arc<dyn Backend>, Option<Arc<dyn Console>>);

    /// Both ways to keep values, each with the others that can change them.
    fn vaults(account: &Account) -> [WithConsole; 2] {
        let objects = account.vault(&account.readable());
        let sealed = account.vault(&account.settings(Storage::SealedTable));
        [
            (
                Arc::new(objects),
                Some(Arc::new(SnowflakeConsole::of(account))),
            ),
            (Arc::new(sealed), None),
        ]
    }

    #[tokio::test]
    async fn secret_objects_and_sealed_table_keep_the_contract() {
        let account = Account::start();
        for (vault, console) in vaults(&account) {
            testkit::conformance(vault, console).await;
        }
    }

    #[tokio::test]
    async fn every_false_claim_fails_the_suite() {
        let account = Account::start();
        for (backend, console) in vaults(&account) {
            testkit::every_false_claim_fails(backend, console).await;
        }
    }
}
