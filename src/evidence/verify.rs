//! Verification offline: summaries and receipts from whatever files somebody was handed, by keys
//! that he trusts. It says what they prove and what they do not, and passes over nothing in
//! silence.
//!
//! Files are read elsewhere; here come their names and bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::base::time::{Wall, format_duration};
use crate::evidence::chain::{self, Break, ChainId, Dropped, DroppedRanges, Gap, Link};
use crate::evidence::digest::Digest;
use crate::evidence::jws::{self, Typ};
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::late;
use crate::evidence::receipt::{self, Receipt};
use crate::evidence::rotation;
use crate::evidence::summary::{self, Summary};
use crate::measure::clock_state::ClockState;

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// Numbers that are missing between those that are there, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Whose.
    pub agent: Kid,
    /// The chain.
    pub chain: ChainId,
    /// The first that is missing.
    pub from_seq: u64,
    /// The last that is missing.
    pub to_seq: u64,
    /// Whether a summary of the agent says that its outbox had to drop all of them.
    pub dropped: bool,
}

/// What was checked, and is what it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Summaries: signed by a known key, of the wire format, adding up.
    pub summaries: u64,
    /// Receipts: signed by a known key, of the wire format.
    pub receipts: u64,
    /// Chains that these summaries belong to.
    pub chains: u64,
    /// What is missing of them.
    pub gaps: Vec<Missing>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// What was checked.
    pub checked: Checked,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What this proves.
    pub proved: Vec<String>,
    /// What it does not prove.
    pub not_proved: Vec<String>,
}

impl Verdict {
    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.ok &= other.ok;
        self.checked.summaries += other.checked.summaries;
        self.checked.receipts += other.checked.receipts;
        self.checked.chains += other.checked.chains;
        self.checked.gaps.extend(other.checked.gaps);
        self.findings.extend(other.findings);
        self.proved.extend(other.proved);
        self.not_proved.extend(other.not_proved);
        self
    }

    /// Adds something that is wrong; the answer is not ok then.
    pub fn find(&mut self, file: &str, what: impl std::fmt::Display) {
        self.ok = false;
        self.findings.push(Finding { file: file.to_owned(), what: what.to_string() });
    }
}

/// How a key came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Whoever verifies trusts it.
    Given,
    /// It came with the files that it is to prove; so it proves only that they are consistent.
    Brought,
}

/// A key, and what is known of it.
#[derive(Clone, Copy, Debug)]
struct Known {
    key: PublicKey,
    trust: Trust,
}

/// A summary that was verified.
#[derive(Clone, Debug)]
struct Verified {
    file: String,
    kid: Kid,
    digest: Digest,
    summary: Summary,
}

/// What is verified together.
#[derive(Debug, Default)]
pub struct Verifier {
    keys: BTreeMap<Kid, Known>,
    used: BTreeSet<Kid>,
    /// Which agent's a key is, by a summary that named it as next, and from where on.
    successors: BTreeMap<Kid, Kid>,
    /// A key, and that which it named as next.
    named: Vec<(Kid, Kid)>,
    /// The last summary of a key that was replaced, and where its span ends.
    replaced: BTreeMap<Kid, (ChainId, u64, Wall)>,
    /// Where the time that matters begins.
    since: Option<Wall>,
    waiting: Vec<(String, Vec<u8>)>,
    summaries: Vec<Verified>,
    receipts: Vec<(String, Receipt)>,
    findings: BTreeSet<Finding>,
    not_proved: Vec<String>,
}

impl Verifier {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A key is trusted as far as the one that named it as next.
    fn hand_on_trust(&mut self) {
        let mut named: BTreeMap<Kid, Vec<Kid>> = BTreeMap::new();
        for (by, next) in std::mem::take(&mut self.named) {
            named.entry(by).or_default().push(next);
        }
        let given = self.keys.iter().filter(|(_, known)| known.trust == Trust::Given);
        let mut open: Vec<Kid> = given.map(|(kid, _)| *kid).collect();
        while let Some(by) = open.pop() {
            for next in named.remove(&by).unwrap_or_default() {
                if let Some(known) = self.keys.get_mut(&next) {
                    known.trust = Trust::Given;
                    open.push(next);
                }
            }
        }
    }

