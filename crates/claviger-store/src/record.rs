use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type of record.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The beginning of all keys of this type, including the last `/`; no kind begins with another.
    const KIND: &'static str;
}
