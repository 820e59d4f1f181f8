//! Connection profiles: what jobs connect to Stripe with, under one name.

pub(crate) mod disconnect;
pub(crate) mod resolve;
pub(crate) mod test;
