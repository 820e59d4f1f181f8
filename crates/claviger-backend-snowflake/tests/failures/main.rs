//! What becomes of every failure of Snowflake, of its log-ins and of the way to it.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod astray;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod sessions;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
