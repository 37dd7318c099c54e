//! What operators do by command: the same as by the API, on the database itself, whether the
//! collector runs or not.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Named, Source};
use crate::base::bounded;
use crate::base::json::unmarked;
use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::given::{TIME, instant};
use crate::cli::{Exit, Failure, print};
use crate::collector::api::report as fleet_report;
use crate::collector::archive::audit::Via;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::findings::finding::Finding;
use crate::collector::operations::agreements::{self, AgreementView, Book, PartySignature, Step};
use crate::collector::operations::claims::{self, Attach, AttachmentKind, Invoice};
use crate::collector::operations::facts::{self, Source as FactSource};
use crate::collector::operations::labels::labels;
use crate::collector::operations::sites::{self, AgentChange};
use crate::collector::operations::tokens::{self, Scope, TokenWanted};
use crate::collector::operations::{Actor, DeskError};
use crate::collector::verdicts::groups::{By, GroupView};
use crate::collector::verdicts::{ByProvider, Fleet, Judgement};
use crate::collector::{findings, marks};
use crate::config::collector::tokens::end_of;
use crate::evidence::key::{Kid, PublicKey};
use crate::sla::printed::{Printed, PrintedVerdict};
use crate::store::keyfile;

impl From<DeskError> for Failure {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Invalid(_) => Self::Usage(error.to_string()),
            DeskError::Archive(_) | DeskError::NotFound(_) | DeskError::Conflict(_) => {
                Self::Could(error.to_string())
            }
        }
    }
}

/// Who sits at the terminal, now.
pub(super) fn actor() -> Actor {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let who = user.map_or_else(|| format!("uid {}", nix::unistd::getuid()), |user| user.name);
    Actor { who, via: Via::Command, now: SystemClock.now().wall }
}

/// A list that is shown.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Listing {
    #[command(flatten)]
    source: Source,
    /// As JSON
    #[arg(long, global = true)]
    json: bool,
}

impl Listing {
    /// Shows a list: as JSON, or as a table with a heading; in words where it is empty.
    pub(super) fn show<T: Serialize>(
        &self,
        all: &[T],
        heading: &[&str],
        row: impl Fn(&T) -> Vec<String>,
        none: &str,
    ) -> Result<(), Failure> {
        if self.json {
            return print::json(&all);
        }
        if all.is_empty() {
            return print::line(none);
        }
        let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
        print::line(print::fitted(&heading, &all.iter().map(row).collect::<Vec<_>>()))
    }

    /// Does something in a transaction.
    pub(super) fn change<T>(
        &self,
        act: impl FnOnce(&Archive) -> Result<T, DeskError>,
    ) -> Result<T, Failure> {
        let (_, mut archive) = self.source.archive()?;
        Ok(archive.write(act)?)
    }

    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    pub(super) fn archive(&self) -> Result<Archive, Failure> {
        Ok(self.source.archive()?.1)
    }

    fn book(&self) -> Result<(Archive, Book), Failure> {
        let (config, archive) = self.source.archive()?;
        let book = Book::load(&archive, config.contracts_dir.as_deref())?;
        Ok((archive, book))
    }
}

/// `collector label`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Label {
    #[command(flatten)]
    named: Named,
    /// Labels: NAME=VALUE sets one, NAME= takes it away
    labels: Vec<String>,
    /// The site that it is at: whose contracts it is handed, and which it may speak for
    #[arg(long, allow_hyphen_values = true)]
    site: Option<String>,
    /// Since when it is at that site, in UTC, such as 2026-11-20T14:30:00Z [default: now]
    #[arg(long, requires = "site", value_name = TIME, value_parser = instant)]
    from: Option<Wall>,
    #[command(flatten)]
    listing: Listing,
}

