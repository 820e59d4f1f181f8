//! The public behaviour of the audit log.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod support;
#[cfg(test)]
mod verify;
