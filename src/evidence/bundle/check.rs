//! A bundle, checked: every member is what it is said to be, and the verdict is what follows from
//! the rest.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::bundle::{
    Accepted, BY_PROVIDER, Basis, Claim, FACTS, Numbers, PROVIDER, REGISTER, Resolved, VERDICT,
    Which, begin, by_provider, claim, claim_text, contract_name, digests, judged, key_text,
    page_text, reach, resolve, spoken, text_of, verdict_text, zip,
};
use crate::evidence::digest::Digest;
use crate::evidence::key::PublicKey;
use crate::evidence::register;
use crate::evidence::report_page;
use crate::evidence::summary::Summary;
use crate::evidence::verify::{Finding, Verdict, Verifier};
use crate::sla::calendar::Stretch;
use crate::sla::facts::{self, Case};
use crate::sla::fault::Fault;
use crate::sla::judge::InForce;
use crate::sla::report::Report;
use crate::sla::terms::Contract;

/// No verdict rests on more contracts' files: the versions that were in force in a period, with
/// those above each.
const CONTRACTS: usize = 256;

/// Checks a bundle; `file` is its name in findings, which go with those of the members. The
/// verifier has the keys that are trusted.
#[must_use]
pub fn check(file: &str, bytes: &[u8], mut verifier: Verifier) -> Verdict {
    let members = match zip::read(bytes) {
        Ok(members) => members,
        Err(fault) => {
            verifier.find(file, fault);
            return verifier.verdict();
        }
    };
    let at = |name: &str| format!("{file}:{name}");
    let digests = digests(&members);
    // What is verified one by one need not lie here twice.
    let signed = |name: &String| name.starts_with("summaries/") || name.starts_with("receipts/");
    let (signed, members): (BTreeMap<_, _>, BTreeMap<_, _>) =
        members.into_iter().partition(|(name, _)| signed(name));
    let receipts = signed.iter().filter(|(name, _)| name.starts_with("receipts/"));
    let received =
        spoken::received(receipts.filter_map(|(_, bytes)| std::str::from_utf8(bytes).ok()));
    for (name, bytes) in signed {
        verifier.take(at(&name), bytes);
    }
    for (name, bytes) in &members {
        if let Some(kid) = name.strip_prefix("keys/").and_then(|name| name.strip_suffix(".jwk")) {
            match std::str::from_utf8(bytes).ok().and_then(|text| PublicKey::from_jwk(text).ok()) {
                Some(key) if key.kid().to_string() == kid && key_text(&key) == *bytes => {
                    verifier.bring(key)
                }
                _ => verifier.find(&at(name), "it is not the public key that it is named after"),
            }
        }
    }
    let rest = Rest { file, members: &members, digests, received };
    let Some(said) = rest.of_claim(&mut verifier) else { return verifier.verdict() };
    let judgeable = rest.judgeable(&said);
    if let Ok(Judgeable { versions, case, .. }) = &judgeable {
        verifier.since(begin(versions, case));
    }
    let (mut verdict, summaries) = verifier.verdict_and_summaries();
    if let Some(name) = zip::out_of_order(bytes) {
        verdict.not_proved.push(format!(
            "that this is the very file that was made: {} does not lie in the order of the names; \
             of what the members say that changes nothing",
            at(&name)
        ));
    }
    match judgeable {
        Err(Finding { file, what }) => verdict.find(&file, what),
        Ok(judgeable) => {
            rest.recompute(&said, &judgeable, summaries, &mut verdict);
        }
    }
    verdict
}

/// What a verdict is worked out from, beside the summaries.
struct Judgeable {
    contract: Contract,
    versions: Vec<InForce>,
    case: Case,
    /// SHA-256 of each contract's file, in hexadecimal.
    digests: BTreeSet<String>,
}

fn all_of(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

struct Rest<'a> {
    file: &'a str,
    /// What is not signed by itself.
    members: &'a BTreeMap<String, Vec<u8>>,
    /// Of all members.
    digests: BTreeMap<String, String>,
    /// When each summary arrived, by its receipt.
    received: spoken::Received,
}