/// `collector assign`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Assign {
    #[command(flatten)]
    named: Named,
    /// The site that it is at: whose contracts it is handed, and which it may speak for
    #[arg(allow_hyphen_values = true)]
    site: String,
    /// Since when it is there, in UTC, such as 2026-11-20T14:30:00Z [default: now]
    #[arg(long, value_name = TIME, value_parser = instant)]
    from: Option<Wall>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn assign(args: &Assign) -> Result<(), Failure> {
    let (agent, actor) = (args.named.agent, actor());
    let change = AgentChange { site: Some(args.site.clone()), from: args.from, labels: None };
    let (_, mut archive) = args.source.archive()?;
    archive.write(|archive| sites::change(archive, agent, &change, &actor))?;
    let since = print::instant(args.from.unwrap_or(actor.now));
    print::line(format_args!(
        "{agent} is at {} since {since}; what it measured before counts where it was then",
        args.site
    ))
}

pub(super) fn label(args: &Label) -> Result<(), Failure> {
    let mut change = AgentChange { site: args.site.clone(), from: args.from, labels: None };
    for label in &args.labels {
        let (name, value) = label.split_once('=').ok_or_else(|| {
            Failure::Usage(format!(
                "{label:?} is not right: expected NAME=VALUE, or NAME= to take it away"
            ))
        })?;
        let value = (!value.is_empty()).then(|| value.to_owned());
        change.labels.get_or_insert_default().insert(name.to_owned(), value);
    }
    if change.site.is_none() && change.labels.is_none() {
        return Err(Failure::Usage(
            "nothing is to be changed: give labels (region=north) or --site".to_owned(),
        ));
    }
    let labels = args.listing.change(|archive| {
        sites::change(archive, args.named.agent, &change, &actor())?;
        Ok(labels(archive, args.named.agent)?)
    })?;
    if args.listing.json {
        return print::json(&labels);
    }
    let shown: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    print::line(format_args!(
        "{}: {}",
        args.named.agent,
        if shown.is_empty() {
            "no labels".to_owned()
        } else {
            print::one(&shown.join(" ")).into_owned()
        }
    ))
}

/// `collector contracts`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Contracts {
    #[command(subcommand)]
    command: Option<ContractsCommand>,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Clone, Debug, Subcommand)]
enum ContractsCommand {
    /// Take a version as a draft, after it was checked
    Import {
        /// The contract's file
        file: PathBuf,
    },
    /// Move a version: propose, counter, sign, take_effect, supersede, end, withdraw, reject, void
    Move {
        /// What is done
        action: String,
        /// The contract's id
        #[arg(allow_hyphen_values = true)]
        id: String,
        /// Its version
        version: u32,
        #[command(flatten)]
        step: StepArgs,
        /// With sign: both parties' signatures, as `wanproof contract sign` and `countersign` write
        /// them
        #[arg(long, value_name = "FILE")]
        signature: Vec<PathBuf>,
        /// With sign: the public key of each party, in the order of the signatures
        #[arg(long, value_name = "JWK_FILE")]
        key: Vec<PathBuf>,
    },
    /// The agents that do not judge by the contracts in force, by the digests that they report
    Differences,
}

/// When, who, by which evidence.
#[derive(Clone, Debug, clap::Args)]
struct StepArgs {
    /// With take_effect, supersede, end and void of a version: from when, in UTC, such as
    /// 2026-02-01T00:00:00Z [default: now; a version takes effect when it says so itself]. Else
    /// when it happened, kept as what you say
    #[arg(long, value_name = TIME, value_parser = instant)]
    at: Option<Wall>,
    /// Who did it, kept as what you say beside who sits here
    #[arg(long, allow_hyphen_values = true)]
    who: Option<String>,
    /// The digest of its evidence
    #[arg(long, allow_hyphen_values = true)]
    evidence: Option<String>,
    /// How much was granted, with accept_partly
    #[arg(long)]
    amount: Option<String>,
}

