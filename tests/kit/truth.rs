//! Questions to the truth.

use std::net::IpAddr;

use super::log::{Kind, Line, Truth, What};

impl Truth {
    /// The echo requests for an address, in the order of arrival; second replies are left out.
    pub fn echoes(&self, to: &str) -> Vec<&Line> {
        let mut lines: Vec<&Line> = self.of(to, &[Kind::Icmp4, Kind::Icmp6]).collect();
        lines.retain(|line| line.what != What::Duplicate);
        lines.sort_by_key(|line| line.number);
        lines
    }

    /// How many echo requests for an address came to this end; `duplicate` counts second replies.
    pub fn count(&self, to: &str, what: What) -> usize {
        self.of(to, &[Kind::Icmp4, Kind::Icmp6]).filter(|line| line.what == what).count()
    }

    /// The lines for an address.
    pub fn of(&self, to: &str, kinds: &[Kind]) -> impl Iterator<Item = &Line> {
        let to: IpAddr = to.parse().expect("a test names addresses");
        self.lines.iter().filter(move |line| line.to == to && kinds.contains(&line.kind))
    }
}