    /// A key that whoever verifies trusts.
    pub fn trust(&mut self, key: PublicKey) {
        self.keys.insert(key.kid(), Known { key, trust: Trust::Given });
    }

    /// A key that came with the files.
    pub fn bring(&mut self, key: PublicKey) {
        self.keys.entry(key.kid()).or_insert(Known { key, trust: Trust::Brought });
    }

    /// Where the time that matters begins. A summary that ends before it is here for the key that
    /// it names: what is missing right after it is not proved, and no fault.
    pub fn since(&mut self, at: Wall) {
        self.since = Some(at);
    }

    /// Something wrong that was found elsewhere: a file that cannot be read.
    pub fn find(&mut self, file: &str, what: impl std::fmt::Display) {
        self.findings.insert(Finding { file: file.to_owned(), what: what.to_string() });
    }

    /// Takes a compact JWS: a summary or a receipt. One newline may follow it, as editors and
    /// shells leave it.
    pub fn add(&mut self, file: &str, bytes: &[u8]) {
        self.take(file.to_owned(), bytes.to_vec());
    }

    /// As [`Self::add`], without a copy.
    pub fn take(&mut self, file: String, mut bytes: Vec<u8>) {
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        match jws::typ(&bytes) {
            Some(Typ::Summary | Typ::Receipt) => self.waiting.push((file, bytes)),
            Some(other) => self.find(
                &file,
                format_args!("it is a {}, neither a summary nor a receipt", other.word()),
            ),
            None => self.find(&file, "it is not a JWS of a summary or of a receipt"),
        }
    }

