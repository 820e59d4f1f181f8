use claviger_client::Client;
use claviger_core::Reason;
use claviger_proto::v1::{ConnectionProfile, GetConnectionProfileRequest};

use crate::stop::{Stop, found};

/// The profile of this name, if there is one.
pub(crate) async fn find(client: &Client, name: &str) -> Result<Option<ConnectionProfile>, Stop> {
    let request = GetConnectionProfileRequest {
        name: name.to_owned(),
    };
    let answer = client.profiles().get_connection_profile(request).await;
    found(answer, Reason::ProfileNotFound)
}
