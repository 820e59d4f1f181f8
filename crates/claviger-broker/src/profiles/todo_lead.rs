//! todo-lead: stands in for resolve.rs, test.rs and disconnect.rs.

use std::sync::Arc;

use claviger_access::{Call, Permission};
use claviger_core::{Error, Id, ProfileName, Reason, Result};

use super::ProfileView;
use crate::broker::Broker;
use crate::model::connection::{Connection, ResolveConnection, TestedConnection};

impl Broker {
    /// Returns what a job connects with.
    ///
    /// # Errors
    /// See the RPC `ResolveConnection`.
    pub async fn resolve_connection(
        self: &Arc<Self>,
        call: &Arc<Call>,
        resolve: ResolveConnection,
    ) -> Result<Connection> {
        let permissions = &[Permission::ProfilesResolve];
        let environment = resolve.environment.as_ref();
        let asked = self
            .catalog
            .ask_profile(call, permissions, &resolve.name, environment)
            .await?;
        let result = asked.found.live().map(drop);
        let result = result.and(Err(Error::new(Reason::StripeUnreachable)));
        self.decided(asked, result).await
    }

    /// Asks Stripe with what a job would get.
    ///
    /// # Errors
    /// See the RPC `TestConnection`.
    pub async fn test_connection(
        self: &Arc<Self>,
        call: &Arc<Call>,
        name: &ProfileName,
        environment: Option<Id>,
    ) -> Result<TestedConnection> {
        let permissions = &[Permission::ProfilesTest];
        let asked = self
            .catalog
            .ask_profile(call, permissions, name, environment.as_ref())
            .await?;
        let result = asked.found.live().map(drop);
        let result = result.and(Err(Error::new(Reason::StripeUnreachable)));
        self.decided(asked, result).await
    }

    /// Ends the connection at Stripe.
    ///
    /// # Errors
    /// See the RPC `DisconnectInstall`.
    pub async fn disconnect_install(
        self: &Arc<Self>,
        call: &Arc<Call>,
        name: &ProfileName,
    ) -> Result<ProfileView> {
        let permissions = &[Permission::ProfilesDisconnect];
        let asked = self
            .catalog
            .ask_profile(call, permissions, name, None)
            .await?;
        let result = asked.found.live().map(drop);
        let result = result.and(Err(Error::new(Reason::StripeUnreachable)));
        self.decided(asked, result).await
    }
}