    /// Verifies all of it.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        self.verdict_and_summaries().0
    }

    /// Verifies all of it, and gives the summaries that were verified, with the digests of their
    /// JWS.
    #[must_use]
    pub fn verdict_and_summaries(mut self) -> (Verdict, Vec<(Digest, Summary)>) {
        self.verify_all();
        self.whose_keys();
        self.check_names();
        let (chains, gaps) = self.check_chains();
        self.check_receipts();
        self.check_trust();
        let checked = Checked {
            summaries: self.summaries.len() as u64,
            receipts: self.receipts.len() as u64,
            chains,
            gaps,
        };
        let (proved, mut not_proved) = self.words(&checked);
        not_proved.append(&mut self.not_proved);
        let verdict = Verdict {
            ok: self.findings.is_empty() && checked.summaries + checked.receipts > 0,
            checked,
            findings: self.findings.into_iter().collect(),
            proved,
            not_proved,
        };
        (verdict, self.summaries.into_iter().map(|one| (one.digest, one.summary)).collect())
    }

    /// Verifies each by the keys that are known, in rounds as long as summaries name further keys:
    /// each is looked at once, in the first round that has its key.
    fn verify_all(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut unknown: BTreeMap<Kid, Vec<usize>> = BTreeMap::new();
        let mut ready: BTreeSet<usize> = BTreeSet::new();
        for (at, (_, bytes)) in waiting.iter().enumerate() {
            match kid(bytes).filter(|kid| !self.keys.contains_key(kid)) {
                Some(kid) => unknown.entry(kid).or_default().push(at),
                // What names no key is told of.
                None => _ = ready.insert(at),
            }
        }
        let mut next = 0;
        while let Some(at) = ready.range(next..).next().or(ready.first()).copied() {
            ready.remove(&at);
            next = at + 1;
            // Nothing else of it is needed any more.
            let (file, bytes) = std::mem::take(&mut waiting[at]);
            match self.verify_one(&file, &bytes) {
                Ok(Some(named)) => ready.extend(unknown.remove(&named).unwrap_or_default()),
                Ok(None) => {}
                Err(what) => self.find(&file, what),
            }
        }
        for (kid, places) in unknown {
            for at in places {
                let what = format_args!(
                    "untrusted-key: it is signed with {kid}, which is none of the keys given"
                );
                self.find(&waiting[at].0, what);
            }
        }
    }

    /// Verifies one whose key is known; gives the key that it names as next.
    fn verify_one(&mut self, file: &str, bytes: &[u8]) -> Result<Option<Kid>, String> {
        let is_receipt = jws::typ(bytes) == Some(Typ::Receipt);
        let typ = if is_receipt { Typ::Receipt } else { Typ::Summary };
        let jws = jws::parse(bytes, typ).map_err(|fault| fault.to_string())?;
        let kid = jws.kid();
        let Known { key, trust } = self.keys[&kid];
        if is_receipt {
            let receipt = receipt::verify(bytes, &key).map_err(|fault| fault.to_string())?;
            self.used.insert(kid);
            self.receipts.push((file.to_owned(), receipt));
            return Ok(None);
        }
        let payload = jws.verify(&key).map_err(|fault| fault.to_string())?;
        let summary = summary::read(&payload).map_err(|fault| fault.to_string())?;
        self.used.insert(kid);
        let mut named = None;
        if let Some(consent) = &summary.next_key {
            let next = rotation::verify(consent, summary.agent, summary.chain, summary.seq)
                .map_err(|fault| fault.to_string())?;
            named = Some(next.kid());
            self.keys.entry(next.kid()).or_insert(Known { key: next, trust });
            self.successors.insert(next.kid(), summary.agent);
            self.named.push((kid, next.kid()));
            self.replaced.insert(kid, (summary.chain, summary.seq, summary.to));
        }
        let digest = Digest::of(bytes);
        self.summaries.push(Verified { file: file.to_owned(), kid, digest, summary });
        Ok(named)
    }

    /// A summary's agent is the owner of the key that signed it, and a key that was replaced signs
    /// nothing more.
    fn whose_keys(&mut self) {
        let mut found = Vec::new();
        for Verified { file, kid, summary, .. } in &self.summaries {
            let agent = summary.agent;
            if *kid != agent && self.successors.get(kid) != Some(&agent) {
                found.push((
                    file.clone(),
                    format!(
                        "its agent is {agent}, but it is signed with \
                    {kid}, and no summary here names that key as the agent's next"
                    ),
                ));
            }
            // In another chain the numbers tell nothing; then the agent's own times do.
            let later = |chain: ChainId, seq: u64, to: Wall| {
                if chain == summary.chain { summary.seq > seq } else { summary.from > to }
            };
            if let Some(&(chain, seq, to)) = self.replaced.get(kid)
                && later(chain, seq, to)
            {
                found.push((
                    file.clone(),
                    format!(
                        "it is signed with {kid}, which number {seq} of chain {chain} replaced"
                    ),
                ));
            }
        }
        for (file, what) in found {
            self.find(&file, what);
        }
    }

    /// A file that is named by a number holds the summary of that number, or its receipt.
    fn check_names(&mut self) {
        let mut found = Vec::new();
        let summaries =
            self.summaries.iter().map(|one| (&one.file, one.summary.chain, one.summary.seq));
        let receipts =
            self.receipts.iter().map(|(file, receipt)| (file, receipt.chain, receipt.seq));
        for (file, chain, seq) in summaries.chain(receipts) {
            let mut parts = file.rsplit('/');
            let name = parts.next().unwrap_or_default();
            let number = name.strip_suffix(".receipt.jws").or_else(|| name.strip_suffix(".jws"));
            if let Some(said) = number.and_then(|number| number.parse::<u64>().ok())
                && said != seq
            {
                found.push((
                    file.clone(),
                    format!("it is named as number {said}, but holds number {seq}"),
                ));
            }
            if let Some(said) = parts.next().and_then(|chain| chain.parse::<ChainId>().ok())
                && said != chain
            {
                found.push((
                    file.clone(),
                    format!("it lies with chain {said}, but belongs to {chain}"),
                ));
            }
        }
        for (file, what) in found {
            self.find(&file, what);
        }
    }

    /// The order of each chain, and what is missing of it.
    fn check_chains(&mut self) -> (u64, Vec<Missing>) {
        let summaries = std::mem::take(&mut self.summaries);
        let mut chains: BTreeMap<(Kid, ChainId), Vec<&Verified>> = BTreeMap::new();
        let mut dropped: BTreeMap<Kid, Vec<Dropped>> = BTreeMap::new();
        for one in &summaries {
            chains.entry((one.summary.agent, one.summary.chain)).or_default().push(one);
            dropped.entry(one.summary.agent).or_default().extend(&one.summary.dropped);
        }
        let told: BTreeMap<Kid, DroppedRanges> = dropped
            .into_iter()
            .map(|(agent, dropped)| (agent, dropped.into_iter().collect()))
            .collect();
        let mut gaps = Vec::new();
        for (&(agent, id), members) in &chains {
            let chain = Chain::new(agent, id, members);
            let links: Vec<Link> = members.iter().map(|one| link(one)).collect();
            let examined = chain::examine(&links);
            self.check_order(&chain, examined.breaks);
            self.check_twice(members);
            gaps.extend(self.missing_of(&chain, &examined.gaps, told.get(&agent)));
        }
        let count = chains.len() as u64;
        self.summaries = summaries;
        (count, gaps)
    }

    /// Each number is there once, and names the digest of the one before it.
    fn check_order(&mut self, chain: &Chain<'_>, breaks: Vec<Break>) {
        let id = chain.id;
        for fault in breaks {
            let (seq, what) = match fault {
                Break::Twice { seq } => {
                    (seq, format!("number {seq} of chain {id} is there twice, and differs"))
                }
                Break::Prev { seq } => (
                    seq,
                    format!(
                        "number {seq} of chain {id} does not name the digest of the one before it"
                    ),
                ),
            };
            self.find(chain.file(seq), what);
        }
    }

    /// No summary is there in two files.
    fn check_twice(&mut self, members: &[&Verified]) {
        let mut seen = BTreeMap::new();
        for one in members {
            if let Some(other) = seen.insert(one.digest, &one.file) {
                let what = format_args!("the same summary is there twice, also as {other}");
                self.find(&one.file, what);
            }
        }
    }

    /// What is missing of a chain from the first of its numbers that is here. It is no fault where
    /// it lies before the time that matters, or the agent told that it dropped it.
    fn missing_of(
        &mut self,
        chain: &Chain<'_>,
        gaps: &[Gap],
        told: Option<&DroppedRanges>,
    ) -> Vec<Missing> {
        let Chain { agent, id, .. } = *chain;
        let first = chain.first();
        if first > 0 {
            self.not_proved
                .push(format!("what came before number {first} of chain {id}: it is not here"));
        }
        let mut missing = Vec::new();
        for gap in gaps.iter().filter(|gap| gap.from_seq >= first) {
            let Gap { from_seq, to_seq } = *gap;
            let numbers = format!("numbers {from_seq} to {to_seq} of chain {id}");
            let begins = chain.end_before(from_seq);
            if begins.is_some_and(|begins| self.since.is_some_and(|since| begins < since)) {
                self.not_proved
                    .push(format!("what {numbers} said: they lie before what this is about"));
                continue;
            }
            let dropped = told.is_some_and(|told| told.has(id, *gap));
            if dropped {
                self.not_proved.push(format!(
                    "what {numbers} said: the agent's outbox had to drop them, as it says"
                ));
            } else {
                let what = format_args!("{numbers}, before this one, are missing");
                self.find(chain.file(to_seq + 1), what);
            }
            missing.push(Missing { agent, chain: id, from_seq, to_seq, dropped });
        }
        missing
    }

    /// Each receipt is by a collector and for a summary that is here.
    fn check_receipts(&mut self) {
        let mut agents: BTreeSet<Kid> =
            self.summaries.iter().flat_map(|one| [one.kid, one.summary.agent]).collect();
        // An agent's next key is its own too, though it signed no summary yet.
        agents.extend(self.successors.keys());
        let mut found = Vec::new();
        let mut seen: BTreeMap<Digest, &str> = BTreeMap::new();
        let mut numbered: BTreeSet<(Kid, ChainId, u64)> = BTreeSet::new();
        let mut exact: BTreeSet<(Kid, ChainId, u64, Digest)> = BTreeSet::new();
        for Verified { summary, digest, .. } in &self.summaries {
            numbered.insert((summary.agent, summary.chain, summary.seq));
            exact.insert((summary.agent, summary.chain, summary.seq, *digest));
        }
        for (file, receipt) in &self.receipts {
            if agents.contains(&receipt.collector) || receipt.collector == receipt.agent {
                found.push((
                    file.clone(),
                    "it is signed with an agent's own key, so it proves nothing".to_owned(),
                ));
            }
            if let Some(other) = seen.insert(receipt.digest, file) {
                found.push((
                    file.clone(),
                    format!("there is a second receipt for the same summary: {other}"),
                ));
            }
            let Receipt { agent, chain, seq, digest, .. } = *receipt;
            let here = numbered.contains(&(agent, chain, seq));
            if !here && !self.summaries.is_empty() {
                found.push((
                    file.clone(),
                    format!("the summary that it is for is missing: number {seq} of chain {chain}"),
                ));
            } else if here && !exact.contains(&(agent, chain, seq, digest)) {
                found.push((
                    file.clone(),
                    format!("it is for another summary of number {seq} than is here"),
                ));
            }
        }
        for (file, what) in found {
            self.find(&file, what);
        }
    }

    /// Keys that only came with the files prove nothing of whose they are.
    fn check_trust(&mut self) {
        self.hand_on_trust();
        let brought: Vec<Kid> = self
            .used
            .iter()
            .copied()
            .filter(|kid| self.keys[kid].trust == Trust::Brought)
            .collect();
        for kid in brought {
            self.find(
                &format!("keys/{kid}.jwk"),
                "untrusted-key: this key only came with the files, so they are shown to be \
                 consistent, not whose they are; confirm it with --key",
            );
        }
    }

    /// What all this proves, and what it does not, in words.
    fn words(&self, checked: &Checked) -> (Vec<String>, Vec<String>) {
        let (mut proved, mut not) = (Vec::new(), Vec::new());
        let spans = self.summaries.iter().map(|one| (one.summary.from, one.summary.to));
        if let (Some(from), Some(to)) =
            (spans.clone().map(|span| span.0).min(), spans.map(|span| span.1).max())
        {
            proved.push(format!(
                "{} from {from} to {to} are as they were signed, and their outcomes and \
                    histograms add up",
                counted(checked.summaries, "summary", "summaries")
            ));
        }
        let received: BTreeMap<Digest, Wall> =
            self.receipts.iter().map(|(_, receipt)| (receipt.digest, receipt.received)).collect();
        let delays = self.delays(&received);
        if let Some((delay, to)) = delays.longest {
            let step = if delay.as_secs() == 0 { 1_000_000 } else { 1_000_000_000 };
            let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
            let delay = format_duration(Duration::from_nanos(nanos / step * step));
            proved.push(format!(
                "each of those with a receipt was made before the collector received it; the \
                    latest, for the span that ended at {to}, {delay} after its end"
            ));
        }
        self.late_words(&received, &mut proved, &mut not);
        self.doubts(&delays, &mut not);
        (proved, not)
    }

    /// How long after its span's end each summary was received.
    fn delays(&self, received: &BTreeMap<Digest, Wall>) -> Delays {
        let mut delays = Delays::default();
        for one in &self.summaries {
            let end = one.summary.to;
            match received.get(&one.digest).map(|received| received.nanos_since(end)) {
                None => delays.without += 1,
                Some(nanos) => match u64::try_from(nanos) {
                    Ok(nanos) => {
                        let delay = Duration::from_nanos(nanos);
                        delays.longest = delays.longest.max(Some((delay, end)));
                    }
                    Err(_) => delays.early += 1,
                },
            }
        }
        delays
    }

    /// What nothing here proves: the clocks, and the agent's own word.
    fn doubts(&self, delays: &Delays, not: &mut Vec<String>) {
        if delays.early > 0 {
            not.push(format!(
                "which clock was wrong: {} received before its span had ended, by the two clocks",
                counted(delays.early, "summary was", "summaries were")
            ));
        }
        if delays.without > 0 {
            not.push(format!(
                "when {} made: there is no receipt, so their time is the agent's own word",
                counted(delays.without, "summary was", "summaries were")
            ));
        }
        let unsynchronised = self
            .summaries
            .iter()
            .filter(|one| one.summary.clock.state != ClockState::Synchronised)
            .count() as u64;
        if unsynchronised > 0 {
            not.push(format!(
                "that the times in {} are right: the agent's clock was not known to be \
                    synchronised",
                counted(unsynchronised, "summary", "summaries")
            ));
        }
        if !self.summaries.is_empty() {
            not.push(
                "that the agent measured what it says: whoever holds its key could have made it \
                    up before the receipt"
                    .to_owned(),
            );
        }
    }
}

