use claviger_client::{Client, reason};
use claviger_proto::v1::{ConnectionProfile, GetConnectionProfileRequest};

use crate::stop::Stop;

/// The profile of this name, if there is one.
pub(crate) async fn find(client: &Client, name: &str) -> Result<Option<ConnectionProfile>, Stop> {
    let request = GetConnectionProfileRequest {
        name: name.to_owned(),
    };
    match client.profiles().get_connection_profile(request).await {
        Ok(profile) => Ok(Some(profile.into_inner())),
        Err(status) if reason(&status).as_deref() == Some("PROFILE_NOT_FOUND") => Ok(None),
        Err(status) => Err(status.into()),
    }
}
