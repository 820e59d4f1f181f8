//! One row per RPC: the permissions it may ask for and its treatment. A test walks the descriptor
//! set and fails on a missing row; a broker that asks for a permission outside its row is refused.

use std::collections::HashMap;
use std::sync::LazyLock;

use claviger_access::{Permission as P, Rpc};

/// The row of a method, by its full name.
pub(crate) fn named(method: &str) -> Option<&'static Rpc> {
    static ROWS: LazyLock<HashMap<&str, &Rpc>> =
        LazyLock::new(|| TABLE.iter().map(|rpc| (rpc.name, *rpc)).collect());
    ROWS.get(method).copied()
}

macro_rules! rpcs {
    ($($name:ident $method:literal [$($permission:ident),*] $audited:ident $request_id:ident;)+) => {
        $(
            #[doc = concat!("`", $method, "`")]
            pub static $name: Rpc = Rpc {
                name: concat!("claviger.v1.", $method),
                permissions: &[$(P::$permission),*],
                is_audited: audited::$audited,
                has_request_id: request_id::$request_id,
            };
        )+

        /// All rows.
        pub static TABLE: &[&Rpc] = &[$(&$name),+];
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
    CREATE_TOKEN "AccessService/CreateToken" [TokensPut] AUDITED PLAIN;
    DELETE_GRANT "AccessService/DeleteGrant" [GrantsPut] AUDITED PLAIN;
    LIST_GRANTS "AccessService/ListGrants" [GrantsGet] AUDITED PLAIN;
    LIST_TOKENS "AccessService/ListTokens" [TokensGet] AUDITED PLAIN;
    PUT_GRANT "AccessService/PutGrant" [GrantsPut] AUDITED PLAIN;
    REVOKE_TOKEN "AccessService/RevokeToken" [TokensPut, GrantsPut] AUDITED PLAIN;
    WHO_AM_I "AccessService/WhoAmI" [] UNAUDITED PLAIN;
    GET_STATUS "DaemonService/GetStatus" [DaemonStatus] AUDITED PLAIN;
    DELETE_PROJECT "ProjectService/DeleteProject" [ProjectsDelete] AUDITED PLAIN;
    GET_PROJECT "ProjectService/GetProject" [ProjectsGet] AUDITED PLAIN;
    LIST_PROJECTS "ProjectService/ListProjects" [ProjectsGet] AUDITED PLAIN;
    PUT_PROJECT "ProjectService/PutProject" [ProjectsPut] AUDITED PLAIN;
    CHECK_SECRET_DEFINITION "SecretDefinitionService/CheckSecretDefinition"
        [DefinitionsCheck, GrantsGet] AUDITED PLAIN;
    DELETE_SECRET_DEFINITION "SecretDefinitionService/DeleteSecretDefinition"
        [DefinitionsDelete] AUDITED PLAIN;
    GET_SECRET_DEFINITION "SecretDefinitionService/GetSecretDefinition"
        [DefinitionsGet] AUDITED PLAIN;
    LIST_SECRET_DEFINITIONS "SecretDefinitionService/ListSecretDefinitions"
        [DefinitionsGet] AUDITED PLAIN;
    PUT_SECRET_DEFINITION "SecretDefinitionService/PutSecretDefinition"
        [DefinitionsPut, SecretsPut] AUDITED REQUEST_ID;
    UNDELETE_SECRET_DEFINITION "SecretDefinitionService/UndeleteSecretDefinition"
        [DefinitionsDelete, DefinitionsPut] AUDITED PLAIN;
    BATCH_GET_SECRETS "SecretService/BatchGetSecrets" [SecretsGet] AUDITED PLAIN;
    DESTROY_SECRET_VERSION "SecretService/DestroySecretVersion" [VersionsChange] AUDITED PLAIN;
    DISABLE_SECRET_VERSION "SecretService/DisableSecretVersion" [VersionsChange] AUDITED PLAIN;
    ENABLE_SECRET_VERSION "SecretService/EnableSecretVersion" [VersionsChange] AUDITED PLAIN;
    GET_SECRET "SecretService/GetSecret" [SecretsGet] AUDITED PLAIN;
    LIST_SECRET_VERSIONS "SecretService/ListSecretVersions" [VersionsList] AUDITED PLAIN;
    PUT_SECRET_VALUE "SecretService/PutSecretValue" [SecretsPut, DefinitionsPut] AUDITED REQUEST_ID;
    CHECK_VAULT "VaultService/CheckVault" [VaultsGet] AUDITED PLAIN;
    INSPECT_VAULT_SECRET "VaultService/InspectVaultSecret" [VaultsInspect] AUDITED PLAIN;
    LIST_VAULTS "VaultService/ListVaults" [VaultsGet] AUDITED PLAIN;
    LIST_VAULT_SECRETS "VaultService/ListVaultSecrets" [VaultsBrowse] AUDITED PLAIN;
}
