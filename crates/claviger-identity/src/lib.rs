//! Whose a JWT is: the callers that a platform vouches for, so that a runner needs no first secret.
//!
//! [`IdentitySettings`] is one `[identity.<name>]`: an issuer, and the [`Kind`] that says what its
//! tokens must claim. [`Verifier::verify`] takes a token apart by a strict reader of its own, finds
//! the identity by issuer, has the signature checked by a key that the issuer has shown, and makes
//! the principal from claims that do not change hands.
//!
//! SECURITY: nothing that a token carries decides how it is judged: algorithms come from the
//! settings, keys and their types from the issuer, what must be claimed from the code.
#![forbid(unsafe_code)]

mod address;
mod certificate;
mod fetch;
mod json;
mod keys;
mod kind;
pub mod pem;
mod principal;
mod refusal;
mod settings;
mod source;
mod token;
mod verifier;

pub use certificate::{
    Bundle, BundleFile, Bundles, CertificateRefusal, Certified, Vouches, certificate_ends,
};
pub use fetch::{Fault, Fetch};
pub use jsonwebtoken::Algorithm;
pub use kind::Kind;
pub use refusal::Refusal;
pub use rustls_pki_types::{CertificateDer, PrivateKeyDer};
pub use settings::{IdentitySettings, overlaps};
pub use verifier::{Verified, Verifier};
