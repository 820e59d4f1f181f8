//! What PEM files hold.

use rustls_pki_types::pem::PemObject;

/// All of one sort, in their order; `None` if one cannot be read.
pub fn all<T: PemObject>(pem: &[u8]) -> Option<Vec<T>> {
    T::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}

/// The first of one sort.
pub fn first<T: PemObject>(pem: &[u8]) -> Option<T> {
    T::from_pem_slice(pem).ok()
}
