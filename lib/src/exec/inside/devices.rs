//! Device nodes, which nobody may make in a user namespace: a run that tries to is to be told from others.

use std::{io, os::unix::net::UnixStream};

use nix::libc;
use rbuild_sys::{
    receive_descriptor,
    seccomp::{Condition, Filter, Listener, Rule, Test, Verdict},
    send_descriptor,
};
/// The monitor's end, and that of the payload.
pub(super) struct Watch {
    here: UnixStream,
    there: UnixStream,
}

impl Watch {
    pub fn new() -> io::Result<Self> {
        let (here, there) = UnixStream::pair()?;
        Ok(Self { here, there })
    }

    /// Puts the caller under the watch, as long as it still has the capabilities to do so.
    ///
    /// # Errors
    /// When the kernel cannot do it, or somebody watches the caller already.
    pub fn begin(&self) -> io::Result<()> {
        send_descriptor(&self.there, filter().install_listening()?)
    }

    /// What tells the monitor; nothing if the payload could not be watched.
    pub fn listener(self) -> Option<Listener> {
        drop(self.there);
        receive_descriptor(self.here).ok().map(Listener::from)
    }
}

/// Asks about nodes of devices. Device 0:0 is none: the kernel lets everybody make it, and overlays let nobody.
fn filter() -> Filter {
    let mut rules = Vec::new();
    let mut watch = |call: libc::c_long, mode| {
        let Ok(number) = u32::try_from(call) else { return };
        for (kind, least) in [(libc::S_IFCHR, Some(0)), (libc::S_IFBLK, None)] {
            let is_kind = Test::Masked {
                mask: libc::S_IFMT.into(),
                value: kind.into(),
            };
            let mut when = vec![Condition {
                argument: mode,
                test: is_kind,
            }];
            when.extend(least.map(|least| Condition {
                argument: mode + 1,
                test: Test::Greater(least),
            }));
            rules.push(Rule {
                calls: number..=number,
                when,
                verdict: Verdict::Notify,
            });
        }
    };
    #[cfg(target_arch = "x86_64")]
    watch(libc::SYS_mknod, 1);
    watch(libc::SYS_mknodat, 2);
    Filter {
        rules,
        otherwise: Verdict::Allow,
        foreign: Verdict::Allow,
    }
}