/// How long after their spans' ends summaries were received.
#[derive(Default)]
struct Delays {
    /// The longest, and the end of that span.
    longest: Option<(Duration, Wall)>,
    /// How many were received before their span had ended.
    early: u64,
    /// How many have no receipt.
    without: u64,
}

/// The summaries of one chain by their numbers.
struct Chain<'a> {
    agent: Kid,
    id: ChainId,
    /// Of several of one number, the first and the last.
    numbered: BTreeMap<u64, (&'a Verified, &'a Verified)>,
}

impl<'a> Chain<'a> {
    fn new(agent: Kid, id: ChainId, members: &[&'a Verified]) -> Self {
        let mut numbered = BTreeMap::new();
        for &one in members {
            numbered.entry(one.summary.seq).or_insert((one, one)).1 = one;
        }
        Self { agent, id, numbered }
    }

    /// The lowest number that is here.
    fn first(&self) -> u64 {
        self.numbered.first_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// The file of a number; of several, the last names it.
    fn file(&self, seq: u64) -> &'a str {
        self.numbered.get(&seq).map_or("", |(_, last)| &last.file)
    }

    /// Where the span before a number ends; of several, the first says it.
    fn end_before(&self, seq: u64) -> Option<Wall> {
        let (first, _) = self.numbered.get(&seq.checked_sub(1)?)?;
        Some(first.summary.to)
    }
}

/// Numbers of a chain that came late.
struct LateRun {
    chain: ChainId,
    numbers: (u64, u64),
    span: (Wall, Wall),
    /// By when the last of them was there, as the receipts show.
    by: Wall,
    /// Whether later numbers show that they were there in time.
    named: bool,
}

impl Verifier {
    /// What came long after its span's end: whether a later number in time names it, or nothing
    /// does.
    fn late_words(
        &self,
        received: &BTreeMap<Digest, Wall>,
        proved: &mut Vec<String>,
        not: &mut Vec<String>,
    ) {
        for run in self.late(received) {
            let (from, to) = run.numbers;
            let (begins, ends) = run.span;
            let what = format!(
                "numbers {from} to {to} of chain {}, which tell of {begins} to {ends}",
                run.chain
            );
            let after = format_duration(late::AFTER);
            if run.named {
                proved.push(format!(
                    "{what}, were made by {} at the latest: their own receipts are later, but \
                     numbers after them that were received by then name them",
                    run.by
                ));
            } else {
                not.push(format!(
                    "that {what}, were made when they say: they are late, received more than \
                     {after} after, and by {} at the latest; whoever holds the agent's key could \
                     have made them up until then",
                    run.by
                ));
            }
        }
    }

