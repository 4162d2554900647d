//! `rbuild job` against a cluster in this process.
//!
//! - `builds`: the pod runs the command itself, and pushes to a registry
//! - `ends`: each way in which a Job can end
//! - `streams`: the context on its way into the pod, and the log on its way back
//! - `requests`: what is asked of the cluster, and whom

mod builds;
mod ends;
mod requests;
mod streams;

use std::process::{Command, Stdio};

use rbuild_testutils::kubernetes::{Cluster, Fate, Script};

use crate::common::{Place, Ran};

/// A cluster, and an app to be built there.
struct Room {
    place: Place,
    cluster: Cluster,
}

impl Room {
    fn new(script: Script) -> Self {
        let place = Place::new();
        place.write("app/Containerfile", "FROM scratch\nCOPY file /\n");
        place.write("app/file", "content\n");
        let cluster = Cluster::start(script);
        place.write("kubeconfig", &cluster.kubeconfig());
        Self { place, cluster }
    }

    fn with_fate(fate: Fate) -> Self {
        Self::new(Script::new(fate))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let always = [
            "job",
            "--kubeconfig",
            "kubeconfig",
            "--builder-image",
            "r.example/rbuild:1",
        ];
        let mut command = self.place.command(always.iter().chain(arguments));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Has the app built. Whatever comes of it, nothing stays in the cluster.
    #[track_caller]
    fn job(&self, arguments: &[&str]) -> Ran {
        let output = self.command(&[arguments, &["app"]].concat()).output().unwrap();
        let ran = self.place.finish(&output);
        assert_eq!(self.cluster.objects(), Vec::<String>::new(), "{ran:?}");
        ran
    }
}

/// A container that says this and exits.
fn says(lines: &[&str], code: i32) -> Fate {
    let digest = format!("sha256:{}", "5".repeat(64));
    Fate::Says {
        lines: owned(lines),
        code,
        message: format!("{{\"containerimage.digest\": \"{digest}\"}}\n"),
    }
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}
