//! The memory that the daemon holds for strangers, on each listener and in each service.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use claviger_e2e::{Client, Daemon, Home};
use claviger_raw::{Begun, Raw, may_be_others, message};
use tempfile::TempDir;
use uuid::Uuid;

const GET_SECRET: &str = "claviger.v1.SecretService/GetSecret";
const PUT_DEFINITION: &str = "claviger.v1.SecretDefinitionService/PutSecretDefinition";
const CHECK: &str = "grpc.health.v1.Health/Check";
const WATCH: &str = "grpc.health.v1.Health/Watch";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// A uid that nothing is granted to.
const STRANGER: u32 = 54_321;

const CONNECTIONS: usize = 2;

/// On each connection: as many as the daemon takes.
const STREAMS: usize = 128;

const KIB: usize = 1024;

/// The most that a connection may make the daemon hold.
const HELD_KIB_MAX: usize = 16 * KIB;

/// Whose connections they are.
#[derive(Clone, Copy, Debug)]
enum From {
    /// A user of this host without any grant.
    User,
    /// A client on TCP that has no token.
    Tcp,
    /// A runner on TCP.
    Runner,
    /// A probe on the admin listener.
    Admin,
}

/// What their requests say of their length, and how much of it is sent.
const SHAPES: [(usize, usize); 3] = [
    (1024 * KIB, 1024 * KIB),
    (256 * KIB, 250 * KIB),
    (4000, 3900),
];

struct Room {
    daemon: Daemon,
    token: String,
    _home: Home,
    _open: TempDir,
}

impl Room {
    /// A daemon whose socket all users reach.
    async fn new() -> Self {
        let home = Home::new();
        let open = tempfile::tempdir().expect("a directory");
        fs::set_permissions(open.path(), Permissions::from_mode(0o711)).expect("ours");
        let socket = open.path().join("sock");
        let config = format!(
            "[listen]\nsocket = \"{}\"\nadmin = \"127.0.0.1:0\"\n",
            socket.display()
        );
        let daemon = home.start(&mut home.configured(&config));
        let client = Client::connect(&socket).await;
        let created = client.create("served", "meanwhile", Uuid::new_v4()).await;
        created.expect("created");
        let token = client.runner_token().await.expect("made");
        Self {
            daemon,
            token,
            _home: home,
            _open: open,
        }
    }

    async fn connect(&self, from: From) -> Raw {
        let elsewhere = [127, 0, 0, 2].into();
        match from {
            From::User => Raw::user(STRANGER, &self.socket()).await,
            From::Tcp | From::Runner => Raw::address(elsewhere, self.daemon.tcp()).await,
            From::Admin => Raw::address(elsewhere, self.daemon.admin()).await,
        }
    }

    fn socket(&self) -> PathBuf {
        self.daemon.socket()
    }

    /// Lets strangers do their worst, and says how much more memory there was at most meanwhile.
    async fn besieged(&self, from: From, method: &str, shape: (usize, usize)) -> usize {
        let before = self.daemon.memory_kib("VmRSS:");
        let authorization = format!("Bearer {}", self.token);
        let headers: &[_] = match from {
            From::Runner => &[("authorization", &*authorization)],
            From::User | From::Tcp | From::Admin => &[],
        };
        let (promised, sent) = shape;
        let body = message(promised, &vec![0; sent]);
        let mut held: Vec<(Raw, Vec<Begun>)> = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut raw = self.connect(from).await;
            let mut begun = Vec::new();
            while begun.len() < STREAMS {
                // Refused streams make room for more, and the daemon refuses most.
                let Ok(mut one) = raw.begin(method, headers).await else {
                    break;
                };
                one.send(body.clone()).await;
                begun.push(one);
            }
            held.push((raw, begun));
        }
        let client = Client::connect(&self.socket()).await;
        let (_, value) = client.read("served", "").await.expect("served meanwhile");
        assert_eq!(value, "meanwhile");
        let most = self.daemon.memory_kib("VmHWM:").saturating_sub(before);
        drop(held);
        most
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_make_the_daemon_hold_little() {
    let mut cases = vec![
        (From::Tcp, GET_SECRET),
        (From::Tcp, CHECK),
        (From::Tcp, WATCH),
        (From::Tcp, REFLECTION),
        (From::Admin, CHECK),
        (From::Admin, REFLECTION),
        (From::Runner, GET_SECRET),
    ];
    if may_be_others() {
        cases.extend([(From::User, GET_SECRET), (From::User, PUT_DEFINITION)]);
    } else {
        eprintln!("skipped: users of this host without any grant (only root can be others)");
    }
    for (from, method) in cases {
        // The greatest memory is known of a whole life only.
        let room = Room::new().await;
        for shape in SHAPES {
            let held = room.besieged(from, method, shape).await;
            println!("{from:?} {method} {shape:?}: {held} KiB");
            assert!(
                held < CONNECTIONS * HELD_KIB_MAX,
                "{from:?} {method} {shape:?}: {held} KiB"
            );
        }
    }
}
