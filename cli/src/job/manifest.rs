//! The objects: a Job, and a Secret with what its pod needs of this machine.
//!
//! The pod keeps to the Pod Security Standard `restricted`, and its root filesystem is read-only besides: the store and
//! temporary files are in an `emptyDir`.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{
            Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, KeyToPath,
            LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
            SeccompProfile, Secret, SecretKeySelector, SecretVolumeSource, SecurityContext, Volume,
            VolumeMount,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, OwnerReference},
    },
};

use super::files::{Files, HOME};
use crate::{
    cli::{self, RunAs},
    options::Pair,
};

/// The one container.
pub const CONTAINER: &str = "rbuild";

/// Where the store and temporary files are.
const SCRATCH: &str = "/var/lib/rbuild";

/// Where the container finds a Secret of the cluster with logins.
const LOGINS: &str = "/etc/rbuild-logins";

/// A variable with an address that holds a password.
const CONTEXT: &str = "RBUILD_CONTEXT";

/// What is asked of the cluster.
pub struct Order<'a> {
    /// What the Job and the Secret are called.
    pub name: String,
    /// Where they are, if it is known.
    pub namespace: Option<String>,
    /// What the flags say of them.
    pub pod: &'a cli::JobPod,
    /// The command line of the container, but for the program and the context.
    pub arguments: Vec<String>,
    /// What the build takes its files from.
    pub context: Context,
    /// What goes along.
    pub files: Files,
}

/// Where the files of the build come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    /// From here, through the container's standard input.
    Streamed,
    /// From elsewhere; the pod fetches them.
    Address(String),
    /// The same, and nobody else is to read the address: it is in the Secret under this key.
    Hidden(String),
}

