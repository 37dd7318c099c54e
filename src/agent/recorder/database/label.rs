//! Labels what was held until the clock was set.

use tracing::{info, warn};

use crate::agent::keys::Keys;
use crate::agent::recorder::{Label, Why as LabelledFor};
use crate::agent::summariser::Summariser;
use crate::base::time::Wall;
use crate::store::journal::Noted;
use crate::store::provisional::Labelled;
use crate::store::{Store, StoreError};

use super::commit::fit_outbox;
use super::{Database, RETRY};

/// So many sets of what was held are labelled before they are summarised, so that not all of it is
/// in memory at once.
const LABELLED: u32 = 60;

/// Labels some more of what is held of a boot; whether there is more. What it adds up to is signed
/// under the name of that boot; of this one the last of it waits for what follows it.
fn label_some(
    store: &Store,
    summariser: &mut Summariser,
    (label, all): (&Label, &mut Labelled),
    keys: &mut Keys,
) -> Result<bool, StoreError> {
    let other = label.boot != summariser.boot;
    if other {
        summariser.summarise(store, &label.span, keys)?;
    }
    let done = store.label_held(&label.boot, label.anchor, summariser.every, LABELLED)?;
    all.sets += done.sets;
    all.lost += done.lost;
    let more = done.sets + done.lost == u64::from(LABELLED);
    if more || other {
        let own = std::mem::replace(&mut summariser.boot, label.boot.clone());
        let signed = summariser.summarise(store, &label.span, keys);
        summariser.boot = own;
        signed?;
    }
    Ok(more)
}

fn note_labelled(
    store: &Store,
    label: &Label,
    done: Labelled,
    now: Wall,
) -> Result<(), StoreError> {
    let Labelled { sets, lost } = done;
    let (kind, why) = match label.why {
        LabelledFor::Set => (
            Noted::ClockSet,
            "the clock was set: what was measured before it has its true times now",
        ),
        LabelledFor::GivenUp => (
            Noted::ClockGuessed,
            "nothing set the clock: what was measured is labelled by the clock as it is",
        ),
        LabelledFor::OtherBoot if sets + lost == 0 => return Ok(()),
        LabelledFor::OtherBoot => (
            Noted::ClockGuessed,
            "the host started anew before its clock was set: what was measured is labelled by the \
             time since that boot, as if it had been at 1970-01-01T00:00:00Z",
        ),
    };
    let lost = if lost == 0 { String::new() } else { format!("; {lost} more could not be read") };
    info!(kind = kind.word(), sets, why, "what was held is labelled");
    store.note(now, kind, &format!("{why} ({sets} stretches of up to a minute{lost})"))
}

impl Database {
    /// Labels what can be, some of it in each transaction, before anything else is taken: what is
    /// measured now comes after it.
    pub(super) fn label(&mut self) {
        while !self.labels.is_empty() && !self.failing {
            if !self.waiting.is_empty() {
                self.commit();
                continue;
            }
            let Self { store, summariser, labels, keep, full, clock, .. } = self;
            let Some((label, all)) = labels.front_mut() else { return };
            let now = clock.now().wall;
            let (mut keys, mut done) = (summariser.keys.clone(), *all);
            let step = store.together(|store| {
                let more = label_some(store, summariser, (label, &mut done), &mut keys)?;
                fit_outbox(store, keep.outbox_bytes, full, now)?;
                if !more {
                    note_labelled(store, label, done, now)?;
                }
                Ok::<bool, StoreError>(more)
            });
            match step {
                Ok(more) => {
                    summariser.keys.committed(keys);
                    *all = done;
                    if !more {
                        labels.pop_front();
                    }
                }
                Err(error) if error.is_damage() && self.set_aside(&error.to_string()) => {}
                Err(error) => {
                    warn!(%error, "what was held cannot be labelled; it is tried again");
                    self.failing = true;
                    self.commit_by = Some(self.mono() + RETRY);
                }
            }
        }
    }
}
