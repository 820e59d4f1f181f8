//! The generated gRPC code of `proto/claviger/v1`, nothing else.
#![forbid(unsafe_code)]

mod redact;

/// Package `claviger.v1`.
pub mod v1 {
    tonic::include_proto!("claviger.v1");
}

/// The descriptor set of everything above, for reflection and for the test over the RPC table.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
