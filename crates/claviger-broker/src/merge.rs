//! How a value gets to its place: whole, or as one property of a document that others write to as
//! well, in a vault that cannot compare and write in one step.

use claviger_access::Authorized;
use claviger_backend::Written;
use claviger_core::{Detail, Error, Reason, Result, SecretBytes};
use serde::Serialize;

use crate::catalog::authorized_definition;
use crate::definition::Base;
use crate::idempotency::FreshRequest;
use crate::route::Route;
use crate::writes::{Fence, NewValue, Target, version_mismatch};
use crate::{Broker, document};

/// How often a merge is written before giving up: one that overwrote a change is repeated with that
/// change in it. No more, because a change that comes between the two builds on the first, which
/// lacked the other change: merging on would lose that one.
const MERGE_ATTEMPTS: usize = 2;

impl Broker {
    /// Takes a value to its place: whole, or as one property of the document there.
    pub(crate) async fn store(
        &self,
        authorized: &Authorized,
        target: Target<'_>,
        route: &Route,
        value: NewValue<'_>,
        request: Option<(&FreshRequest, &(impl Serialize + Sync))>,
    ) -> Result<Written> {
        if route.pin.is_some() {
            return Err(Error::new(Reason::LocationInvalid)
                .with(Detail::Vault, route.vault.id())
                .violation(
                    "definition.location",
                    "pins a version, so no new one can be written; leave `version` out",
                ));
        }
        match &route.property {
            None => {
                self.write_value(authorized, target, route, value, request)
                    .await
            }
            Some(property) => {
                self.store_property(authorized, target, route, property, value, request)
                    .await
            }
        }
    }

    /// Changes one property and keeps its siblings. The vault cannot compare and write in one step:
    /// what the write replaced tells whether somebody else's change was overwritten, and then it is
    /// put back, with ours on top.
    async fn store_property(
        &self,
        authorized: &Authorized,
        target: Target<'_>,
        route: &Route,
        property: &str,
        value: NewValue<'_>,
        request: Option<(&FreshRequest, &(impl Serialize + Sync))>,
    ) -> Result<Written> {
        if property.starts_with('/') {
            return Err(Error::new(Reason::LocationInvalid)
                .with(Detail::Vault, route.vault.id())
                .violation("definition.location", "has a pointer as property, which is read-only; name a top-level key to write it"));
        }
        let read =
            async |version: Option<&str>| match route.vault.read(&route.address, version).await {
                Ok(reading) => Ok(Some(reading)),
                Err(error) if error.reason() == Reason::SecretNotFound => Ok(None),
                Err(error) => Err(error),
            };
        let mut target = target;
        let is_new = matches!(target, Target::New(_));
        let again = request.map(|(fresh, answer)| (fresh.again(), answer));
        let mut request = request;
        let mut base = read(None).await?;
        if let (Target::Existing(Fence::Latest { latest, .. }), Some(base)) = (&target, &base)
            && base.version != *latest
        {
            return Err(version_mismatch(authorized_definition(authorized)?));
        }
        let mut expected = Base(base.as_ref().map(|reading| reading.version.clone()));
        for _ in 0..MERGE_ATTEMPTS {
            let merged =
                document::merge(base.as_ref().map(|base| &base.value), property, value.bytes)?;
            check_length(&merged, route)?;
            let write = NewValue {
                bytes: &merged,
                base: Some(&expected),
                ..value
            };
            let written = self
                .write_value(authorized, target, route, write, request)
                .await?;
            if written.replaced == expected.0 {
                return Ok(written);
            }
            request = again.as_ref().map(|(fresh, answer)| (fresh, *answer));
            // Not known what was overwritten, or there is no definition yet to write through again:
            // the caller has to look.
            let Some(replaced) = written.replaced.filter(|_| !is_new) else {
                break;
            };
            base = read(Some(replaced.as_str())).await?;
            expected = Base(Some(written.version));
            target = Target::Existing(Fence::Current(expected.0.clone()));
        }
        // Else a repeat would be told that all is well.
        if let Some((fresh, _)) = &again {
            self.forget_request(fresh).await?;
        }
        Err(Error::new(Reason::ValueChanged)
            .with(Detail::Resource, authorized.resource())
            .with(Detail::Vault, route.vault.id()))
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
