//! What a gate or a transparent proxy may do that others may not: bear addresses of others. Nothing else, since it reads
//! what strangers send.

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// Sockets that bear addresses of others, and ports below 1024. CAP_NET_RAW is enough for the former (IP_TRANSPARENT).
pub(crate) const TRANSPARENT: CapabilitySet = CapabilitySet::NET_RAW.union(CapabilitySet::NET_BIND_SERVICE);

/// Gives up all capabilities but these, for this thread and those that it starts: call it before any is started.
///
/// # Errors
/// As `capset(2)` and `prctl(2)`.
pub(crate) fn keep(needed: CapabilitySet) -> io::Result<()> {
    // Fails without CAP_SETPCAP; what is not there cannot be regained anyway.
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if !needed.contains(capability) && remove_capability_from_bounding_set(capability).is_err() {
            break;
        }
    }
    let now = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: now.permitted & needed,
            permitted: now.permitted & needed,
            inheritable: now.inheritable & needed,
        },
    )?;
    set_no_new_privs(true)?;
    // Nobody of the same user may attach a debugger and borrow them.
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
