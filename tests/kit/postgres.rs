//! A PostgreSQL server of the test's own: Debian's binaries, a folder below the temporary ones, a
//! socket there and no port, run by an ordinary user, since PostgreSQL refuses to be root's. It
//! ends with the test's process, however that ends.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::process::PATIENCE;

/// A server, with any number of databases.
pub struct Server {
    sockets: PathBuf,
    /// Its port, which its socket is named after.
    port: String,
    programs: PathBuf,
    /// Its standard input is a pipe that ends with this process; so does the server.
    _child: Child,
}

/// What runs the server: it ends when its input does, and takes the folder with it.
const KEEPER: &str = r#"
    "$1/postgres" -D "$2/data" -k "$2" -c unix_socket_permissions=0777 -c max_connections=200 \
        -c shared_buffers=32MB -c fsync="$3" -c log_min_messages=fatal $4 >"$2/log" 2>&1 &
    server=$!
    cat >/dev/null
    kill -QUIT $server
    wait $server
    rm -rf "$2"
"#;

/// A new database on the server that the tests of this process share; [`None`], and said why, where
/// there can be none.
pub fn database() -> Option<String> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    SHARED.get_or_init(|| Server::start("off")).as_ref().map(Server::database)
}

/// What a database answers, as `psql` prints it bare.
pub fn ask(url: &str, sql: &str) -> String {
    let programs = programs().expect("a database is there, so are the programs");
    let said = Command::new(programs.join("psql"))
        .args([url, "-At", "-c", sql])
        .output()
        .expect("psql starts");
    assert!(said.status.success(), "{sql}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).trim_end().to_owned()
}

impl Server {
    /// Starts a server; `fsync` is `on` or `off`. [`None`], and said why, where it cannot be had.
    pub fn start(fsync: &str) -> Option<Self> {
        Self::told(Self::try_start(fsync, "-c listen_addresses=", |_| ()))
    }

    /// Starts one that can be reached at a loopback address and port too, there by password alone
    /// (user `wanproof`, `secret`); with a certificate and its key (PEM) it offers TLS, with `more`
    /// of options.
    pub fn start_at(at: SocketAddr, tls: Option<(&str, &str)>, more: &str) -> Option<Self> {
        Self::start_by(at, tls, "host all all 127.0.0.0/8 scram-sha-256", &[], more)
    }

    /// As [`Self::start_at`], by another rule of who is let in, and with more files in its folder.
    pub fn start_by(
        at: SocketAddr,
        tls: Option<(&str, &str)>,
        rule: &str,
        files: &[(&str, &str)],
        more: &str,
    ) -> Option<Self> {
        let ssl = if tls.is_some() { "on" } else { "off" };
        let options =
            format!("-c listen_addresses={} -c port={} -c ssl={ssl} {more}", at.ip(), at.port());
        let server = Self::try_start("off", &options, |data| {
            let own =
                tls.iter().flat_map(|(cert, key)| [("server.crt", *cert), ("server.key", *key)]);
            for (name, text) in own.chain(files.iter().copied()) {
                std::fs::write(data.join(name), text).expect("the folder is ours");
            }
            let rules = format!("local all all trust\n{rule}\n");
            std::fs::write(data.join("pg_hba.conf"), rules).expect("the folder is ours");
        });
        let server = Self::told(server)?;
        let password = "ALTER ROLE wanproof PASSWORD 'secret'";
        assert!(server.client("psql", &["-d", "postgres", "-c", password]), "{password}");
        Some(server)
    }

    fn told(server: Result<Self, String>) -> Option<Self> {
        match server {
            Ok(server) => Some(server),
            Err(why) => {
                // To the stream itself: the test harness shows what a passing test prints to
                // nobody.
                _ = writeln!(
                    std::io::stderr(),
                    "skipped: there is no PostgreSQL to test with: {why}"
                );
                None
            }
        }
    }

    fn try_start(fsync: &str, options: &str, prepare: impl FnOnce(&Path)) -> Result<Self, String> {
        let programs = programs()
            .ok_or("Debian's package postgresql is not installed (tests/packages installs it)")?;
        let folder = tempfile::Builder::new()
            .prefix("wanproof-pg-")
            .tempdir()
            .map_err(|fault| fault.to_string())?;
        let root = nix::unistd::geteuid().is_root();
        let user = if root {
            Some(ordinary().ok_or("there is no ordinary user to run it as")?)
        } else {
            None
        };
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).map_err(|fault| fault.to_string())?;
        }
        // Whoever is root must reach the socket too, and a path of a socket is short.
        std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .map_err(|fault| fault.to_string())?;
        let mut initdb = as_user(user, &programs.join("initdb"));
        initdb.args([
            "--no-sync",
            "-A",
            "trust",
            "-U",
            "wanproof",
            "-E",
            "UTF8",
            "--locale=C",
            "-D",
        ]);
        let made =
            initdb.arg(folder.path().join("data")).output().map_err(|fault| fault.to_string())?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let data = folder.path().join("data");
        prepare(&data);
        let given = ["server.crt", "server.key", "root.crt"].map(|name| data.join(name));
        for file in given.iter().filter(|file| file.exists()) {
            let set =
                std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600));
            set.and_then(|()| user.map_or(Ok(()), |(uid, gid)| chown(file, Some(uid), Some(gid))))
                .map_err(|fault| fault.to_string())?;
        }
        let mut keeper = as_user(user, Path::new("/bin/sh"));
        let child = keeper
            .args(["-c", KEEPER, "keeper"])
            .args([&programs, folder.path()])
            .args([fsync, options])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|fault| fault.to_string())?;
        // From now on the keeper removes it.
        let port = options.split_once("port=").and_then(|(_, rest)| rest.split(' ').next());
        let port = port.unwrap_or("5432").to_owned();
        let server = Self { sockets: folder.keep(), port, programs, _child: child };
        let until = Instant::now() + PATIENCE;
        while !server.client("psql", &["-d", "postgres", "-c", "SELECT 1"]) {
            if Instant::now() > until {
                let log = std::fs::read_to_string(server.sockets.join("log")).unwrap_or_default();
                return Err(format!("it did not start: {log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Makes a database, and gives its address.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        assert!(self.client("createdb", &[&name]), "no database {name} could be made");
        format!(
            "postgres:///{name}?host={}&port={}&user=wanproof",
            self.sockets.display(),
            self.port
        )
    }

    /// Ends every connection of a database, as a restarted server does.
    pub fn disconnect(&self, url: &str) {
        let name = url.trim_start_matches("postgres:///").split('?').next().unwrap_or_default();
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        assert!(self.client("psql", &["-d", "postgres", "-c", &sql]), "{sql}");
    }

    fn client(&self, program: &str, args: &[&str]) -> bool {
        let mut command = Command::new(self.programs.join(program));
        command.arg("-h").arg(&self.sockets).args(["-p", &self.port, "-U", "wanproof"]).args(args);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// Where Debian keeps the newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let with_server =
        versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    with_server.max_by_key(|bin| {
        let version =
            bin.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        version.and_then(|version| version.parse::<u32>().ok())
    })
}

/// The user and group of Debian's package, or else nobody.
fn ordinary() -> Option<(u32, u32)> {
    ["postgres", "nobody"].iter().find_map(|name| {
        let user = nix::unistd::User::from_name(name).ok().flatten()?;
        Some((user.uid.as_raw(), user.gid.as_raw()))
    })
}

fn as_user(user: Option<(u32, u32)>, program: &Path) -> Command {
    let Some((uid, gid)) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command
        .args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"])
        .arg(program);
    // Where the tests run may be closed to it.
    command.current_dir("/");
    command
}
