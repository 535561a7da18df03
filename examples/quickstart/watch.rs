//! Listens to the session, tells of it, and counts.

use std::time::Duration;

use reqwest_auth_refresh::{Event, Events};
use tokio::sync::watch;

use crate::story::Story;

/// The events heard, by kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub(crate) logged_in: usize,
    pub(crate) refreshed: usize,
    pub(crate) refresh_failed: usize,
    pub(crate) needs_login: usize,
    pub(crate) logged_out: usize,
    /// Anything else after the first; there should be none.
    pub(crate) unexpected: usize,
}

pub(crate) struct Watch(watch::Receiver<Heard>);

impl Watch {
    pub(crate) fn begin(events: Events, story: Story) -> Self {
        let (sender, receiver) = watch::channel(Heard::default());
        tokio::spawn(listen(events, story, sender));
        Self(receiver)
    }

    /// What was heard, once that many refreshes were. They are told after they have happened, so the last may be on its
    /// way; one that has not come after five seconds never will.
    pub(crate) async fn until_refreshed(&mut self, count: usize) -> Heard {
        let last = self.0.wait_for(|heard| heard.refreshed >= count);
        drop(tokio::time::timeout(Duration::from_secs(5), last).await);
        self.0.borrow().clone()
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is expected, whatever it is")]
async fn listen(mut events: Events, story: Story, heard: watch::Sender<Heard>) {
    while let Some(event) = events.next().await {
        let (count, what): (fn(&mut Heard) -> &mut usize, _) = match event {
            Event::Now(_) => continue,
            Event::LoggedIn(_) => (|heard| &mut heard.logged_in, "logged in".to_owned()),
            Event::Refreshed(version) => {
                (|heard| &mut heard.refreshed, format!("refreshed: generation {}", version.generation))
            }
            Event::RefreshFailed(error) => (|heard| &mut heard.refresh_failed, format!("refresh failed: {error}")),
            Event::NeedsLogin(_) => (|heard| &mut heard.needs_login, "needs login".to_owned()),
            Event::LoggedOut => (|heard| &mut heard.logged_out, "logged out".to_owned()),
            other => (|heard| &mut heard.unexpected, format!("UNEXPECTED: {other:?}")),
        };
        story.tell("the session", &what);
        heard.send_modify(|heard| *count(heard) += 1);
    }
}
