//! The promises of a vault whose other users write at any moment: which version is the latest, and
//! what a write replaced.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use claviger_core::{Id, Reason, Uid};

use super::console::Console;
use super::suite::{CANARY, Suite};
use crate::contract::{Address, VersionState};

/// How many turns two writers take.
const TURNS: u32 = 3;

/// Most polls that a write is let run before somebody else comes in between.
const POLLS_MAX: usize = 100;

impl Suite {
    pub(super) async fn others_may_write_at_any_moment(&self, console: &dyn Console) {
        self.latest_is_the_one_that_is_read(console).await;
        self.disabled_latest_is_told_and_can_be_replaced(console)
            .await;
        self.change_during_a_write_is_told(console).await;
    }

    /// In every order of so many turns.
    async fn latest_is_the_one_that_is_read(&self, console: &dyn Console) {
        for order in 0..1_u32 << TURNS {
            let address = self.fresh();
            assert_eq!(self.latest(&address).await, None, "of an absent secret");
            for turn in 0..TURNS {
                if order >> turn & 1 == 0 {
                    let text = format!("{CANARY}{turn}").into_bytes();
                    let put = self.put(&address, Uid::random(), &text, true).await;
                    put.expect("a write is taken");
                } else {
                    let text = format!("{CANARY}{turn}");
                    console.put(&address.secret, &text).await;
                }
                let reading = self.backend.read(&address, None).await;
                let read = reading.expect("read").version;
                let latest = self.latest(&address).await;
                assert_eq!(latest.as_ref(), Some(&read), "another one is the latest");
                let versions = self.versions(&address).await;
                let marked = versions.iter().filter(|version| **version == read);
                assert_eq!(marked.count(), 1, "the latest is not listed once");
            }
        }
    }

    async fn disabled_latest_is_told_and_can_be_replaced(&self, console: &dyn Console) {
        let able = self.backend.capabilities();
        if !able.disable_version {
            return;
        }
        let address = self.fresh();
        self.write(&address, "ours").await;
        console
            .put(&address.secret, &format!("{CANARY}leaked"))
            .await;
        let leaked = self.latest(&address).await.expect("one");
        let disabled = VersionState::Disabled;
        let set = self.set(&address, &leaked, disabled).await;
        set.expect("disabling is declared");
        self.read_fails(&address, None, Reason::VersionDisabled)
            .await;
        assert_eq!(self.latest(&address).await.as_ref(), Some(&leaked));
        let put = self.put(&address, Uid::random(), CANARY.as_bytes(), false);
        let written = put.await.expect("a disabled version can be replaced");
        if able.property {
            assert_eq!(written.replaced, Some(vec![leaked]), "what was replaced");
        }
        assert_eq!(self.latest(&address).await, Some(written.version));
    }

    /// Somebody else writes after each step of a write in turn.
    async fn change_during_a_write_is_told(&self, console: &dyn Console) {
        if !self.backend.capabilities().property {
            return;
        }
        for polls in 1..POLLS_MAX {
            let address = self.fresh();
            let base = self.write(&address, "base").await;
            let mut write = pin!(self.put(&address, Uid::random(), CANARY.as_bytes(), false));
            let mut left = polls;
            let early = poll_fn(|cx| {
                left -= 1;
                match write.as_mut().poll(cx) {
                    Poll::Pending if left > 0 => Poll::Pending,
                    Poll::Pending => Poll::Ready(None),
                    Poll::Ready(written) => Poll::Ready(Some(written)),
                }
            })
            .await;
            if let Some(written) = early {
                written.expect("a write is taken");
                return;
            }
            let theirs = format!("{CANARY}theirs");
            console.put(&address.secret, &theirs).await;
            let written = write.await.expect("a write is taken");
            let is_last = self.latest(&address).await.as_ref() == Some(&written.version);
            let before = match is_last {
                true => self.only_other(&address, [&base, &written.version]).await,
                false => base.clone(),
            };
            let expected = Some(vec![before.clone()]);
            assert_eq!(
                written.replaced, expected,
                "what was replaced, {polls} polls"
            );
            assert!(!(is_last && written.followed), "nobody came later");
            let settled = self.backend.replaced(&address, &written.version);
            let told = settled.await.expect("asked").expect("told afterwards");
            assert!(told.contains(&before), "told afterwards: {told:?}");
        }
        panic!("a write takes more than {POLLS_MAX} polls");
    }

    async fn only_other(&self, address: &Address, known: [&Id; 2]) -> Id {
        let mut others = self.versions(address).await;
        others.retain(|version| !known.contains(&version));
        let [other] = others.try_into().expect("one change makes one version");
        other
    }

    async fn latest(&self, address: &Address) -> Option<Id> {
        self.backend.latest(address).await.expect("told")
    }
}
