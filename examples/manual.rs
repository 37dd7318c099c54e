//! Writes the manual pages and the completions of the packages: `manual DIR [COMMAND…]`, without
//! the commands named. `DIR/man` gets a page for each command, DIR the completions of bash, zsh and
//! fish.

use std::fs::File;
use std::path::PathBuf;

use wanproof::cli::manual::{Shell, completions, pages, tree};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder to write to"));
    let left_out: Vec<String> = arguments.collect();
    pages(tree(&left_out), &folder.join("man"))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        completions(shell, &mut tree(&left_out), &mut File::create(folder.join(shell.file()))?);
    }
    Ok(())
}
