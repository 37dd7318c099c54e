//! The namespace and the device: made by this process, gone with it.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::scenario::Scenario;

/// Where the network is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a new network namespace; by root at once, else in a new user namespace.
    New,
    /// In a new user namespace with a new network namespace, even by root.
    NewUser,
    /// In the network namespace that this process was started in, which must not be the host's.
    Here,
}

/// Whether other processes have to enter a user namespace too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    Same,
    Own,
}

/// Enters the place. Threads started before would stay outside.
pub fn enter(place: Place) -> Result<User, String> {
    let root = nix::unistd::geteuid().is_root();
    let user = match place {
        Place::Here => return not_the_hosts().map(|()| User::Same),
        Place::New if root => User::Same,
        Place::New | Place::NewUser => User::Own,
    };
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let flags = match user {
        User::Same => CloneFlags::CLONE_NEWNET,
        User::Own => CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUSER,
    };
    unshare(flags).map_err(|fault| {
        format!(
            "no network namespace can be made: {fault}; run as root, or allow unprivileged \
            user namespaces"
        )
    })?;
    if user == User::Own {
        let map = |file: &str, text: String| {
            std::fs::write(file, text)
                .map_err(|fault| format!("{file} cannot be written: {fault}; run as root"))
        };
        map("/proc/self/setgroups", "deny".to_owned())?;
        map("/proc/self/uid_map", format!("0 {uid} 1"))?;
        map("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    Ok(user)
}

/// A host's namespace has routes; one that was made for this has none.
fn not_the_hosts() -> Result<(), String> {
    let lines = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let four = lines("/proc/self/net/route").lines().skip(1).count();
    let six =
        lines("/proc/self/net/ipv6_route").lines().filter(|line| !line.ends_with(" lo")).count();
    if four + six > 0 {
        return Err(
            "this network namespace has routes already, so it may be the host's; leave out \
             --here, and one is made"
                .to_owned(),
        );
    }
    Ok(())
}

/// Makes the device; reads and writes on it do not block.
pub fn device(name: &str) -> Result<SyncDevice, String> {
    let device = DeviceBuilder::new()
        .name(name)
        .layer(Layer::L3)
        .inherit_enable_state()
        .build_sync()
        .map_err(|fault| {
            format!(
                "no TUN device can be made: {fault}; /dev/net/tun must be there and open to this \
            user (modprobe tun; chmod 0666 /dev/net/tun)"
            )
        })?;
    let cannot = |fault: nix::Error| format!("the TUN device does not take O_NONBLOCK: {fault}");
    fcntl(device.as_fd(), FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK)).map_err(cannot)?;
    Ok(device)
}

/// Gives the device its addresses and routes.
pub fn set_up(scenario: &Scenario) -> Result<(), String> {
    let name = &scenario.device;
    // Routers on the path have no route of their own, and an ordinary user may ping; best effort,
    // each by itself.
    for (file, value) in [
        ("ipv4/conf/all/rp_filter".to_owned(), "0"),
        (format!("ipv4/conf/{name}/rp_filter"), "0"),
        ("ipv4/ping_group_range".to_owned(), "0 2147483647"),
        ("ipv4/ping_group_range".to_owned(), "0 0"),
    ] {
        let written = std::fs::write(format!("/proc/sys/net/{file}"), value);
        if file.ends_with("range") && written.is_ok() {
            break;
        }
    }
    ip(&commands(scenario))
}

fn commands(scenario: &Scenario) -> String {
    let name = &scenario.device;
    let mut lines = vec![
        "link set lo up".to_owned(),
        // A long queue, so that a burst is not lost before it is read.
        format!("link set dev {name} mtu {} txqueuelen 50000", scenario.mtu),
        format!("link set dev {name} addrgenmode none"),
        format!("link set dev {name} up"),
    ];
    for address in &scenario.local {
        let (bits, nodad) = if address.is_ipv4() { (32, "") } else { (128, " nodad") };
        lines.push(format!("address add {address}/{bits} dev {name}{nodad}"));
    }
    for prefix in scenario.rules.iter().flat_map(|rules| &rules.at) {
        lines.push(format!("route replace {prefix} dev {name}"));
    }
    lines.join("\n") + "\n"
}

fn ip(commands: &str) -> Result<(), String> {
    let cannot = |fault: std::io::Error| {
        format!("`ip` cannot be run: {fault}; install the package iproute2")
    };
    let mut ip = Command::new("ip");
    let ip =
        ip.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut ip = ip.spawn().map_err(cannot)?;
    ip.stdin.take().expect("its input is a pipe").write_all(commands.as_bytes()).map_err(cannot)?;
    let output = ip.wait_with_output().map_err(cannot)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("the device cannot be set up: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// How many packets the device dropped because they were not read in time.
pub fn overrun(device: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':'));
    // Eight figures of what the host received, then bytes, packets, errors and drops of what it
    // sent.
    line.and_then(|line| line.split_whitespace().nth(11)?.parse().ok()).unwrap_or(0)
}

/// The words before a command that run it inside the namespace of this process.
pub fn entry(user: User) -> Vec<String> {
    let pid = std::process::id().to_string();
    let words: &[&str] = match user {
        User::Same => &["nsenter", "-t", &pid, "-n", "--"],
        User::Own => &["nsenter", "-t", &pid, "-U", "-n", "--preserve-credentials", "--"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}
