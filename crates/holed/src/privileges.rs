//! Giving up everything but CAP_NET_ADMIN.

use std::io;

use rustix::process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

/// Becomes `user` if one is given, and keeps no capability but CAP_NET_ADMIN.
///
/// The process has one thread, so what is set for the thread is set for the process.
pub(crate) fn keep_net_admin_only(user: Option<u32>) -> io::Result<()> {
    let only = CapabilitySet::NET_ADMIN;
    // Without CAP_SETPCAP this fails, and then nothing can be regained anyway once no_new_privs is set.
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if capability != only && remove_capability_from_bounding_set(capability).is_err() {
            break;
        }
    }
    if let Some(user) = user {
        set_keep_capabilities(true)?;
        let (gid, uid) = (Gid::from_raw(user), Uid::from_raw(user));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
    }
    clear_ambient_capability_set()?;
    set_capabilities(
        None,
        CapabilitySets { effective: only, permitted: only, inheritable: CapabilitySet::empty() },
    )?;
    set_no_new_privs(true)?;
    // Nobody of the same user may attach a debugger and borrow the capability.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