impl StepArgs {
    fn step(&self) -> Step {
        let (who, evidence, amount) =
            (self.who.clone(), self.evidence.clone(), self.amount.clone());
        Step { at: self.at, who, evidence, amount, signatures: None }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    bounded::read_text(path)
        .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))
}

pub(super) fn contracts(args: &Contracts) -> Result<(), Failure> {
    let listing = &args.listing;
    match &args.command {
        None => {
            let (_, book) = listing.book()?;
            let all: Vec<AgreementView> = book.all.iter().map(agreements::Agreed::view).collect();
            let row = |view: &AgreementView| {
                let since = view.in_force_from.map_or_else(|| "-".to_owned(), print::instant);
                let provider = view.provider.clone().unwrap_or_else(|| "-".to_owned());
                let services = view.services.len().to_string();
                vec![
                    view.id.clone(),
                    view.version.to_string(),
                    view.state.clone(),
                    since,
                    services,
                    provider,
                ]
            };
            let heading = ["CONTRACT", "VERSION", "STATE", "IN FORCE FROM", "SERVICES", "PROVIDER"];
            listing.show(
                &all,
                &heading,
                row,
                "there is no contract yet: `wanproof collector contracts import FILE`",
            )
        }
        Some(ContractsCommand::Import { file }) => {
            let text = read(file)?;
            let (config, _) = listing.source.archive()?;
            let (id, version) = listing
                .change(|archive| {
                    agreements::import(archive, config.contracts_dir.as_deref(), &text, &actor())
                })
                .map_err(|failure| match failure {
                    // Faults name the file as it was given.
                    Failure::Usage(what) => {
                        Failure::Usage(what.replace("contract: ", &format!("{}: ", file.display())))
                    }
                    other => other,
                })?;
            print::line(format_args!(
                "{id} version {version} is here; next: `wanproof collector contracts move propose \
                    {id} {version}`"
            ))
        }
        Some(ContractsCommand::Move { action, id, version, step, signature, key }) => {
            let (_, book) = listing.book()?;
            let (config, _) = listing.source.archive()?;
            let step = Step { signatures: signatures(signature, key)?, ..step.step() };
            let state = listing.change(|archive| {
                let (actor, directory) = (actor(), config.contracts_dir.as_deref());
                let state = agreements::act_beside(
                    archive,
                    directory,
                    (id, *version),
                    action,
                    &step,
                    &actor,
                )?;
                let contract =
                    book.version(id, *version).and_then(|agreed| agreed.contract.as_ref().ok());
                for service in
                    contract.map(|contract| contract.services.as_slice()).unwrap_or_default()
                {
                    marks::mark_all(archive, id, &service.id, actor.now)?;
                }
                Ok(state)
            })?;
            let since = in_force_from(listing, id, *version)?
                .map_or_else(String::new, |from| format!(" from {from}"));
            print::line(format_args!("{id} version {version} is {state}{since}"))?;
            if action == "sign" {
                print::note(if step.signatures.is_some() {
                    "both parties' signatures were verified, and are kept"
                } else {
                    "that it was signed is your word: --signature and --key take both parties' \
                        signatures, which prove it"
                });
            }
            Ok(())
        }
        Some(ContractsCommand::Differences) => differences(listing),
    }
}

/// Both parties' signatures with their keys; [`None`] where none is given.
fn signatures(
    signatures: &[PathBuf],
    keys: &[PathBuf],
) -> Result<Option<Vec<PartySignature>>, Failure> {
    if signatures.len() != keys.len() {
        let counts = format!("{} and {}", signatures.len(), keys.len());
        return Err(Failure::Usage(format!(
            "--signature and --key belong together, and there are {counts}"
        )));
    }
    let mut all = Vec::new();
    for (signature, key) in signatures.iter().zip(keys) {
        let jwk = PublicKey::from_jwk(unmarked(&read(key)?).trim())
            .map_err(|error| Failure::Usage(format!("{}: {error}", key.display())))?;
        all.push(PartySignature { jws: read(signature)?.trim_end_matches('\n').to_owned(), jwk });
    }
    Ok(Some(all).filter(|all| !all.is_empty()))
}

