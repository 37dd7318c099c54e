//! Many services' verdicts as one: how many stand how, what is due, and percentiles from their
//! histograms merged, never from their percentiles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::decimal::{Exact, Rounding};
use crate::collector::verdicts::{Histograms, Judgement};
use crate::measure::histogram::{Histogram, Packed};
use crate::sla::report::Outcome;

/// By what verdicts are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// By the service.
    Service,
    /// By the site.
    Site,
    /// By the contract.
    Contract,
    /// By who provides.
    Provider,
    /// By the contract's level.
    Level,
}

impl std::str::FromStr for By {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "service" => Self::Service,
            "site" => Self::Site,
            "contract" => Self::Contract,
            "provider" => Self::Provider,
            "level" => Self::Level,
            other => {
                return Err(format!(
                    "{other:?} is not right: expected service, site, contract, provider or level"
                ));
            }
        })
    }
}

impl By {
    fn of(self, judgement: &Judgement) -> &str {
        match self {
            Self::Service => &judgement.service,
            Self::Site => &judgement.site,
            Self::Contract => &judgement.contract,
            Self::Provider => &judgement.provider,
            Self::Level => &judgement.level,
        }
    }
}

/// How many objectives stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ObjectiveCounts {
    /// Met.
    pub met: u32,
    /// Breached.
    pub breached: u32,
    /// Not determined.
    pub not_determined: u32,
}

/// Percentiles of merged histograms, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Percentiles {
    /// How many RTTs.
    pub count: u64,
    /// The smallest.
    pub min: u64,
    /// Half of them are at most this.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// Nineteen of twenty.
    pub p95: u64,
    /// Ninety-nine of a hundred.
    pub p99: u64,
    /// 999 of a thousand.
    pub p999: u64,
    /// The largest.
    pub max: u64,
}

impl Percentiles {
    fn of(all: &Histogram) -> Self {
        let at = |thousandths| all.value_at_us(thousandths, 1000);
        Self {
            count: all.count(),
            min: all.min_us(),
            p50: at(500),
            p90: at(900),
            p95: at(950),
            p99: at(990),
            p999: at(999),
            max: all.max_us(),
        }
    }
}

/// Several services' verdicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GroupView {
    /// What they have in common.
    pub name: String,
    /// How many services.
    pub services: u32,
    /// How their objectives stand.
    pub objectives: ObjectiveCounts,
    /// How many services have at least one breached objective.
    pub breached_services: u32,
    /// What is due, by currency.
    pub credit: BTreeMap<String, String>,
    /// How many outages were measured.
    pub outages: u32,
    /// Their lengths together, in seconds.
    pub outage_s: u64,
    /// The RTTs of the probes of each name, in microseconds, from merged histograms.
    pub rtt_us: BTreeMap<String, Percentiles>,
}

#[derive(Default)]
struct Group {
    view: Option<GroupView>,
    credit: BTreeMap<String, Exact>,
    rtt: BTreeMap<String, Histogram>,
    outage_ns: i128,
}

/// Puts verdicts together, in the order of what they have in common.
#[must_use]
pub fn groups<'a>(
    all: impl IntoIterator<Item = (&'a Judgement, &'a Histograms)>,
    by: By,
) -> Vec<GroupView> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for (judgement, histograms) in all {
        groups.entry(by.of(judgement)).or_default().add(by.of(judgement), judgement, histograms);
    }
    groups.into_values().filter_map(Group::end).collect()
}

impl Group {
    fn add(&mut self, name: &str, judgement: &Judgement, histograms: &Histograms) {
        let view = self.view.get_or_insert_with(|| GroupView {
            name: name.to_owned(),
            services: 0,
            objectives: ObjectiveCounts::default(),
            breached_services: 0,
            credit: BTreeMap::new(),
            outages: 0,
            outage_s: 0,
            rtt_us: BTreeMap::new(),
        });
        view.services += 1;
        let mut breached = false;
        for objective in judgement.report.iter().flat_map(|report| &report.objectives) {
            match objective.result {
                Outcome::Met => view.objectives.met += 1,
                Outcome::Breached => {
                    breached = true;
                    view.objectives.breached += 1;
                }
                Outcome::NotDetermined => view.objectives.not_determined += 1,
            }
        }
        view.breached_services += u32::from(breached);
        view.outages += u32::try_from(judgement.outages.len()).unwrap_or(u32::MAX);
        self.outage_ns += judgement
            .outages
            .iter()
            .map(|each| i128::from(each.to.nanos_since(each.from)))
            .sum::<i128>();
        if let Some(report) = &judgement.report {
            let sum = self.credit.entry(report.currency.clone()).or_default();
            *sum = &*sum + &report.money();
        }
        for (probe, text) in histograms {
            let Some(read) = Packed::from_base64(text).ok().and_then(|packed| packed.unpack().ok())
            else {
                continue;
            };
            match self.rtt.get_mut(probe) {
                Some(all) => all.merge(&read),
                None => {
                    self.rtt.insert(probe.clone(), read);
                }
            }
        }
    }