impl Order<'_> {
    /// The Job.
    pub fn job(&self) -> Job {
        let pod = self.pod;
        Job {
            metadata: self.metadata(),
            spec: Some(JobSpec {
                active_deadline_seconds: i64::try_from(pod.deadline.0.as_secs().max(1)).ok(),
                // What failed once fails again, and the context is sent but once.
                backoff_limit: Some(0),
                ttl_seconds_after_finished: i32::try_from(pod.ttl.0.as_secs()).ok(),
                template: PodTemplateSpec {
                    metadata: Some(ObjectMeta {
                        labels: Some(self.labels()),
                        ..ObjectMeta::default()
                    }),
                    spec: Some(self.pod()),
                },
                ..JobSpec::default()
            }),
            status: None,
        }
    }

    /// The Secret, if there is anything to put into it. With the Job that owns it, it goes when that goes.
    pub fn secret(&self, owner: Option<OwnerReference>) -> Option<Secret> {
        let entries = self.files.entries();
        if entries.is_empty() {
            return None;
        }
        let data = entries
            .iter()
            .map(|entry| (entry.key.clone(), ByteString(entry.content.clone())))
            .collect();
        Some(Secret {
            metadata: ObjectMeta {
                owner_references: owner.map(|owner| vec![owner]),
                ..self.metadata()
            },
            data: Some(data),
            immutable: Some(true),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        })
    }

    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name.clone()),
            namespace: self.namespace.clone(),
            labels: Some(self.labels()),
            ..ObjectMeta::default()
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = pairs(&self.pod.job_labels);
        labels.insert("app.kubernetes.io/managed-by".to_owned(), "rbuild".to_owned());
        labels
    }

    fn pod(&self) -> PodSpec {
        let pod = self.pod;
        let pull_secrets = pod
            .image_pull_secrets
            .iter()
            .map(|name| LocalObjectReference { name: name.clone() });
        PodSpec {
            restart_policy: Some("Never".to_owned()),
            // A build asks the cluster for nothing.
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            service_account_name: pod.service_account.clone(),
            image_pull_secrets: some(pull_secrets.collect()),
            node_selector: Some(pairs(&pod.node_selector)).filter(|pairs| !pairs.is_empty()),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: match pod.run_as_user {
                    RunAs::User(user) => Some(user),
                    RunAs::Cluster => None,
                },
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    localhost_profile: None,
                }),
                ..PodSecurityContext::default()
            }),
            containers: vec![self.container()],
            volumes: Some(self.volumes().into_iter().map(|(volume, _)| volume).collect()),
            ..PodSpec::default()
        }
    }

    fn container(&self) -> Container {
        let pod = self.pod;
        let streamed = (self.context == Context::Streamed).then_some(true);
        let quantities = |quantities: &[cli::Quantity]| {
            let one = |one: &cli::Quantity| (one.name.clone(), Quantity(one.quantity.clone()));
            Some(quantities.iter().map(one).collect()).filter(|all: &BTreeMap<_, _>| !all.is_empty())
        };
        let (limits, requests) = (quantities(&pod.limits), quantities(&pod.requests));
        let bounded = limits.is_some() || requests.is_some();
        Container {
            name: CONTAINER.to_owned(),
            image: Some(pod.builder_image.clone()),
            command: Some(vec![pod.builder_command.clone()]),
            args: Some(self.arguments()),
            env: Some(self.variables()),
            stdin: streamed,
            // The end of the context is the end of standard input.
            stdin_once: streamed,
            resources: bounded.then_some(ResourceRequirements {
                limits,
                requests,
                claims: None,
            }),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                capabilities: Some(Capabilities {
                    add: None,
                    drop: Some(vec!["ALL".to_owned()]),
                }),
                read_only_root_filesystem: Some(true),
                ..SecurityContext::default()
            }),
            volume_mounts: Some(self.volumes().into_iter().map(|(_, mount)| mount).collect()),
            ..Container::default()
        }
    }

    /// The cluster puts variables where it reads `$(NAME)`, and takes `$$` for `$`.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["build".to_owned()];
        if self.pod.registry_secret.is_some() {
            arguments.push(format!("--authfile={LOGINS}/config.json"));
        }
        arguments.extend(self.arguments.iter().map(|argument| argument.replace('$', "$$")));
        arguments.push("--".to_owned());
        arguments.push(match &self.context {
            Context::Streamed => "-".to_owned(),
            Context::Address(address) => address.replace('$', "$$"),
            Context::Hidden(_) => format!("$({CONTEXT})"),
        });
        arguments
    }

    fn variables(&self) -> Vec<EnvVar> {
        let store = format!("{SCRATCH}/store");
        let plain = [("HOME", HOME), ("TMPDIR", SCRATCH), ("RBUILD_ROOT", &store)];
        let mut variables: Vec<EnvVar> = plain
            .into_iter()
            .map(|(name, value)| EnvVar {
                name: name.to_owned(),
                value: Some(value.to_owned()),
                value_from: None,
            })
            .collect();
        if let Context::Hidden(key) = &self.context {
            variables.push(EnvVar {
                name: CONTEXT.to_owned(),
                value: None,
                value_from: Some(EnvVarSource {
                    secret_key_ref: Some(SecretKeySelector {
                        name: self.name.clone(),
                        key: key.clone(),
                        optional: None,
                    }),
                    ..EnvVarSource::default()
                }),
            });
        }
        variables
    }

    /// Volumes, and where they are seen.
    fn volumes(&self) -> Vec<(Volume, VolumeMount)> {
        let scratch = Volume {
            name: "scratch".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        };
        let mut volumes = vec![mounted(scratch, SCRATCH, false)];
        let files = self.files.entries().iter();
        let items: Vec<KeyToPath> = files
            .filter_map(|entry| Some(item(&entry.key, entry.path.as_ref()?)))
            .collect();
        if !items.is_empty() {
            volumes.push(mounted(of_secret("files", &self.name, items), HOME, true));
        }
        if let Some(secret) = &self.pod.registry_secret {
            let items = vec![item(&secret.key, "config.json")];
            volumes.push(mounted(of_secret("logins", &secret.name, items), LOGINS, true));
        }
        volumes
    }
}

fn item(key: &str, path: &str) -> KeyToPath {
    KeyToPath {
        key: key.to_owned(),
        path: path.to_owned(),
        mode: None,
    }
}

fn of_secret(volume: &str, secret: &str, items: Vec<KeyToPath>) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            items: Some(items),
            // Whoever the build runs as reads them, and nobody else is in the pod.
            default_mode: Some(0o444),
            optional: None,
        }),
        ..Volume::default()
    }
}

fn mounted(volume: Volume, path: &str, read_only: bool) -> (Volume, VolumeMount) {
    let mount = VolumeMount {
        name: volume.name.clone(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    (volume, mount)
}

fn pairs(pairs: &[Pair]) -> BTreeMap<String, String> {
    let pair = |pair: &Pair| (pair.name.clone(), pair.value.clone());
    pairs.iter().map(pair).collect()
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}