/// Since when a version is in force, as it stands after it was moved; [`None`] where it is not.
fn in_force_from(listing: &Listing, id: &str, version: u32) -> Result<Option<String>, Failure> {
    let (_, book) = listing.book()?;
    let view = book
        .version(id, version)
        .map(agreements::Agreed::view)
        .filter(|view| view.state == "in_force");
    Ok(view.and_then(|view| view.in_force_from).map(print::instant))
}

fn differences(listing: &Listing) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Row {
        agent: Kid,
        site: String,
        #[serde(flatten)]
        difference: agreements::Difference,
    }
    let (archive, book) = listing.book()?;
    let (fleet, now) = (Fleet::load(&archive)?, SystemClock.now().wall);
    let mut all = Vec::new();
    let served = agreements::Served::at(&book, now);
    for (agent, said) in fleet.iter() {
        let site = fleet
            .register()
            .get(agent)
            .and_then(|enrolled| enrolled.site_at(now))
            .unwrap_or(&said.site);
        for difference in served.differences(site, &said.contracts) {
            all.push(Row { agent, site: site.to_owned(), difference });
        }
    }
    let number = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    let row = |row: &Row| {
        let of = &row.difference;
        let (due, has) = (
            of.version.map(|version| version.to_string()),
            of.reported.map(|version| version.to_string()),
        );
        vec![
            row.site.clone(),
            of.contract.clone(),
            number(due),
            number(has),
            of.what.clone(),
            row.agent.to_string(),
        ]
    };
    let heading = ["SITE", "CONTRACT", "IN FORCE", "REPORTED", "WHAT", "AGENT"];
    listing.show(&all, &heading, row, "every agent that reported judges by the contracts in force")
}

/// `collector facts`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct FactsArgs {
    /// Whose they are: customer (they go into the verdict) or provider (its own log, laid beside)
    of: String,
    /// The contract's id
    #[arg(allow_hyphen_values = true)]
    contract: String,
    /// The service
    #[arg(allow_hyphen_values = true)]
    service: String,
    /// The facts as `contract evaluate` takes them; they replace those that are here
    file: PathBuf,
    #[command(flatten)]
    listing: Listing,
}

pub(super) fn import_facts(args: &FactsArgs) -> Result<(), Failure> {
    let source: FactSource = args.of.parse().map_err(Failure::Usage)?;
    let name = args.file.display();
    let written: Map<String, Value> = serde_json::from_str(unmarked(&read(&args.file)?))
        .map_err(|error| Failure::Usage(format!("{name}: not a JSON object: {error}")))?;
    let (_, book) = args.listing.book()?;
    let kept = args.listing.change(|archive| {
        let actor = actor();
        let kept = facts::import(
            archive,
            &book,
            (&args.contract, &args.service, source),
            written,
            &actor,
        )?;
        marks::mark_all(archive, &args.contract, &args.service, actor.now)?;
        Ok(kept)
    })?;
    let events = kept.facts.get("events").and_then(Value::as_array).map_or(0, Vec::len);
    print::line(format_args!(
        "{} events of {} are here, sha256 {}",
        events, args.service, kept.digest
    ))
}

/// `collector report`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Report {
    /// By what: service, site, contract, provider or level
    #[arg(long, default_value = "service")]
    by: String,
    /// The month, such as 2026-11 [default: this one]
    #[arg(long)]
    period: Option<String>,
    /// One service's verdict with its arithmetic, and the provider's log beside it
    #[arg(long, allow_hyphen_values = true, requires = "contract")]
    service: Option<String>,
    /// The contract of that service
    #[arg(long, allow_hyphen_values = true, requires = "service")]
    contract: Option<String>,
    /// Exit with 1 when anything is breached
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    listing: Listing,
}

