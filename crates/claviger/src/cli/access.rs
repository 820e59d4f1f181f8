use std::time::Duration;

use clap::{Args, Subcommand};
use claviger_proto::v1::Role;
use prost_types::Timestamp;

use super::words::{one_of, pair, time};

const ROLES: [Role; 4] = [Role::Admin, Role::Auditor, Role::Operator, Role::Runner];

const EXCHANGE: &str = "\
Example, in a shell after umask 077, in a pod with a token of its cluster:
  claviger --address claviger.acme.example:7433 --ca-file ca.pem --token-file jwt token exchange > job.token";

const EXPLAIN: &str = "\
Permissions are definitions.get, .put, .delete and .check, secrets.get and .put, versions.list and
.change, profiles.get, .put, .delete, .resolve, .test and .disconnect, projects.get, .put and .delete,
vaults.get, .browse and .inspect, grants.get and .put, tokens.get, .put and .exchange, daemon.status. The
comment of each RPC in the proto names the one that it asks for.

Examples:
  claviger --project acme explain secrets.get stripe --principal unix:1000
  claviger --project acme explain profiles.resolve connectionProfiles/stripe-eu";

/// The tasks about grants.
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Give a role to a principal, in the environment of --environment if there is one
    Put(PutGrant),
    /// List the grants that the caller may list
    #[command(after_help = "Example:\n  claviger grant list --principal unix:1000")]
    List {
        /// Only those of this one
        #[arg(long)]
        principal: Option<String>,
    },
    /// Take a grant back
    #[command(after_help = "Example:\n  claviger grant delete g1")]
    Delete {
        /// The grant, as the list has it
        id: String,
    },
}

/// A grant to be given.
#[derive(Args, Debug)]
#[command(after_help = "\
Where CLAVIGER_ENVIRONMENT is set, --environment '' gives the role in all of them.

Examples:
  claviger --project acme --environment prod grant put unix:1000 RUNNER stripe
  claviger grant put 'spiffe://acme.example/ns/etl/*' RUNNER projects/acme --purpose nightly")]
pub struct PutGrant {
    /// Its holder, such as unix:1000, as whoami shows it
    pub principal: String,

    /// ADMIN, AUDITOR, OPERATOR or RUNNER
    #[arg(value_parser = role)]
    pub role: Role,

    /// For what: a secret, connectionProfiles/ID, a full name such as projects/acme, or * for everything
    pub resource: String,

    /// Only before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub expire_time: Option<Timestamp>,

    /// Only for calls that state this purpose
    #[arg(long, value_name = "TEXT")]
    pub purpose: Option<String>,
}

/// The tasks about tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, and write it to a pipe or a file: it is shown this once
    Create(CreateToken),
    /// List the tokens, without the tokens themselves
    #[command(after_help = "Example:\n  claviger token list")]
    List,
    /// End a token and its grants
    #[command(after_help = "Example:\n  claviger token revoke t1 --cascade")]
    Revoke {
        /// The token, as the list has it
        id: String,

        /// End what the token made, too
        #[arg(long)]
        cascade: bool,
    },
    /// Get a short token for the JWT or the certificate of this call, and write it to a pipe or a file
    #[command(after_help = EXCHANGE)]
    Exchange {
        /// How long it works, at most an hour; 15 minutes by default
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        ttl: Option<Duration>,

        /// Show it on a terminal too
        #[arg(long)]
        reveal: bool,
    },
}

/// A token to be made.
#[derive(Args, Debug)]
#[command(after_help = "\
Where CLAVIGER_ENVIRONMENT is set, --environment '' makes a token for all of them.

Example, in a shell after umask 077:
  claviger token create --grant RUNNER=projects/acme --ttl 30d > job.token")]
pub struct CreateToken {
    /// A role and what it is for, in the environment of --environment if there is one
    #[arg(long = "grant", value_name = "ROLE=RESOURCE", value_parser = granted, required = true)]
    pub grants: Vec<(Role, String)>,

    /// How long it works: a minute to 365 days
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub ttl: Duration,

    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,

    /// Show it on a terminal too
    #[arg(long)]
    pub reveal: bool,
}

/// An access to be explained.
#[derive(Args, Debug)]
#[command(after_help = EXPLAIN)]
pub struct Explain {
    /// What would be done, such as secrets.get
    pub permission: String,

    /// To what: a secret, connectionProfiles/ID, a full name such as projects/acme, or * for everything
    pub resource: String,

    /// By whom, if not by the caller
    #[arg(long)]
    pub principal: Option<String>,

    /// In a call that states this purpose
    #[arg(long, value_name = "TEXT")]
    pub purpose: Option<String>,
}

fn role(text: &str) -> Result<Role, String> {
    one_of(&ROLES, Role::as_str_name, text)
}

fn granted(text: &str) -> Result<(Role, String), String> {
    match pair(text) {
        Ok((name, resource)) if !resource.is_empty() => Ok((role(&name)?, resource)),
        _ => Err("give ROLE=RESOURCE, such as RUNNER=projects/acme".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_as_in_the_proto_and_is_for_something() {
        let acme = "projects/acme".to_owned();
        assert_eq!(granted("RUNNER=projects/acme"), Ok((Role::Runner, acme)));
        assert!(granted("runner=*").unwrap_err().contains("RUNNER"));
        for text in ["RUNNER", "RUNNER=", "=*"] {
            assert!(
                granted(text).unwrap_err().contains("ROLE=RESOURCE"),
                "{text}"
            );
        }
    }
}
