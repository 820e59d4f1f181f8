use std::time::Duration;

use claviger_client::{Client, Response, Status, reason};
use claviger_core::{DefinitionName, Error, ProfileName, ProjectName, Reason, Resource};

use crate::cli::Cli;
use crate::connection::Connection;
use crate::contexts;
use crate::environment::Environment;
use crate::patience::patiently;
use crate::stop::{Stop, is_broken};

/// What all tasks know: whom to ask, about which project, and how to answer.
pub(crate) struct Asking {
    connection: Connection,
    project: Option<String>,
    /// Empty where none is named.
    pub(crate) environment: String,
    pub(crate) is_json: bool,
    /// How long the daemon is waited for.
    pub(crate) patience: Duration,
}

impl Asking {
    pub(crate) fn of(cli: &Cli, environment: &Environment) -> Result<Self, Stop> {
        let options = contexts::settled(&cli.connection, environment)?;
        let default_socket = environment.default_socket.as_deref();
        Ok(Self {
            connection: Connection::of(&options, default_socket)?,
            project: options.project,
            environment: options.environment.unwrap_or_default(),
            is_json: cli.json,
            patience: options.timeout,
        })
    }

    /// The answer to a put with a request id. Where it was lost, the same put is made again.
    ///
    /// SECURITY: not on a port of this host in plain text, where anybody may listen once the daemon is
    /// gone, and would get the value and the token.
    pub(crate) async fn answer_to<T>(
        &self,
        name: &str,
        put: impl AsyncFn() -> Result<Response<T>, Status>,
    ) -> Result<Result<T, Status>, Stop> {
        let is_repeated = self.connection.is_vouched_for();
        let answered = patiently(self.patience, async || match put().await {
            Ok(answer) => Ok(Ok(answer.into_inner())),
            Err(status) if is_repeated && is_unsettled(&status) => {
                Err(Stop::from(status).passing())
            }
            Err(status) => Ok(Err(status)),
        });
        answered.await.map_err(|stop| {
            let said = format!("it is not known whether {name} was changed, so look at it: {stop}");
            stop.saying(said)
        })
    }

    pub(crate) async fn client(&self) -> Result<Client, Stop> {
        self.connection.client().await
    }

    /// The full name of a secret or its definition.
    pub(crate) fn secret(&self, id: &str) -> Result<String, Stop> {
        let name = self.name("secrets", id)?;
        DefinitionName::parse("name", &name).map_err(|error| no_name(&error))?;
        Ok(name)
    }

    /// The full name of a connection profile.
    pub(crate) fn profile(&self, id: &str) -> Result<String, Stop> {
        let name = self.name("connectionProfiles", id)?;
        ProfileName::parse("name", &name).map_err(|error| no_name(&error))?;
        Ok(name)
    }

    /// What a grant is about: `*`, a full name, or a secret or profile of the project.
    pub(crate) fn resource(&self, text: &str) -> Result<String, Stop> {
        let name = match text.split_once('/') {
            None if text == "*" => text.to_owned(),
            Some(("connectionProfiles" | "secrets", _)) => format!("{}/{text}", self.project()?),
            _ => self.name("secrets", text)?,
        };
        Resource::parse("resource", &name).map_err(|error| no_name(&error))?;
        Ok(name)
    }

    fn name(&self, collection: &str, id: &str) -> Result<String, Stop> {
        match id.starts_with("projects/") {
            true => Ok(id.to_owned()),
            false => Ok(format!("{}/{collection}/{id}", self.project()?)),
        }
    }

    /// The full name of the project.
    pub(crate) fn project(&self) -> Result<String, Stop> {
        let project = self.named_project()?.ok_or_else(|| {
            Stop::usage(
                "which project is not said; pass --project, set CLAVIGER_PROJECT, or give full names \
                (projects/PROJECT/secrets/ID)",
            )
        })?;
        Ok(project)
    }

    /// The full name of the project, if one is named; an empty one puts that of a context aside.
    pub(crate) fn named_project(&self) -> Result<Option<String>, Stop> {
        let project = self.project.as_deref().filter(|text| !text.is_empty());
        let project = project.map(|id| full_name("projects", id));
        if let Some(project) = &project {
            ProjectName::parse("project", project).map_err(|error| no_name(&error))?;
        }
        Ok(project)
    }
}

