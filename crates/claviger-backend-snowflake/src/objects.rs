//! `secret_objects`: real `SECRET` objects. Each has one value and no versions; the mark in its
//! comment names the write that stored it, and changes with it in one statement.
//!
//! INVARIANT: a value is created, or set in the object that is there; never dropped or replaced,
//! because grants go with the object. The steps after the value, its reader and its grants, never
//! fail a write: one that could not be done is a warning with the statement for the administrator,
//! and is tried again by the next write.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use claviger_backend::{
    Address, ListedSecret, Reading, VersionInfo, VersionState, Write, WriteWarning, Written,
};
use claviger_core::{Detail, Error, Format, Id, Reason, Result, SecretBytes, Uid};

use crate::error::Failure;
use crate::mark::{Comment, Mark, Marker};
use crate::session::{Query, Row};
use crate::settings::Grantee;
use crate::shared::Shared;
use crate::sql::{Advice, Ident, Literal};

/// How often a write begins again because the secret came or went in between.
const ATTEMPTS: usize = 3;

/// Most rows that a SHOW prints, without saying that there are more.
const SHOWN_MAX: usize = 10_000;

/// A schema of secret objects.
pub(crate) struct Objects {
    shared: Shared,
    marker: Marker,
    /// `APPLICATION "X"` or `ROLE "X"`.
    grantee: Option<String>,
}

/// A secret as Snowflake describes it.
struct Described {
    name: String,
    comment: Comment,
}

/// A value as Snowflake stores it.
struct Content {
    text: SecretBytes,
    is_base64: bool,
}

impl Content {
    fn of(write: &Write<'_>) -> Result<Self> {
        let bytes = write.value.expose();
        match write.format {
            Format::Binary => Ok(Self {
                text: SecretBytes::new(BASE64_STANDARD.encode(bytes).into_bytes()),
                is_base64: true,
            }),
            Format::Text if std::str::from_utf8(bytes).is_err() => {
                Err(Error::new(Reason::ValueNotText))
            }
            Format::Text => Ok(Self {
                text: write.value.duplicate(),
                is_base64: false,
            }),
        }
    }
}

impl Objects {
    pub(crate) fn new(shared: Shared, grantee: Option<Grantee>) -> Self {
        let grantee = grantee.map(|grantee| match grantee {
            Grantee::Application(name) => format!("APPLICATION {}", Ident(&name)),
            Grantee::Role(name) => format!("ROLE {}", Ident(&name)),
        });
        let marker = Marker {
            keyring: Arc::clone(&shared.keyring),
            vault: shared.vault.clone(),
            schema: shared.place.schema.clone(),
        };
        Self {
            shared,
            marker,
            grantee,
        }
    }

    pub(crate) async fn check(&self) -> Result<()> {
        let shown = self.show("LIKE 'CLAVIGER' ").await;
        shown
            .map(drop)
            .map_err(|failure| self.schema_error(failure))
    }

    pub(crate) async fn read(&self, secret: &str, version: Option<&str>) -> Result<Reading> {
        let Some(reader) = self.shared.place.reader(secret) else {
            // Says first whether it is there at all.
            self.existing(secret).await?;
            return Err(self.not_readable(secret));
        };
        let mut found = self.existing(secret).await?;
        loop {
            let value = self.call(secret, &reader).await?;
            let reading = self.reading(&found, value)?;
            // A write between the two statements, or a change past Claviger: the mark tells.
            if !is_stored_by(found.comment.mark.as_ref(), &reading) {
                let again = self.existing(secret).await?;
                if again.comment.mark != found.comment.mark {
                    found = again;
                    continue;
                }
            }
            return match version {
                Some(version) if version != reading.version.as_str() => {
                    Err(Error::new(Reason::VersionNotFound))
                }
                Some(_) | None => Ok(reading),
            };
        }
    }

