//! `rbuild job`.

use std::{path::PathBuf, str::FromStr};

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};

use super::{Build, Time};
use crate::options::Pair;

/// What happens in the cluster.
const WHAT: &str = "\
The build runs in a pod that the Pod Security Standard `restricted` admits. The context is streamed into it, its log is shown here, and its
exit code is that of this command. Logins of the registries that the build names, certificates and secrets travel in one Secret, which the
Job owns; the Job is deleted at the end. Wanted in the namespace: create, get and delete of jobs, create of secrets, get, list and watch of
pods, get of pods/log, get and create of pods/attach, list of events.";

/// `rbuild job`.
#[derive(Args, Debug)]
#[command(after_help = WHAT)]
pub struct Job {
    #[command(flatten)]
    pub build: Build,
    #[command(flatten)]
    pub cluster: Cluster,
    #[command(flatten)]
    pub pod: Pod,
    /// Print the manifests, as -o yaml or -o json say, and send nothing
    #[arg(
        long,
        value_enum,
        value_name = "client",
        hide_possible_values = true,
        help_heading = "Job"
    )]
    pub dry_run: Option<DryRun>,
}

/// `--dry-run`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// Without asking the cluster.
    Client,
}

/// Which cluster, and where in it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Cluster")]
pub struct Cluster {
    /// How to reach the cluster [default: KUBECONFIG, ~/.kube/config, or the service account of the pod that this runs in]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Which of its contexts [default: its current one]
    #[arg(long = "context", id = "kube-context", value_name = "NAME")]
    pub context: Option<String>,
    /// Where the Job is made [default: the namespace of the context]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// What the Job and its pod are like.
#[derive(Args, Debug)]
#[command(next_help_heading = "Job")]
pub struct Pod {
    /// The image that has rbuild in it
    #[arg(
        long,
        env = "RBUILD_BUILDER_IMAGE",
        hide_env_values = true,
        value_name = "IMAGE"
    )]
    pub builder_image: String,
    /// Where rbuild is in it
    #[arg(long, default_value = "rbuild", value_name = "PROGRAM")]
    pub builder_command: String,
    /// The name of the Job [default: one of its own for each build]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A label of the Job and of its pod; may be repeated
    #[arg(long = "job-label", value_name = "NAME=VALUE")]
    pub job_labels: Vec<Pair>,
    /// Who the build runs as; `cluster` leaves that to the cluster, as OpenShift wants it
    #[arg(long, default_value = "65532", value_name = "UID")]
    pub run_as_user: RunAs,
    /// The pod's service account
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// A Secret to pull the builder's image with; may be repeated
    #[arg(long = "image-pull-secret", value_name = "NAME")]
    pub image_pull_secrets: Vec<String>,
    /// What the pod asks for, as in cpu=2, memory=4Gi, ephemeral-storage=20Gi; may be repeated
    #[arg(long = "request", value_name = "NAME=QUANTITY")]
    pub requests: Vec<Quantity>,
    /// What the pod may have, likewise
    #[arg(long = "limit", value_name = "NAME=QUANTITY")]
    pub limits: Vec<Quantity>,
    /// A label that the node must have; may be repeated
    #[arg(long = "node-selector", value_name = "NAME=VALUE")]
    pub node_selector: Vec<Pair>,
    /// A Secret of the cluster with the logins for registries, in the place of those of this machine
    #[arg(long, value_name = "NAME[:KEY]", conflicts_with_all = ["creds", "authfile"])]
    pub registry_secret: Option<SecretKey>,
    /// How long the Job may take
    #[arg(long, default_value = "1h", value_name = "TIME")]
    pub deadline: Time,
    /// How long it may take until the pod runs: the cluster's queue, the pull of the builder's image
    #[arg(long, default_value = "10m", value_name = "TIME")]
    pub start_timeout: Time,
    /// When the cluster removes the Job if nobody did
    #[arg(long, default_value = "10m", value_name = "TIME")]
    pub ttl: Time,
}

/// `--run-as-user`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// This user, who is not root.
    User(i64),
    /// Whoever the cluster says, or the image.
    Cluster,
}

impl FromStr for RunAs {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "cluster" {
            return Ok(Self::Cluster);
        }
        match text.parse() {
            Ok(0) => bail!("the pod may not run as root"),
            Ok(user) if user > 0 => Ok(Self::User(user)),
            _ => bail!("expected a user's number, or cluster"),
        }
    }
}

/// `NAME=QUANTITY`: a resource of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// `cpu`, `memory`, ….
    pub name: String,
    /// As the cluster writes it: `500m`, `4Gi`.
    pub quantity: String,
}

impl FromStr for Quantity {
    type Err = anyhow::Error;

    /// The cluster's own rule, but for signs: a number, with a fraction, and a suffix or an exponent if need be.
    fn from_str(text: &str) -> Result<Self> {
        const SUFFIXES: [&str; 14] = [
            "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti",
        ];
        let Some((name, quantity)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            bail!("expected NAME=QUANTITY, as in memory=4Gi");
        };
        let end = quantity
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(quantity.len());
        let (number, suffix) = quantity.split_at(end);
        let exponent = suffix.strip_prefix(['e', 'E']);
        let is_exponent = exponent.is_some_and(|exponent| exponent.parse::<i32>().is_ok());
        ensure!(
            number.parse::<f64>().is_ok() && (SUFFIXES.contains(&suffix) || is_exponent),
            "{quantity:?} is no quantity: it is one like 2, 500m or 4Gi"
        );
        Ok(Self {
            name: name.to_owned(),
            quantity: quantity.to_owned(),
        })
    }
}

/// `NAME[:KEY]`: something in a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// The Secret.
    pub name: String,
    /// Which of its entries.
    pub key: String,
}

impl FromStr for SecretKey {
    type Err = anyhow::Error;

    /// Without a key it is that of Secrets of the type `kubernetes.io/dockerconfigjson`.
    fn from_str(text: &str) -> Result<Self> {
        let (name, key) = text.split_once(':').unwrap_or((text, ".dockerconfigjson"));
        ensure!(!name.is_empty() && !key.is_empty(), "expected NAME or NAME:KEY");
        Ok(Self {
            name: name.to_owned(),
            key: key.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for text in [
            "cpu=2",
            "cpu=500m",
            "cpu=0.5",
            "memory=4Gi",
            "memory=1E",
            "memory=12e6",
            "ephemeral-storage=20G",
        ] {
            assert!(text.parse::<Quantity>().is_ok(), "{text}");
        }
        for text in [
            "",
            "cpu",
            "=2",
            "cpu=",
            "cpu=two",
            "memory=4GB",
            "memory=4 Gi",
            "memory=4e",
            "memory=4e1.5",
            "cpu=-1",
            "cpu=1.2.3",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn nobody_is_root() {
        assert_eq!("1000".parse::<RunAs>().unwrap(), RunAs::User(1000));
        assert_eq!("cluster".parse::<RunAs>().unwrap(), RunAs::Cluster);
        for text in ["0", "-1", "root", ""] {
            assert!(text.parse::<RunAs>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_login_in_the_cluster() {
        let key = |name: &str, key: &str| SecretKey {
            name: name.to_owned(),
            key: key.to_owned(),
        };
        assert_eq!(
            "regcred".parse::<SecretKey>().unwrap(),
            key("regcred", ".dockerconfigjson")
        );
        assert_eq!(
            "kaniko:config.json".parse::<SecretKey>().unwrap(),
            key("kaniko", "config.json")
        );
        assert!(":x".parse::<SecretKey>().is_err());
    }
}
