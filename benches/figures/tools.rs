//! The tools that are compared, and how each is started.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::kit::process::Running;
use crate::kit::wan::Wan;

/// The core that tools share with busy loops; the network has the other.
pub const CORE: &str = "0";
/// The network's core.
pub const NETWORK_CORE: &str = "1";

/// A network that spins on a core of its own, which whatever else runs here may hardly take away.
pub fn spinning(scenario: &str) -> Option<Wan> {
    let wan = Wan::start_with(scenario, &["--spin", "--cpu", NETWORK_CORE])?;
    let mut renice = Command::new("renice");
    let renice = renice.args(["-n", "-20", "-p"]).arg(wan.ready["pid"].to_string());
    // Without the right to do so, more packets are marked late and left out.
    _ = renice.stdout(Stdio::null()).stderr(Stdio::null()).status();
    Some(wan)
}

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tool {
    /// This package, with kernel stamps
    Wanproof,
    /// This package's portable engine, surge-ping: user-space stamps
    Portable,
    /// fping
    Fping,
    /// prometheus-smokeping-prober
    Smokeping,
    /// iputils ping, a process for each target
    Ping,
    /// prometheus-blackbox-exporter, asked once a second for each target
    Blackbox,
}

impl Tool {
    /// Its name in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wanproof => "wanproof",
            Self::Portable => "wanproof, portable engine (surge-ping)",
            Self::Fping => "fping",
            Self::Smokeping => "prometheus-smokeping-prober",
            Self::Ping => "iputils ping",
            Self::Blackbox => "prometheus-blackbox-exporter",
        }
    }

    /// Its program.
    pub fn program(self) -> String {
        match self {
            Self::Wanproof | Self::Portable => std::env::var("WANPROOF")
                .unwrap_or_else(|_| env!("CARGO_BIN_EXE_wanproof").to_owned()),
            Self::Fping => "fping".to_owned(),
            Self::Smokeping => "prometheus-smokeping-prober".to_owned(),
            Self::Ping => "ping".to_owned(),
            Self::Blackbox => "prometheus-blackbox-exporter".to_owned(),
        }
    }

    /// Whether it can be run here; says so when not.
    pub fn is_here(self) -> bool {
        let program = self.program();
        let here = Path::new(&program).is_absolute() || crate::kit::wan::installed(&program);
        if !here {
            note(&format!("{} is left out", self.name()));
        }
        here
    }

    /// A command for it inside the network, on the shared core.
    pub fn command(self, wan: &Wan) -> Command {
        on_the_core(wan, &self.program())
    }
}

/// A program inside the network, on the core that tools share.
pub fn on_the_core(wan: &Wan, program: &str) -> Command {
    let mut command = wan.command("taskset");
    command.args(["-c", CORE, program]);
    command
}

/// Busy loops on the shared core.
pub fn busy(how_many: usize) -> Vec<Running> {
    let mut spin = Command::new("taskset");
    spin.args(["-c", CORE, "sh", "-c", "while :; do :; done"]).stderr(Stdio::null());
    (0..how_many).map(|_| Running::start(&mut spin)).collect()
}

/// Targets, all in one network.
pub fn targets(how_many: usize) -> Vec<String> {
    (0..how_many).map(|one| format!("10.99.{}.{}", 1 + one / 250, 1 + one % 250)).collect()
}

/// A line for whoever waits.
pub fn note(text: &str) {
    use std::io::Write as _;
    _ = writeln!(std::io::stderr(), "{text}");
}

/// A line of the table.
pub fn row(cells: &[&str]) {
    use std::io::Write as _;
    _ = writeln!(std::io::stdout(), "| {} |", cells.join(" | "));
}

/// A table's heading.
pub fn heading(cells: &[&str]) {
    row(cells);
    row(&vec!["---"; cells.len()]);
}

/// The one in the middle.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