pub(super) fn report(args: &Report) -> Result<Exit, Failure> {
    let (_, archive) = args.listing.source.archive()?;
    if let (Some(contract), Some(service)) = (&args.contract, &args.service) {
        return one(args, &archive, contract, service);
    }
    let by: By = args.by.parse().map_err(Failure::Usage)?;
    let all = fleet_report(&archive, args.period.as_ref(), by)?;
    let row = |group: &GroupView| {
        let credit = group
            .credit
            .iter()
            .map(|(currency, sum)| format!("{sum} {currency}"))
            .collect::<Vec<_>>()
            .join(", ");
        // The slowest of its probes' names stands for it.
        let p95 = group.rtt_us.values().map(|each| each.p95).max();
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let p95 = p95.map_or_else(|| "-".to_owned(), |us| print::micros(us as f64));
        let counts = [
            group.services,
            group.objectives.met,
            group.objectives.breached,
            group.objectives.not_determined,
        ];
        let counts = counts.map(|count| count.to_string());
        let outages = format!(
            "{} ({})",
            group.outages,
            print::length(std::time::Duration::from_secs(group.outage_s))
        );
        [vec![group.name.clone()], counts.to_vec(), vec![outages, p95, credit]].concat()
    };
    let heading = [
        args.by.to_uppercase(),
        "SERVICES".into(),
        "MET".into(),
        "BREACHED".into(),
        "OPEN".into(),
        "OUTAGES".into(),
        "P95".into(),
        "CREDIT".into(),
    ];
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    args.listing.show(&all, &heading, row, "nothing was judged in this month yet")?;
    let breached = all.iter().any(|group| group.objectives.breached > 0);
    Ok(if args.exit_code && breached { Exit::Bad } else { Exit::Done })
}

fn one(args: &Report, archive: &Archive, contract: &str, service: &str) -> Result<Exit, Failure> {
    let period = args
        .period
        .clone()
        .unwrap_or_else(|| SystemClock.now().wall.to_string().chars().take(7).collect());
    let id = crate::collector::operations::key(&[&period, contract, service]);
    let judged: Judgement = archive.record(Kind::Verdict, &id)?.ok_or_else(|| {
        Failure::Could(format!(
            "{service} of {contract} was not judged in {period}: `wanproof collector report` \
                shows what was"
        ))
    })?;
    let breached = judged.report.as_ref().is_some_and(Printed::is_breached);
    if args.listing.json {
        print::json(&judged)?;
    } else {
        print::line(format_args!(
            "{contract} version {}, service {service}, {period}, as of {}\n",
            judged.version, judged.as_of
        ))?;
        if let Some(report) = &judged.report {
            print::line(table(report))?;
            print::line(format_args!("\ncredit {} {}", report.credit, report.currency))?;
        }
        if let Some(why) = &judged.gone {
            print::line(format_args!("as it was judged then: {why}"))?;
        }
        for outage in &judged.outages {
            print::line(format_args!(
                "outage {} to {}, side {}",
                outage.from, outage.to, outage.side
            ))?;
        }
        for differs in &judged.differs {
            let (agent, objective) = (differs.agent, &differs.objective);
            print::line(format_args!(
                "agent {agent} says {} of {objective}, we say {}",
                print::one(&differs.agent_says),
                differs.we_say
            ))?;
        }
        for fault in &judged.faults {
            print::line(format_args!("not judged: {}", print::one(fault)))?;
        }
        match &judged.by_provider {
            Some(ByProvider::Report(theirs)) => print::line(format_args!(
                "by the provider's own log the credit is {} {}",
                theirs.credit, theirs.currency
            ))?,
            Some(ByProvider::Faults { faults }) => {
                print::line(format_args!(
                    "the provider's own log cannot be judged: {}",
                    faults.join("; ")
                ))?;
            }
            None => {}
        }
    }
    Ok(if args.exit_code && breached { Exit::Bad } else { Exit::Done })
}

