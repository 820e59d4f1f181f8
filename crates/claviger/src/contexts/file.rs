//! The file with named contexts: where it is, who may have written it, and what it says.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use claviger_core::{Id, List};
use claviger_settings::{Problems, Table, read_document};
use rustix::process::geteuid;

use crate::cli::ConnectionOptions;
use crate::connection::Place;
use crate::environment::Environment;
use crate::pasted;
use crate::stop::Stop;

/// The bits of a mode by which others may write.
const OTHERS_WRITE: u32 = 0o022;

/// What a context leaves open is `None`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Context {
    pub(super) address: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) certificate_file: Option<PathBuf>,
    pub(super) private_key_file: Option<PathBuf>,
    pub(super) project: Option<String>,
    pub(super) environment: Option<String>,
}

/// What the file has; nothing where there is none.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    pub(super) default: Option<String>,
    pub(super) by_name: BTreeMap<String, Context>,
}

impl Contexts {
    pub(super) fn read(
        options: &ConnectionOptions,
        environment: &Environment,
    ) -> Result<Self, Stop> {
        let Some(path) = path(options, environment) else {
            return Ok(Self::default());
        };
        pasted::refuse(&path.to_string_lossy())?;
        let unread = |error| Stop::usage(format!("{} cannot be read: {error}", path.display()));
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if !is_named(options, environment) && is_none(&error, options) => {
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
    pub(super) fn chosen<'a>(
        &'a self,
        options: &'a ConnectionOptions,
        environment: &'a Environment,
    ) -> Option<&'a str> {
        let ranked = [&options.context, &environment.context, &self.default];
        ranked.into_iter().flatten().next().map(String::as_str)
    }

    pub(super) fn get(
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

/// Whether the file that nobody has named is as good as none. Units of systemd have a home that is closed
/// to them; where the address is given, no context could send anything elsewhere.
fn is_none(error: &io::Error, options: &ConnectionOptions) -> bool {
    let kind = error.kind();
    let is_closed = kind == io::ErrorKind::PermissionDenied && options.address.is_some();
    is_closed || kind == io::ErrorKind::NotFound || kind == io::ErrorKind::NotADirectory
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
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_file_that_nobody_named_is_none_where_it_could_send_nothing_elsewhere() {
        let named = || ConnectionOptions {
            address: Some("unix:/s".to_owned()),
            ..ConnectionOptions::default()
        };
        for (kind, options, expected) in [
            (io::ErrorKind::NotFound, ConnectionOptions::default(), true),
            (
                io::ErrorKind::NotADirectory,
                ConnectionOptions::default(),
                true,
            ),
            (
                io::ErrorKind::PermissionDenied,
                ConnectionOptions::default(),
                false,
            ),
            (io::ErrorKind::PermissionDenied, named(), true),
            (io::ErrorKind::InvalidData, named(), false),
        ] {
            assert_eq!(
                is_none(&io::Error::from(kind), &options),
                expected,
                "{kind}"
            );
        }
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
