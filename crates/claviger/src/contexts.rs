//! The file with named contexts, and what they, the variables and the flags come to together.
//!
//! SECURITY: a context says where a token goes. So nobody else may write the file, and the files that
//! a context names go with its address alone: an address from elsewhere gets none of them. Likewise
//! the token of the variables goes to the address of the variables, or to the default socket.

mod file;

use std::process::ExitCode;

use rustix::process::geteuid;
use serde_json::json;

use crate::cli::{Cli, ConnectionOptions};
use crate::default_socket;
use crate::environment::Environment;
use crate::output::{note, print, table};
use crate::stop::Stop;
use file::{Context, Contexts};

/// The options with all that they leave open, as far as the variables and a context have it.
pub(crate) fn settled(
    options: &ConnectionOptions,
    environment: &Environment,
) -> Result<ConnectionOptions, Stop> {
    let contexts = Contexts::read(options, environment)?;
    let context = match contexts.chosen(options, environment) {
        Some(name) => contexts.get(name, options, environment)?.clone(),
        None => Context::default(),
    };
    // Whoever names a context on the command line means that one, whatever a shell has exported.
    let variables = match options.context {
        Some(_) => Environment::default(),
        None => environment.clone(),
    };
    let address = first([&options.address, &variables.address]);
    let way = match address {
        Some(_) => Context::default(),
        None => context.clone(),
    };
    let token_of_variables = match (&options.address, &way.address) {
        (None, None) => variables.token_file.clone(),
        (Some(_), _) | (_, Some(_)) => None,
    };
    let address = address.or(way.address);
    if let (None, Some(socket)) = (&address, &environment.default_socket) {
        default_socket::refuse_of_others(socket, geteuid())?;
    }
    let settled = ConnectionOptions {
        address,
        token_file: first([&options.token_file, &token_of_variables, &way.token_file]),
        ca_file: first([&options.ca_file, &way.ca_file]),
        certificate_file: first([&options.certificate_file, &way.certificate_file]),
        private_key_file: first([&options.private_key_file, &way.private_key_file]),
        project: first([&options.project, &variables.project, &context.project]),
        environment: first([
            &options.environment,
            &variables.environment,
            &context.environment,
        ]),
        config: options.config.clone(),
        context: options.context.clone(),
        timeout: options.timeout,
    };
    if variables.token_file.is_some() && is_nobody_over_tcp(&settled) {
        note(
            "CLAVIGER_TOKEN_FILE goes to CLAVIGER_ADDRESS or the default socket only, and is not sent; \
            pass --token-file",
        );
    }
    Ok(settled)
}

/// Whether nothing shows the daemon who calls; over a socket it knows.
fn is_nobody_over_tcp(options: &ConnectionOptions) -> bool {
    let address = options.address.as_deref();
    let is_tcp = address.is_some_and(|address| !address.starts_with("unix:"));
    is_tcp && options.token_file.is_none() && options.certificate_file.is_none()
}

fn first<T: Clone, const N: usize>(ranked: [&Option<T>; N]) -> Option<T> {
    ranked.into_iter().flatten().next().cloned()
}

