//! Who resolved a profile last.

use std::time::SystemTime;

use claviger_access::Principal;
use claviger_core::Uid;

#[derive(Debug, Default)]
pub(crate) struct Consumers;

impl Consumers {
    pub(crate) fn note(&self, _: Uid, _: &Principal, _: SystemTime) {}
}
