//! `wanproof collector label` and `assign`: an agent's site and labels.

use crate::base::time::Wall;
use crate::cli::collector::listing::{Listing, actor};
use crate::cli::collector::source::{Named, Source};
use crate::cli::given::{TIME, instant};
use crate::cli::{Failure, print};
use crate::collector::operations::labels::labels;
use crate::collector::operations::sites::{self, AgentChange};

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
