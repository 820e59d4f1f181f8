//! One daemon with a vault of every kind: the verdict about a Stripe credential does not depend on
//! where it is, and holds nothing of it but its end.

mod documents;
mod inspected;
mod modes;
mod support;
mod table;
