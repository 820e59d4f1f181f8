//! One row per RPC: its handler, the permissions it may ask for and its treatment. A test walks the
//! descriptor set and fails on a missing row; a broker that asks for a permission outside its row is
//! refused.

use claviger_access::{Permission as P, Rpc};

use crate::handler::{Handler, handle};
use crate::{
    access_service, connection_profile_service, daemon_service, project_service,
    secret_definition_service, secret_service, vault_service,
};

/// A row as the door needs it.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// Its place in [`TABLE`].
    pub(crate) number: usize,
    pub(crate) rpc: &'static Rpc,
    pub(crate) handler: Handler,
}

/// The row of a method, by its full name.
pub(crate) fn named(method: &str) -> Option<Row> {
    let mut rows = TABLE.iter().zip(HANDLERS).enumerate();
    let (number, (rpc, handler)) = rows.find(|(_, (rpc, _))| rpc.name == method)?;
    Some(Row {
        number,
        rpc,
        handler: *handler,
    })
}

macro_rules! rpcs {
    ($($service:literal $module:ident {
        $($name:ident $method:literal $handler:ident
            [$($permission:ident),*] $audited:ident $request_id:ident;)+
    })+) => {
        $($(
            #[doc = concat!("`", $service, "/", $method, "`")]
            pub static $name: Rpc = Rpc {
                name: concat!("claviger.v1.", $service, "/", $method),
                permissions: &[$(P::$permission),*],
                is_audited: audited::$audited,
                has_request_id: request_id::$request_id,
            };
        )+)+

        /// All rows.
        pub static TABLE: &[&Rpc] = &[$($(&$name),+),+];

        /// The handler of each.
        static HANDLERS: &[Handler] = &[
            $($(|api, call, message| handle(api, call, message, $module::$handler)),+),+
        ];
    };
}

mod audited {
    pub(super) const AUDITED: bool = true;
    pub(super) const UNAUDITED: bool = false;
}

mod request_id {
    pub(super) const REQUEST_ID: bool = true;
    pub(super) const PLAIN: bool = false;
}

rpcs! {
    "AccessService" access_service {
        CREATE_TOKEN "CreateToken" create_token [TokensPut] AUDITED PLAIN;
        DELETE_GRANT "DeleteGrant" delete_grant [GrantsPut] AUDITED PLAIN;
        EXCHANGE_TOKEN "ExchangeToken" exchange_token [TokensExchange] AUDITED PLAIN;
        EXPLAIN_ACCESS "ExplainAccess" explain_access [GrantsGet] AUDITED PLAIN;
        LIST_GRANTS "ListGrants" list_grants [GrantsGet] AUDITED PLAIN;
        LIST_TOKENS "ListTokens" list_tokens [TokensGet] AUDITED PLAIN;
        PUT_GRANT "PutGrant" put_grant [GrantsPut] AUDITED PLAIN;
        REVOKE_TOKEN "RevokeToken" revoke_token [TokensPut, GrantsPut] AUDITED PLAIN;
        WHO_AM_I "WhoAmI" who_am_i [] UNAUDITED PLAIN;
    }
    "ConnectionProfileService" connection_profile_service {
        DELETE_CONNECTION_PROFILE "DeleteConnectionProfile" delete_connection_profile
            [ProfilesDelete] AUDITED PLAIN;
        DISCONNECT_INSTALL "DisconnectInstall" disconnect_install
            [ProfilesDisconnect] AUDITED PLAIN;
        GET_CONNECTION_PROFILE "GetConnectionProfile" get_connection_profile
            [ProfilesGet] AUDITED PLAIN;
        LIST_CONNECTION_PROFILES "ListConnectionProfiles" list_connection_profiles
            [ProfilesGet] AUDITED PLAIN;
        PUT_CONNECTION_PROFILE "PutConnectionProfile" put_connection_profile
            [ProfilesPut, DefinitionsPut] AUDITED REQUEST_ID;
        RESOLVE_CONNECTION "ResolveConnection" resolve_connection
            [ProfilesResolve] AUDITED PLAIN;
        TEST_CONNECTION "TestConnection" test_connection [ProfilesTest] AUDITED PLAIN;
        UNDELETE_CONNECTION_PROFILE "UndeleteConnectionProfile" undelete_connection_profile
            [ProfilesDelete] AUDITED PLAIN;
    }
    "DaemonService" daemon_service {
        GET_STATUS "GetStatus" get_status [DaemonStatus] AUDITED PLAIN;
    }
    "ProjectService" project_service {
        DELETE_PROJECT "DeleteProject" delete_project [ProjectsDelete] AUDITED PLAIN;
        GET_PROJECT "GetProject" get_project [ProjectsGet] AUDITED PLAIN;
        LIST_PROJECTS "ListProjects" list_projects [ProjectsGet] AUDITED PLAIN;
        PUT_PROJECT "PutProject" put_project [ProjectsPut] AUDITED PLAIN;
    }
    "SecretDefinitionService" secret_definition_service {
        CHECK_SECRET_DEFINITION "CheckSecretDefinition" check_secret_definition
            [DefinitionsCheck, GrantsGet] AUDITED PLAIN;
        DELETE_SECRET_DEFINITION "DeleteSecretDefinition" delete_secret_definition
            [DefinitionsDelete] AUDITED PLAIN;
        GET_SECRET_DEFINITION "GetSecretDefinition" get_secret_definition
            [DefinitionsGet] AUDITED PLAIN;
        LIST_SECRET_DEFINITIONS "ListSecretDefinitions" list_secret_definitions
            [DefinitionsGet] AUDITED PLAIN;
        PUT_SECRET_DEFINITION "PutSecretDefinition" put_secret_definition
            [DefinitionsPut, SecretsPut] AUDITED REQUEST_ID;
        UNDELETE_SECRET_DEFINITION "UndeleteSecretDefinition" undelete_secret_definition
            [DefinitionsDelete, DefinitionsPut] AUDITED PLAIN;
    }
    "SecretService" secret_service {
        BATCH_GET_SECRETS "BatchGetSecrets" batch_get_secrets [SecretsGet] AUDITED PLAIN;
        DESTROY_SECRET_VERSION "DestroySecretVersion" destroy_secret_version
            [VersionsChange] AUDITED PLAIN;
        DISABLE_SECRET_VERSION "DisableSecretVersion" disable_secret_version
            [VersionsChange] AUDITED PLAIN;
        ENABLE_SECRET_VERSION "EnableSecretVersion" enable_secret_version
            [VersionsChange] AUDITED PLAIN;
        GET_SECRET "GetSecret" get_secret [SecretsGet] AUDITED PLAIN;
        LIST_SECRET_VERSIONS "ListSecretVersions" list_secret_versions [VersionsList] AUDITED PLAIN;
        PUT_SECRET_VALUE "PutSecretValue" put_secret_value
            [SecretsPut, DefinitionsPut] AUDITED REQUEST_ID;
    }
    "VaultService" vault_service {
        CHECK_VAULT "CheckVault" check_vault [VaultsGet] AUDITED PLAIN;
        INSPECT_VAULT_SECRET "InspectVaultSecret" inspect_vault_secret
            [VaultsInspect] AUDITED PLAIN;
        LIST_VAULTS "ListVaults" list_vaults [VaultsGet] AUDITED PLAIN;
        LIST_VAULT_SECRETS "ListVaultSecrets" list_vault_secrets [VaultsBrowse] AUDITED PLAIN;
    }
}