/// Each objective with its figures.
fn table(report: &Printed) -> String {
    let heading =
        ["OBJECTIVE", "RESULT", "ACTUAL", "TARGET", "COVERAGE", "CREDIT"].map(str::to_owned);
    let row = |each: &PrintedVerdict| {
        let actual = each.actual.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            each.id.clone(),
            each.result.to_string(),
            actual,
            each.target.clone(),
            each.coverage.clone(),
            each.credit.clone(),
        ]
    };
    print::fitted(&heading, &report.objectives.iter().map(row).collect::<Vec<_>>())
}

/// `collector claims`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Claims {
    #[command(subcommand)]
    command: Option<ClaimsCommand>,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Clone, Debug, Subcommand)]
enum ClaimsCommand {
    /// Move a claim: submit, acknowledge, accept, accept_partly, reject, credit, reconcile,
    /// dispute, lapse, waive
    Move {
        /// What is done
        action: String,
        /// The contract's id
        #[arg(allow_hyphen_values = true)]
        contract: String,
        /// The service
        #[arg(allow_hyphen_values = true)]
        service: String,
        /// The period
        period: String,
        #[command(flatten)]
        step: StepArgs,
    },
    /// Attach the provider's answer or a note to a claim; a ticket, with --ticket, goes into the
    /// verdict too
    Attach {
        /// The contract's id
        #[arg(allow_hyphen_values = true)]
        contract: String,
        /// The service
        #[arg(allow_hyphen_values = true)]
        service: String,
        /// The period
        period: String,
        /// What it says
        #[arg(allow_hyphen_values = true)]
        text: String,
        /// It is the provider's answer
        #[arg(long)]
        answer: bool,
        /// It is a ticket of this number
        #[arg(long, allow_hyphen_values = true, requires_all = ["from", "opened"])]
        ticket: Option<String>,
        /// When the ticket's event began, in UTC
        #[arg(long, value_name = TIME, value_parser = instant)]
        from: Option<Wall>,
        /// When it ended
        #[arg(long, value_name = TIME, value_parser = instant)]
        to: Option<Wall>,
        /// When the ticket was opened
        #[arg(long, value_name = TIME, value_parser = instant)]
        opened: Option<Wall>,
        /// When it was closed
        #[arg(long, value_name = TIME, value_parser = instant)]
        closed: Option<Wall>,
    },
    /// Lay an invoice's credits (JSON: contract, number, currency, lines of service, period,
    /// credit) beside the claims
    Invoice {
        /// The file
        file: PathBuf,
    },
    /// The rights to terminate that accrued
    Rights,
    /// What the parties had to do, and by when
    Duties,
}

