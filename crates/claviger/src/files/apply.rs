//! Makes a daemon have what a file wants.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::slice;

use claviger_client::Client;
use claviger_proto::v1::WhoAmIRequest;

use super::items::{Items, Name};
use super::kept::Kept;
use super::make::make;
use super::parse::parse;
use super::place::Place;
use super::plan::{Act, Change, Spared, between, problems};
use super::write::json;
use crate::ask::Asking;
use crate::cli::Apply;
use crate::output::{end, print};
use crate::signals::{ENDING, Signals};
use crate::stop::Stop;

pub(crate) async fn apply(asking: &Asking, options: &Apply) -> Result<ExitCode, Stop> {
    let (file, text) = read(&options.file)?;
    let wanted = Items::from(parse(&file, &text)?);
    let applying = Applying {
        file,
        wanted,
        client: asking.client().await?,
        is_pruning: options.prune,
    };
    let kept = applying.kept().await?;
    applying.refuse(problems(&applying.wanted, &kept, options.prune))?;
    let changes = applying.changes(&kept).await?;
    let refused = applying.try_out(&changes).await?;

    let is_over = options.dry_run || changes.is_empty();
    let difference = match asking.is_json {
        true => as_json(&changes)?,
        false => shown(&changes, options.dry_run),
    };
    print(difference).map_err(|stop| match is_over {
        true => stop,
        false => stop.saying("nothing was made, because nobody reads the difference".to_owned()),
    })?;
    applying.refuse(refused)?;
    if is_over {
        return Ok(ExitCode::SUCCESS);
    }
    applying.make_all(&changes).await?;
    if !asking.is_json {
        // It is done, whether or not somebody is left to be told.
        print(format!("{} made\n", counted(changes.len()))).ok();
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(changes: &[Change], is_dry_run: bool) -> String {
    let text: String = changes.iter().map(Change::to_string).collect();
    match changes.len() {
        0 => "nothing to change\n".to_owned(),
        count if is_dry_run => format!("{text}{}{}", counted(count), end(true)),
        _ => text,
    }
}

fn as_json(changes: &[Change]) -> Result<String, Stop> {
    let changes = changes.iter();
    let changes = changes.map(
        |change| serde_json::json!({"change": change.act.to_string(), "fields": change.fields}),
    );
    json(&changes.collect::<Vec<_>>())
}

fn counted(count: usize) -> String {
    match count {
        1 => "1 change".to_owned(),
        _ => format!("{count} changes"),
    }
}

/// A line for each of the changes, with what has become of them.
fn told(state: &str, changes: &[Change]) -> String {
    let lines = changes.iter();
    let lines = lines.map(|change| format!("{state}: {}\n", change.act));
    lines.collect()
}

/// The name that a file goes by, and what is in it.
fn read(file: &Path) -> Result<(String, String), Stop> {
    let (name, text) = match file == Path::new("-") {
        true => ("standard input".to_owned(), io::read_to_string(io::stdin())),
        false => (file.display().to_string(), fs::read_to_string(file)),
    };
    let text = text.map_err(|error| Stop::usage(format!("{name} cannot be read: {error}")))?;
    Ok((name, text))
}

/// A file on its way to a daemon.
struct Applying {
    file: String,
    wanted: Items,
    client: Client,
    is_pruning: bool,
}

impl Applying {
    /// What the daemon has of the projects of the file, and on everything.
    async fn kept(&self) -> Result<Items, Stop> {
        let projects = self
            .wanted
            .things
            .keys()
            .map(|name| name.project().as_str());
        let projects: BTreeSet<_> = projects.collect();
        let kept = Kept::read(&self.client, |project| projects.contains(project)).await?;
        match kept.hidden_grants {
            Some(message) if self.is_pruning || !self.wanted.grants.is_empty() => {
                Err(Stop::failed(message).about("the grants cannot be compared"))
            }
            Some(_) | None => Ok(kept.items),
        }
    }

    async fn changes(&self, kept: &Items) -> Result<Vec<Change>, Stop> {
        let spared = match self.is_pruning {
            true => Some(self.spared().await?),
            false => None,
        };
        Ok(between(&self.wanted, kept, spared.as_ref()))
    }

    async fn spared(&self) -> Result<Spared, Stop> {
        let answer = self.client.access().who_am_i(WhoAmIRequest {}).await?;
        let answer = answer.into_inner();
        if answer.hidden_grants > 0 {
            return Err(Stop::failed(
                "--prune has to spare your own grants, and they are too many to be told; apply \
                without it",
            ));
        }
        Ok(Spared {
            principal: answer.principal,
            names: answer.grants.into_iter().map(|grant| grant.name).collect(),
        })
    }

    /// Asks the daemon about each change that needs no other one before it; returns what it refuses.
    async fn try_out(&self, changes: &[Change]) -> Result<Vec<(Place, String)>, Stop> {
        let changing = changes.iter().filter_map(|change| match &change.act {
            Act::Put { name, .. } => Some(name),
            Act::Delete { .. } | Act::Give(_) | Act::Take(..) => None,
        });
        let changing: BTreeSet<&Name> = changing.collect();
        let mut refused = Vec::new();
        for change in changes {
            let Act::Put { name, content, .. } = &change.act else {
                continue;
            };
            let before = content.needs(name);
            if before.iter().any(|needed| changing.contains(needed)) {
                continue;
            }
            match make(&self.client, &change.act, true).await {
                Err(stop) if stop.may_pass() => return Err(stop),
                Err(stop) => refused.push((change.place, format!("{name}: {stop}"))),
                Ok(()) => {}
            }
        }
        Ok(refused)
    }

    fn refuse(&self, problems: Vec<(Place, String)>) -> Result<(), Stop> {
        if problems.is_empty() {
            return Ok(());
        }
        let lines = problems.into_iter();
        let lines = lines.map(|(place, problem)| format!("{}: {problem}\n", self.at(place)));
        let lines: String = lines.collect();
        Err(Stop::failed(format!("{lines}nothing was changed")))
    }

    /// A place in the file; the file itself for what is not in it.
    fn at(&self, place: Place) -> String {
        match place == Place::default() {
            true => self.file.clone(),
            false => format!("{}:{place}", self.file),
        }
    }

    async fn make_all(&self, changes: &[Change]) -> Result<(), Stop> {
        // They wait until a call has ended: what it did would not be known.
        let mut signals = Signals::catch(&ENDING)?;
        for (index, change) in changes.iter().enumerate() {
            let (done, others) = changes.split_at(index);
            if signals.has_come().await {
                let made = told("made", done) + &told("not made", others);
                let said = format!("interrupted\n{made}apply the file again for the rest");
                return Err(Stop::interrupted(said));
            }
            if let Err(stop) = make(&self.client, &change.act, false).await {
                let others = others.get(1..).unwrap_or_default();
                return Err(self.halfway(done, change, others, stop).await);
            }
        }
        Ok(())
    }

    /// Exactly what was made and what was not.
    async fn halfway(
        &self,
        done: &[Change],
        refused: &Change,
        others: &[Change],
        stop: Stop,
    ) -> Stop {
        let place = self.at(refused.place);
        let mut text = format!("{place}: {}: {stop}\n", refused.act.subject());
        if !stop.may_pass()
            && let Some(now) = self.difference_now(refused).await
        {
            text.push_str(&now);
        }
        let state = match stop.may_pass() {
            true => "not known",
            false => "not made",
        };
        text.push_str(&told("made", done));
        text.push_str(&told(state, slice::from_ref(refused)));
        text.push_str(&told("not made", others));
        text.push_str("apply the file again once that is settled");
        stop.saying(text)
    }

    /// The difference that somebody else has left, if there is another one and it can be told.
    async fn difference_now(&self, refused: &Change) -> Option<String> {
        let kept = self.kept().await.ok()?;
        let changes = self.changes(&kept).await.ok()?;
        let subject = refused.act.subject();
        let mut changes = changes.iter();
        let now = changes.find(|change| change.act.subject() == subject);
        match now {
            Some(now) if now.fields == refused.fields => None,
            Some(now) => Some(format!("the difference is now:\n{now}")),
            None => Some("there is no difference any longer\n".to_owned()),
        }
    }
}