    pub(crate) async fn write(&self, address: &Address, write: &Write<'_>) -> Result<Written> {
        let secret = address.secret.as_str();
        let content = Content::of(write)?;
        let mark = Mark {
            store: self.shared.keyring.store_id(),
            project: Some(address.project.clone()),
            definition: address.owner,
            write: write.write_id,
            time: self.now(),
            tag: String::new(),
            mac: String::new(),
            base64: content.is_base64,
        };
        let mark = self.marker.sign(secret, &mark, content.text.expose());
        let mut is_in_text = self.shared.sessions.takes_binds.get() == Some(&false);
        for _ in 0..ATTEMPTS {
            let found = self.describe(secret).await?;
            let stored = match &found {
                Some(found) if self.is_by(secret, found, write.write_id) => Ok(()),
                Some(found) => {
                    self.check_owned(address, found, write.adopt)?;
                    let statement = ("ALTER SECRET", secret, "SET");
                    self.store(statement, &content, &found.comment, &mark, &mut is_in_text)
                        .await
                }
                None => {
                    let comment = Comment::default();
                    let statement = ("CREATE SECRET", secret, "TYPE = GENERIC_STRING");
                    self.store(statement, &content, &comment, &mark, &mut is_in_text)
                        .await
                }
            };
            match stored {
                Ok(()) => return self.written(secret, write.write_id, is_in_text).await,
                Err(failure)
                    if failure.is_existing() || found.is_some() && failure.is_missing() => {}
                Err(failure) if failure.is_open() => {
                    return match self.find_write(secret, write.write_id).await {
                        Ok(Some(_)) => self.written(secret, write.write_id, is_in_text).await,
                        Ok(None) | Err(_) => {
                            Err(Error::new(Reason::WriteOutcomeUnknown).caused_by(failure))
                        }
                    };
                }
                Err(failure) => {
                    let place = &self.shared.place;
                    let needed = match found {
                        Some(_) => place.grant("MODIFY", &self.on(secret)),
                        None => place.grant("CREATE SECRET", &format!("SCHEMA {}", place.schema)),
                    };
                    return Err(failure.into_write_error(&needed));
                }
            }
        }
        Err(Error::new(Reason::WriteInProgress).caused_by("the secret came and went"))
    }

    pub(crate) async fn find_write(&self, secret: &str, write_id: Uid) -> Result<Option<Id>> {
        let found = self.describe(secret).await?;
        let found = found.filter(|found| self.is_by(secret, found, write_id));
        found
            .map(|_| Id::parse("version", &write_id.to_string()))
            .transpose()
    }

    pub(crate) async fn list(&self) -> Result<Vec<ListedSecret>> {
        let rows = self.show("").await;
        let rows = rows.map_err(|failure| self.schema_error(failure))?;
        if rows.len() >= SHOWN_MAX {
            return Err(Error::new(Reason::VaultCapabilityMissing).with(
                Detail::Capability,
                "list a schema of 10000 secrets or more; Snowflake leaves the rest out",
            ));
        }
        let listed = rows.iter().filter_map(|row| {
            let name = row.text("name")?;
            let comment = Comment::parse(row.text("comment").unwrap_or_default());
            let mark = self.marker.own(name, &comment);
            Some(ListedSecret {
                name: name.to_owned(),
                is_ours: mark.is_some(),
                change_time: mark.and_then(time),
            })
        });
        Ok(listed.collect())
    }

    /// The one that is there. Without a reader, the values of others have no version that could be
    /// told.
    pub(crate) async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>> {
        let Some(found) = self.describe(secret).await? else {
            return Ok(Vec::new());
        };
        let mark = self.marker.own(secret, &found.comment);
        let version = match self.shared.place.readers {
            Some(_) => match self.read(secret, None).await {
                Ok(reading) => Some(reading.version),
                Err(error) if error.reason() == Reason::SecretNotFound => None,
                Err(error) => return Err(error),
            },
            None => match mark {
                Some(mark) => Some(Id::parse("version", &mark.write.to_string())?),
                None => None,
            },
        };
        let info = |version| VersionInfo {
            version,
            state: VersionState::Enabled,
            create_time: mark.and_then(time).unwrap_or(SystemTime::UNIX_EPOCH),
        };
        Ok(version.map(info).into_iter().collect())
    }

    /// A secret that has to be there.
    async fn existing(&self, secret: &str) -> Result<Described> {
        let found = self.describe(secret).await?;
        found.ok_or_else(|| Error::new(Reason::SecretNotFound))
    }

