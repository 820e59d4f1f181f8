//! The judgement of a value.

use std::fmt;

use claviger_core::{Detail, Error, Kind, Public, Reason};

use crate::{Class, Finding, LastFour, Mode};

/// A judgement that holds nothing of the value but its last four characters.
pub struct Verdict {
    /// Its class.
    pub class: Class,
    /// Which mode it is for, where the prefix says so.
    pub mode: Option<Mode>,
    /// How it ends.
    pub last_four: Option<LastFour>,
    /// Faults and oddities, gravest first.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Why the value must not be stored or handed out, if it must not. `field` is the request's
    /// field that carried it; without one it was read from a vault.
    pub fn refusal(&self, kind: Kind, field: Option<&'static str>) -> Option<Error> {
        let refuses = |finding: &Finding| Some((*finding, finding.reason()?));
        let (finding, reason) = self.findings.iter().find_map(refuses)?;
        if let (Finding::Empty, Some(field)) = (finding, field) {
            return Some(Error::new(Reason::PayloadEmpty).violation(field, finding.text()));
        }
        let error = Error::new(reason)
            .with(Detail::Kind, kind)
            .with(Detail::Finding, finding.as_str())
            .with(Detail::Found, self)
            .with(Detail::Remedy, finding.text());
        Some(match field {
            Some(field) => error.at(field),
            None => error,
        })
    }

    /// The findings that deserve a look though the value is usable.
    pub fn warnings(&self) -> impl Iterator<Item = Finding> + '_ {
        let findings = self.findings.iter().copied();
        findings.filter(|finding| finding.reason().is_none())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class.words())?;
        if let Some(mode) = self.mode {
            write!(f, ", {mode}")?;
        }
        match self.last_four {
            Some(last_four) => write!(f, ", ending in {last_four}"),
            None => Ok(()),
        }
    }
}

impl Public for Verdict {}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verdict")
            .field("class", &self.class)
            .field("mode", &self.mode)
            .field("last_four", &self.last_four)
            .finish_non_exhaustive()
    }
}
