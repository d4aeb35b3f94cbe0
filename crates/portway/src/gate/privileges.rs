//! What a gate may do that others may not: change the packet filter and bear addresses of others. Nothing else,
//! since it reads what strangers send.

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// Gives up all other capabilities, for this thread and those that it starts: call it before any is started.
///
/// # Errors
/// As `capset(2)` and `prctl(2)`.
pub(crate) fn keep_network_only() -> io::Result<()> {
    let needed = CapabilitySet::NET_ADMIN | CapabilitySet::NET_BIND_SERVICE;
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
            // `nft` and `ip` inherit what they need where we are not root.
            inheritable: now.inheritable & needed,
        },
    )?;
    set_no_new_privs(true)?;
    // Nobody of the same user may attach a debugger and borrow them.
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
