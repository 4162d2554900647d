//! Which system calls the kernel makes at once, which are asked about, and which are refused.
//!
//! Everything that is not in here, and not answered by a handler, fails with ENOSYS: what a newer kernel adds cannot
//! be a way around.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use rbuild_sys::seccomp::{Condition, Filter, Rule, Test, Verdict};

use super::{calls::MARKER, tracer::STAND_INS};
use crate::exec::Network;

const LOW: u64 = 0xffff_ffff;

/// What names no file and concerns no other process than the caller's own descendants.
const MADE: &[c_long] = &[
    // Descriptors that are open already.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_vmsplice,
    libc::SYS_copy_file_range,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_flock,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_readahead,
    libc::SYS_fadvise64,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_signalfd4,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_memfd_create,
    libc::SYS_io_setup,
    libc::SYS_io_destroy,
    libc::SYS_io_getevents,
    libc::SYS_io_submit,
    libc::SYS_io_cancel,
    // Sockets that are what they are already: see the handlers of socket, bind and connect.
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    // Memory.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_msync,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_munlock,
    libc::SYS_mlockall,
    libc::SYS_munlockall,
    libc::SYS_brk,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
    libc::SYS_mseal,
    libc::SYS_membarrier,
    // Signals of its own, threads, children.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getppid,
    libc::SYS_getpgid,
    libc::SYS_setpgid,
    libc::SYS_getsid,
    libc::SYS_setsid,
    libc::SYS_sched_yield,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_getcpu,
    libc::SYS_setrlimit,
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_seccomp,
    // A descriptor of a process comes from pidfd_open, which is asked about, or from clone.
    libc::SYS_pidfd_send_signal,
    // Time and chance.
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_delete,
    libc::SYS_getrandom,
    libc::SYS_sysinfo,
];

#[cfg(target_arch = "x86_64")]
const MADE_HERE: &[c_long] = &[
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_remap_file_pages,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_signalfd,
    libc::SYS_getdents,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_getpgrp,
    libc::SYS_alarm,
    libc::SYS_pause,
    libc::SYS_time,
    libc::SYS_arch_prctl,
    libc::SYS_modify_ldt,
    libc::SYS_set_thread_area,
    libc::SYS_get_thread_area,
];
#[cfg(not(target_arch = "x86_64"))]
const MADE_HERE: &[c_long] = &[];

/// What succeeds and does nothing: the run's files need not survive a crash of the machine.
const NOTHING: &[c_long] = &[
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_sync_file_range,
];

/// What a container may not do either.
const FORBIDDEN: &[c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_fanotify_init,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_get_mempolicy,
];

/// `clone` with these makes namespaces, or a child that is not traced or not a child of the caller.
const STRANGE_CHILDREN: c_long = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_UNTRACED
    | libc::CLONE_PARENT) as c_long;

/// Requests about terminals, sockets and descriptors that ask, or change what is the caller's own. Those that take
/// another process's number, or change what a file is for all who have it open, are missing.
const REQUESTS: &[u64] = &[
    0x5401,      // TCGETS
    0x5402,      // TCSETS
    0x5403,      // TCSETSW
    0x5404,      // TCSETSF
    0x5405,      // TCGETA
    0x5409,      // TCSBRK
    0x540a,      // TCXONC
    0x540b,      // TCFLSH
    0x540e,      // TIOCSCTTY
    0x540f,      // TIOCGPGRP
    0x5410,      // TIOCSPGRP
    0x5411,      // TIOCOUTQ
    0x5413,      // TIOCGWINSZ
    0x5414,      // TIOCSWINSZ
    0x541b,      // FIONREAD
    0x5420,      // TIOCPKT
    0x5421,      // FIONBIO
    0x5422,      // TIOCNOTTY
    0x5425,      // TCSBRKP
    0x5429,      // TIOCGSID
    0x5450,      // FIONCLEX
    0x5451,      // FIOCLEX
    0x5460,      // FIOQSIZE
    0x8901 + 4,  // SIOCATMARK
    0x8910,      // SIOCGIFNAME
    0x8912,      // SIOCGIFCONF
    0x8913,      // SIOCGIFFLAGS
    0x8915,      // SIOCGIFADDR
    0x8919,      // SIOCGIFBRDADDR
    0x891b,      // SIOCGIFNETMASK
    0x891d,      // SIOCGIFMETRIC
    0x8921,      // SIOCGIFMTU
    0x8927,      // SIOCGIFHWADDR
    0x8933,      // SIOCGIFINDEX
    0x8942,      // SIOCGIFTXQLEN
    0x8946,      // SIOCETHTOOL
    0x8004_5430, // TIOCGPTN
    0x4004_5431, // TIOCSPTLCK
    0x5441,      // TIOCGPTPEER
    0x802c_542a, // TCGETS2
    0x402c_542b, // TCSETS2
    0x402c_542c, // TCSETSW2
    0x402c_542d, // TCSETSF2
    0x4004_9409, // FICLONE
    0x4020_940d, // FICLONERANGE
    0x8008_6601, // FS_IOC_GETFLAGS
    0xc020_660b, // FS_IOC_FIEMAP
];

