//! The sends of one probe that are not forgotten yet.

use std::collections::VecDeque;

use super::send::{Send, State};
use super::{Patience, low_bits};

/// One probe's sends.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) patience: Patience,
    /// In the order of sending; the first one is open.
    pub(super) sends: VecDeque<Send>,
    /// What was answered has lower numbers.
    pub(super) furthest: u64,
    /// Whether sends that have left `sends` were answered: bit *i* is for send
    /// `recent_end` − 1 − *i*.
    pub(super) recent: u64,
    pub(super) recent_end: u64,
}

impl Lane {
    /// As [`Flight::widen`].
    pub(super) fn widen(&self, low: u32) -> Option<u64> {
        let near = self.sends.back().map_or(self.recent_end, |send| send.number);
        let ahead = i64::from(low.wrapping_sub(low_bits(near)).cast_signed());
        near.checked_add_signed(ahead)
    }

    pub(super) fn index(&self, number: u64) -> Option<usize> {
        self.sends.binary_search_by_key(&number, |send| send.number).ok()
    }

    pub(super) fn find(&mut self, number: u64) -> Option<&mut Send> {
        let index = self.index(number)?;
        self.sends.get_mut(index)
    }

    pub(super) fn was_answered(&self, number: u64) -> bool {
        let behind = self.recent_end.checked_sub(number.saturating_add(1));
        behind.is_some_and(|behind| behind < 64 && self.recent >> behind & 1 == 1)
    }

    /// Lets go of what is settled at the front; of that, only whether it was answered is remembered
    /// for a while.
    pub(super) fn tidy(&mut self) {
        while let Some(send) = self.sends.front().filter(|send| send.state != State::Open) {
            let ahead = send.number + 1 - self.recent_end.min(send.number + 1);
            self.recent = u32::try_from(ahead)
                .ok()
                .and_then(|ahead| self.recent.checked_shl(ahead))
                .unwrap_or(0);
            self.recent |= u64::from(send.state == State::Answered);
            self.recent_end = send.number + 1;
            self.sends.pop_front();
        }
        if self.sends.capacity() > 64 && self.sends.len() * 8 < self.sends.capacity() {
            self.sends.shrink_to(self.sends.len() * 2);
        }
    }
}
