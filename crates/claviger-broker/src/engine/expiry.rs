//! The end of exchanged tokens: each runner makes some a day, and nobody has a use for one that has
//! ended.

use claviger_core::Result;
use claviger_store::{Batch, Expect};

use crate::engine::catalog::Catalog;
use crate::engine::forms::Ending;
use crate::model::token::Token;

/// Tokens removed per commit.
const PAGE: usize = 200;

impl Catalog {
    /// Removes the exchanged tokens that have ended.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; the next sweep goes on.
    pub(crate) async fn sweep_tokens(&self) -> Result<()> {
        loop {
            let later = Ending::after(self.now());
            let mut ended = self.scan_own::<Ending>(None, PAGE).await?;
            ended.retain(|(id, _)| *id < later);
            if ended.is_empty() {
                return Ok(());
            }
            let remove = |batch: Batch, (id, ending): &(String, _)| {
                let ending: &Ending = ending;
                batch
                    .delete::<Ending>(id, Expect::Any)
                    .delete::<Token>(ending.token.as_str(), Expect::Any)
            };
            let ended = ended
                .into_iter()
                .map(|(id, stored)| (id, (*stored.record).clone()));
            let ended: Vec<_> = ended.collect();
            self.commit_own(ended.iter().fold(Batch::new(), remove))
                .await?;
        }
    }
}
