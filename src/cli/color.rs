//! Whether colours are shown, and which characters a terminal has. Colour only repeats what is said
//! without it.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use clap::ValueEnum;

/// When colours are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, where NO_COLOR is not set; anywhere with CLICOLOR_FORCE
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// What the environment says.
#[derive(Clone, Copy, Debug)]
struct Environment<'a> {
    no_color: Option<&'a str>,
    clicolor_force: Option<&'a str>,
    term: Option<&'a str>,
    terminal: bool,
}

static SHOWN: OnceLock<bool> = OnceLock::new();

/// Decides for this run, once.
pub fn choose(color: Color) {
    let get = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let [no_color, clicolor_force, term] = ["NO_COLOR", "CLICOLOR_FORCE", "TERM"].map(get);
    let environment = Environment {
        no_color: no_color.as_deref(),
        clicolor_force: clicolor_force.as_deref(),
        term: term.as_deref(),
        terminal: std::io::stdout().is_terminal(),
    };
    let _ = SHOWN.set(shown(color, environment));
}

/// Whether this run shows colours.
#[must_use]
pub fn is_shown() -> bool {
    SHOWN.get().copied().unwrap_or(false)
}

/// The option first; then NO_COLOR (no-color.org: set, and not empty), then CLICOLOR_FORCE.
fn shown(color: Color, environment: Environment<'_>) -> bool {
    let is_set = |value: Option<&str>| value.is_some_and(|value| !value.is_empty());
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if is_set(environment.no_color) => false,
        Color::Auto
            if environment.clicolor_force.is_some_and(|force| !matches!(force, "" | "0")) =>
        {
            true
        }
        Color::Auto => environment.terminal && environment.term != Some("dumb"),
    }
}

/// Whether the locale's characters are those of Unicode.
#[must_use]
pub fn has_unicode() -> bool {
    is_utf8(["LC_ALL", "LC_CTYPE", "LANG"].map(|name| std::env::var(name).unwrap_or_default()))
}

/// The first of them that is set counts, as in POSIX.
fn is_utf8(names: [String; 3]) -> bool {
    let locale = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_decides_before_the_environment_and_no_color_before_force() {
        let of = |no_color, clicolor_force, term, terminal| Environment {
            no_color,
            clicolor_force,
            term,
            terminal,
        };
        for (color, environment, expected) in [
            (Color::Auto, of(None, None, Some("xterm"), true), true),
            (Color::Auto, of(None, None, None, false), false),
            (Color::Auto, of(None, None, Some("dumb"), true), false),
            (Color::Auto, of(Some("1"), None, None, true), false),
            (Color::Auto, of(Some(""), None, None, true), true),
            (Color::Auto, of(None, Some("1"), None, false), true),
            (Color::Auto, of(None, Some("0"), None, false), false),
            (Color::Auto, of(Some("1"), Some("1"), None, true), false),
            (Color::Always, of(Some("1"), None, None, false), true),
            (Color::Never, of(None, Some("1"), None, true), false),
        ] {
            assert_eq!(shown(color, environment), expected, "{color:?} {environment:?}");
        }
    }

    #[test]
    fn a_locale_without_unicode_is_told_by_the_first_that_is_set() {
        let of = |names: [&str; 3]| is_utf8(names.map(str::to_owned));
        assert!(of(["", "", "de_DE.UTF-8"]) && of(["C.utf8", "", "C"]));
        assert!(
            !of(["C", "", "de_DE.UTF-8"]) && !of(["", "", ""]) && !of(["", "POSIX", "en.UTF-8"])
        );
    }
}
