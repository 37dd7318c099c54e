//! Writes the manual pages and the completions of the packages: `manual DIR [COMMAND…]`, without
//! the commands named. `DIR/man` gets a page for each command, DIR the completions of bash, zsh and
//! fish.

use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use wanproof::cli::Cli;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder to write to"));
    let mut command = without(&Cli::command(), &arguments.collect::<Vec<_>>());
    let pages = folder.join("man");
    std::fs::create_dir_all(&pages)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "wanproof", &folder)?;
    }
    clap_mangen::generate_to(command, pages)
}

/// The program as it is where it has not these commands.
fn without(whole: &Command, left_out: &[String]) -> Command {
    let parts = whole
        .get_subcommands()
        .filter(|part| !left_out.iter().any(|name| name == part.get_name()))
        .map(|part| helpless(part.clone()));
    Command::new("wanproof")
        .version(env!("CARGO_PKG_VERSION"))
        .about(whole.get_about().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .subcommands(parts)
}

/// A command without its `help COMMAND`, of which there would be a page for each command once more.
fn helpless(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(helpless)
}
