//! The use cases. No other crate sees both a caller and a vault.
//!
//! Three rooms, each of which uses only those above it:
//!
//! * `model`: what is registered, as plain data and rules;
//! * `engine`: the catalog of what is registered, the way to values, and the writes;
//! * the use cases, one file or folder per resource. Only they are `impl Broker`.
//!
//! Start with `secrets.rs` (how a read goes), then `engine/steps.rs` (how a write survives a crash
//! between two systems). Knows no transport: the API parses, calls and formats.
#![forbid(unsafe_code)]

mod broker;
mod counts;
mod definitions;
mod dev;
mod engine;
mod explain;
mod failpoints;
mod grants;
mod model;
mod profiles;
mod projects;
mod secrets;
mod status;
#[cfg(feature = "testkit")]
pub mod testkit;
mod tokens;
mod upkeep;
mod vaults;

pub use broker::{Broker, Parts};
pub use claviger_backend::{ListedSecret, VersionState};
pub use claviger_cache::{
    Limits as CacheLimits, Sizes as CacheSizes, State as CacheState, Stats as CacheStats,
};
pub use claviger_stripe::live::{LiveVerdict, Outcome as LiveOutcome};
pub use claviger_stripe::oauth::Flavor as OauthFlavor;
pub use claviger_stripe::{Class, Mode, Settings as StripeSettings, Verdict as StripeVerdict};
pub use counts::VaultCounts;
pub use definitions::check::{CheckDefinition, CheckReport};
pub use definitions::list::{DefinitionFilter, LabelFilter};
pub use definitions::put::{PutDefinition, PutDefinitionOutcome};
pub use engine::forms::UPGRADES;
pub use engine::installs::InstallCounts;
pub use explain::{AccessReport, ExplainAccess};
pub use model::connection::{AuthMethod, Connection, ResolveConnection, TestedConnection};
pub use model::content::Content;
pub use model::definition::Definition;
pub use model::draft::{ApiKeyDraft, AuthDraft, OauthDraft, ProfileDraft};
pub use model::freshness::{Age, FreshnessPolicy};
pub use model::get_secret::{Credential, GetSecret};
pub use model::grants::{GrantView, NewGrant};
pub use model::identity::{Identity, Names};
pub use model::install::{Claim as InstallClaim, Install, ReconnectReason, State as InstallState};
pub use model::location::{Location, VaultRef};
pub use model::page::{Page, PageRequest};
pub use model::payload::Payload;
pub use model::profile::{Adapter, ApiKeyAuth, Auth, OauthAuth, Profile, ProfileContent};
pub use model::project::{Environment, Project, ProjectContent};
pub use model::request::RequestId;
pub use model::token::{NewToken, TokenView};
pub use model::warning::Warning;
pub use profiles::ProfileView;
pub use profiles::list::ProfileFilter;
pub use profiles::put::{PutProfile, PutProfileOutcome};
pub use projects::PutProject;
pub use secrets::Served;
pub use secrets::put::{PutValue, PutValueOutcome};
pub use secrets::versions::SecretVersion;
pub use status::{INSTALLS, PartStatus};
pub use tokens::revoke::{Revocation, RevokeToken};
pub use vaults::VaultView;
pub use vaults::inspect::{InspectReport, InspectSecret};
