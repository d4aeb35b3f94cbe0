//! How the C library's allocator gives memory back.
#![allow(unsafe_code, reason = "mallopt(3) has no safe wrapper")]

/// Blocks of 4 MiB and more come from the kernel and go back to it.
///
/// Without this the C library raises its threshold to the first large block that is freed. That is the 19 MiB
/// that Argon2id needs for a login, and they would stay with the process for ever.
pub(crate) fn give_large_blocks_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: called before any other thread exists; it changes a number of the allocator, no memory.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 4 << 20) };
}
