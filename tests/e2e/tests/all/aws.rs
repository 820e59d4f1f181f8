//! Things that only AWS has: ARNs, labels, conditional puts.

mod arns;
mod races;
