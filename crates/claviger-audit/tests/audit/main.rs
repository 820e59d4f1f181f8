//! The public behaviour of the audit log.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod denials;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod files;
#[cfg(test)]
mod intents;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod verify;
