//! `wanproof init`: a commented configuration and a key. With a collector and targets it is one that
//! measures and ships at once.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::cli::{Exit, Failure, print};
use crate::config::agent;
use crate::store;
use crate::store::keyfile;

use targets::quoted;

mod targets;

/// The example that `config/agent.toml` is.
const EXAMPLE: &str = include_str!("../../config/agent.toml");
/// Where the installed service has its configuration.
const INSTALLED: &str = "/etc/wanproof";
/// The group of the installed service.
const GROUP: &str = "wanproof";

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to put them
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// The site's name [default: this host's]
    #[arg(long, allow_hyphen_values = true)]
    site: Option<String>,
    /// The collector that summaries are shipped to
    #[arg(long, value_name = "URL")]
    collector: Option<String>,
    /// The one-time token for the enrolment at the collector
    #[arg(long, allow_hyphen_values = true, requires = "collector")]
    token: Option<String>,
    /// What to measure: a host is pinged, tcp://HOST:PORT is connected to, a URL is asked for
    #[arg(long, value_name = "HOST", num_args = 1..)]
    target: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// When an argument has a fault, something is there already, or it cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = args.dir.join("agent.toml");
    let shipped = std::fs::read_to_string(&config).is_ok_and(|text| text == EXAMPLE);
    if config.exists() && !shipped {
        return Err(Failure::Usage(format!(
            "{} is there already; nothing was changed",
            config.display()
        )));
    }
    let installed = args.dir == Path::new(INSTALLED);
    let text = text(args, installed)?;
    agent::parse(&text, "agent.toml", &args.dir)
        .map_err(|faults| Failure::Usage(faults.to_string()))?;
    std::fs::create_dir_all(&args.dir).map_err(|error| could(&args.dir, &error))?;
    let mut key = None;
    if !installed {
        let data = args.dir.join("data");
        store::make_dir(&data).map_err(|error| could(&data, &error))?;
        let key_file = data.join(keyfile::AGENT);
        key = Some((keyfile::load_or_create(&key_file)?.0, key_file));
    }
    if shipped {
        replace(&config, &text, args.token.is_some())?;
    } else {
        write_new(&config, &text, mode(args.token.is_some()))?;
    }
    tell_of(args, &config)?;
    let config = config.display();
    let Some((key, key_file)) = key else {
        return tell_next("sudo systemctl restart wanproof-agent", "sudo wanproof status");
    };
    print::line(format_args!(
        "{}: this device's private key; it never leaves this host",
        key_file.display()
    ))?;
    print::line(format_args!("fingerprint: {}", key.kid().fingerprint()))?;
    tell_next(
        &format!("wanproof check --config {config}"),
        &format!("wanproof run --config {config}"),
    )
}

fn could(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Could(format!("{}: {error}", path.display()))
}

/// The example with what was asked for in its places. An installed service has its data where the
/// example says, and makes its key there as its own user.
fn text(args: &Args, installed: bool) -> Result<String, Failure> {
    let mut faults = Vec::new();
    if let Some(url) = &args.collector
        && let Err(fault) = agent::collector_url(url, false)
    {
        faults.push(format!("--collector {fault}"));
    }
    if let Some(token) = &args.token
        && (token.is_empty() || token.chars().any(|c| c.is_whitespace() || c.is_control()))
    {
        faults.push("--token: it is empty or holds white space, as no token does".to_owned());
    }
    let probes = targets::probes(&args.target).unwrap_or_else(|more| {
        faults.extend(more);
        String::new()
    });
    if !faults.is_empty() {
        return Err(Failure::Usage(format!("{}\nnothing was written", faults.join("\n"))));
    }
    let site = args.site.clone().unwrap_or_else(host_name);
    let mut text = EXAMPLE.replacen("site = \"leeds-01\"", &format!("site = {}", quoted(&site)), 1);
    if !installed {
        text = text.replacen(
            "data_dir = \"/var/lib/wanproof\"               ",
            "data_dir = \"data\"                            ",
            1,
        );
    }
    if let Some(url) = &args.collector {
        let section = format!("[collector]\n{:<44} ", format!("url = {}", quoted(url)));
        text = text.replacen(
            "# [collector]\n# url = \"https://collector.example.net:8443\" ",
            &section,
            1,
        );
    }
    if let Some(token) = &args.token {
        let key = format!("{:<44} ", format!("token = {}", quoted(token)));
        text = text.replacen("# token = \"one-time\"                         ", &key, 1);
    }
    Ok(if probes.is_empty() { text } else { with_probes(&text, &probes) })
}

