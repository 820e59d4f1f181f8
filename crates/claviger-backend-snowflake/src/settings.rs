//! The operator's table `[vaults.<id>.settings]`, and the rules that it keeps.

use std::path::{Path, PathBuf};

use claviger_settings::{SettingsProblem, Table};
use url::{Host, Url};

use crate::key::{KEY_FILE, PASSWORD_FILE};
use crate::sql::name_fault;

#[cfg(test)]
mod tests;

/// The schema where none is named.
const SCHEMA_DEFAULT: &str = "SECRETS";

const NOT_ABSOLUTE: &str = "is not an absolute path; write the file's whole path";
const NOT_A_NAME: &str = "is not a name that Snowflake knows; write it as SHOW prints it, without \
                          quotes and in the same case (mostly upper)";

/// The settings of one vault of kind `snowflake`. Holds no secrets: they stay in their files. A text
/// that has to be there and is not is empty. Names are taken letter for letter, so that `broker` and
/// `BROKER` are two.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SnowflakeSettings {
    /// `ORGANIZATION-ACCOUNT`, or a locator such as `xy12345.eu-central-1`.
    pub account: String,
    /// Instead of the account's own address: a private link, or an emulator on this machine, which
    /// is reached past every proxy.
    pub base_url: Option<String>,
    /// Hosts that parts of large results may be fetched from, besides the account's own.
    pub result_hosts: Vec<String>,
    /// The user that Claviger is.
    pub user: String,
    /// Its private key: PKCS#8 PEM, RSA.
    pub private_key_file: PathBuf,
    /// Holds the key's password and nothing else; where the key is encrypted.
    pub private_key_password_file: Option<PathBuf>,
    /// The role that Claviger takes; never the user's default one.
    pub role: String,
    /// Runs everything that needs computing: every statement of a sealed table, and reader procedures.
    pub warehouse: Option<String>,
    /// The database.
    pub database: String,
    /// The schema in it.
    pub schema: String,
    /// The form of the values there. Has to be there.
    pub storage: Option<Storage>,
    /// How values of secret objects come back; else they do not.
    pub reader: Option<Reader>,
    /// The application or role that may use the secret objects inside Snowflake.
    pub grantee: Option<Grantee>,
}

/// The form of a value in the schema.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Storage {
    /// A row that Claviger has encrypted.
    SealedTable,
    /// A `SECRET` object.
    SecretObjects,
}

/// `reader = "procedure"`: a procedure for each secret, which returns its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reader {
    /// The schema they are in, of the same database.
    pub schema: String,
    /// The external access integration without which Snowflake lets no procedure use a secret.
    pub integration: String,
}

/// The application or role that gets `USAGE` and `READ` on stored values.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Grantee {
    /// An application, such as a pipeline runner.
    Application(String),
    /// A role.
    Role(String),
}

impl Default for SnowflakeSettings {
    fn default() -> Self {
        Self {
            account: String::new(),
            base_url: None,
            result_hosts: Vec::new(),
            user: String::new(),
            private_key_file: PathBuf::new(),
            private_key_password_file: None,
            role: String::new(),
            warehouse: None,
            database: String::new(),
            schema: SCHEMA_DEFAULT.to_owned(),
            storage: None,
            reader: None,
            grantee: None,
        }
    }
}

impl SnowflakeSettings {
    /// Reads them; everything wrong goes to the table's problems. Opens no file.
    pub fn read(table: &mut Table<'_>) -> Self {
        let text = |table: &mut Table<'_>, key: &str| table.text(key).unwrap_or_default();
        let application = table.text("grant_to_application").map(Grantee::Application);
        let role = table.text("grant_to_role").map(Grantee::Role);
        if application.is_some() && role.is_some() {
            table.wrong(
                "grant_to_role",
                "contradicts grant_to_application; drop one of the two",
            );
        }
        let settings = Self {
            account: text(table, "account"),
            base_url: table.text("base_url"),
            result_hosts: table
                .texts("result_hosts", |host| Ok::<_, &str>(host.to_owned()))
                .unwrap_or_default(),
            user: text(table, "user"),
            private_key_file: table.path(KEY_FILE).unwrap_or_default(),
            private_key_password_file: table.path(PASSWORD_FILE),
            role: text(table, "role"),
            warehouse: table.text("warehouse"),
            database: text(table, "database"),
            schema: table
                .text("schema")
                .unwrap_or_else(|| SCHEMA_DEFAULT.to_owned()),
            storage: table.parsed("storage", |storage| match storage {
                "sealed_table" => Ok(Storage::SealedTable),
                "secret_objects" => Ok(Storage::SecretObjects),
                _ => Err("is not a way to store; write \"secret_objects\" or \"sealed_table\""),
            }),
            reader: Reader::read(table),
            grantee: application.or(role),
        };
        table.report(settings.problems());
        settings
    }

