//! A profile, read.

use std::sync::Arc;

use claviger_access::{Call, Permission};
use claviger_core::{ProfileName, Result};

use super::ProfileView;
use crate::broker::Broker;
use crate::engine::found::{Asked, OnProfile};

impl Broker {
    /// Reads a profile.
    ///
    /// # Errors
    /// See the RPC `GetConnectionProfile`.
    pub async fn get_profile(&self, call: &Arc<Call>, name: &ProfileName) -> Result<ProfileView> {
        let permissions = &[Permission::ProfilesGet];
        let asked = self
            .catalog
            .ask_profile(call, permissions, name, None)
            .await?;
        let result = self.get_profile_asked(&asked).await;
        self.decided(asked, result).await
    }

    async fn get_profile_asked(&self, asked: &Asked<OnProfile>) -> Result<ProfileView> {
        let profile = &asked.found.profile()?.record;
        let view = self.viewed(&asked.proof, (**profile).clone()).await?;
        Ok(ProfileView {
            consumers: self.consumers.of(profile.uid).await?,
            ..view
        })
    }
}
