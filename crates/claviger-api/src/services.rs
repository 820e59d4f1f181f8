//! The services that ask for a caller.

use std::convert::Infallible;

use claviger_access::Rpc;
use claviger_proto::v1::access_service_server::AccessServiceServer;
use claviger_proto::v1::daemon_service_server::DaemonServiceServer;
use claviger_proto::v1::project_service_server::ProjectServiceServer;
use claviger_proto::v1::secret_definition_service_server::SecretDefinitionServiceServer;
use claviger_proto::v1::secret_service_server::SecretServiceServer;
use claviger_proto::v1::vault_service_server::VaultServiceServer;
use http::{Request, Response};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use crate::handler::Api;

macro_rules! services {
    ($($field:ident: $service:ident,)+) => {
        /// One of each. The row of an RPC says which: no router looks at the path again.
        #[derive(Clone, Debug)]
        pub(crate) struct Services {
            pub(crate) api: Api,
            $($field: $service<Api>,)+
        }

        impl Services {
            pub(crate) fn new(api: Api) -> Self {
                Self {
                    $($field: $service::new(api.clone()),)+
                    api,
                }
            }

            /// Hands a call to its service; `None` if the row names none.
            pub(crate) fn call(
                &self,
                rpc: &Rpc,
                request: Request<Body>,
            ) -> Option<BoxFuture<Response<Body>, Infallible>> {
                let (service, _) = rpc.name.split_once('/')?;
                match service {
                    $($service::<Api>::NAME => Some(self.$field.clone().call(request)),)+
                    _ => None,
                }
            }
        }
    };
}

services! {
    secrets: SecretServiceServer,
    access: AccessServiceServer,
    daemon: DaemonServiceServer,
    definitions: SecretDefinitionServiceServer,
    projects: ProjectServiceServer,
    vaults: VaultServiceServer,
}