    /// Everything that is wrong, found without asking anybody or opening a file.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let account = match is_account(&self.account) {
            true => None,
            false => Some(
                "is not the identifier of an account; write ORGANIZATION-ACCOUNT, without https:// \
                 and .snowflakecomputing.com (SELECT CURRENT_ORGANIZATION_NAME() || '-' || \
                 CURRENT_ACCOUNT_NAME())",
            ),
        };
        let url = self.base_url.as_deref().filter(|url| origin(url).is_none());
        let result_hosts = self.result_hosts.iter().all(|host| is_host(host));
        let needs_warehouse = self.storage == Some(Storage::SealedTable) || self.reader.is_some();
        let warehouse = match self.warehouse.as_deref() {
            None if needs_warehouse => Some(
                "is missing; name a small warehouse, which sealed tables and \
                 reader procedures need",
            ),
            name => name.and_then(wrong_name),
        };
        let storage = self.storage.is_none().then_some(
            "is missing; write secret_objects (real secrets, for runners inside Snowflake) or \
             sealed_table (rows that Snowflake cannot read)",
        );
        let found = [
            ("account", account),
            (
                "base_url",
                url.map(|_| {
                    "is not https://HOST or https://HOST:PORT with nothing behind it (http:// only \
                     for this machine); leave it out to call the account's own address"
                }),
            ),
            (
                "result_hosts",
                (!result_hosts).then_some(
                    "has something that is not the name of a host; write those of type STAGE that \
                     SELECT SYSTEM$ALLOWLIST() prints, without https:// and a port",
                ),
            ),
            (
                "user",
                missing_or_wrong(&self.user, "is missing; write the service user's name"),
            ),
            (
                KEY_FILE,
                wrong_path(
                    &self.private_key_file,
                    "is missing; write the path of the user's private key in PKCS#8 PEM",
                ),
            ),
            (
                PASSWORD_FILE,
                self.private_key_password_file
                    .as_deref()
                    .and_then(|path| wrong_path(path, "is empty; leave it out for a plain key")),
            ),
            (
                "role",
                missing_or_wrong(
                    &self.role,
                    "is missing; write the role that deploy/snowflake/setup.sql makes",
                ),
            ),
            ("warehouse", warehouse),
            (
                "database",
                missing_or_wrong(&self.database, "is missing; write its name"),
            ),
            ("schema", wrong_name(&self.schema)),
            ("storage", storage),
        ];
        let found = found
            .into_iter()
            .filter_map(|(key, remedy)| Some(problem(key, remedy?)));
        found.chain(self.object_problems()).collect()
    }

    /// Settings that work, but may not be meant.
    pub fn warnings(&self) -> Vec<SettingsProblem> {
        let is_own =
            matches!(&self.grantee, Some(Grantee::Application(name)) if *name == self.database);
        let own = is_own.then_some(problem(
            "schema",
            "is in the application's own database, and is dropped with all its secrets when the \
             application is uninstalled; use a schema of a database of yours",
        ));
        own.into_iter().collect()
    }

    /// Problems that only secret objects have.
    fn object_problems(&self) -> Vec<SettingsProblem> {
        let is_sealed = self.storage == Some(Storage::SealedTable);
        let mut problems = Vec::new();
        if let Some(reader) = &self.reader {
            if is_sealed {
                problems.push(problem(
                    "reader",
                    "goes with storage = \"secret_objects\" only; leave it out, Claviger reads a \
                     sealed table itself",
                ));
            }
            let schema = match reader.schema == self.schema {
                true => Some(
                    "is the schema of the secrets; name another one, closed to all but \
                     Claviger's role",
                ),
                false => missing_or_wrong(
                    &reader.schema,
                    "is missing; name the schema for the reader procedures",
                ),
            };
            let integration = missing_or_wrong(
                &reader.integration,
                "is missing; name the external access integration that \
                 deploy/snowflake/setup.sql makes",
            );
            let found = [
                ("reader_schema", schema),
                ("reader_integration", integration),
            ];
            problems.extend(
                found
                    .into_iter()
                    .filter_map(|(key, remedy)| Some(problem(key, remedy?))),
            );
        }
        if let Some(grantee) = &self.grantee {
            let (key, name) = match grantee {
                Grantee::Application(name) => ("grant_to_application", name),
                Grantee::Role(name) => ("grant_to_role", name),
            };
            let remedy = match is_sealed {
                true => Some(
                    "goes with storage = \"secret_objects\" only; leave it out, nobody inside \
                     Snowflake can use sealed rows",
                ),
                false => wrong_name(name),
            };
            problems.extend(remedy.map(|remedy| problem(key, remedy)));
        }
        problems
    }

    /// Where to call; `None` if the settings do not say.
    pub(crate) fn url(&self) -> Option<Url> {
        if let Some(url) = &self.base_url {
            return origin(url);
        }
        let zone = match self.part_after_name() {
            Some(region) if region.starts_with("cn-") => "snowflakecomputing.cn",
            Some(_) | None => "snowflakecomputing.com",
        };
        Url::parse(&format!("https://{}.{zone}", self.account)).ok()
    }

    /// The account as its users log in to it. The address of a replicated one ends in `.global`, and
    /// has an id before that which is not of the name.
    pub(crate) fn log_in_account(&self) -> &str {
        let name = self.account.split('.').next().unwrap_or_default();
        match (self.part_after_name().as_deref(), name.rsplit_once('-')) {
            (Some("global"), Some((name, _))) => name,
            _ => &self.account,
        }
    }

    /// The region of an older locator, or what stands in its place; in lower case.
    fn part_after_name(&self) -> Option<String> {
        self.account.split('.').nth(1).map(str::to_ascii_lowercase)
    }
}

