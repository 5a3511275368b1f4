//! The revocation list: the results of polls, and the list that other workers hold.

use super::{Engine, Outbox};
use crate::callout::CalloutResult;
use crate::jitter::Jitter;
use crate::revocation::feed::{PollEnd, PollNumber, PollResult};
use crate::revocation::sharing::{ListDocument, ListState};
use crate::unix_time::UnixTime;

impl Engine {
    /// The poll has ended. `jitter` is new randomness.
    pub fn on_polled(&mut self, poll: PollNumber, outcome: CalloutResult, now: UnixTime, jitter: Jitter) -> Outbox {
        let mut outbox = Outbox::default();
        if let Some(feed) = &mut self.status.revocations {
            let PollEnd { result, news } = feed.finish_poll(poll, outcome, jitter, now);
            outbox.list_news = news;
            self.note_poll(result, &mut outbox);
        }
        self.finish(outbox, now)
    }

    /// Other workers hold this list.
    pub fn on_list_shared(&mut self, state: ListState, document: &ListDocument, now: UnixTime) -> Outbox {
        let mut outbox = Outbox::default();
        let feed = self.status.revocations.as_mut();
        if let Some(result) = feed.and_then(|feed| feed.adopt(state, document, now)) {
            self.note_poll(result, &mut outbox);
        }
        self.finish(outbox, now)
    }

    /// The name under which workers share the list, if one is configured.
    pub fn list_record(&self) -> Option<String> {
        self.status.revocations.as_ref().map(|feed| feed.record_name().to_owned())
    }

    /// Whether a list is configured and none was read.
    pub fn lacks_list(&self) -> bool {
        !self.status.has_list()
    }

    fn note_poll(&mut self, result: PollResult, outbox: &mut Outbox) {
        if result != PollResult::Late {
            outbox.poll_note = Some(result);
            self.parked.resume_for_revocations();
        }
    }
}
