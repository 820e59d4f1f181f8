//! A value among others in one document of a vault, which people write to as well. The vault cannot
//! compare and write in one step: what a write replaced tells whether somebody else's change was
//! overwritten, and then that is put back.

use claviger_access::Authorized;
use claviger_backend::Written;
use claviger_core::{Detail, Error, Id, Reason, Result, SecretBytes, VersionName};

use crate::engine::catalog::Catalog;
use crate::engine::reads::{Reads, is_absent, is_unreadable};
use crate::engine::replay::FreshRequest;
use crate::engine::steps::{Companions, Fence, NewValue, Steps, Target, version_mismatch};
use crate::model::answer::Answer;
use crate::model::definition::{Base, Unmerged};
use crate::model::document::{Document, Part, is_document, merge};
use crate::model::reconcile::reconcile;
use crate::model::route::Route;

/// How often a merge is written before giving up: one that overwrote a change is repeated with that
/// change in it. An editor without end is no reason to go on.
const MERGE_ATTEMPTS: usize = 4;

/// How many versions are looked at for the shape of a secret whose latest one cannot be read.
const OLDER_VERSIONS: usize = 8;

/// Said with the reason for which the latest version cannot be read.
const MAY_BE_DOCUMENT: &str = "would take the place of all that is there, which may be a JSON \
    document with other keys; make that readable first, or name a key in location.property, or set \
    location.whole to replace all of it";

/// One write, with what it needs of the engine.
pub(super) struct Merging<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) reads: &'a Reads,
    pub(super) steps: &'a Steps,
}

/// A write on its way.
pub(super) struct Progress<'a> {
    pub(super) request: Option<(&'a FreshRequest, &'a Answer)>,
    /// Whether the vault has the value, whatever fails from now on.
    pub(super) is_stored: bool,
}

/// What is at a place that a value goes to without a property.
enum Shape {
    /// A value that stands for itself, or none; with the version that was seen.
    Bare(Base),
    /// A document with this one key.
    Key(String),
}

/// What is known of a change that a write of ours has overwritten.
#[derive(Clone, Copy)]
struct Known {
    /// The caller was told before: what cannot be put back is left then, and else never in silence.
    is_told: bool,
    /// The latest document is ours: all in it but our own property is older than the change.
    is_own: bool,
}