/// `linux/prctl.h`; libc has it for some targets only.
const PR_GET_SPECULATION_CTRL: i32 = 52;

/// Options of prctl that concern the caller alone and that nothing here needs to know.
const OPTIONS: &[i32] = &[
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_SET_PDEATHSIG,
    libc::PR_GET_PDEATHSIG,
    libc::PR_SET_TIMERSLACK,
    libc::PR_GET_TIMERSLACK,
    libc::PR_SET_CHILD_SUBREAPER,
    libc::PR_GET_CHILD_SUBREAPER,
    libc::PR_SET_THP_DISABLE,
    libc::PR_GET_THP_DISABLE,
    libc::PR_SET_SECCOMP,
    libc::PR_GET_SECCOMP,
    libc::PR_SET_VMA,
    libc::PR_GET_TID_ADDRESS,
    PR_GET_SPECULATION_CTRL,
    libc::PR_GET_TSC,
    libc::PR_GET_UNALIGN,
    libc::PR_GET_TIMING,
];

/// Those whose first argument is a process, zero for the caller.
const ABOUT_A_PROCESS: &[c_long] = &[
    libc::SYS_prlimit64,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_getparam,
    libc::SYS_sched_setparam,
    libc::SYS_sched_getattr,
    libc::SYS_sched_setattr,
    libc::SYS_sched_rr_get_interval,
    libc::SYS_get_robust_list,
];

/// What docker's default filter lets `personality` set.
const PERSONALITIES: &[u64] = &[0, 0x8, 0x20000, 0x20008, LOW, 0x4_0000];

/// The filter of a run whose handlers answer these calls.
pub(super) fn filter(answered: &[u32], network: Network) -> Filter {
    let mut verdicts = BTreeMap::new();
    let mut all = |calls: &[c_long], verdict: Verdict| {
        let numbers = calls.iter().filter_map(|call| u32::try_from(*call).ok());
        verdicts.extend(numbers.map(|number| (number, verdict)));
    };
    all(MADE, Verdict::Allow);
    all(MADE_HERE, Verdict::Allow);
    all(NOTHING, Verdict::Fail(0));
    all(FORBIDDEN, Verdict::Fail(libc::EPERM as u16));
    verdicts.extend(answered.iter().map(|number| (*number, Verdict::Notify)));
    let trapped = STAND_INS.iter().filter_map(|(call, _)| u32::try_from(*call).ok());
    verdicts.extend(trapped.map(|number| (number, Verdict::Trap)));
    for exec in [libc::SYS_execve, libc::SYS_execveat] {
        verdicts.extend(u32::try_from(exec).map(|number| (number, Verdict::Trace(0))));
    }
    let mut rules = by_arguments(network);
    for (number, verdict) in verdicts {
        match rules.last_mut() {
            Some(last)
                if last.when.is_empty() && last.verdict == verdict && last.calls.end() + 1 == number =>
            {
                last.calls = *last.calls.start()..=number;
            }
            _ => rules.push(Rule {
                calls: number..=number,
                when: Vec::new(),
                verdict,
            }),
        }
    }
    Filter {
        rules,
        otherwise: Verdict::Fail(libc::ENOSYS as u16),
        foreign: Verdict::UNKNOWN,
    }
}

