//! What happens in the children of a run, between fork and exec.
//!
//! Two processes: the *monitor* makes the namespaces and mounts, and waits. It stays outside of the process id
//! namespace. Its child is process 1 of that namespace and becomes the *payload*; when it ends, the kernel ends all
//! others in there. The monitor ends the payload when the build's process says so or is gone, then removes mount points
//! that had to be made, and reports.
//!
//! - `root`: overlays and the change of the root directory
//! - `place`: mount points
//! - `system`: `/dev`, `/proc`, `/sys`
//! - `mounts`: name resolution, and what the RUN asks for
//! - `payload`: identity, limits, the program
//! - `devices`: runs that must be told from others since they make device nodes, or use ids that there are not
//!
//! Real root is confined by namespaces, by the capabilities that container engines leave to a container's root, by
//! device nodes that cannot be opened outside of `/dev`, and by what is hidden in `/proc` and `/sys`.

mod devices;
mod mounts;
pub(super) mod payload;
mod place;
pub(super) mod root;
mod system;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rbuild_sys::{Ended, Keep, seccomp::Listener};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::Mode,
    io::Errno,
    process::{Pid, PidfdFlags, Resource, Rlimit, getpid, getppid, getrlimit, pidfd_open, setrlimit},
    thread::UnshareFlags,
};

use self::{
    devices::{Watch, seen},
    place::Places,
    root::{Writes, become_root, overlay, private_mounts, scaffold},
};
use super::{
    Network, RunSpec, Whiteouts,
    child::{Doing, Report, Reporter},
    ids::Ids,
};

/// All that a run's children need to know.
pub(super) struct Inside<'a> {
    pub spec: &'a RunSpec,
    pub ids: &'a Ids,
    pub whiteouts: Whiteouts,
    /// Where the payload writes to: standard output, standard error.
    pub output: [BorrowedFd<'a>; 2],
    /// Readable when the run should end.
    pub stop: BorrowedFd<'a>,
    /// The build's process.
    pub parent: Pid,
    /// Whether the run ends when it is about to make a device node, or to use an id beyond so many.
    pub watched: Option<u32>,
}

impl Inside<'_> {
    /// The monitor's life. Gives the way in which the payload ended.
    pub fn monitor(&self, reporter: &Reporter) -> Result<Report, Report> {
        let parent = watch(self.parent)?;
        rustix::process::umask(Mode::empty());
        many_descriptors();
        self.ids.enter()?;
        self.namespaces()?;
        let mut view = self.view()?;
        let monitor =
            pidfd_open(getpid(), PidfdFlags::empty()).doing(|| "get a process handle".to_owned())?;
        let watch = self.watched.map(Watch::new).transpose();
        let watch = watch.doing(|| "make a pair of sockets".to_owned())?;
        let mut payload = rbuild_sys::fork(Keep::All, || {
            reporter.watch(|| self.payload(&view, monitor.as_fd(), watch.as_ref()));
            // Only a failure comes here.
            1
        })
        .doing(|| "fork".to_owned())?;
        let listener = watch.and_then(Watch::listener);
        // Kept until the end: who waits for an answer would be told that nobody gives one.
        let mut watched = listener.zip(self.watched);
        let end = wait_for_end(&payload, [self.stop, parent.as_fd()], &mut watched)?;
        if end != End::Itself {
            payload.kill();
        }
        let ended = payload.wait().doing(|| "wait for the payload".to_owned())?;
        view.places.remove_made();
        Ok(match ended {
            _ if end == End::Device => Report::Device,
            _ if end == End::Id => Report::Id,
            Ended::Exited(code) => Report::Exited(code),
            Ended::Signaled(signal) => Report::Signaled(signal),
            Ended::Unknown => Report::Failed("nobody knows how the payload ended".to_owned()),
        })
    }

    fn namespaces(&self) -> Result<(), Report> {
        let mut flags =
            UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
        if self.spec.network == Network::None {
            flags |= UnshareFlags::NEWNET;
        }
        rbuild_sys::unshare(flags).doing(|| "make namespaces".to_owned())?;
        if self.spec.network == Network::None {
            rbuild_sys::loopback_up().doing(|| "start the loopback interface".to_owned())?;
        }
        rustix::system::sethostname(self.spec.hostname.as_bytes())
            .doing(|| "set the host name".to_owned())?;
        private_mounts()
    }

    /// Makes everything that the payload will see but `/proc`, which only itself can mount.
    fn view(&self) -> Result<View, Report> {
        let spec = self.spec;
        let mounts = spec.spare.join("mounts");
        std::fs::create_dir(&mounts).doing(|| format!("make {}", mounts.display()))?;
        let scaffold = scaffold(&mounts)?;
        let writes = Writes {
            upper: &spec.upper,
            work: &spec.work,
        };
        let root = overlay(
            scaffold.as_fd(),
            "root",
            &spec.lowers,
            Some(writes),
            self.whiteouts,
        )?;
        let again = root.try_clone().doing(|| "keep the root".to_owned())?;
        let mut places = Places::new(again);
        let dev = system::devices(&mut places, scaffold.as_fd())?;
        let null = root::open_in_root(&dev, "null".as_ref()).doing(|| "find /dev/null".to_owned())?;
        system::system(&mut places, spec.network, &null)?;
        let proc = places.lasting("/proc").doing(|| "make /proc".to_owned())?;
        mounts::mount_all(spec, scaffold.as_fd(), self.whiteouts, &mut places)?;
        Ok(View {
            root,
            proc,
            null,
            places,
        })
    }

    /// The payload's life until its program takes over.
    fn payload(
        &self,
        view: &View,
        monitor: BorrowedFd<'_>,
        watch: Option<&Watch>,
    ) -> Result<std::convert::Infallible, Report> {
        system::processes(view.proc.as_fd(), &view.null)?;
        become_root(view.root.as_fd())?;
        // Where it cannot be watched, it is told that it must not make device nodes.
        let _ = watch.map(Watch::begin);
        payload::become_payload(self.spec, self.output, monitor)
    }
}

