//! Writers that keep book of acknowledged writes, and the comparison with the store.

use std::path::Path;

use claviger_e2e::{Client, reason};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tonic::Status;
use uuid::Uuid;

/// How many write at the same time.
pub(crate) const WRITERS: usize = 8;

/// Values written to one definition before the next one is made.
const WRITES_PER_SECRET: usize = 5;

/// Something happened to a write.
#[derive(Debug)]
pub(crate) enum Event {
    Begun,
    Acknowledged,
}

/// One write as its writer knows it.
#[derive(Debug)]
struct Write {
    request_id: Uuid,
    value: String,
    /// The version that was acknowledged; without one nobody knows what became of the write.
    version: Option<String>,
}

/// A definition with everything its only writer sent: the first write made it.
#[derive(Debug)]
pub(crate) struct Secret {
    id: String,
    writes: Vec<Write>,
}

/// The counts over all secrets.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: usize,
    pub(crate) unknown: usize,
    /// Unknown writes that were there even so.
    pub(crate) unknown_done: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) half_written: Vec<String>,
    pub(crate) other_answers: Vec<String>,
}

/// Writes until the connection ends, and returns the writes with the error that ended it.
pub(crate) async fn write_until_cut(
    client: Client,
    writer: String,
    events: UnboundedSender<Event>,
) -> (Vec<Secret>, Status) {
    let mut secrets = Vec::new();
    loop {
        let id = format!("{writer}-{}", secrets.len());
        let mut secret = Secret::new(id);
        let outcome = secret.write_all(&client, &events).await;
        secrets.push(secret);
        if let Err(status) = outcome {
            return (secrets, status);
        }
    }
}

/// Connects all writers and lets them write.
pub(crate) async fn start(
    socket: &Path,
    round: &str,
    events: &UnboundedSender<Event>,
) -> JoinSet<(Vec<Secret>, Status)> {
    let mut writers = JoinSet::new();
    for index in 0..WRITERS {
        let client = Client::connect(socket).await;
        let writer = format!("r{round}w{index}");
        writers.spawn(write_until_cut(client, writer, events.clone()));
    }
    writers
}

impl Secret {
    fn new(id: String) -> Self {
        let writes = Vec::new();
        Self { id, writes }
    }

    async fn write_all(
        &mut self,
        client: &Client,
        events: &UnboundedSender<Event>,
    ) -> Result<(), Status> {
        for index in 0..WRITES_PER_SECRET {
            self.writes.push(Write {
                request_id: Uuid::new_v4(),
                value: format!("value {index} of {} {}", self.id, Uuid::new_v4()),
                version: None,
            });
            // Nobody listens any more once enough has happened.
            events.send(Event::Begun).ok();
            let version = self.send(client, index).await?;
            self.writes[index].version = Some(version);
            events.send(Event::Acknowledged).ok();
        }
        Ok(())
    }

    /// Sends a write, for the first time or again.
    async fn send(&self, client: &Client, index: usize) -> Result<String, Status> {
        let write = &self.writes[index];
        if index == 0 {
            let created = client.create(&self.id, &write.value, write.request_id);
            created.await
        } else {
            let rotated = client.rotate(&self.id, &write.value, write.request_id);
            rotated.await
        }
    }

    /// The acknowledged versions with the name of the definition, as the audit log has them.
    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = (String, String)> {
        let name = format!("projects/dev/secrets/{}", self.id);
        let versions = self.writes.iter().filter_map(|write| write.version.clone());
        versions.map(move |version| (name.clone(), version))
    }

    fn unknown(&self) -> Option<&Write> {
        self.writes.last().filter(|write| write.version.is_none())
    }

    /// Compares the values that are there with those that were sent.
    pub(crate) async fn compare(&self, client: &Client, tally: &mut Tally) {
        let known = self.writes.iter().filter(|write| write.version.is_some());
        let known: Vec<&Write> = known.collect();
        tally.acknowledged += known.len();
        tally.unknown += self.writes.len() - known.len();
        let current = client.read(&self.id, "").await;
        let is_done = self.judge_current(&known, &current, tally);
        tally.unknown_done += usize::from(is_done);

        for write in &known {
            let version = write.version.clone().unwrap_or_default();
            let read = client.read(&self.id, &version).await;
            match read {
                Ok((_, value)) if value == write.value => {}
                other => tally.lost.push(format!("{} {version}: {other:?}", self.id)),
            }
        }
        if !known.is_empty() || is_done {
            let versions = client.versions(&self.id).await.expect("readable");
            if versions.len() != known.len() + usize::from(is_done) {
                let fault = format!("{} has versions {versions:?}", self.id);
                tally.half_written.push(fault);
            }
        }
    }

    /// Whether the unknown write is the current one; anything unexpected is a fault.
    fn judge_current(
        &self,
        known: &[&Write],
        current: &Result<(String, String), Status>,
        tally: &mut Tally,
    ) -> bool {
        let fault = || format!("{}: {current:?} after {:?}", self.id, self.writes);
        match current {
            Ok((version, value)) => {
                let is_fresh = known.iter().all(|w| w.version.as_ref() != Some(version));
                if self.unknown().is_some_and(|w| w.value == *value) && is_fresh {
                    return true;
                }
                let last = known.last();
                if last.is_some_and(|w| w.value == *value && w.version.as_ref() == Some(version)) {
                    return false;
                }
                match known.iter().any(|w| w.value == *value) {
                    true => tally.lost.push(fault()),
                    false => tally.half_written.push(fault()),
                }
            }
            Err(_) if !known.is_empty() => tally.lost.push(fault()),
            Err(status) if reason(status).as_deref() == Some("DEFINITION_NOT_FOUND") => {}
            Err(_) => tally.half_written.push(fault()),
        }
        false
    }

    /// Sends every write again, twice: the answer must be the acknowledged one, and the version in
    /// it must hold the value that was sent.
    pub(crate) async fn repeat(&mut self, client: &Client, tally: &mut Tally) {
        for index in 0..self.writes.len() {
            let first = self.send(client, index).await;
            let second = self.send(client, index).await;
            let write = &mut self.writes[index];
            let (Ok(first), Ok(second)) = (&first, &second) else {
                let fault = format!("{} {index}: {first:?}, then {second:?}", self.id);
                tally.other_answers.push(fault);
                continue;
            };
            let version = write.version.get_or_insert_with(|| first.clone());
            let read = client.read(&self.id, version).await;
            let holds_it = read.is_ok_and(|(_, value)| value == write.value);
            if (first, second) != (version, version) || !holds_it {
                let fault = format!("{} {index}: {first}, then {second}: {write:?}", self.id);
                tally.other_answers.push(fault);
            }
        }
    }
}

impl Tally {
    /// Ends the test if anything is not as promised.
    pub(crate) fn assert_clean(&self, context: &str) {
        assert_eq!(self.lost, [""; 0], "{context}: acknowledged writes lost");
        assert_eq!(self.half_written, [""; 0], "{context}: half-written");
        let others = &self.other_answers;
        assert_eq!(*others, [""; 0], "{context}: other answers to a request id");
    }
}
