//! The agents as verdicts need them: what each said last, what each may speak for, and which
//! services that touches.

use std::collections::{BTreeMap, BTreeSet};

use crate::collector::agent_state::AgentState;
use crate::collector::archive::{Archive, ArchiveError};
use crate::evidence::key::Kid;
use crate::evidence::register::Register;
use crate::sla::span::Span;
use crate::sla::terms::{Contract, Service};

/// The agents, by what they said last, and what each may speak for.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    agents: BTreeMap<Kid, AgentState>,
    register: Register,
}

impl Fleet {
    /// Reads what every agent said last, and what each may speak for.
    ///
    /// # Errors
    /// When the database fails.
    pub fn load(archive: &Archive) -> Result<Self, ArchiveError> {
        let mut fleet = Self { register: archive.register()?, ..Self::default() };
        for (agent, state) in AgentState::all(archive)? {
            fleet.put(agent, state);
        }
        Ok(fleet)
    }

    /// Enters what an agent said last.
    pub fn put(&mut self, agent: Kid, state: AgentState) {
        self.agents.insert(agent, state);
    }

    /// Enters what each may speak for, as it is now.
    pub fn enter(&mut self, register: Register) {
        self.register = register;
    }

    /// What each may speak for.
    #[must_use]
    pub fn register(&self) -> &Register {
        &self.register
    }

    /// What an agent said last.
    #[must_use]
    pub fn get(&self, agent: Kid) -> Option<&AgentState> {
        self.agents.get(&agent)
    }

    /// Every agent that said anything.
    pub fn iter(&self) -> impl Iterator<Item = (Kid, &AgentState)> {
        self.agents.iter().map(|(agent, state)| (*agent, state))
    }

    /// The probes by which agents that are or were at a service's site may measure it: the contract
    /// names them, or they ever named the service.
    pub(super) fn probes_of<'a>(
        &'a self,
        service: &'a Service,
    ) -> impl Iterator<Item = (Kid, &'a str)> + 'a {
        self.register.ever_at(&service.site).flat_map(move |agent| {
            let state = self.agents.get(&agent);
            let by_contract = service.probes.iter().map(String::as_str);
            let own = by_contract
                .filter(move |name| state.is_some_and(|said| said.probes.contains_key(*name)));
            let named =
                state.and_then(|said| said.ever.named.get(&service.id)).into_iter().flatten();
            // What was taken before that was kept.
            let last = state.into_iter().flat_map(|said| &said.probes);
            let last = last
                .filter(|(_, of)| of.as_deref() == Some(service.id.as_str()))
                .map(|(name, _)| name);
            own.chain(named.chain(last).map(String::as_str)).map(move |name| (agent, name))
        })
    }

    /// The services of a contract that something of an agent's touches within a span.
    pub fn services_of<'a>(
        &self,
        agent: Kid,
        contract: &'a Contract,
        span: Span,
    ) -> impl Iterator<Item = &'a str> + use<'a> {
        let sites: BTreeSet<&str> =
            self.register.get(agent).map(|enrolled| enrolled.sites()).unwrap_or_default();
        let here = |site: &&str| self.register.was_at(agent, site, span);
        services_at(contract, &sites.into_iter().filter(here).collect())
    }
}

/// The services of a contract at some sites, and those that have them as members.
pub fn services_at<'a>(
    contract: &'a Contract,
    sites: &BTreeSet<&str>,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let touched = |service: &&'a Service| sites.contains(service.site.as_str());
    let own: BTreeSet<&str> =
        contract.services.iter().filter(touched).map(|service| service.id.as_str()).collect();
    // What has it as a member is touched too.
    let above = move |service: &&'a Service| {
        own.contains(service.id.as_str())
            || contract.members_of(&service.id).is_some_and(|members| {
                members.iter().any(|member| own.contains(member.id.as_str()))
            })
    };
    contract.services.iter().filter(above).map(|service| service.id.as_str())
}
