//! The actions and the view of an administrator, past Claviger.

use serde_json::{Value, json};

use crate::account::Snowflake;
use crate::control::{Refusal, count, list, text};

/// One row of a result, each cell as Snowflake writes it in JSON.
pub type Row = Vec<Option<String>>;

/// A privilege on a secret that somebody other than its owner has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// `"USAGE"` or `"READ"`.
    pub privilege: String,
    /// `"ROLE"`, `"APPLICATION"` and the like.
    pub grantee_kind: String,
    /// Name of the grantee.
    pub grantee: String,
}

impl Snowflake {
    /// Runs SQL as an administrator, to whom everything is allowed.
    ///
    /// # Panics
    /// If it is refused.
    pub fn console(&self, sql: &str) -> Vec<Row> {
        let rows = self.try_console(sql);
        rows.unwrap_or_else(|refusal| panic!("{sql}: {refusal}"))
    }

    /// Runs SQL as an administrator.
    ///
    /// # Errors
    /// As Snowflake would answer.
    pub fn try_console(&self, sql: &str) -> Result<Vec<Row>, Refusal> {
        let answer = self.try_control("console", &json!({"sql": sql}))?;
        let cell = |cell: &Value| cell.as_str().map(str::to_owned);
        Ok(list(&answer)
            .map(|row| list(row).map(cell).collect())
            .collect())
    }

    /// Sets the string of a secret, which is made for Claviger's role if there is none.
    pub fn put_secret(&self, schema: &str, name: &str, string: &str) {
        let asked = json!({"schema": schema, "name": name, "string": string});
        self.control("put_secret", &asked);
    }

    /// Drops a secret.
    pub fn drop_secret(&self, schema: &str, name: &str) {
        self.console(&format!("DROP SECRET {}", self.qualified(schema, name)));
    }

    /// The string of a secret, which no SQL statement shows.
    pub fn secret(&self, schema: &str, name: &str) -> Option<String> {
        self.seen(schema, name)
            .map(|secret| text(&secret["string"]))
    }

    /// The comment of a secret; empty if it has none.
    pub fn comment(&self, schema: &str, name: &str) -> Option<String> {
        self.seen(schema, name)
            .map(|secret| text(&secret["comment"]))
    }

    /// How often the string of a secret was set since it was created, the creation among them.
    pub fn times_set(&self, schema: &str, name: &str) -> usize {
        self.seen(schema, name)
            .map_or(0, |secret| count(&secret["times_set"]))
    }

    /// The privileges of others on a secret, in order.
    pub fn grants(&self, schema: &str, name: &str) -> Vec<Grant> {
        let Some(secret) = self.seen(schema, name) else {
            return Vec::new();
        };
        let field = |grant: &Value, name: &str| text(&grant[name]);
        let mut grants = list(&secret["grants"])
            .map(|grant| Grant {
                privilege: field(grant, "privilege"),
                grantee_kind: field(grant, "grantee_kind"),
                grantee: field(grant, "grantee"),
            })
            .collect::<Vec<_>>();
        grants.sort();
        grants
    }

    /// The names of all secrets of a schema, in order.
    pub fn secret_names(&self, schema: &str) -> Vec<String> {
        let answer = self.control("secret_names", &json!({"schema": schema}));
        list(&answer).map(text).collect()
    }

    /// The names of all procedures of a schema, in order.
    pub fn procedure_names(&self, schema: &str) -> Vec<String> {
        let answer = self.control("procedure_names", &json!({"schema": schema}));
        list(&answer).map(text).collect()
    }

    /// How many rows of a table fulfil a condition in SQL, such as `"TRUE"`.
    pub fn rows(&self, table: &str, condition: &str) -> usize {
        let rows = self.console(&format!(
            "SELECT COUNT(*) AS C FROM {table} WHERE {condition}"
        ));
        let cell = rows.first().and_then(|row| row.first()).cloned().flatten();
        let cell = cell.expect("one cell");
        cell.parse().expect("a count")
    }

    /// Swaps the content of some columns between the two rows that fulfil one condition each.
    pub fn swap(&self, table: &str, columns: &[&str], one: &str, other: &str) {
        let asked = json!({"table": table, "columns": columns, "one": one, "other": other});
        self.control("swap", &asked);
    }

    /// The name of an object in SQL, quoted.
    pub fn qualified(&self, schema: &str, name: &str) -> String {
        let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
        [self.database(), schema, name].map(quote).join(".")
    }

    fn seen(&self, schema: &str, name: &str) -> Option<Value> {
        let answer = self.control("secret", &json!({"schema": schema, "name": name}));
        Some(answer).filter(|answer| !answer.is_null())
    }
}
