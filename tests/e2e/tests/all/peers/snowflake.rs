use std::fs::{self, Permissions};
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;

use claviger_e2e::tools;
use claviger_snowflake_fake::{Fault, Snowflake as Fake};
use tempfile::TempDir;

use crate::stage::{Failure, Loss, MARKER, Peer};

/// The table of sealed values, quoted.
pub(crate) const TABLE: &str = "\"BROKER\".\"SECRETS\".\"CLAVIGER_SEALED\"";

/// Settings: sealed rows.
pub(crate) const SEALED: &str = "storage = \"sealed_table\"";

/// Settings: secret objects that are not read back.
pub(crate) const OBJECTS: &str = "storage = \"secret_objects\"\n\
    grant_to_application = \"MATILLION_DATA_PRODUCTIVITY_CLOUD\"";

/// Settings: secret objects that are.
pub(crate) const READABLE: &str = "storage = \"secret_objects\"\nreader = \"procedure\"\n\
    reader_schema = \"READERS\"\nreader_integration = \"CLAVIGER_EAI\"\n\
    grant_to_application = \"MATILLION_DATA_PRODUCTIVITY_CLOUD\"";

/// An account of Snowflake's, for which the daemon gets nothing but an address on loopback and a key.
pub(crate) struct Snowflake {
    pub(crate) fake: Fake,
    storage: String,
    files: TempDir,
}

impl Snowflake {
    /// With the settings that say how values are stored.
    pub(crate) fn start(storage: &str) -> Self {
        let fake = Fake::start();
        let files = tempfile::tempdir().expect("a directory for temporary files");
        let storage = storage.to_owned();
        let account = Self {
            fake,
            storage,
            files,
        };
        account.file("key.p8", &account.fake.private_key_pem(None));
        let setup = tools::repository().join("deploy/snowflake/setup.sql");
        let setup = fs::read_to_string(setup).expect("the administrator's part");
        for statement in setup.split(";\n") {
            if let Some((_, table)) = statement.split_once("CREATE TABLE ") {
                // The emulator has no other collation, and does not know the word.
                let table = table.replace(" COLLATE ''", "");
                account.fake.console(&format!("CREATE TABLE {table}"));
            }
        }
        account
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let file = self.files.path().join(name);
        fs::write(&file, content).expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("closed");
        file
    }

    /// Settings that work, with these in the place of those of the same keys.
    pub(crate) fn settings_with(&self, changed: &str) -> String {
        let fake = &self.fake;
        let key = self.files.path().join("key.p8").display().to_string();
        let usual = [
            ("account", fake.account().to_owned()),
            ("base_url", fake.base_url()),
            ("user", fake.user().to_owned()),
            ("private_key_file", key),
            ("role", fake.role().to_owned()),
            ("warehouse", fake.warehouse().to_owned()),
            ("database", fake.database().to_owned()),
            ("schema", fake.schema().to_owned()),
        ];
        let is_changed = |key: &str| {
            let mut keys = changed.lines().filter_map(|line| line.split(" = ").next());
            keys.any(|one| one == key)
        };
        let usual = usual.iter().filter(|(key, _)| !is_changed(key));
        let usual: String = usual
            .map(|(key, value)| format!("{key} = {value:?}\n"))
            .collect();
        usual + changed
    }

    /// A vault in this account, with these in the place of settings that work.
    pub(crate) fn vault_with(&self, id: &str, more: &str, changed: &str) -> String {
        let working = self.vault_as(id, ("dev", &["*"]), more);
        working.replace(&self.settings(), &self.settings_with(changed))
    }

    /// How many versions are sealed, whoever wants them.
    pub(crate) fn rows(&self) -> usize {
        self.fake.rows(TABLE, "TRUE")
    }

    fn is_sealed(&self) -> bool {
        self.storage == SEALED
    }

    /// The statements that read a value and store the next one.
    fn statements(&self) -> [&'static str; 2] {
        match self.is_sealed() {
            true => ["SELECT", "MERGE"],
            false => ["CALL", "ALTER SECRET"],
        }
    }
}

impl Peer for Snowflake {
    fn kind(&self) -> &'static str {
        "snowflake"
    }

    fn settings(&self) -> String {
        self.settings_with(&self.storage)
    }

    fn surround(&self, _: &mut Command) {}

    /// Of a sealed table nobody can: a row that Claviger did not seal is not a value.
    fn set(&self, secret: &str, text: &str) -> String {
        assert!(!self.is_sealed(), "there is nothing to type a value into");
        self.fake.put_secret(self.fake.schema(), secret, text);
        String::new()
    }

    fn value(&self, secret: &str) -> Option<String> {
        self.fake.secret(self.fake.schema(), secret)
    }

    fn versions(&self, secret: &str) -> Vec<String> {
        if self.is_sealed() {
            let rows = format!("SELECT VERSION FROM {TABLE} WHERE SECRET = '{secret}'");
            let rows = self.fake.console(&rows);
            return rows.into_iter().flatten().flatten().collect();
        }
        // Only the last is kept; how often there was another is known.
        let times = self.fake.times_set(self.fake.schema(), secret);
        (0..times).map(|time| time.to_string()).collect()
    }

    fn delete(&self, secret: &str) {
        self.fake.drop_secret(self.fake.schema(), secret);
    }

    fn names(&self) -> Vec<String> {
        if !self.is_sealed() {
            return self.fake.secret_names(self.fake.schema());
        }
        let names = self
            .fake
            .console(&format!("SELECT DISTINCT SECRET FROM {TABLE}"));
        names.into_iter().flatten().flatten().collect()
    }

    fn asked(&self) -> usize {
        let statements = self.statements().into_iter();
        statements
            .map(|statement| self.fake.statements(statement))
            .sum()
    }

    fn writes(&self) -> usize {
        let [_, write] = self.statements();
        self.fake.statements(write)
    }

    fn fail(&self, failure: Failure) -> &'static str {
        let [read, _] = self.statements();
        let (statement, fault, word) = match failure {
            Failure::Busy => (read, Fault::Status(429), "asked too often"),
            Failure::Denied => {
                let grant = match self.is_sealed() {
                    true => "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE",
                    false => "GRANT USAGE ON PROCEDURE \"BROKER\".\"READERS\".\"",
                };
                (read, Fault::insufficient_privileges("table", MARKER), grant)
            }
            Failure::Rejected => {
                let message = format!("SQL compilation: {MARKER}\r\n'x'");
                ("", Fault::error("390112", "42501", &message), "clock")
            }
        };
        self.fake.fault(statement, usize::MAX, fault);
        word
    }

    fn lose(&self, loss: Loss) {
        let [_, write] = self.statements();
        let fault = match loss {
            Loss::Half => Fault::HalfBody,
            Loss::Undone => Fault::CutBefore,
        };
        self.fake.fault(write, 1, fault);
    }

    fn end(self: Box<Self>) -> Option<TempDir> {
        Some(self.files)
    }

    fn hang(&self) {
        let [read, _] = self.statements();
        self.fake.fault(read, usize::MAX, Fault::Hang);
    }

    fn held(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(self.fake.held(1))
    }

    fn mend(&self) {
        self.fake.release();
    }
}