    fn end(self) -> Option<GroupView> {
        let mut view = self.view?;
        view.outage_s = u64::try_from(self.outage_ns / 1_000_000_000).unwrap_or(0);
        view.credit =
            self.credit.into_iter().map(|(currency, sum)| (currency, money(&sum))).collect();
        view.rtt_us =
            self.rtt.iter().map(|(probe, all)| (probe.clone(), Percentiles::of(all))).collect();
        Some(view)
    }
}

/// An amount as its minor units need it: what credits are written in is kept.
fn money(amount: &Exact) -> String {
    let trimmed = amount.trimmed(6);
    match trimmed.split_once('.') {
        Some((_, decimals)) if decimals.len() > 2 => trimmed,
        _ => amount.fixed(2, Rounding::HalfUp),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::time::Wall;
    use crate::collector::verdicts::OutageView;
    use crate::sla::terms::Side;

    fn judgement(service: &str, site: &str, credit: &str, micros: &[u64]) -> Judgement {
        let mut histogram = Histogram::new();
        micros.iter().for_each(|&micros| {
            histogram.record_us(micros);
        });
        let result = if credit == "0.00" { "met" } else { "breached" };
        let objective = json!({"id": "a", "result": result, "actual": null, "target": "1",
            "coverage": "100", "credit": credit});
        let report = json!({"contract": "C", "version": 1, "service": service, "period": "2026-11",
            "objectives": [objective], "credit": credit, "currency": "GBP",
            "claim": {"by": null, "ticket_by": null, "lapsed": false}, "terminations": [],
            "duties": []});
        Judgement {
            contract: "C".to_owned(),
            version: 1,
            level: "service".to_owned(),
            provider: "P".to_owned(),
            customer: "K".to_owned(),
            measured_by: "customer".to_owned(),
            service: service.to_owned(),
            site: site.to_owned(),
            period: "2026-11".to_owned(),
            as_of: Wall::default(),
            ended: true,
            report: serde_json::from_value(report).unwrap(),
            by_provider: None,
            letter: None,
            outages: vec![OutageView {
                from: Wall::from_secs(0),
                to: Wall::from_secs(90),
                side: Side::Provider,
            }],
            agents: Vec::new(),
            witnesses: Vec::new(),
            differs: Vec::new(),
            histograms: [("icmp".to_owned(), histogram.pack().unwrap().to_base64())].into(),
            faults: Vec::new(),
            gone: None,
            grounds: crate::collector::verdicts::Grounds::default(),
        }
    }

    #[test]
    fn percentiles_of_many_sites_are_those_of_their_samples_and_not_a_mean_of_theirs() {
        let slow: Vec<u64> = vec![900; 10];
        let fast: Vec<u64> = vec![100; 990];
        let all = [judgement("a", "x", "0.10", &slow), judgement("b", "y", "0.20", &fast)];
        let with = || all.iter().map(|each| (each, &each.histograms));
        let by_contract = groups(with(), By::Contract);
        assert_eq!(by_contract.len(), 1);
        let one = &by_contract[0];
        assert_eq!(
            (one.services, one.breached_services, one.outages, one.outage_s),
            (2, 2, 2, 180)
        );
        assert_eq!(one.credit["GBP"], "0.30");
        let rtt = &one.rtt_us["icmp"];
        assert_eq!((rtt.count, rtt.p50, rtt.p99, rtt.p999), (1000, 100, 100, 900));
        assert_eq!(
            groups(with(), By::Site).iter().map(|each| each.name.as_str()).collect::<Vec<_>>(),
            ["x", "y"]
        );
    }
}