/// Lists the contexts, with a mark at the chosen one.
pub(crate) fn list(cli: &Cli, environment: &Environment) -> Result<ExitCode, Stop> {
    let contexts = Contexts::read(&cli.connection, environment)?;
    let chosen = contexts.chosen(&cli.connection, environment);
    if let Some(name) = chosen {
        contexts.get(name, &cli.connection, environment)?;
    }
    let is_chosen = |name: &String| chosen == Some(name.as_str());
    let listed = contexts.by_name.iter();
    print(match cli.json {
        true => {
            let listed = listed.map(|(name, context)| {
                json!({
                    "name": name,
                    "chosen": is_chosen(name),
                    "address": context.address,
                    "project": context.project,
                    "environment": context.environment,
                })
            });
            format!("{:#}\n", json!({ "contexts": listed.collect::<Vec<_>>() }))
        }
        false => {
            let mut rows =
                vec![["", "CONTEXT", "ADDRESS", "PROJECT", "ENVIRONMENT"].map(str::to_owned)];
            rows.extend(listed.map(|(name, context)| {
                let mark = if is_chosen(name) { "*" } else { "" };
                let text = |setting: &Option<String>| setting.clone().unwrap_or_default();
                [
                    mark.to_owned(),
                    name.clone(),
                    text(&context.address),
                    text(&context.project),
                    text(&context.environment),
                ]
            }));
            table(&rows)
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser as _;

    use super::*;

    const FILE: &str = r#"
context = "dev"

[contexts.dev]
address = "unix:/dev.sock"
project = "dev"

[contexts.prod]
address = "broker.acme:7433"
token_file = "/prod/token"
ca_file = "/prod/ca.pem"
certificate_file = "/prod/pipeline.pem"
private_key_file = "/prod/pipeline.key"
project = "projects/acme"
environment = "prod"
"#;

    /// A file with contexts, and an environment in which it is where it is by default.
    fn written(text: &str) -> (tempfile::NamedTempFile, Environment) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let environment = Environment {
            default_config_file: Some(file.path().to_owned()),
            ..Environment::default()
        };
        (file, environment)
    }

    /// Address, token, project and environment of the words of a line.
    fn settle(line: &str, environment: &Environment) -> Result<[String; 4], String> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let options = settled(&cli.connection, environment).map_err(|stop| stop.to_string())?;
        let token = options.token_file.map(|file| file.display().to_string());
        let texts = [options.address, token, options.project, options.environment];
        Ok(texts.map(Option::unwrap_or_default))
    }

    #[test]
    fn a_flag_comes_before_a_variable_and_that_before_the_context() {
        let (_file, mut environment) = written(FILE);
        let whoami = "claviger whoami";
        assert_eq!(
            settle(whoami, &environment).unwrap(),
            ["unix:/dev.sock", "", "dev", ""]
        );
        environment.project = Some("variable".to_owned());
        environment.address = Some("unix:/variable".to_owned());
        assert_eq!(
            settle(whoami, &environment).unwrap(),
            ["unix:/variable", "", "variable", ""]
        );
        let flags = "claviger whoami --address unix:/flag --project flag --environment e";
        assert_eq!(
            settle(flags, &environment).unwrap(),
            ["unix:/flag", "", "flag", "e"]
        );
    }

    #[test]
    fn the_flag_chooses_before_the_variable_and_that_before_the_file() {
        let (_file, mut environment) = written(FILE);
        environment.context = Some("prod".to_owned());
        let prod = ["broker.acme:7433", "/prod/token", "projects/acme", "prod"];
        assert_eq!(settle("claviger whoami", &environment).unwrap(), prod);
        let dev = "claviger whoami --context dev";
        assert_eq!(
            settle(dev, &environment).unwrap(),
            ["unix:/dev.sock", "", "dev", ""]
        );
    }

    #[test]
    fn a_context_that_the_command_line_names_comes_before_all_variables() {
        let (_file, mut environment) = written(FILE);
        environment.address = Some("unix:/variable".to_owned());
        environment.token_file = Some("/variable/token".into());
        environment.project = Some("variable".to_owned());
        let dev = "claviger whoami --context dev";
        assert_eq!(
            settle(dev, &environment).unwrap(),
            ["unix:/dev.sock", "", "dev", ""]
        );
        let project = "claviger whoami --context dev --project flag";
        assert_eq!(settle(project, &environment).unwrap()[2], "flag");
    }

    #[test]
    fn an_address_from_elsewhere_gets_no_file_of_a_context() {
        let (_file, mut environment) = written(FILE);
        let line = "claviger whoami --context prod --address 127.0.0.1:1";
        let expected = ["127.0.0.1:1", "", "projects/acme", "prod"];
        assert_eq!(settle(line, &environment).unwrap(), expected);
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let options = settled(&cli.connection, &environment).unwrap();
        assert!(options.ca_file.is_none() && options.certificate_file.is_none());
        assert!(options.private_key_file.is_none());

        environment.context = Some("prod".to_owned());
        environment.address = Some("127.0.0.1:1".to_owned());
        assert_eq!(settle("claviger whoami", &environment).unwrap(), expected);
    }

    #[test]
    fn an_address_from_elsewhere_gets_no_token_of_the_variables() {
        let (_file, mut environment) = written(FILE);
        environment.token_file = Some("/variable/token".into());
        let whoami = "claviger whoami";
        let token = |line: &str, environment: &Environment| {
            let [address, token, ..] = settle(line, environment).unwrap();
            (address, token)
        };
        let pair = |address: &str, token: &str| (address.to_owned(), token.to_owned());
        assert_eq!(token(whoami, &environment), pair("unix:/dev.sock", ""));
        environment.context = Some("prod".to_owned());
        let prod = pair("broker.acme:7433", "/prod/token");
        assert_eq!(token(whoami, &environment), prod);
        environment.address = Some("unix:/variable".to_owned());
        let own = pair("unix:/variable", "/variable/token");
        assert_eq!(token(whoami, &environment), own);
        let flag = "claviger whoami --address 127.0.0.1:1";
        assert_eq!(token(flag, &environment), pair("127.0.0.1:1", ""));
        let both = "claviger whoami --address 127.0.0.1:1 --token-file /flag/token";
        let given = pair("127.0.0.1:1", "/flag/token");
        assert_eq!(token(both, &environment), given);

        let default_socket = Environment {
            token_file: environment.token_file,
            ..Environment::default()
        };
        assert_eq!(token(whoami, &default_socket), pair("", "/variable/token"));
    }

    #[test]
    fn a_file_has_to_be_there_only_if_it_is_named() {
        let mut environment = Environment {
            default_config_file: Some("/nowhere/claviger.toml".into()),
            ..Environment::default()
        };
        let nothing = ["", "", "", ""];
        assert_eq!(settle("claviger whoami", &environment).unwrap(), nothing);
        let chosen = settle("claviger whoami --context prod", &environment).unwrap_err();
        assert!(
            chosen.contains("in /nowhere/claviger.toml (contexts: none)"),
            "{chosen}"
        );
        let named = settle("claviger whoami --config /nowhere/c", &environment).unwrap_err();
        assert!(named.starts_with("/nowhere/c cannot be read: "), "{named}");
        environment.config_file = Some("/nowhere/v".into());
        let named = settle("claviger whoami", &environment).unwrap_err();
        assert!(named.starts_with("/nowhere/v cannot be read: "), "{named}");
    }

    #[test]
    fn a_context_that_is_not_there_is_refused_with_those_that_are() {
        let (_file, environment) = written(FILE);
        let said = settle("claviger whoami --context prdo", &environment).unwrap_err();
        assert!(
            said.contains("(contexts: dev, prod)") && said.contains("--context"),
            "{said}"
        );
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        let (file, environment) = written(FILE);
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            let said = settle("claviger whoami", &environment).unwrap_err();
            assert!(said.contains("chmod go-w"), "{said}");
        }
        fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
        assert!(settle("claviger whoami", &environment).is_ok());
    }
}
