//! The fake WAN, started for one test and gone with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::SystemTime;

use tempfile::TempDir;

use super::log::Truth;
use super::process::Running;

/// A provider's network in a namespace of its own.
pub struct Wan {
    network: Running,
    /// What it said when it was ready: `pid`, `device`, `local`, `http`, `addresses`, `start`,
    /// `enter`.
    pub ready: serde_json::Value,
    /// A directory for the test's own files; gone with the test.
    pub dir: TempDir,
}

impl Wan {
    /// Makes a network by a scenario (TOML); [`None`] where this host lets nobody make one, after
    /// saying so.
    pub fn start(scenario: &str) -> Option<Self> {
        Self::start_with(scenario, &[])
    }

    /// Makes a network with more arguments for it, such as `--spin`.
    pub fn start_with(scenario: &str, arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory can be made");
        std::fs::write(dir.path().join("scenario.toml"), scenario).expect("the directory is ours");
        let mut command = Command::new(program());
        command.args(["run", "--while-stdin", "--for", "10m"]).args(arguments);
        command
            .arg("--scenario")
            .arg(dir.path().join("scenario.toml"))
            .arg("--log")
            .arg(dir.path().join("truth.log"));
        let mut network = Running::start(&mut command);
        match network.line(|line| line.starts_with("{\"")) {
            Some(line) => {
                let ready = serde_json::from_str(&line).expect("it says that it is ready in JSON");
                Some(Self { network, ready, dir })
            }
            None if network.wait().code() == Some(77) => {
                skip(&network.told());
                None
            }
            None => panic!("there is no network: {}", network.told()),
        }
    }

    /// A file of the test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let words =
            self.ready["enter"].as_array().into_iter().flatten().filter_map(|word| word.as_str());
        let mut command = Command::new("env");
        command.args(words).arg(program);
        command
    }

    /// Starts a command inside.
    pub fn run(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Running {
        Running::start(self.command(program).args(arguments))
    }

    /// Runs a command inside, to its end.
    pub fn output(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().expect("`env` is everywhere")
    }

    /// What a command inside says on standard output.
    pub fn told(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.output(program, arguments).stdout).into_owned()
    }

    /// The truth so far; what is still in the air is not in it.
    pub fn truth(&self) -> Truth {
        Truth::read(&self.path("truth.log")).expect("the network writes what it reads")
    }

    /// Ends the network; gives the whole truth.
    pub fn end(mut self) -> Truth {
        let status = self.network.terminate();
        assert!(status.success(), "the network ended with {status}: {}", self.network.told());
        let truth = self.truth();
        assert_eq!(truth.overrun, Some(0), "the network did not read every packet in time");
        truth
    }
}

/// Says, past the test harness's capture, that a test did not run.
pub fn skip(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
}

/// Whether a program is installed; says so when it is not.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !found {
        skip(&format!("{program} is not installed (tests/run installs it)"));
    }
    found
}

/// The network's program, which `cargo test` builds beside the tests; built when it is not there,
/// or is old. FAKEWAN names another.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(program) = std::env::var_os("FAKEWAN") {
            return program.into();
        }
        let own = std::env::current_exe().expect("a process has a program");
        let program = own
            .parent()
            .and_then(Path::parent)
            .expect("cargo puts it into deps")
            .join("examples/fakewan");
        let changed = |path: &Path| {
            path.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files =
            |folder| std::fs::read_dir(root.join(folder)).expect("its source is there").flatten();
        let sources = files("examples/fakewan").chain(files("tests/kit"));
        let newest = sources.map(|entry| changed(&entry.path())).max();
        if newest > Some(changed(&program)) {
            let mut cargo = Command::new(env!("CARGO"));
            // What cargo told this test about its package would make build scripts run again.
            for (name, _) in std::env::vars().filter(|(name, _)| {
                name.starts_with("CARGO_PKG") || name.starts_with("CARGO_MANIFEST")
            }) {
                cargo.env_remove(name);
            }
            let built = cargo
                .current_dir(root)
                .args(["build", "--quiet", "--example", "fakewan"])
                .status()
                .expect("cargo runs this test");
            assert!(built.success(), "examples/fakewan does not build");
        }
        program
    })
}