impl Merging<'_> {
    /// Takes a value to its place, whole or to its part of the document there.
    ///
    /// # Errors
    /// `VALUE_CHANGED` if others kept changing the document; and as [`Steps::write`].
    pub(super) async fn write(
        &self,
        proof: &Authorized,
        target: Target<'_>,
        route: &Route,
        value: NewValue<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Written> {
        let property = match route.part(value.format) {
            Part::Whole => {
                let (base, request) = (None, progress.request);
                let with = Companions { base, request };
                return self.steps.write(proof, &target, route, value, with).await;
            }
            Part::Property(Some(property)) => property.to_owned(),
            Part::Property(None) => match self.shape(proof, &target, route).await? {
                Shape::Bare(base) => {
                    let written = self.write_bare(proof, target, route, &base, value, progress);
                    return written.await;
                }
                Shape::Key(key) => key,
            },
        };
        self.write_property(proof, target, route, &property, value, progress)
            .await
    }

    /// The shape of what is there, which a value keeps that names no property.
    ///
    /// # Errors
    /// `PROPERTY_REQUIRED`; why the latest version cannot be read, if it may be a document.
    async fn shape(&self, proof: &Authorized, target: &Target<'_>, route: &Route) -> Result<Shape> {
        let document = match self.document(proof, target, route).await {
            Err(error) if is_unreadable(&error) => {
                let latest = self.reads.latest(proof, route).await?;
                check_latest(target, latest.as_ref())?;
                return match self.was_bare(proof, target, route, latest.as_ref()).await? {
                    true => Ok(Shape::Bare(Base(latest))),
                    false => Err(error.violation("payload", MAY_BE_DOCUMENT)),
                };
            }
            // What the write brings back is looked at after it.
            Err(error) if is_absent(&error) || error.reason() == Reason::WriteInProgress => None,
            document => document?,
        };
        let Some(document) = document else {
            return Ok(Shape::Bare(Base(None)));
        };
        check_latest(target, Some(&document.version))?;
        let key = document.only_key();
        let key = key.map_err(|error| error.with(Detail::Resource, target.name()))?;
        Ok(key.map_or(Shape::Bare(Base(Some(document.version))), Shape::Key))
    }

    /// Whether a version that cannot be read was a bare value, as far as those before it tell, or
    /// our own record where there are none: a leaked value that was switched off must not stand in
    /// the way of the one after it, and the keys of a document must not get lost.
    async fn was_bare(
        &self,
        proof: &Authorized,
        target: &Target<'_>,
        route: &Route,
        version: Option<&Id>,
    ) -> Result<bool> {
        let Some(version) = version else {
            return Ok(true);
        };
        let older = self.reads.older(proof, route, version, OLDER_VERSIONS);
        for older in older.await? {
            if let Some(value) = self.readable(proof, route, &older).await? {
                return Ok(!is_document(&value));
            }
        }
        Ok(target.definition().current(&route.place) == Some(version))
    }

    /// Stores a value that stands for itself. A document that came in between is put back: the
    /// repeat finds it and keeps its shape, or is told what it has to name.
    async fn write_bare(
        &self,
        proof: &Authorized,
        target: Target<'_>,
        route: &Route,
        base: &Base,
        value: NewValue<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Written> {
        let request = progress.request;
        let with = Companions {
            base: None,
            request,
        };
        let written = self.steps.write(proof, &target, route, value, with).await?;
        progress.is_stored = true;
        let overwritten = base.overwritten(written.replaced.clone());
        for other in overwritten.into_iter().flat_map(|it| it.others) {
            let Some(theirs) = self.readable(proof, route, &other).await? else {
                match self.was_bare(proof, &target, route, Some(&other)).await? {
                    true => continue,
                    false => return Err(Error::new(Reason::ValueChanged)),
                }
            };
            if !is_document(&theirs) {
                continue;
            }
            if !written.followed {
                let (Target::New(definition) | Target::Existing(definition, _)) = target;
                let fence = Fence::Current(Some(written.version.clone()));
                let target = Target::Existing(definition, fence);
                let bytes = &theirs;
                let value = NewValue { bytes, ..value };
                let ours = Base(Some(written.version));
                let with = Companions {
                    base: Some(&ours),
                    request: None,
                };
                self.steps.write(proof, &target, route, value, with).await?;
            }
            return Err(Error::new(Reason::ValueChanged));
        }
        Ok(written)
    }

    /// Changes one property and keeps its siblings. The vault cannot compare and write in one step:
    /// what the write replaced tells whether somebody else's change was overwritten, and then that
    /// is put back, by the next attempt or, after a crash, by the next write of the definition.
    async fn write_property(
        &self,
        proof: &Authorized,
        mut target: Target<'_>,
        route: &Route,
        property: &str,
        value: NewValue<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Written> {
        let mut request = progress.request;
        let again = request.map(|(fresh, answer)| (fresh.again(), answer));
        let stored = self.catalog.find_definition(target.name()).await?;
        let unmerged = stored.as_ref().map(|stored| &stored.record);
        let unmerged = unmerged.and_then(|definition| definition.unmerged(&route.place));
        let mut unmerged = unmerged.cloned();
        let mut last: Option<Written> = None;
        for _ in 0..MERGE_ATTEMPTS {
            let latest = self.document(proof, &target, route).await?;
            let base = Base(latest.as_ref().map(|latest| latest.version.clone()));
            check_latest(&target, base.0.as_ref())?;
            if let (Some(written), Some(latest), None) = (&last, &latest, &unmerged)
                && latest.has(property, value.bytes)
            {
                // Whoever came after us has kept it.
                return Ok(written.clone());
            }
            let document = match (&latest, &unmerged) {
                (Some(latest), Some(unmerged)) => {
                    let own = match &last {
                        Some(written) => Some(&written.version),
                        None => target.definition().current(&route.place),
                    };
                    let known = Known {
                        is_told: last.is_none(),
                        is_own: own == Some(&latest.version),
                    };
                    self.restored(proof, route, latest, unmerged, known).await?
                }
                (latest, _) => latest.as_ref().map(|latest| latest.value.duplicate()),
            };
            let merged = merge(document.as_ref(), property, value.bytes)
                .map_err(|error| error.with(Detail::Resource, target.name()))?;
            check_length(&merged, route)?;
            let bytes = &merged;
            let merged = NewValue { bytes, ..value };
            let with = Companions {
                base: Some(&base),
                request,
            };
            let written = self
                .steps
                .write(proof, &target, route, merged, with)
                .await?;
            progress.is_stored = true;
            unmerged = base.overwritten(written.replaced.clone());
            let (Target::New(definition) | Target::Existing(definition, _)) = target;
            target = Target::Existing(definition, Fence::Current(Some(written.version.clone())));
            request = again.as_ref().map(|(fresh, answer)| (fresh, *answer));
            match &unmerged {
                None if !written.followed => return Ok(written),
                // Not known what was overwritten: the caller has to look.
                Some(unmerged) if unmerged.others.is_empty() => break,
                Some(_) | None => last = Some(written),
            }
        }
        Err(Error::new(Reason::ValueChanged))
    }

    /// The document to merge into, if there is one.
    async fn document(
        &self,
        proof: &Authorized,
        target: &Target<'_>,
        route: &Route,
    ) -> Result<Option<Document>> {
        match self.reads.read_around(proof, route, None).await {
            Ok(document) => Ok(Some(document)),
            Err(error) if error.reason() == Reason::SecretNotFound => Ok(None),
            // Its other properties cannot be kept, and the one to enable has to be named.
            Err(error) if error.reason() == Reason::VersionDisabled => {
                let latest = self.reads.latest(proof, route).await?;
                let name = |latest| VersionName::new(target.name().clone(), latest);
                Err(match latest.map(name) {
                    Some(version) => error.with(Detail::Resource, version),
                    None => error.with(Detail::Resource, target.name()),
                })
            }
            Err(error) => Err(error.with(Detail::Resource, target.name())),
        }
    }

    /// The latest document with what a write of ours has overwritten.
    async fn restored(
        &self,
        proof: &Authorized,
        route: &Route,
        latest: &Document,
        unmerged: &Unmerged,
        known: Known,
    ) -> Result<Option<SecretBytes>> {
        let readable = async |version: &Id| match self.readable(proof, route, version).await? {
            None if !known.is_told => Err(Error::new(Reason::ValueChanged)),
            value => Ok(value),
        };
        let base = match &unmerged.base.0 {
            Some(base) => readable(base).await?,
            None => None,
        };
        let mut document = latest.value.duplicate();
        // The oldest first: vaults tell the newest first, and what is later wins.
        for other in unmerged.others.iter().rev() {
            let Some(theirs) = readable(other).await? else {
                tracing::warn!(vault = %route.vault.id(), version = %other, "overwritten change is gone");
                continue;
            };
            match reconcile(&document, base.as_ref(), &theirs, known.is_own) {
                Err(error) if !known.is_told => return Err(error),
                Err(_) => {}
                Ok(both) => document = both,
            }
        }
        Ok(Some(document))
    }

    /// The value of an older version, unless it is gone or not to be read any longer.
    async fn readable(
        &self,
        proof: &Authorized,
        route: &Route,
        version: &Id,
    ) -> Result<Option<SecretBytes>> {
        let version = Some(version.as_str());
        match self.reads.read_around(proof, route, version).await {
            Ok(document) => Ok(Some(document.value)),
            Err(error) if is_unreadable(&error) || is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Refuses a write whose `if_version` is no longer what the vault has.
fn check_latest(target: &Target<'_>, found: Option<&Id>) -> Result<()> {
    match target {
        Target::Existing(_, Fence::Latest { latest, .. }) if found != Some(latest) => {
            Err(version_mismatch(target.name()))
        }
        Target::Existing(..) | Target::New(_) => Ok(()),
    }
}

fn check_length(merged: &SecretBytes, route: &Route) -> Result<()> {
    let limit = route.vault.capabilities().value_bytes_max;
    if merged.len() <= limit {
        return Ok(());
    }
    Err(Error::new(Reason::PayloadTooLarge)
        .with(Detail::Limit, limit)
        .violation(
            "payload",
            "makes the whole document in the vault longer than the vault takes; shorten it or \
             another property",
        ))
}
