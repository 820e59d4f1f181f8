//! The operator's table `[vaults.<id>.settings]`, and the rules that it keeps.

use claviger_settings::{SettingsProblem, Table};

/// The settings of one vault of kind `newkind`. Holds no credentials.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NewkindSettings {
    /// Where the vault answers.
    pub endpoint_url: String,
}

impl NewkindSettings {
    /// Reads them; everything wrong goes to the table's problems.
    pub fn read(table: &mut Table<'_>) -> Self {
        table.require("endpoint_url", "write https://HOST[:PORT]");
        let settings = Self {
            endpoint_url: table.text("endpoint_url").unwrap_or_default(),
        };
        table.report(settings.problems());
        settings
    }

    /// Everything that is wrong, found without asking anybody.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let checks = [(
            "endpoint_url",
            !self.endpoint_url.starts_with("https://"),
            "is not https://HOST[:PORT]",
        )];
        let wrong = checks.into_iter().filter(|(_, is_wrong, _)| *is_wrong);
        wrong
            .map(|(key, _, remedy)| SettingsProblem { key, remedy })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(endpoint_url: &str) -> Vec<&'static str> {
        let settings = NewkindSettings {
            endpoint_url: endpoint_url.to_owned(),
        };
        let problems = settings.problems().into_iter();
        problems.map(|problem| problem.key).collect()
    }

    #[test]
    fn secrets_travel_encrypted_only() {
        assert_eq!(keys("https://vault.example"), [""; 0]);
        assert_eq!(keys("http://vault.example"), ["endpoint_url"]);
        assert_eq!(keys(""), ["endpoint_url"]);
    }
}
