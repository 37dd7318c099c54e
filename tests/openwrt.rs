//! OpenWrt's init script, run by the shell that OpenWrt has: what it makes of uci is what the
//! program takes or refuses.
#![cfg(feature = "agent")]
#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

mod kit;

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kit::wan::installed;

const SHIPPED: &str = include_str!("../packaging/openwrt/wanproof.config");

const USUAL: &str = "
config agent 'agent'
	option enabled '1'
	option site 'leeds-01'

config probe 'portal'
	option kind 'http'
	option url 'https://portal.example.net/health?a=b&c=\"d\"'
	list expect_status '200'
	list expect_status '204'
	option insecure_tls 'yes'

config collector
	option url 'https://collector.example.net:8443'
	option token 'one-time'

config probe
	option name 'hq'
	option kind 'icmp'
	option target '192.0.2.1'
	option size '120'
	option dscp 'ef'

config probe 'gone'
	option kind 'icmp'
	option target '192.0.2.2'
	option enabled '0'

config store 'store'
	option max_bytes '16MiB'
	option outbox_bytes '8MiB'
";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A router: its shell, its commands, its uci.
struct Router {
    dir: tempfile::TempDir,
}

impl Router {
    /// [`None`], and said so, where busybox is missing.
    fn new(uci: &[u8]) -> Option<Self> {
        if !installed("busybox") {
            return None;
        }
        let router = Self { dir: tempfile::tempdir().unwrap() };
        for dir in ["uci", "bin", "etc"] {
            std::fs::create_dir(router.at(dir)).unwrap();
        }
        let applets =
            Command::new("busybox").args(["--install", "-s"]).arg(router.at("bin")).status();
        assert!(applets.unwrap().success());
        std::fs::write(router.at("ping_group_range"), "1\t0\n").unwrap();
        router.configure(uci);
        Some(router)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn configure(&self, uci: &[u8]) {
        std::fs::write(self.at("uci/wanproof"), uci).unwrap();
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    /// Runs commands after the init script was read, with nothing but busybox at hand.
    fn run(&self, commands: &str) -> Output {
        let busybox = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|dir| dir.join("busybox"))
            .find(|path| path.is_file())
            .unwrap();
        let functions = here("tests/testdata/openwrt/functions.sh");
        Command::new(busybox)
            .args(["ash", "-c", &format!(". {}\n{commands}", functions.display())])
            .env_clear()
            .env("PATH", self.at("bin"))
            .env("HERE", self.dir.path())
            .env("INIT", here("packaging/openwrt/wanproof.init"))
            .env("WANPROOF", env!("CARGO_BIN_EXE_wanproof"))
            .output()
            .unwrap()
    }

    /// What the script makes of uci: agent.toml, and the faults that it finds itself.
    fn written(&self) -> (Vec<u8>, String) {
        let toml = self.run("wanproof_read; printf '%s' \"$WP_TOML\"");
        assert!(toml.status.success() && toml.stderr.is_empty(), "{toml:?}");
        let faults = self.run("wanproof_read; printf '%s' \"$WP_FAULTS\"");
        (toml.stdout, String::from_utf8(faults.stdout).unwrap())
    }

    /// Starts the service; whether there was something to start, and what was said.
    fn start(&self) -> (bool, String) {
        for file in ["log", "procd"] {
            let _ = std::fs::remove_file(self.at(file));
        }
        let output = self.run("start_service");
        let noise = String::from_utf8_lossy(&output.stderr);
        assert_eq!(noise, "", "the script itself has a fault");
        (output.status.success(), self.read("log"))
    }
}

/// As `uci export` writes a value.
fn quoted(value: &[u8]) -> Vec<u8> {
    let mut text = vec![b'\''];
    for &byte in value {
        if byte == b'\'' {
            text.extend(b"'\\''");
        } else {
            text.push(byte);
        }
    }
    text.push(b'\'');
    text
}

#[test]
fn uci_becomes_the_same_configuration_in_toml() {
    let Some(router) = Router::new(USUAL.as_bytes()) else { return };
    let (toml, faults) = router.written();
    assert_eq!(faults, "");
    let toml: toml::Table = String::from_utf8(toml).unwrap().parse().unwrap();
    let expected: toml::Table = format!(
        "site = \"leeds-01\"
        data_dir = \"{here}/etc/data\"
        status_socket = \"{here}/run/agent.sock\"
        collector = {{ url = \"https://collector.example.net:8443\", token = \"one-time\" }}
        store = {{ max_bytes = \"16MiB\", outbox_bytes = \"8MiB\" }}
        [[probe]]
        name = \"portal\"
        kind = \"http\"
        url = 'https://portal.example.net/health?a=b&c=\"d\"'
        expect_status = [200, 204]
        insecure_tls = true
        [[probe]]
        name = \"hq\"
        kind = \"icmp\"
        target = \"192.0.2.1\"
        size = 120
        dscp = \"ef\"",
        here = router.dir.path().display()
    )
    .parse()
    .unwrap();
    assert_eq!(toml, expected);
}

#[test]
fn a_start_writes_what_the_program_takes_and_runs_it_as_its_own_user_for_good() {
    let Some(router) = Router::new(USUAL.as_bytes()) else { return };
    assert_eq!(router.start(), (true, String::new()));
    let config = router.at("etc/agent.toml");
    let procd = router.read("procd");
    let command =
        format!("command {} run --config {}", env!("CARGO_BIN_EXE_wanproof"), config.display());
    for line in [
        &command[..],
        "user wanproof",
        "group wanproof",
        "respawn 3600 5 0",
        "stdout 1",
        "stderr 1",
    ] {
        assert!(procd.lines().any(|each| each == line), "{line}: {procd}");
    }
    let mode = |path: &str| std::fs::metadata(router.at(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("etc/agent.toml"), mode("etc/data")), (0o640, 0o700));
    assert_eq!(router.read("ping_group_range"), "32768 32768\n");
}

#[test]
fn flash_is_written_only_by_what_changed() {
    let Some(router) = Router::new(USUAL.as_bytes()) else { return };
    let inode = || std::fs::metadata(router.at("etc/agent.toml")).unwrap().ino();
    router.start();
    let first = inode();
    router.start();
    assert_eq!(inode(), first);
    router.configure(USUAL.replace("192.0.2.1", "192.0.2.9").as_bytes());
    router.start();
    assert!(router.read("etc/agent.toml").contains("192.0.2.9"));
    assert!(!router.at("etc/agent.toml.new").exists());
}

#[test]
fn a_ping_range_that_is_open_stays_as_it_is() {
    let Some(router) = Router::new(USUAL.as_bytes()) else { return };
    std::fs::write(router.at("ping_group_range"), "0\t2147483647\n").unwrap();
    router.start();
    assert_eq!(router.read("ping_group_range"), "0\t2147483647\n");
}

#[test]
fn no_value_breaks_out_of_its_text() {
    let mut values: Vec<Vec<u8>> = (1..=127u8).map(|byte| vec![byte]).collect();
    values.extend((1..=127u8).map(|byte| vec![b'a', byte, b'\n', byte, b'\\', byte]));
    for text in [
        "\"\n[hooks]\ncommand = [\"/bin/sh\"]\n#",
        "\"\"\"",
        "'''",
        "\\",
        "\\\\\"",
        "\\\n\"",
        "\n\n",
        "$(touch escaped)",
        "`touch escaped`",
        "${HOME}",
        "'; touch escaped; '",
        "%s%n\\u0041\\x41",
        " lead and trail ",
        "*",
        "ü ß € 😀 \u{85}\u{2028}",
        "-n",
        "-e \\n",
    ] {
        values.push(text.as_bytes().to_owned());
    }
    let mut uci = b"config agent 'agent'\n\toption site 'a'\nconfig hooks 'hooks'\n".to_vec();
    for value in &values {
        uci.extend(b"\tlist command ");
        uci.extend(quoted(value));
        uci.push(b'\n');
    }
    for (at, value) in values.iter().enumerate() {
        uci.extend(format!("config probe 'p{at}'\n\toption service ").as_bytes());
        uci.extend(quoted(value));
        uci.push(b'\n');
    }
    let Some(router) = Router::new(&uci) else { return };
    let (toml, faults) = router.written();
    assert_eq!(faults, "");
    let toml: toml::Table = String::from_utf8(toml).unwrap().parse().unwrap();
    assert_eq!(
        toml.keys().collect::<Vec<_>>(),
        ["data_dir", "hooks", "probe", "site", "status_socket"]
    );
    let command = toml["hooks"]["command"].as_array().unwrap();
    let probes = toml["probe"].as_array().unwrap();
    assert_eq!((command.len(), probes.len()), (values.len(), values.len()));
    for ((value, item), probe) in values.iter().zip(command).zip(probes) {
        let value = std::str::from_utf8(value).unwrap();
        assert_eq!(item.as_str(), Some(value));
        assert_eq!(probe["service"].as_str(), Some(value));
        assert_eq!(probe.as_table().unwrap().len(), 2, "{value:?}");
    }
    assert!(!Path::new("escaped").exists());
}

#[test]
fn bytes_that_are_no_text_are_refused_and_start_nothing() {
    let mut uci = b"config agent 'agent'\n\toption site 'a".to_vec();
    uci.extend(b"\xff\xfe'\nconfig probe 'p'\n\toption kind 'icmp'\n\toption target '::1'\n");
    let Some(router) = Router::new(&uci) else { return };
    let (started, said) = router.start();
    assert!(!started && said.contains("/etc/config/wanproof"), "{said}");
    assert!(!router.at("etc/agent.toml").exists() && !router.at("procd").exists());
}

#[test]
fn what_is_shipped_says_that_a_probe_is_missing_and_how_to_go_on() {
    let Some(router) = Router::new(SHIPPED.as_bytes()) else { return };
    let (started, said) = router.start();
    assert!(!started);
    assert!(
        said.contains("/etc/config/wanproof: there is no [[probe]]: nothing would be measured"),
        "{said}"
    );
    assert!(said.contains("/etc/init.d/wanproof restart"), "{said}");
    assert!(!router.at("procd").exists());
}

#[test]
fn every_example_of_the_shipped_configuration_is_sound() {
    let mut uci = String::new();
    for line in SHIPPED.lines() {
        // An example is a line of uci behind a #, and perhaps what it is for behind another.
        let bare = line.trim_start().trim_start_matches("# ").trim_start();
        let bare = bare.split("  #").next().unwrap();
        let of_a_file =
            ["list contracts", "option config_file"].iter().any(|key| bare.starts_with(key));
        if ["config ", "option ", "list "].iter().any(|word| bare.starts_with(word)) && !of_a_file {
            writeln!(uci, "{bare}").unwrap();
        }
    }
    let uci = uci.replace("option enabled '0'", "");
    let Some(router) = Router::new(uci.as_bytes()) else { return };
    let (started, said) = router.start();
    assert!(started, "{said}\n{uci}");
    let written = router.read("etc/agent.toml");
    for part in ["[collector]", "[store]", "name = \"hq\"", "name = \"portal\"", "leeds-01"] {
        assert!(written.contains(part), "{part}: {written}");
    }
}

#[test]
fn the_data_is_on_flash_unless_uci_says_otherwise_and_the_site_is_the_routers_name() {
    let Some(router) = Router::new(b"config agent 'agent'\n\toption site ''\n") else { return };
    let (toml, faults) = router.written();
    let toml = String::from_utf8(toml).unwrap();
    assert_eq!(faults, "");
    assert!(toml.contains("site = \"OpenWrt\"\n"), "{toml}");
    // As it is shipped, without the test's places.
    let init = std::fs::read_to_string(here("packaging/openwrt/wanproof.init")).unwrap();
    assert!(
        init.contains("\nWP_HOME_DIR=/etc/wanproof\n")
            && init.contains("WP_DATA=$WP_HOME_DIR/data ")
    );
    router.configure(b"config agent 'agent'\n\toption data_dir '/mnt/usb/wanproof'\n");
    let (toml, _) = router.written();
    assert!(String::from_utf8(toml).unwrap().contains("data_dir = \"/mnt/usb/wanproof\"\n"));
}

#[test]
fn data_in_memory_is_warned_of() {
    // A file system in memory that each Linux has.
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else { return };
    let uci = USUAL.replace(
        "option site 'leeds-01'",
        &format!("option site 'leeds-01'\n\toption data_dir '{}'", memory.path().display()),
    );
    let Some(router) = Router::new(uci.as_bytes()) else { return };
    let (started, said) = router.start();
    assert!(started && said.contains("is in memory"), "{said}");
}

#[test]
fn a_configuration_that_is_not_there_or_empty_starts_nothing() {
    let Some(router) = Router::new(b"") else { return };
    let (started, said) = router.start();
    assert!(!started && said.contains("there is no [[probe]]"), "{said}");
    std::fs::remove_file(router.at("uci/wanproof")).unwrap();
    let (started, said) = router.start();
    assert!(!started && said.contains("uci cannot read it"), "{said}");
    assert!(!router.at("procd").exists());
}

#[test]
fn wrong_values_and_unknown_keys_are_told_by_the_program() {
    for (from, to, fault) in [
        ("option size '120'", "option size 'many'", "expected a whole number from 24 to 65000"),
        ("option size '120'", "option size '0120'", "expected a whole number from 24 to 65000"),
        ("option size '120'", "option size '-1'", "expected a whole number from 24 to 65000"),
        ("option insecure_tls 'yes'", "option insecure_tls 'oui'", "expected true or false"),
        ("list expect_status '204'", "list expect_status 'ok'", "expected a list of whole numbers"),
        ("option dscp 'ef'", "option odd 'x'", "odd is no key that is known here"),
        ("option dscp 'ef'", "list target '192.0.2.3'", "duplicate key"),
        ("option site 'leeds-01'", "option site 'leeds 01'", "site: expected 1 to 64 letters"),
        ("option name 'hq'", "", "name is missing"),
        (
            "config store 'store'",
            "config stroe 'store'",
            "config stroe is no section that is known",
        ),
        ("config store 'store'", "config collector", "there are two sections config collector"),
        ("option enabled '0'", "option enabled 'maybe'", "expected 1 or 0"),
    ] {
        assert!(USUAL.contains(from), "{from}");
        let Some(router) = Router::new(USUAL.replacen(from, to, 1).as_bytes()) else { return };
        let (started, said) = router.start();
        assert!(!started && said.contains(fault), "{to}: {said}");
        assert!(said.starts_with("/etc/config/wanproof: "), "{to}: {said}");
        assert!(!router.at("procd").exists(), "{to}");
    }
}

#[test]
fn with_a_fault_the_configuration_of_before_stays() {
    let Some(router) = Router::new(USUAL.as_bytes()) else { return };
    router.start();
    let before = router.read("etc/agent.toml");
    router.configure(USUAL.replace("192.0.2.1", "192 0 2 1").as_bytes());
    let (started, _) = router.start();
    assert!(!started);
    assert_eq!(router.read("etc/agent.toml"), before);
    assert!(!router.at("etc/agent.toml.new").exists());
}

#[test]
fn a_configuration_of_ones_own_is_run_as_it_is_and_never_overwritten() {
    let own = "site = \"own\"\ndata_dir = \"data\"\n[[probe]]\nname = \"a\"\nkind = \"icmp\"\n\
               target = \"::1\"\n";
    let Some(router) = Router::new(USUAL.as_bytes()) else { return };
    std::fs::write(router.at("etc/agent.toml"), own).unwrap();
    let (started, said) = router.start();
    assert!(!started && said.contains("option config_file"), "{said}");
    assert_eq!(router.read("etc/agent.toml"), own);

    let path = router.at("etc/agent.toml");
    let uci = USUAL.replacen(
        "option enabled '1'",
        &format!("option config_file '{}'", path.display()),
        1,
    );
    router.configure(uci.as_bytes());
    assert_eq!(router.start(), (true, String::new()));
    assert_eq!(router.read("etc/agent.toml"), own);
    assert!(router.read("procd").contains(&format!("run --config {}\n", path.display())));

    std::fs::write(&path, own.replace("icmp", "icpm")).unwrap();
    let (started, said) = router.start();
    assert!(!started && said.contains("kind = \"icpm\" is not right"), "{said}");
}

#[test]
fn what_is_switched_off_is_not_started_and_says_how_to_switch_it_on() {
    let uci = USUAL.replacen("option enabled '1'", "option enabled '0'", 1);
    let Some(router) = Router::new(uci.as_bytes()) else { return };
    let (done, said) = router.start();
    assert!(done && said.contains("uci set wanproof.agent.enabled=1"), "{said}");
    assert!(!router.at("procd").exists());
}

#[test]
fn a_change_is_a_signal_to_the_agent_that_runs_and_a_fault_leaves_it_alone() {
    let Some(router) = Router::new(USUAL.as_bytes()) else { return };
    router.start();
    std::fs::write(router.at("running"), "").unwrap();
    let reload = || {
        let _ = std::fs::remove_file(router.at("procd"));
        let done = router.run("reload_service").status.success();
        (done, router.read("procd"))
    };
    router.configure(USUAL.replace("192.0.2.1", "192.0.2.9").as_bytes());
    assert_eq!(reload(), (true, "signal wanproof * HUP\n".to_owned()));
    assert!(router.read("etc/agent.toml").contains("192.0.2.9"));

    router.configure(USUAL.replace("icmp", "icpm").as_bytes());
    assert_eq!(reload(), (false, String::new()));

    router.configure(USUAL.replacen("enabled '1'", "enabled '0'", 1).as_bytes());
    let (_, procd) = reload();
    assert_eq!(procd, "stop\n");
}
