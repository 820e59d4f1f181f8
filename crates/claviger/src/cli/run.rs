use std::ffi::OsString;

use clap::Args;

/// A job and the values it gets.
#[derive(Args, Debug)]
pub struct Run {
    /// A variable and the secret it gets, such as STRIPE_API_KEY=stripe
    #[arg(long = "env", value_name = "NAME=ID", value_parser = Variable::parse)]
    pub variables: Vec<Variable>,

    /// The job
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub job: Vec<OsString>,
}

/// A variable of a job, and the secret it gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Variable {
    /// The name of the variable.
    pub name: String,
    /// The secret.
    pub id: String,
}

impl Variable {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, id)) if !name.is_empty() && !id.is_empty() => Ok(Self {
                name: name.to_owned(),
                id: id.to_owned(),
            }),
            _ => Err("give NAME=ID, such as STRIPE_API_KEY=stripe".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_name_and_a_secret() {
        let variable = Variable::parse("KEY=projects/acme/secrets/a=b").unwrap();
        assert_eq!(variable.name, "KEY");
        assert_eq!(variable.id, "projects/acme/secrets/a=b");
        for text in ["KEY", "=stripe", "KEY=", ""] {
            assert!(
                Variable::parse(text).unwrap_err().contains("NAME=ID"),
                "{text}"
            );
        }
    }
}