fn rule(call: c_long, when: &[Condition], verdict: Verdict) -> Rule {
    let number = u32::try_from(call).unwrap_or(u32::MAX);
    Rule {
        calls: number..=number,
        when: when.to_vec(),
        verdict,
    }
}

/// The kernel takes 32 bits of these arguments, whatever the others are.
fn is(argument: u8, value: u64) -> Condition {
    Condition {
        argument,
        test: Test::Masked {
            mask: LOW,
            value: value & LOW,
        },
    }
}

/// The type of a socket, without its flags.
fn kind(kind: i32) -> Condition {
    Condition {
        argument: 1,
        test: Test::Masked {
            mask: 0xf,
            value: kind as u64,
        },
    }
}

/// A pointer to nothing.
fn nothing(argument: u8) -> Condition {
    Condition {
        argument,
        test: Test::Equal(0),
    }
}

fn none_of(argument: u8, mask: u64) -> Condition {
    Condition {
        argument,
        test: Test::Masked { mask, value: 0 },
    }
}

/// Calls that are more than one, by an argument.
fn by_arguments(network: Network) -> Vec<Rule> {
    let fail = |errno: i32| Verdict::Fail(errno as u16);
    let allow = Verdict::Allow;
    // Nobody here can make a network of its own, where there would be nothing but the machine itself.
    let reach = match network {
        Network::Host => allow,
        Network::None => fail(libc::EAFNOSUPPORT),
    };
    let mut rules = vec![
        rule(libc::SYS_clone, &[none_of(0, STRANGE_CHILDREN as u64)], allow),
        rule(libc::SYS_clone, &[], fail(libc::EPERM)),
        // A signal for whoever's number is given, on input or output; and promises that hold up others.
        rule(libc::SYS_fcntl, &[is(1, F_SETOWN_EX)], fail(libc::EINVAL)),
        rule(libc::SYS_fcntl, &[is(1, F_SETLEASE)], fail(libc::EINVAL)),
        rule(libc::SYS_fcntl, &[is(1, F_SETOWN)], Verdict::Notify),
        rule(libc::SYS_fcntl, &[], allow),
        rule(libc::SYS_socket, &[is(0, libc::AF_UNIX as u64)], Verdict::Notify),
        rule(libc::SYS_socket, &[is(0, libc::AF_INET as u64)], reach),
        rule(libc::SYS_socket, &[is(0, libc::AF_INET6 as u64)], reach),
        rule(libc::SYS_socket, &[is(0, libc::AF_NETLINK as u64)], reach),
        rule(libc::SYS_socket, &[], fail(libc::EAFNOSUPPORT)),
        // As the listener itself is sent, before anybody listens.
        rule(libc::SYS_sendmsg, &[is(2, rbuild_sys::SENDING.into())], allow),
        // To and from no name in particular.
        rule(libc::SYS_sendto, &[nothing(4)], allow),
        rule(libc::SYS_recvfrom, &[nothing(4)], allow),
        rule(
            libc::SYS_inotify_rm_watch,
            &[is(1, MARKER as u64)],
            fail(libc::EINVAL),
        ),
        rule(libc::SYS_inotify_rm_watch, &[], allow),
        rule(libc::SYS_socketpair, &[kind(libc::SOCK_STREAM)], allow),
        rule(libc::SYS_socketpair, &[kind(libc::SOCK_SEQPACKET)], allow),
    ];
    rules.extend(
        REQUESTS
            .iter()
            .map(|request| rule(libc::SYS_ioctl, &[is(1, *request)], allow)),
    );
    rules.push(rule(libc::SYS_ioctl, &[], fail(libc::ENOTTY)));
    let options = OPTIONS.iter().map(|option| is(0, option.cast_unsigned().into()));
    rules.extend(options.map(|option| rule(libc::SYS_prctl, &[option], allow)));
    rules.extend(ABOUT_A_PROCESS.iter().map(|call| rule(*call, &[is(0, 0)], allow)));
    let personalities = PERSONALITIES.iter().map(|personality| is(0, *personality));
    rules.extend(personalities.map(|personality| rule(libc::SYS_personality, &[personality], allow)));
    rules.push(rule(libc::SYS_personality, &[], fail(libc::EPERM)));
    rules
}

const F_SETOWN: u64 = 8;
const F_SETOWN_EX: u64 = 15;
const F_SETLEASE: u64 = 1024;