impl Rest<'_> {
    fn at(&self, name: &str) -> String {
        format!("{}:{name}", self.file)
    }

    /// What is claimed, when every member is as it says.
    fn of_claim(&self, verifier: &mut Verifier) -> Option<Claim> {
        let Some(bytes) = self.members.get("claim.json") else {
            verifier.find(&self.at("claim.json"), "it is missing");
            return None;
        };
        let said: Claim = match serde_json::from_slice(bytes) {
            Ok(said) => said,
            Err(error) => {
                verifier
                    .find(&self.at("claim.json"), format_args!("it is not of the format: {error}"));
                return None;
            }
        };
        if claim_text(&said) != *bytes {
            verifier.find(&self.at("claim.json"), "it is not written as a claim is");
        }
        for (name, digest) in &said.members {
            match self.digests.get(name) {
                None => verifier.find(&self.at(name), "claim.json names it, but it is missing"),
                Some(found) if found != digest => {
                    verifier.find(
                        &self.at(name),
                        "it was changed: its digest is not the one in claim.json",
                    );
                }
                Some(_) => {}
            }
        }
        for name in self
            .digests
            .keys()
            .filter(|name| *name != "claim.json" && !said.members.contains_key(*name))
        {
            verifier.find(&self.at(name), "claim.json does not name it");
        }
        Some(said)
    }

    /// What is needed to judge again, or what is wrong with it.
    fn judgeable(&self, said: &Claim) -> Result<Judgeable, Finding> {
        let fault = |name: &str, what: String| Finding { file: self.at(name), what };
        let in_folder = self.members.iter().filter(|(name, _)| name.starts_with("contracts/"));
        let texts: Vec<String> =
            in_folder.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect();
        if texts.len() > CONTRACTS {
            let what =
                format!("there are {}, and no verdict rests on more than {CONTRACTS}", texts.len());
            return Err(fault("contracts", what));
        }
        if said.basis.as_ref().is_some_and(|basis| basis.versions.len() > CONTRACTS) {
            let what = format!(
                "it names more than {CONTRACTS} versions in force, and no verdict rests on so many"
            );
            return Err(fault("claim.json", what));
        }
        let which = Which { id: said.contract.clone(), version: said.version };
        let facts = self.text(FACTS).ok_or_else(|| fault(FACTS, "it is missing".to_owned()))?;
        let case = facts::parse(facts, FACTS).map_err(|faults| fault(FACTS, all_of(&faults)))?;
        let Resolved { contract, versions, files } =
            resolve(&which, case.period, &texts, said.basis.as_ref())
                .map_err(|error| fault("contracts", error.to_string()))?;
        for (written, text) in &files {
            let name = contract_name(written);
            if self.members.get(&name).map(Vec::as_slice) != Some(text.as_bytes()) {
                return Err(fault(
                    &name,
                    "it does not hold the contract that it is named after".to_owned(),
                ));
            }
        }
        Ok(Judgeable {
            contract,
            versions,
            case,
            digests: texts.iter().map(|text| Digest::of(text.as_bytes()).hex()).collect(),
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Judges again, and compares.
    fn recompute(
        &self,
        said: &Claim,
        judgeable: &Judgeable,
        summaries: Vec<(Digest, Summary)>,
        verdict: &mut Verdict,
    ) {
        let Judgeable { contract, versions, case, .. } = judgeable;
        let basis = said.basis.as_ref();
        // Others are here for the keys that they name, or to show that nothing is missing.
        let on = basis.map(Basis::rests);
        let rests = |(_, summary): &(Digest, Summary)| on.as_ref().is_none_or(|on| on.on(summary));
        let mut summaries =
            self.counted(judgeable, summaries.into_iter().filter(rests).collect(), verdict);
        if basis.is_none() {
            let span = reach(versions, case, summaries.iter());
            summaries.retain(|summary| summary.to >= span.from);
        }
        summaries.sort_by_key(|summary| (summary.agent, summary.chain, summary.seq));
        let mut report = match judged(versions, case, &summaries, basis) {
            Ok(report) => report,
            Err(faults) => {
                let what = format_args!("it cannot be judged: {}", all_of(&faults));
                return verdict.find(&self.at(VERDICT), what);
            }
        };
        self.same_verdict(&mut report, verdict);
        self.provider(versions, verdict);
        if let Some(basis) = basis {
            self.basis(basis, versions, &summaries, verdict);
        }
        let page = page_text(contract, case, &report, &summaries);
        self.same_claim(said, &report, &page, verdict);
        verdict.proved.push(format!(
            "verdict.json follows from the summaries, the contract {} version {} and the facts: \
                {} {} for {} in {}",
            said.contract,
            said.version,
            report.credit,
            report.currency,
            report.service,
            report.period
        ));
        self.digests(judgeable, &summaries, verdict);
        trusted_facts(self.text(FACTS).unwrap_or_default(), verdict);
    }

    /// Whether page and claim are what follows.
    fn same_claim(&self, said: &Claim, report: &Report, page: &[u8], verdict: &mut Verdict) {
        let mut digests = self.digests.clone();
        digests.remove("claim.json");
        let own = claim(report, said.basis.as_ref(), digests);
        if !self
            .text("report.html")
            .is_some_and(|page| page.contains(&report_page::written_by(&said.software)))
        {
            verdict.find(&self.at("claim.json"), "it names another program than wrote report.html");
        }
        if own.software != said.software {
            verdict.not_proved.push(format!(
                "what report.html says: {} wrote it, and this is {}; verdict.json is what was \
                    recomputed",
                said.software, own.software
            ));
        } else if self.members.get("report.html").map(Vec::as_slice) != Some(page) {
            verdict.find(
                &self.at("report.html"),
                "it does not say what follows from the summaries, contracts and facts",
            );
        }
        let same = Claim { software: said.software.clone(), members: said.members.clone(), ..own };
        if same != *said {
            verdict.find(
                &self.at("claim.json"),
                "it claims something else than verdict.json concludes",
            );
        }
    }

    /// What counts of the summaries: all, where no register says what each agent may speak for.
    fn counted(
        &self,
        judgeable: &Judgeable,
        summaries: Vec<(Digest, Summary)>,
        verdict: &mut Verdict,
    ) -> Vec<Summary> {
        let all = |summaries: Vec<(Digest, Summary)>| {
            summaries.into_iter().map(|(_, summary)| summary).collect()
        };
        let Some(bytes) = self.members.get(REGISTER) else { return all(summaries) };
        let read = serde_json::from_slice::<register::Written>(bytes)
            .ok()
            .filter(|read| text_of(read) == *bytes);
        let Some(register) = read.and_then(register::Written::read) else {
            verdict.find(&self.at(REGISTER), "it is not written as a register is");
            return all(summaries);
        };
        verdict.not_proved.push(format!(
            "at which site each agent was, and since when: {REGISTER} says it, by the word of the \
                collector's operator"
        ));
        spoken::spoken(
            &register,
            &judgeable.versions,
            &judgeable.case.service,
            &self.received,
            summaries,
        )
    }

    /// Whether the verdict is what follows; by which time zone data, is as it says.
    fn same_verdict(&self, report: &mut Report, verdict: &mut Verdict) {
        let text = self.text(VERDICT).unwrap_or_default();
        let ours = report.tzdata.clone();
        by_its_own_data(text, report);
        let by = |tzdata: &Option<String>| {
            tzdata.clone().unwrap_or_else(|| "data of no named version".to_owned())
        };
        let (said, here) = (by(&report.tzdata), by(&ours));
        if text.as_bytes() != verdict_text(report) {
            let other = match report.tzdata == ours {
                true => String::new(),
                false => format!(
                    "; it was reached by the time zone data {said}, and this program has {here}"
                ),
            };
            let what = format!("it does not follow from the summaries, contracts and facts{other}");
            verdict.find(&self.at(VERDICT), what);
        } else if report.tzdata != ours {
            verdict.not_proved.push(format!(
                "that the time zone data {said} gives this verdict: it was recomputed with \
                    {here}, to the same result"
            ));
        }
    }

    /// The verdict by the provider's own log, where the log is here.
    fn provider(&self, versions: &[InForce], verdict: &mut Verdict) {
        let mut said = self.text(PROVIDER).and_then(|log| by_provider(versions, log));
        if let Some(said) = &mut said {
            by_its_own_data(self.text(BY_PROVIDER).unwrap_or_default(), said);
        }
        if self.members.get(BY_PROVIDER) != said.as_ref().map(verdict_text).as_ref() {
            verdict.find(
                &self.at(BY_PROVIDER),
                "it does not follow from the provider's log and the contracts",
            );
        }
        if let Some(said) = said {
            verdict.proved.push(format!(
                "{BY_PROVIDER} follows from the provider's own log: {} {} by that",
                said.credit, said.currency
            ));
            verdict.not_proved.push(format!("that {PROVIDER} is the provider's log"));
        }
    }

    /// What is the collector's word alone: which summaries count, for what, and when a version was
    /// in force.
    fn basis(
        &self,
        basis: &Basis,
        versions: &[InForce],
        summaries: &[Summary],
        verdict: &mut Verdict,
    ) {
        let wanted: u64 = basis.summaries.iter().map(Numbers::count).fold(0, u64::saturating_add);
        if wanted != summaries.len() as u64 {
            let what = format!(
                "the verdict rests on {wanted} summaries, and {} of them are here",
                summaries.len()
            );
            verdict.find(&self.at("claim.json"), what);
        }
        for Accepted { numbers, who, why, at } in &basis.accepted {
            verdict.not_proved.push(format!(
                "that numbers {} to {} of chain {}, which came late, count: {who:?} accepted them \
                    at {at}, since {why:?}",
                numbers.from_seq, numbers.to_seq, numbers.chain
            ));
        }
        for Numbers { chain, from_seq, to_seq, .. } in &basis.left_out {
            verdict.not_proved.push(format!(
                "that numbers {from_seq} to {to_seq} of chain {chain} say nothing: they came \
                    late, and were left out of the verdict"
            ));
        }
        for version in versions {
            let agreement = &version.contract.agreement;
            if version.span.from != agreement.effective_from {
                verdict.not_proved.push(format!(
                    "that version {} was in force from {}, which is the collector's word: its \
                        text says {}",
                    agreement.version, version.span.from, agreement.effective_from
                ));
            }
        }
    }

    /// Whether the agent judged by these very versions, as its summaries say.
    fn digests(&self, judgeable: &Judgeable, summaries: &[Summary], verdict: &mut Verdict) {
        let Judgeable { versions, case, digests, .. } = judgeable;
        // Whether all that the summaries name of a contract's version is here.
        let mut named: BTreeMap<(&str, u64), bool> = BTreeMap::new();
        for reference in summaries.iter().flat_map(|summary| &summary.contracts) {
            *named.entry((&reference.id, reference.version)).or_insert(true) &=
                digests.contains(&reference.sha256);
        }
        for agreement in versions.iter().map(|version| &version.contract.agreement) {
            let (id, version) = (&agreement.id, agreement.version);
            let here = named.get(&(id.as_str(), u64::from(version)));
            if here == Some(&false) {
                let what = "summaries of the agent name another file of this contract and version";
                verdict.find(&self.at(&format!("contracts/{id}-{version}.toml")), what);
            } else if here.is_none() {
                verdict.not_proved.push(format!(
                    "that the agent knew contract {id} version {version} while it measured: no \
                        summary names it"
                ));
            }
        }
        if let Some(first) = versions.first()
            && let Some(before) = first.contract.agreement.supersedes
        {
            let asked = Stretch::holding(
                case.period.every(1),
                case.period.last(),
                &first.contract.agreement.timezone,
            )
            .span;
            if asked.holds(first.span.from) && asked.from < first.span.from {
                verdict.not_proved.push(format!(
                    "what version {before} says of {} before {}: it is not in the bundle",
                    case.period, first.span.from
                ));
            }
        }
        verdict.not_proved.push("that both parties agreed to the contract's text".to_owned());
    }
}

/// Lets a report name the time zone data that the text of a verdict names.
fn by_its_own_data(text: &str, report: &mut Report) {
    /// What is read of a verdict: by which data local days were found.
    #[derive(serde::Deserialize)]
    struct Said {
        tzdata: Option<String>,
    }
    if let Ok(Said { tzdata }) = serde_json::from_str(text) {
        report.tzdata = tzdata;
    }
}

/// What is taken on trust: whatever facts.json says beside the period and the service.
fn trusted_facts(facts: &str, verdict: &mut Verdict) {
    let Ok(serde_json::Value::Object(all)) = serde_json::from_str(facts) else { return };
    let named: Vec<&str> = all
        .keys()
        .map(String::as_str)
        .filter(|key| !matches!(*key, "period" | "service"))
        .collect();
    if !named.is_empty() {
        verdict
            .not_proved
            .push(format!("the facts, which are taken on trust: {}", named.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_of_more_contracts_than_a_verdict_can_rest_on_is_refused_before_any_is_read() {
        let finding = |count: usize| {
            let contracts =
                (0..count).map(|n| (format!("contracts/{n}.toml"), b"no contract".to_vec()));
            let mut members: BTreeMap<String, Vec<u8>> = contracts.collect();
            let (text, number) = (String::new, 1);
            let claim = Claim {
                v: number,
                contract: text(),
                version: number,
                service: text(),
                period: text(),
                credit: text(),
                currency: text(),
                software: text(),
                basis: None,
                members: digests(&members),
            };
            members.insert("claim.json".to_owned(), claim_text(&claim));
            let verdict = check("b.zip", &zip::write(&members).unwrap(), Verifier::new());
            assert!(!verdict.ok);
            verdict
                .findings
                .iter()
                .any(|finding| finding.what.contains("no verdict rests on more than 256"))
        };
        assert!(finding(CONTRACTS + 1) && !finding(CONTRACTS));
    }
}