/// The root as the payload will see it.
struct View {
    root: OwnedFd,
    proc: OwnedFd,
    null: OwnedFd,
    places: Places,
}

/// A handle of the parent process, which tells when it ends.
fn watch(parent: Pid) -> Result<OwnedFd, Report> {
    let handle =
        pidfd_open(parent, PidfdFlags::empty()).doing(|| "get a handle of the parent process".to_owned())?;
    if getppid() != Some(parent) {
        return Err(Report::Failed("the parent process is gone".to_owned()));
    }
    Ok(handle)
}

/// A layer takes a descriptor, and there can be hundreds.
fn many_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

/// Why the payload ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Itself,
    /// It should, or nobody needs it any more.
    Told,
    /// It was about to make a device node.
    Device,
    /// It was about to use an id that there is not.
    Id,
}

fn wait_for_end(
    payload: &rbuild_sys::Child,
    told: [BorrowedFd<'_>; 2],
    watched: &mut Option<(Listener, u32)>,
) -> Result<End, Report> {
    loop {
        let [stop, parent] = told;
        let mut sources: Vec<PollFd<'_>> = [payload.as_fd(), stop, parent]
            .into_iter()
            .chain(watched.as_ref().map(|(listener, _)| listener.as_fd()))
            .map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN))
            .collect();
        match poll(&mut sources, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).doing(|| "wait".to_owned()),
        }
        match sources.iter().position(|source| !source.revents().is_empty()) {
            None => {}
            Some(0) => return Ok(End::Itself),
            Some(1 | 2) => return Ok(End::Told),
            Some(_) if sources[3].revents().contains(PollFlags::IN) => {
                drop(sources);
                if let Some(end) = watched
                    .as_ref()
                    .and_then(|(listener, count)| seen(listener, *count))
                {
                    return Ok(end);
                }
            }
            // All that were watched have ended, which their handle says next.
            Some(_) => *watched = None,
        }
    }
}

/// Whether something is readable now.
fn is_ready(source: BorrowedFd<'_>) -> bool {
    let mut sources = [PollFd::from_borrowed_fd(source, PollFlags::IN)];
    matches!(
        poll(
            &mut sources,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0
            })
        ),
        Ok(1..)
    )
}
