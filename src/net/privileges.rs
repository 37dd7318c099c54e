//! What this process may do beyond an ordinary user (capabilities(7)), and giving it up.
//!
//! Capabilities belong to threads; what is given up here is given up for the calling thread and for
//! all that it starts from then on.

/// What is not given up.
#[cfg(feature = "agent")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything is.
    Nothing,
    /// What `SO_MARK` needs on every connection: CAP_NET_ADMIN, CAP_NET_RAW since Linux 5.17.
    Marks,
}

/// Gives up every capability, for good, root's too: whatever is opened from here on is opened with
/// a file's own rights.
#[cfg(all(feature = "collector", any(target_os = "linux", target_os = "android")))]
pub fn drop_for_good() {
    use rustix::thread::CapabilitySet;

    let had = rustix::thread::capabilities(None)
        .map(|sets| sets.permitted)
        .unwrap_or(CapabilitySet::empty());
    if had.is_empty() {
        return;
    }
    match linux::reduce_to(CapabilitySet::empty()) {
        Ok(()) if nix::unistd::geteuid().is_root() => tracing::warn!(
            "capabilities were given up: from here on root opens only what is its own, so run the \
             collector as the user whose files these are"
        ),
        Ok(()) => tracing::info!("capabilities were given up"),
        Err(error) => tracing::warn!(%error, "capabilities could not be given up"),
    }
}

/// Other systems have none.
#[cfg(all(feature = "collector", not(any(target_os = "linux", target_os = "android"))))]
pub fn drop_for_good() {}

/// Gives up every capability of this thread, silently; the others keep theirs.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn drop_of_this_thread() {
    let _ = linux::reduce_to(rustix::thread::CapabilitySet::empty());
}

/// Other systems have none.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn drop_of_this_thread() {}

/// Gives up every capability, but for what is to be kept, where this host lets an ordinary process
/// open what the agent may have to open again: a datagram ICMP socket, bound to an interface. Where
/// it does not, CAP_NET_RAW is kept too, since an interface that comes back as another would else
/// never be measured again; it is logged, with the remedy.
#[cfg(all(feature = "agent", any(target_os = "linux", target_os = "android")))]
pub fn drop_all(keep: Keep) {
    use rustix::thread::CapabilitySet;

    let mut kept = match keep {
        Keep::Nothing => CapabilitySet::empty(),
        Keep::Marks => CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW,
    };
    let had = rustix::thread::capabilities(None)
        .map(|sets| sets.permitted)
        .unwrap_or(CapabilitySet::empty());
    if had.is_empty() {
        return;
    }
    // It is tried by a thread that has nothing any more.
    let tried = std::thread::spawn(|| {
        linux::reduce_to(CapabilitySet::empty()).is_ok() && linux::can_reopen()
    })
    .join();
    if !tried.unwrap_or(false) && had.contains(CapabilitySet::NET_RAW) {
        kept |= CapabilitySet::NET_RAW;
        let group = nix::unistd::getegid();
        tracing::warn!(
            "CAP_NET_RAW is kept: without it this host opens no ICMP socket for this user; to do \
             without, run sysctl -w net.ipv4.ping_group_range=\"{group} {group}\" and restart the \
             agent"
        );
    }
    match linux::reduce_to(kept & had) {
        Ok(()) => tracing::info!(kept = %linux::names(kept & had), "capabilities were given up"),
        Err(error) => tracing::warn!(%error, "capabilities could not be given up"),
    }
}

/// Other systems have none.
#[cfg(all(feature = "agent", not(any(target_os = "linux", target_os = "android"))))]
pub fn drop_all(_: Keep) {}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use rustix::io;
    use rustix::thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities,
    };

    /// Leaves this thread `kept` and nothing else, and no program that it starts anything at all.
    pub(super) fn reduce_to(kept: CapabilitySet) -> io::Result<()> {
        let now = capabilities(None)?;
        if now.effective.contains(CapabilitySet::SETPCAP) {
            // A program that root starts has all of the bounding set; what the kernel does not know
            // is no loss.
            for bit in 0..u64::BITS {
                let _ =
                    remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit));
            }
        }
        // Kernels before 4.3 have none.
        let _ = clear_ambient_capability_set();
        let inheritable = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })
    }

    /// Whether this thread may open what a replaced interface makes necessary.
    #[cfg(feature = "agent")]
    pub(super) fn can_reopen() -> bool {
        use socket2::{Domain, Protocol, Socket, Type};
        let open = |domain, protocol| {
            let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
            socket.bind_device(Some(b"lo"))
        };
        let v6 = open(Domain::IPV6, Protocol::ICMPV6);
        // A host without IPv6 needs none.
        let v6 = v6.is_ok()
            || v6.is_err_and(|error| error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT));
        open(Domain::IPV4, Protocol::ICMPV4).is_ok() && v6
    }

    #[cfg(feature = "agent")]
    pub(super) fn names(set: CapabilitySet) -> String {
        let names: Vec<&str> = set.iter_names().map(|(name, _)| name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(" ") }
    }
}
