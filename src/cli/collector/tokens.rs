//! `wanproof collector tokens`: who may use the API.

use clap::Subcommand;

use crate::base::time::{Clock, SystemClock};
use crate::cli::collector::listing::{Listing, actor};
use crate::cli::{Failure, print};
use crate::collector::operations::tokens::{self, Scope, TokenWanted};
use crate::config::collector::tokens::end_of;

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