    fn late(&self, received: &BTreeMap<Digest, Wall>) -> Vec<LateRun> {
        let mut all: Vec<&Verified> = self.summaries.iter().collect();
        all.sort_by_key(|one| (one.summary.agent, one.summary.chain, one.summary.seq));
        let mut runs: Vec<LateRun> = Vec::new();
        let follows = |one: &&Verified, two: &&Verified| {
            link(two).comes_after(&link(one)) && one.summary.chain == two.summary.chain
        };
        for run in all.chunk_by(follows) {
            let mut named: Option<Wall> = None;
            let mut found = Vec::new();
            for one in run.iter().rev() {
                let summary = &one.summary;
                let Some(&own) = received.get(&one.digest) else { continue };
                let by = named.map_or(own, |named| named.min(own));
                named = Some(by);
                if own > summary.to + late::AFTER {
                    found.push((summary, by));
                }
            }
            for (summary, by) in found.into_iter().rev() {
                let in_time = by <= summary.to + late::AFTER;
                match runs.last_mut() {
                    Some(last)
                        if last.chain == summary.chain
                            && last.numbers.1.checked_add(1) == Some(summary.seq)
                            && last.named == in_time =>
                    {
                        last.numbers.1 = summary.seq;
                        last.span = (last.span.0.min(summary.from), last.span.1.max(summary.to));
                        last.by = last.by.max(by);
                    }
                    _ => runs.push(LateRun {
                        chain: summary.chain,
                        numbers: (summary.seq, summary.seq),
                        span: (summary.from, summary.to),
                        by,
                        named: in_time,
                    }),
                }
            }
        }
        runs
    }
}

/// So many of something, in words.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

fn link(one: &Verified) -> Link {
    Link { seq: one.summary.seq, digest: one.digest, prev: one.summary.prev }
}

/// Which key a summary or a receipt says that it was signed with.
fn kid(bytes: &[u8]) -> Option<Kid> {
    let typ = jws::typ(bytes)?;
    jws::parse(bytes, typ).ok().map(|jws| jws.kid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::chain::Head;
    use crate::evidence::key::SecretKey;

    fn key(n: u32) -> SecretKey {
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        SecretKey::from_seed(&seed)
    }

    /// Verified in rounds over all that is left, as many as there are keys, it would be some ten
    /// million.
    #[test]
    fn thousands_of_keys_that_name_each_other_backwards_are_each_verified_once() {
        const KEYS: u32 = 3000;
        let agent = key(0).kid();
        let mut head = Head::new(ChainId::from_bytes([1; 16]), None);
        let at = |n: u32| Wall::from_secs(1_800_000_000 + 300 * i64::from(n));
        let signed: Vec<String> = (0..KEYS)
            .map(|n| {
                let summary =
                    Summary { from: at(n), to: at(n + 1), ..summary::tests::empty(agent) };
                head.sign_with_next_key(summary, &key(n), &key(n + 1)).unwrap().jws
            })
            .collect();
        for trusted in [true, false] {
            let mut verifier = Verifier::new();
            if trusted {
                verifier.trust(*key(0).public())
            } else {
                verifier.bring(*key(0).public())
            }
            // The names are sorted as text, so that the order is any but that of the numbers.
            for (n, jws) in signed.iter().enumerate().rev() {
                verifier.add(&format!("{n}.jws"), jws.as_bytes());
            }
            let verdict = verifier.verdict();
            assert_eq!((verdict.checked.summaries, verdict.checked.chains), (u64::from(KEYS), 1));
            // What only came with the files proves nothing of whose keys they are, and of each of
            // them that is said.
            assert_eq!(
                verdict.findings.len(),
                if trusted { 0 } else { KEYS as usize },
                "{:?}",
                verdict.findings.first()
            );
        }
    }
}
