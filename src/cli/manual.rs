//! `wanproof completions` and `wanproof man`: what shells and people know of the commands, from the
//! same tree by which they are read.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory, ValueEnum};

use crate::cli::{Cli, Exit, Failure, print};

/// The arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell that reads them
    #[arg(value_enum)]
    shell: Shell,
}

/// The arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The directory that gets a page for each command; it is made where it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// A shell that completes commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash, with bash-completion
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

impl Shell {
    /// The file in which a package has its completions.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Bash => "wanproof.bash",
            Self::Zsh => "_wanproof",
            Self::Fish => "wanproof.fish",
        }
    }
}

/// Runs `completions`.
///
/// # Errors
/// When standard output cannot be written.
pub fn complete(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    completions(args.shell, &mut tree(&[]), &mut text);
    print::line(String::from_utf8_lossy(&text).trim_end())?;
    Ok(Exit::Done)
}

/// Runs `man`.
///
/// # Errors
/// When the pages cannot be written.
pub fn man(args: &ManArgs) -> Result<Exit, Failure> {
    let at = args.dir.display();
    pages(tree(&[]), &args.dir)
        .map_err(|error| Failure::Could(format!("{at}: the pages cannot be written: {error}")))?;
    print::line(format_args!("a page for each command: man -l {at}/wanproof.1"))?;
    Ok(Exit::Done)
}

/// The program's commands, without those that are named.
#[must_use]
pub fn tree(left_out: &[String]) -> Command {
    let whole = Cli::command();
    let parts = whole
        .get_subcommands()
        .filter(|part| !left_out.iter().any(|name| name == part.get_name()))
        .map(|part| helpless(part.clone()));
    let mut tree = Command::new("wanproof")
        .version(env!("CARGO_PKG_VERSION"))
        .about(whole.get_about().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .args(whole.get_arguments())
        .subcommands(parts);
    tree.build();
    tree
}

/// A command without its `help COMMAND`, of which there would be a page for each command once more.
fn helpless(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(helpless)
}

/// Writes what a shell has to know.
pub fn completions(shell: Shell, tree: &mut Command, to: &mut impl Write) {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    clap_complete::generate(shell, tree, "wanproof", to);
}

/// Writes a page for each command.
///
/// # Errors
/// When the directory or a file cannot be written.
pub fn pages(tree: Command, dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(tree, dir)
}