    /// The description of a secret. Snowflake says the same of one that is not there and of a
    /// schema that is not, so that the schema is looked for then.
    async fn describe(&self, secret: &str) -> Result<Option<Described>> {
        let sql = format!("DESCRIBE SECRET {}", self.shared.place.qualified(secret));
        match self.shared.sessions.run_text(sql).await {
            Ok(rows) => {
                let row = rows.first();
                let name = row.and_then(|row| row.text("name"));
                let comment = row.and_then(|row| row.text("comment"));
                Ok(Some(Described {
                    name: name.unwrap_or_default().to_owned(),
                    comment: Comment::parse(comment.unwrap_or_default()),
                }))
            }
            Err(failure) if failure.is_missing() => self.check().await.map(|()| None),
            Err(failure) => {
                let needed = self.shared.place.grant("USAGE", &self.on(secret));
                Err(failure.into_read_error(&needed))
            }
        }
    }

    async fn show(&self, pattern: &str) -> std::result::Result<Vec<Row>, Failure> {
        let sql = format!(
            "SHOW SECRETS {pattern}IN SCHEMA {}",
            self.shared.place.schema
        );
        self.shared.sessions.run_text(sql).await
    }

    async fn store(
        &self,
        (verb, secret, with): (&str, &str, &str),
        content: &Content,
        comment: &Comment,
        mark: &Mark,
        is_in_text: &mut bool,
    ) -> std::result::Result<(), Failure> {
        let comment = comment.literal(mark).map_err(|_| Failure::Bug("a mark"))?;
        let name = self.shared.place.qualified(secret);
        let text = String::from_utf8_lossy(content.text.expose());
        let statement = |value: &str| {
            format!("{verb} {name} {with} SECRET_STRING = {value} COMMENT = {comment}")
        };
        let sessions = &self.shared.sessions;
        let takes_binds = &sessions.takes_binds;
        if takes_binds.get() != Some(&false) {
            let query = Query::new_positional(statement("?")).bind(text.to_string());
            match sessions.run(query).await {
                Err(failure) if failure.is_syntax() && takes_binds.get().is_none() => {}
                Err(failure) => return Err(failure),
                Ok(_) => {
                    takes_binds.get_or_init(|| true);
                    return Ok(());
                }
            }
        }
        // SECURITY: the text of a statement is in Snowflake's query history, so only where it takes
        // no bind, never once it has taken one, and with a warning.
        *is_in_text = true;
        let whole = statement(&Literal(&text).to_string());
        sessions.run_text(whole).await?;
        takes_binds.get_or_init(|| false);
        Ok(())
    }

    /// The steps after the value.
    async fn written(&self, secret: &str, write_id: Uid, is_in_text: bool) -> Result<Written> {
        let mut warnings = Vec::new();
        if is_in_text {
            warnings.push(WriteWarning {
                reason: "VALUE_IN_STATEMENT",
                message: "the value is stored, but Snowflake took it in the text of the statement \
                          only, so that its query history (QUERY_HISTORY, for a year) may hold it; \
                          let administrators alone see it, or use storage = \"sealed_table\""
                    .to_owned(),
            });
        }
        let place = &self.shared.place;
        if let (Some(readers), Some(reader)) = (&place.readers, place.reader(secret)) {
            let made = self
                .shared
                .sessions
                .run_text(self.reader_sql(&reader, secret))
                .await;
            if made.is_err() {
                let (role, integration) = (&place.role, &place.integration);
                warnings.push(WriteWarning {
                    reason: "READER_MISSING",
                    message: format!(
                        "the value is stored, but its reader procedure could not be made, so it \
                         cannot be read back; as an administrator run GRANT USAGE, CREATE \
                         PROCEDURE ON SCHEMA {readers} TO ROLE {role}; GRANT USAGE ON INTEGRATION \
                         {integration} TO ROLE {role}; and store the value again"
                    ),
                });
            }
        }
        if let Some(grantee) = &self.grantee {
            let sql = format!("GRANT USAGE, READ ON {} TO {grantee}", self.on(secret));
            if self.shared.sessions.run_text(sql.clone()).await.is_err() {
                warnings.push(WriteWarning {
                    reason: "GRANT_MISSING",
                    message: format!(
                        "the value is stored, but Claviger may not grant it (in a schema with \
                         managed access only its owner may); as an administrator run {sql}"
                    ),
                });
            }
        }
        let version = Id::parse("version", &write_id.to_string())?;
        Ok(Written::new(version).warning(warnings))
    }