/// The probes in the place of the example's, which becomes a comment.
fn with_probes(text: &str, probes: &str) -> String {
    let Some((before, example)) = text.split_once("# --- The probes.") else {
        return format!("{text}\n{probes}");
    };
    let mut whole = format!("{before}# --- The probes.\n{probes}\n# --- All keys of a probe.\n");
    for line in example.lines().skip(1) {
        if !line.is_empty() && !line.starts_with('#') {
            whole.push_str("# ");
        }
        whole.push_str(line);
        whole.push('\n');
    }
    whole
}

/// A token is a secret: it is for the owner and the service's group.
fn mode(secret: bool) -> u32 {
    if secret { 0o640 } else { 0o644 }
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| could(path, &error))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| could(path, &error))
}

/// Puts the text in the place of the example, for the owner and group that it had; a secret is
/// readable by the service's group instead of by everybody.
fn replace(path: &Path, text: &str, secret: bool) -> Result<(), Failure> {
    let before = std::fs::metadata(path).ok();
    let new = path.with_extension("toml.new");
    let _ = std::fs::remove_file(&new);
    write_new(&new, text, mode(secret))?;
    let service =
        nix::unistd::Group::from_name(GROUP).ok().flatten().map(|group| group.gid.as_raw());
    let owner = before.as_ref().map(MetadataExt::uid);
    let group = service.filter(|_| secret).or(before.as_ref().map(MetadataExt::gid));
    // Whoever may not give it away is its owner already, or is told by the service that cannot read.
    let _ = std::os::unix::fs::chown(&new, owner, group);
    std::fs::rename(&new, path).map_err(|error| could(path, &error))
}

fn tell_of(args: &Args, config: &Path) -> Result<(), Failure> {
    let config = config.display();
    let shipping = match &args.collector {
        Some(url) => format!(", and ships to {url}"),
        None => String::new(),
    };
    match args.target.len() {
        0 => print::line(format_args!(
            "{config}: a configuration that measures loopback until you name your probes{shipping}"
        ))?,
        1 => print::line(format_args!("{config}: measures 1 target{shipping}"))?,
        all => print::line(format_args!("{config}: measures {all} targets{shipping}"))?,
    }
    if args.collector.is_some() && args.token.is_none() {
        print::line(
            "without a token the collector's operator lets it in, by the fingerprint that wanproof \
             identity shows",
        )?;
    }
    Ok(())
}

fn tell_next(first: &str, second: &str) -> Result<Exit, Failure> {
    print::line(format_args!("next:\n  {first}\n  {second}"))?;
    Ok(Exit::Done)
}

/// This host's name, as far as it makes a site's name.
fn host_name() -> String {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default();
    let name: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(64).collect();
    if name.is_empty() { "site-01".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(target: &[&str]) -> Args {
        Args {
            dir: PathBuf::from(INSTALLED),
            site: Some("leeds-02".to_owned()),
            collector: Some("https://collector.example.net".to_owned()),
            token: Some("a\\b\"c".to_owned()),
            target: target.iter().map(|&each| each.to_owned()).collect(),
        }
    }

    #[test]
    fn all_that_was_asked_for_is_in_the_configuration() {
        let text = text(&args(&["192.0.2.1", "tcp://hq.example.net:443"]), true).unwrap();
        let config = agent::parse(&text, "agent.toml", Path::new(INSTALLED)).unwrap();
        let collector = config.collector.unwrap();
        assert_eq!(config.site, "leeds-02");
        assert_eq!(config.data_dir, Path::new("/var/lib/wanproof"));
        assert_eq!(collector.url, "https://collector.example.net");
        assert_eq!(collector.token.unwrap().0, "a\\b\"c");
        let names: Vec<&str> = config.probes.iter().map(|probe| &probe.name[..]).collect();
        assert_eq!(names, ["192.0.2.1", "tcp-hq.example.net-443"]);
    }

    #[test]
    fn every_comment_of_the_example_stays() {
        let comments = |text: &str| -> Vec<String> {
            let all = text.lines().filter(|line| line.starts_with("# "));
            all.filter(|line| !line.contains("The probes")).map(str::to_owned).collect()
        };
        let written = text(&args(&["192.0.2.1"]), false).unwrap();
        let written = comments(&written);
        let uncommented = ["# [collector]", "# url = \"https://collector", "# token = "];
        for comment in comments(EXAMPLE) {
            let used = uncommented.iter().any(|line| comment.starts_with(line));
            assert_eq!(written.contains(&comment), !used, "{comment}");
        }
    }
}
