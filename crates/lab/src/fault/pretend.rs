//! Servers that give up root, where there is nobody else to become.
//!
//! A user namespace made without root has one user. ProFTPD, Pure-FTPd and vsftpd insist on changing to another, for
//! good reasons that do not hold here: they have nothing that its maker does not have. Calls that change the user
//! succeed without doing anything, in the server and in all that it starts.
#![allow(unsafe_code, reason = "a seccomp filter is installed between fork and exec, which has no safe form")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The calls that are answered with success and not made.
const CALLS: [libc::c_long; 11] = [
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_fchown,
    libc::SYS_fchownat,
];

/// Lets `command` believe that it can change its user.
pub(super) fn pretend(command: &mut Command) {
    let program = program();
    let install = move || -> io::Result<()> {
        let filter =
            libc::sock_fprog { len: program.len() as libc::c_ushort, filter: program.as_ptr().cast_mut() };
        // SAFETY: two system calls; `filter` points into `program`, which lives as long as this closure.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
        };
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: `install` makes system calls only: it takes no lock and allocates nothing.
    unsafe { command.pre_exec(install) };
}

/// Load the call's number; for each of ours jump to the last line; else allow.
fn program() -> Vec<libc::sock_filter> {
    let line = |code: u32, jt: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let mut program = vec![line(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (index, call) in CALLS.iter().enumerate() {
        let to_the_end = CALLS.len() - index;
        program.push(line(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, to_the_end as u8, *call as u32));
    }
    program.push(line(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW));
    // Error number 0: the call returns 0.
    program.push(line(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO));
    program
}
