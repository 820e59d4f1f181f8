//! `claviger run`: a job with values in its environment, and in files that are memory.

mod fetch;
mod job;
mod memory;
mod surroundings;
mod template;

use std::collections::BTreeSet;
use std::fs;
use std::process::ExitCode;

use crate::ask::Asking;
use crate::cli::{Run, Variable};
use crate::stop::Stop;

use fetch::{Fetched, Wanted};
use surroundings::Surroundings;
use template::Template;

/// What a profile sets, after its own name.
const OF_PROFILE: [&str; 3] = ["_API_KEY", "_ACCOUNT", "_CONTEXT"];

/// What is to be fetched, by full names, and where it goes.
struct Plan {
    variables: Vec<(String, String)>,
    profiles: Vec<(String, String)>,
    files: Vec<(String, String)>,
    templates: Vec<(String, Template)>,
}

pub(crate) async fn run(asking: &Asking, run: &Run) -> Result<ExitCode, Stop> {
    refuse_twice(run)?;
    let plan = Plan::of(asking, run)?;
    let wanted = plan.wanted(run.purpose.clone().unwrap_or_default());
    let fetched = fetch::patiently(asking, &wanted).await?;
    let surroundings = plan.filled(&fetched)?;
    drop(fetched);
    job::start(&run.job, surroundings).await
}

fn refuse_twice(run: &Run) -> Result<(), Stop> {
    let own = [&run.variables, &run.files, &run.templates];
    let own = own.into_iter().flatten().map(|own| own.name.clone());
    let of_profiles = run.profiles.iter().flat_map(|profile| {
        let prefix = &profile.name;
        OF_PROFILE.map(|name| format!("{prefix}{name}"))
    });
    let mut seen = BTreeSet::new();
    let twice = own
        .chain(of_profiles)
        .find(|name| !seen.insert(name.clone()));
    match twice {
        None => Ok(()),
        Some(name) => Err(Stop::usage(format!(
            "the variable {name} is set twice; set it by one option only"
        ))),
    }
}

impl Plan {
    fn of(asking: &Asking, run: &Run) -> Result<Self, Stop> {
        let secrets = |variables: &[Variable]| {
            let full = variables.iter().map(|Variable { name, source }| {
                let secret = asking.secret(source).map_err(|stop| stop.about(name))?;
                Ok((name.clone(), secret))
            });
            full.collect::<Result<_, Stop>>()
        };
        let profiles = run.profiles.iter().map(|Variable { name, source }| {
            let profile = asking.profile(source).map_err(|stop| stop.about(name))?;
            Ok((name.clone(), profile))
        });
        let templates = run.templates.iter().map(|Variable { name, source }| {
            let template = template(asking, source).map_err(|stop| stop.about(source))?;
            Ok((name.clone(), template))
        });
        Ok(Self {
            variables: secrets(&run.variables)?,
            profiles: profiles.collect::<Result<_, Stop>>()?,
            files: secrets(&run.files)?,
            templates: templates.collect::<Result<_, Stop>>()?,
        })
    }

    fn wanted(&self, purpose: String) -> Wanted {
        let own = self.variables.iter().chain(&self.files);
        let own = own.map(|(_, secret)| secret);
        let templates = self.templates.iter();
        let of_templates = templates.flat_map(|(_, template)| template.secrets());
        let profiles = self.profiles.iter().map(|(_, profile)| profile);
        Wanted {
            secrets: own.chain(of_templates).cloned().collect(),
            profiles: profiles.cloned().collect(),
            purpose,
        }
    }

    fn filled(&self, fetched: &Fetched) -> Result<Surroundings, Stop> {
        let mut surroundings = Surroundings::default();
        for (name, secret) in &self.variables {
            let value = fetched.bytes(secret)?;
            let set = surroundings.set(name, value);
            set.map_err(|stop| stop.about(secret))?;
        }
        for (prefix, profile) in &self.profiles {
            let connection = fetched.profile(profile)?;
            let parts = [
                &connection.credential,
                &connection.account,
                &connection.context,
            ];
            for (name, value) in OF_PROFILE.into_iter().zip(parts) {
                let name = format!("{prefix}{name}");
                match value.is_empty() {
                    // One that is inherited would name the account of something else.
                    true => surroundings.unset(name),
                    false => surroundings.set(&name, value.as_bytes())?,
                }
            }
        }
        for (name, secret) in &self.files {
            surroundings.put(name, fetched.bytes(secret)?)?;
        }
        for (name, template) in &self.templates {
            let text = template.filled(|secret| fetched.text(secret))?;
            surroundings.put(name, text.as_bytes())?;
        }
        Ok(surroundings)
    }
}

fn template(asking: &Asking, file: &str) -> Result<Template, Stop> {
    let text = fs::read_to_string(file)
        .map_err(|error| Stop::usage(format!("{file} cannot be read: {error}")))?;
    let template = Template::parse(&text).map_err(|fault| Stop::usage(fault.to_string()))?;
    template.renamed(|id| asking.secret(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &str) -> Option<String> {
        use clap::Parser as _;

        let line = format!("claviger run {options} -- true");
        let cli = crate::cli::Cli::try_parse_from(line.split_whitespace()).unwrap();
        let crate::cli::Command::Run(run) = cli.command else {
            panic!("{line}");
        };
        refuse_twice(&run).err().map(|stop| stop.to_string())
    }

    #[test]
    fn a_variable_that_is_set_twice_is_named() {
        for options in [
            "",
            "--env A=a --file B=a --template C=a --profile D=a",
            "--profile A=a --profile B=a --env A=a",
        ] {
            assert_eq!(refused(options), None, "{options}");
        }
        for (options, name) in [
            ("--env A=a --env A=b", "A"),
            ("--env A=a --file A=a", "A"),
            ("--file A=a --template A=a", "A"),
            ("--profile A=a --profile A=b", "A_API_KEY"),
            ("--profile A=a --env A_API_KEY=b", "A_API_KEY"),
            ("--profile A=a --file A_ACCOUNT=b", "A_ACCOUNT"),
            ("--profile A=a --template A_CONTEXT=b", "A_CONTEXT"),
        ] {
            let said = refused(options).unwrap_or_default();
            assert!(
                said.contains(&format!("variable {name} is set twice")),
                "{options}: {said}"
            );
        }
    }
}
