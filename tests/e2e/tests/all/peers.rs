//! Emulators that play the vaults, each with somebody at its console.

mod aws;
mod azure;
mod snowflake;

pub(crate) use aws::{ACCOUNT, Aws};
pub(crate) use azure::{Azure, HOST, puts, reads};
pub(crate) use snowflake::{OBJECTS, READABLE, SEALED, Snowflake, TABLE};

/// moto.
pub(crate) fn aws() -> Aws {
    Aws::start()
}

/// Our Key Vault.
pub(crate) fn azure() -> Azure {
    Azure::start()
}

/// fakesnow, with secret objects that are read back.
pub(crate) fn objects() -> Snowflake {
    Snowflake::start(READABLE)
}

/// fakesnow, with sealed rows.
pub(crate) fn sealed() -> Snowflake {
    Snowflake::start(SEALED)
}

/// Makes a test of it with each of these peers.
macro_rules! on {
    ($test:ident: $($peer:ident)+) => {
        mod $test {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $peer() {
                    super::$test(Box::new(crate::peers::$peer())).await;
                }
            )+
        }
    };
}

pub(crate) use on;