/// Whether it is open what became of a put, and the same put again would settle it.
fn is_unsettled(status: &Status) -> bool {
    match reason(status) {
        None => is_broken(status.code()),
        Some(reason) => [Reason::WriteInProgress, Reason::WriteOutcomeUnknown]
            .iter()
            .any(|open| open.as_str() == reason),
    }
}

fn no_name(error: &Error) -> Stop {
    Stop::usage(error.to_string())
}

/// The full name of what is in no project; an id may be one already.
pub(crate) fn full_name(collection: &str, id: &str) -> String {
    match id.strip_prefix(collection) {
        Some(rest) if rest.starts_with('/') => id.to_owned(),
        Some(_) | None => format!("{collection}/{id}"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn asking(line: &str, project: Option<&str>) -> Asking {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let environment = Environment {
            project: project.map(str::to_owned),
            environment: Some("dev".to_owned()),
            default_socket: Some("/s".into()),
            ..Environment::default()
        };
        Asking::of(&cli, &environment).unwrap()
    }

    #[test]
    fn a_short_id_is_of_the_project_and_a_full_name_of_its_own() {
        for (line, variable, project) in [
            ("claviger --project acme status", None, "projects/acme"),
            (
                "claviger status --project projects/acme",
                None,
                "projects/acme",
            ),
            ("claviger status", Some("acme"), "projects/acme"),
            (
                "claviger status --project other",
                Some("acme"),
                "projects/other",
            ),
        ] {
            let asking = asking(line, variable);
            assert_eq!(asking.project().unwrap(), project);
            let name = format!("{project}/secrets/stripe");
            assert_eq!(asking.secret("stripe").unwrap(), name);
            let profile = format!("{project}/connectionProfiles/stripe");
            assert_eq!(asking.profile("stripe").unwrap(), profile);
            let full = "projects/full/secrets/stripe";
            assert_eq!(asking.secret(full).unwrap(), full);
            for short in ["stripe", "secrets/stripe"] {
                assert_eq!(asking.resource(short).unwrap(), name);
            }
            let short = "connectionProfiles/stripe";
            assert_eq!(asking.resource(short).unwrap(), profile);
            for wider in ["secrets/projects/acme", "secrets/", "secrets/*", "views/a"] {
                assert!(asking.resource(wider).is_err(), "{wider}");
            }
            assert_eq!(asking.resource("projects/full").unwrap(), "projects/full");
            assert_eq!(asking.resource("*").unwrap(), "*");
        }
        assert_eq!(full_name("vaults", "vaults/aws"), "vaults/aws");
        assert_eq!(full_name("vaults", "vaults"), "vaults/vaults");
    }

    #[test]
    fn a_short_id_without_a_project_is_refused_and_not_repeated() {
        let asking = asking("claviger status", None);
        let said = asking.secret("rk_test_pasted").unwrap_err().to_string();
        assert!(
            said.contains("--project") && !said.contains("pasted"),
            "{said}"
        );
        assert!(asking.secret("projects/acme/secrets/stripe").is_ok());
    }

    #[test]
    fn what_is_no_name_is_refused_and_not_repeated() {
        const KEY: &str = "rk_test_canary0123456789abcdef";
        let asked = asking("claviger status", Some("acme"));
        let of_key = asking("claviger status", Some(KEY));
        for name in [
            asked.secret(KEY),
            asked.secret("canary!"),
            asked.secret("projects/acme/canary"),
            asked.profile(KEY),
            of_key.project(),
            of_key.secret("stripe"),
        ] {
            let said = name.unwrap_err().to_string();
            assert!(!said.contains("canary"), "{said}");
        }
    }

    #[test]
    fn an_empty_project_is_none() {
        let nameless = asking("claviger status", Some(""));
        assert_eq!(nameless.named_project().unwrap(), None);
        assert!(nameless.project().is_err());
        let named = asking("claviger status", Some("acme"));
        let project = Some("projects/acme".to_owned());
        assert_eq!(named.named_project().unwrap(), project);
    }

    #[test]
    fn the_flag_of_an_environment_comes_before_the_variable() {
        assert_eq!(asking("claviger status", None).environment, "dev");
        let line = "claviger status --environment prod";
        assert_eq!(asking(line, None).environment, "prod");
    }
}