pub(super) fn claims(args: &Claims) -> Result<(), Failure> {
    let (listing, now) = (&args.listing, SystemClock.now().wall);
    let read = |archive: &Archive| -> Result<Vec<claims::ClaimView>, ArchiveError> {
        claims::all(archive, Page::default(), now)
    };
    match &args.command {
        None => {
            let (_, archive) = listing.source.archive()?;
            let row = |claim: &claims::ClaimView| {
                let left = match claim.days_left {
                    Some(0) => "today".to_owned(),
                    Some(left) => format!("{left} days"),
                    None => "-".to_owned(),
                };
                let by = claim.by.clone().unwrap_or_else(|| "-".to_owned());
                let credit = format!("{} {}", claim.credit, claim.currency);
                vec![
                    claim.contract.clone(),
                    claim.service.clone(),
                    claim.period.clone(),
                    claim.state.clone(),
                    credit,
                    by,
                    left,
                ]
            };
            let heading = ["CONTRACT", "SERVICE", "PERIOD", "STATE", "CREDIT", "BY", "LEFT"];
            listing.show(&read(&archive)?, &heading, row, "no verdict earned a credit yet")
        }
        Some(ClaimsCommand::Move { action, contract, service, period, step }) => {
            let id = claims::id_of(contract, service, period);
            let claim = listing
                .change(|archive| claims::act(archive, &id, action, &step.step(), &actor()))?;
            if listing.json {
                print::json(&claim)
            } else {
                print::line(format_args!("{id} is {}", claim.state))
            }
        }
        Some(ClaimsCommand::Attach {
            contract,
            service,
            period,
            text,
            answer,
            ticket,
            from,
            to,
            opened,
            closed,
        }) => {
            let kind = match (ticket.is_some(), answer) {
                (true, _) => AttachmentKind::Ticket,
                (false, true) => AttachmentKind::Answer,
                (false, false) => AttachmentKind::Note,
            };
            let what = Attach {
                kind,
                text: text.clone(),
                ticket: ticket.clone(),
                from: *from,
                to: *to,
                opened: *opened,
                closed: *closed,
            };
            let (_, book) = listing.book()?;
            let id = claims::id_of(contract, service, period);
            let claim = listing.change(|archive| {
                let actor = actor();
                let claim = claims::attach(archive, &book, &id, &what, &actor)?;
                marks::mark(archive, contract, service, period, actor.now)?;
                Ok(claim)
            })?;
            let count = claim.attachments.len();
            if listing.json {
                print::json(&claim)
            } else {
                print::line(format_args!("{id} has {count} attachments"))
            }
        }
        Some(ClaimsCommand::Invoice { file }) => {
            let invoice: Invoice = serde_json::from_str(unmarked(&self::read(file)?))
                .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
            let lines = listing.change(|archive| claims::reconcile(archive, &invoice, &actor()))?;
            let row = |line: &claims::Reconciled| {
                let due = line.due.clone().unwrap_or_else(|| "-".to_owned());
                vec![
                    line.service.clone(),
                    line.period.clone(),
                    due,
                    line.credited.clone(),
                    line.difference.clone(),
                    line.what.clone(),
                ]
            };
            let heading = ["SERVICE", "PERIOD", "DUE", "CREDITED", "DIFFERENCE", "WHAT"];
            listing.show(&lines, &heading, row, "the invoice has no lines")
        }
        Some(ClaimsCommand::Rights) => {
            let (_, archive) = listing.source.archive()?;
            let row = |right: &claims::RightView| {
                let left =
                    right.days_left.map_or_else(|| "-".to_owned(), |left| format!("{left} days"));
                vec![
                    right.contract.clone(),
                    right.service.clone(),
                    right.right.clone(),
                    right.state.clone(),
                    right.accrued.clone(),
                    right.exercise_by.clone(),
                    left,
                ]
            };
            let heading =
                ["CONTRACT", "SERVICE", "RIGHT", "STATE", "ACCRUED", "EXERCISE BY", "LEFT"];
            listing.show(
                &claims::rights(&archive, Page::default(), now)?,
                &heading,
                row,
                "no right to terminate has accrued",
            )
        }
        Some(ClaimsCommand::Duties) => {
            let (_, archive) = listing.source.archive()?;
            let verdicts = archive.records::<Judgement>(Kind::Verdict, Page::default())?;
            let row = |duty: &claims::DutyView| {
                vec![
                    duty.service.clone(),
                    duty.duty.clone(),
                    duty.party.clone(),
                    print::instant(duty.due),
                    duty.state.clone(),
                ]
            };
            let duties = claims::duties(verdicts.iter().map(|record| &record.body), now);
            listing.show(
                &duties,
                &["SERVICE", "DUTY", "PARTY", "DUE", "STATE"],
                row,
                "no verdict names a duty",
            )
        }
    }
}

/// What is missing or wrong now.
pub(super) fn findings(listing: &Listing) -> Result<Exit, Failure> {
    let (config, archive) = listing.source.archive()?;
    let found = findings::all(&archive, &config, SystemClock.now().wall)?;
    let row = |finding: &Finding| vec![finding.kind.word().to_owned(), finding.detail.clone()];
    listing.show(&found, &["WHAT", "DETAIL"], row, "nothing is missing")?;
    Ok(Exit::Done)
}