impl Reader {
    fn read(table: &mut Table<'_>) -> Option<Self> {
        let has_reader = table.parsed("reader", |reader| match reader {
            "none" => Ok(false),
            "procedure" => Ok(true),
            _ => Err("is not a way to read; write \"none\" or \"procedure\""),
        });
        let mut text = |key| {
            let text = table.text(key).unwrap_or_default();
            if !text.is_empty() && has_reader != Some(true) {
                table.wrong(key, "goes with reader = \"procedure\"; drop it or add that");
            }
            text
        };
        let reader = Self {
            schema: text("reader_schema"),
            integration: text("reader_integration"),
        };
        Some(reader).filter(|_| has_reader == Some(true))
    }
}

fn problem(key: &'static str, remedy: &'static str) -> SettingsProblem {
    SettingsProblem { key, remedy }
}

fn wrong_name(name: &str) -> Option<&'static str> {
    name_fault(name).map(|_| NOT_A_NAME)
}

fn missing_or_wrong(name: &str, missing: &'static str) -> Option<&'static str> {
    match name {
        "" => Some(missing),
        name => wrong_name(name),
    }
}

fn wrong_path(path: &Path, missing: &'static str) -> Option<&'static str> {
    match path.as_os_str().is_empty() {
        true => Some(missing),
        false => (!path.is_absolute()).then_some(NOT_ABSOLUTE),
    }
}

/// SECURITY: it becomes part of a host name.
fn is_account(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 200
        && text.split('.').all(is_label)
        && !text.to_ascii_lowercase().contains("snowflakecomputing")
}

/// SECURITY: whole names only; what a pattern stands for may be anybody's.
fn is_host(text: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.contains('.') && text.bytes().all(is_name_byte)
}

/// The address in a URL that has nothing else, and is encrypted unless it never leaves this machine.
fn origin(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_local = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let is_bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_local;
    (is_bare && is_safe).then_some(url)
}
