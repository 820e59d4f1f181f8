//! The examples of a job that fetches its Stripe key, in Python and in Go, and the units that start
//! it: against stripe-mock, and against a stub of ours for answers that stripe-mock cannot give or show.

mod calls;
mod keys;
mod platforms;
mod profiles;
mod support;
mod units;
