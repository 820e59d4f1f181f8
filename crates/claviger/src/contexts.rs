//! The file with named contexts, and what they, the variables and the flags come to together.
//!
//! SECURITY: a context says where a token goes. So nobody else may write the file, and the files that
//! a context names go with its address alone: an address from elsewhere gets none of them. Likewise
//! the token of the variables goes to the address of the variables, or to the default socket.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use claviger_core::{Id, List};
use claviger_settings::{Problems, Table, read_document};
use rustix::process::geteuid;
use serde_json::json;

use crate::cli::{Cli, ConnectionOptions};
use crate::connection::Place;
use crate::default_socket;
use crate::environment::Environment;
use crate::output::{note, print, table};
use crate::stop::Stop;

/// The bits of a mode by which others may write.
const OTHERS_WRITE: u32 = 0o022;

/// What a context leaves open is `None`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Context {
    address: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    private_key_file: Option<PathBuf>,
    project: Option<String>,
    environment: Option<String>,
}

/// What the file has; nothing where there is none.
#[derive(Debug, Default)]
struct Contexts {
    default: Option<String>,
    by_name: BTreeMap<String, Context>,
}

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
    if token_of_variables.is_none() && variables.token_file.is_some() {
        let others = [&options.token_file, &way.token_file, &way.certificate_file];
        if others
            .into_iter()
            .chain([&options.certificate_file])
            .all(Option::is_none)
        {
            note(
                "CLAVIGER_TOKEN_FILE goes to CLAVIGER_ADDRESS or the default socket only, and is not \
                sent; pass --token-file",
            );
        }
    }
    let address = address.or(way.address);
    if let (None, Some(socket)) = (&address, &environment.default_socket) {
        default_socket::refuse_of_others(socket, geteuid())?;
    }
    Ok(ConnectionOptions {
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
    })
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

impl Contexts {
    fn read(options: &ConnectionOptions, environment: &Environment) -> Result<Self, Stop> {
        let Some(path) = path(options, environment) else {
            return Ok(Self::default());
        };
        let unread = |error| Stop::usage(format!("{} cannot be read: {error}", path.display()));
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && !is_named(options, environment) =>
            {
                return Ok(Self::default());
            }
            Err(error) => return Err(unread(error)),
        };
        if let Some(fault) = fault(&file.metadata().map_err(unread)?) {
            return Err(Stop::usage(format!("{} {fault}", path.display())));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(unread)?;
        Self::parse(&text, path).map_err(|problems| Stop::usage(problems.to_string()))
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Problems> {
        let mut problems = Problems::new(Some(path));
        let contexts = read_document(text, &mut problems, |root| {
            let by_name: BTreeMap<_, _> = root.table("contexts", |contexts| {
                let ids = contexts.ids().into_iter();
                let read =
                    ids.map(|id| (id.to_string(), contexts.table(id.as_str(), Context::read)));
                read.collect()
            });
            let default = root.text("context");
            if default
                .as_ref()
                .is_some_and(|name| !by_name.contains_key(name))
            {
                let names = List(by_name.keys().collect());
                root.wrong(
                    "context",
                    format!("names no context of this file (contexts: {names})"),
                );
            }
            Self { default, by_name }
        });
        match contexts {
            Some(contexts) if problems.is_empty() => Ok(contexts),
            _ => Err(problems.sorted()),
        }
    }

    /// The name of the context to work in.
    fn chosen<'a>(
        &'a self,
        options: &'a ConnectionOptions,
        environment: &'a Environment,
    ) -> Option<&'a str> {
        let ranked = [&options.context, &environment.context, &self.default];
        ranked.into_iter().flatten().next().map(String::as_str)
    }

    fn get(
        &self,
        name: &str,
        options: &ConnectionOptions,
        environment: &Environment,
    ) -> Result<&Context, Stop> {
        self.by_name.get(name).ok_or_else(|| {
            let path = path(options, environment).unwrap_or(Path::new("the file with contexts"));
            Stop::usage(format!(
                "there is no context of that name in {} (contexts: {}); choose one with --context or \
                CLAVIGER_CONTEXT, or add it",
                path.display(),
                List(self.by_name.keys().collect()),
            ))
        })
    }
}

/// Where the file is, or would be.
fn path<'a>(options: &'a ConnectionOptions, environment: &'a Environment) -> Option<&'a Path> {
    let ranked = [
        &options.config,
        &environment.config_file,
        &environment.default_config_file,
    ];
    ranked.into_iter().flatten().next().map(PathBuf::as_path)
}