/// `collector tokens`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Tokens {
    #[command(subcommand)]
    command: Option<TokensCommand>,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Clone, Debug, Subcommand)]
enum TokensCommand {
    /// Make a token: it is shown once, and only its digest is kept
    Make {
        /// Its name
        #[arg(allow_hyphen_values = true)]
        name: String,
        /// What it is good for: read or admin
        #[arg(long, default_value = "read")]
        scope: String,
        /// Its last day in UTC, such as 2026-12-31 [default: an admin's ends after a year, one that
        /// reads does not]
        #[arg(long, value_name = "DAY")]
        until: Option<String>,
    },
    /// Take a token away
    Revoke {
        /// Its name
        #[arg(allow_hyphen_values = true)]
        name: String,
    },
}

pub(super) fn tokens(args: &Tokens) -> Result<(), Failure> {
    let (listing, now) = (&args.listing, SystemClock.now().wall);
    match &args.command {
        None => {
            let (_, archive) = listing.source.archive()?;
            let row = |token: &tokens::TokenView| {
                let scope = if token.scope == Scope::Admin { "admin" } else { "read" };
                let until = match token.until {
                    Some(until) if until <= now => format!("ended {}", print::instant(until)),
                    Some(until) => print::instant(until),
                    None => "-".to_owned(),
                };
                vec![
                    token.name.clone(),
                    scope.to_owned(),
                    print::instant(token.made),
                    token.by.clone(),
                    until,
                ]
            };
            let heading = ["NAME", "SCOPE", "MADE", "BY", "UNTIL"];
            listing.show(&tokens::all(&archive)?, &heading, row, "there is no token")
        }
        Some(TokensCommand::Make { name, scope, until }) => {
            let scope: Scope = scope.parse().map_err(Failure::Usage)?;
            let until = until.as_deref().map(end_of).transpose();
            let until = until.map_err(|what| Failure::Usage(format!("--{what}")))?;
            let wanted = TokenWanted { name: name.clone(), scope, until };
            let made = listing.change(|archive| tokens::make(archive, &wanted, &actor()))?;
            if listing.json {
                return print::json(&made);
            }
            print::line(&made.token)?;
            let until = made.until.map_or_else(String::new, |until| {
                format!(", and it ends {}", print::instant(until))
            });
            print::note(format_args!("it is shown this once: only its digest is kept{until}"));
            Ok(())
        }
        Some(TokensCommand::Revoke { name }) => {
            listing.change(|archive| tokens::revoke(archive, name, &actor()))?;
            print::line(format_args!("{name} is revoked"))
        }
    }
}

/// Writes a whole copy of database and key.
pub(super) fn backup(source: &Source, dir: &Path) -> Result<(), Failure> {
    let (config, archive) = source.archive()?;
    let failed = |error: std::io::Error| {
        Failure::Could(format!("{} cannot be written: {error}", dir.display()))
    };
    fs::DirBuilder::new().mode(0o700).create(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::Could(format!(
            "{} is there already: name a directory that is not, which is made",
            dir.display()
        )),
        _ => failed(error),
    })?;
    if !archive.copy_to(&dir.join("collector.db"))? {
        let _ = fs::remove_dir(dir);
        return Err(Failure::Could(
            "the database is PostgreSQL's: copy it by pg_dump or pg_basebackup, and the key file \
                beside it"
                .to_owned(),
        ));
    }
    // The database is of no use without the key that its receipts are by.
    keyfile::save(&dir.join("collector.key"), &super::keys::own(&config)?)
        .map_err(|fault| Failure::Could(fault.to_string()))?;
    print::line(format_args!(
        "{}: collector.db and collector.key; to restore, put both where `database` and `key_file` \
            say while no collector runs",
        dir.display()
    ))
}
