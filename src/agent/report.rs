//! Passes news of outages on: to the database, the journal, the hooks and whoever watches.

use crate::agent::outages::{News, Renew};

use super::Session;

impl Session {
    /// Writes and tells these news, in their order.
    pub(super) fn report(&mut self, news: Vec<News>) {
        for one in news {
            match one {
                News::Opened(key, outage) => {
                    self.changes.outage(&outage);
                    self.hooks.tell(&outage);
                    self.recorder.opened(key, outage);
                }
                News::Attributed(found) => {
                    self.recorder.attributed(found.key, found.side, found.evidence);
                }
                News::Closed(key, outage, to) => {
                    self.recorder.closed(key, to);
                    self.changes.outage(&outage);
                    self.hooks.tell(&outage);
                }
                News::State(probe, state) => self.live.state(probe, state),
            }
        }
    }

    /// Has why the sends of open outages failed written down.
    pub(super) fn write_reasons(&mut self, renew: Renew) {
        let news = self.outages.reasons_anew(renew);
        self.report(news);
    }
}