/// Whether somebody said where the file is, so that it has to be there.
fn is_named(options: &ConnectionOptions, environment: &Environment) -> bool {
    options.config.is_some() || environment.config_file.is_some()
}

/// What is wrong with a file that only this user and root are to change, and the remedy.
fn fault(metadata: &Metadata) -> Option<&'static str> {
    if metadata.uid() != geteuid().as_raw() && metadata.uid() != 0 {
        Some("belongs to another user, who could send tokens elsewhere; take a copy of your own")
    } else if metadata.mode() & OTHERS_WRITE != 0 {
        Some(
            "can be written by other users, who could send tokens elsewhere; close it (chmod go-w), \
            once you know that nobody did",
        )
    } else {
        None
    }
}

impl Context {
    fn read(table: &mut Table<'_>) -> Self {
        let context = Self {
            address: table.parsed("address", |text| match Place::parse(text) {
                Some(_) => Ok(text.to_owned()),
                None => Err("is no address; give unix:/path or host:port"),
            }),
            token_file: table.path("token_file"),
            ca_file: table.path("ca_file"),
            certificate_file: table.path("certificate_file"),
            private_key_file: table.path("private_key_file"),
            project: table.parsed("project", |text| id_below("projects/", text)),
            environment: table.parsed("environment", |text| id_below("", text)),
        };
        context.judge(table);
        context
    }

    /// Reports settings that cannot work together.
    fn judge(&self, table: &mut Table<'_>) {
        let place = self.address.as_deref().and_then(Place::parse);
        match place {
            Some(Place::AnotherHost) => {
                table.require("ca_file", "plain text goes to this host only");
            }
            Some(Place::ThisHost(_)) => {}
            Some(Place::Unix(_)) | None if self.ca_file.is_some() => {
                table.wrong("ca_file", "needs an address host:port; no other speaks TLS");
            }
            Some(Place::Unix(_)) | None => {}
        }
        if table.has("certificate_file") {
            table.require("private_key_file", "certificate_file needs it");
            table.require("ca_file", "certificate_file needs it");
        } else if table.has("private_key_file") {
            table.require("certificate_file", "private_key_file needs it");
        }
    }
}

/// The text, if it is an id or the full name of one.
fn id_below(collection: &str, text: &str) -> Result<String, &'static str> {
    match Id::parse("id", text.strip_prefix(collection).unwrap_or(text)) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("is not an id; use 1 to 128 of the characters 0-9 A-Z a-z _ ( ) -"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use clap::{CommandFactory as _, Parser as _};

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

    #[test]
    fn the_file_that_the_help_shows_can_be_used() {
        let mut cli = Cli::command();
        let task = cli.find_subcommand_mut("context").unwrap();
        let help = task.get_after_help().unwrap().to_string();
        let shown: String = help
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| !line.starts_with("claviger "))
            .flat_map(|line| [line, "\n"])
            .collect();
        let contexts = Contexts::parse(&shown, Path::new("/f")).unwrap();
        assert_eq!(contexts.by_name.len(), 2);
        assert!(contexts.by_name["prod"].token_file.is_some());
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_its_line_and_without_its_value() {
        let text = r#"context = "nope"
projekt = "canary"
[contexts.a]
address = "canary"
token_file = "canary"
environment = "can ary"
[contexts.b]
address = "broker.acme:7433"
certificate_file = "/canary.pem"
[contexts.c]
address = "unix:/canary"
ca_file = "/canary.pem"
private_key_file = "/canary.key"
"#;
        let problems = Contexts::parse(text, Path::new("/f"))
            .unwrap_err()
            .to_string();
        let expected = "\
/f:1: context: names no context of this file (contexts: a, b, c)
/f:2: projekt: is not a key (keys here: context, contexts)
/f:4: contexts.a.address: is no address; give unix:/path or host:port
/f:5: contexts.a.token_file: is not an absolute path; write it out, `~` and variables are not expanded
/f:6: contexts.a.environment: is not an id; use 1 to 128 of the characters 0-9 A-Z a-z _ ( ) -
/f:7: contexts.b.ca_file: is missing; plain text goes to this host only
/f:7: contexts.b.private_key_file: is missing; certificate_file needs it
/f:7: contexts.b.ca_file: is missing; certificate_file needs it
/f:10: contexts.c.certificate_file: is missing; private_key_file needs it
/f:12: contexts.c.ca_file: needs an address host:port; no other speaks TLS";
        assert_eq!(problems, expected);
    }
}