    /// `OR REPLACE` here: a secret that was dropped and made again is another one to its procedure.
    fn reader_sql(&self, reader: &str, secret: &str) -> String {
        let name = self.shared.place.qualified(secret);
        let integration = &self.shared.place.integration;
        format!(
            "CREATE OR REPLACE PROCEDURE {reader}() RETURNS VARCHAR LANGUAGE PYTHON \
             RUNTIME_VERSION = '3.12' PACKAGES = ('snowflake-snowpark-python') HANDLER = 'read' \
             EXTERNAL_ACCESS_INTEGRATIONS = ({integration}) SECRETS = ('value' = {name}) \
             EXECUTE AS OWNER AS $$\nimport _snowflake\n\ndef read(session):\n    \
             return _snowflake.get_generic_secret_string('value')\n$$"
        )
    }

    /// The value of a secret, through its reader procedure.
    async fn call(&self, secret: &str, reader: &str) -> Result<SecretBytes> {
        let rows = self
            .shared
            .sessions
            .run_text(format!("CALL {reader}()"))
            .await;
        let rows = match rows {
            Ok(rows) => rows,
            Err(failure) if failure.is_missing() => {
                let remedy = Advice(format!(
                    "it has no reader procedure {reader}; store the value once through \
                     Claviger, or make the procedure as deploy/snowflake/setup.sql shows"
                ));
                return Err(Error::new(Reason::ValueNotReadable)
                    .with(Detail::Remedy, remedy)
                    .caused_by(failure));
            }
            Err(failure) => {
                let needed = self
                    .shared
                    .place
                    .grant("USAGE", &format!("PROCEDURE {reader}()"));
                return Err(failure.into_read_error(&needed));
            }
        };
        let value = rows.into_iter().next().and_then(Row::into_text);
        match value {
            Some(value) => Ok(SecretBytes::new(value.into_bytes())),
            None => Err(self
                .not_readable(secret)
                .caused_by("the reader procedure returned no text")),
        }
    }

    /// The version is the write that the mark names, if it names this value; else the value's own.
    fn reading(&self, found: &Described, value: SecretBytes) -> Result<Reading> {
        let Described { name, comment } = found;
        let (secret, name) = (name.as_str(), name.clone());
        let covers = |mark: &&Mark| self.marker.covers(secret, mark, value.expose());
        let Some(mark) = self.marker.own(secret, comment).filter(covers) else {
            let digest = self.marker.digest(secret, value.expose());
            let version = Id::parse("version", &format!("value-{digest}"))?;
            return Ok(Reading::new(name, version, value));
        };
        let value = match mark.base64 {
            true => {
                let decoded = BASE64_STANDARD.decode(value.expose());
                SecretBytes::new(decoded.map_err(|_| Error::new(Reason::IntegrityFailure))?)
            }
            false => value,
        };
        let version = Id::parse("version", &mark.write.to_string())?;
        Ok(Reading::new(name, version, value))
    }

    fn is_by(&self, secret: &str, found: &Described, write_id: Uid) -> bool {
        let mark = self.marker.own(secret, &found.comment);
        mark.is_some_and(|mark| mark.write == write_id)
    }

    fn check_owned(&self, address: &Address, found: &Described, adopt: bool) -> Result<()> {
        let mark = self.marker.own(&address.secret, &found.comment);
        let is_own = mark.is_some_and(|mark| mark.is_of(address));
        match is_own || adopt {
            true => Ok(()),
            false => Err(Error::new(Reason::SecretNotOwned)),
        }
    }

    fn not_readable(&self, secret: &str) -> Error {
        let name = self.shared.place.qualified(secret);
        Error::new(Reason::ValueNotReadable).with(
            Detail::Remedy,
            Advice(format!(
                "Snowflake gives it to what runs inside only; use it there as {name}, or have \
                 it read back with reader = \"procedure\" in the vault's settings"
            )),
        )
    }

    fn on(&self, secret: &str) -> String {
        format!("SECRET {}", self.shared.place.qualified(secret))
    }

    fn schema_error(&self, failure: Failure) -> Error {
        let place = &self.shared.place;
        let on = format!("SCHEMA {}", place.schema);
        failure.into_read_error(&place.grant("USAGE", &on))
    }

    fn now(&self) -> u64 {
        let now = self.shared.clock.now();
        let now = now.duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap_or_default().as_secs()
    }
}

fn is_stored_by(mark: Option<&Mark>, reading: &Reading) -> bool {
    mark.is_some_and(|mark| mark.write.to_string() == reading.version.as_str())
}

fn time(mark: &Mark) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(mark.time))
}
