//! As much of the cluster's objects as is read. The types that objects are sent as have all their fields; the code that
//! reads these would be a third of this program.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Deserialize;

/// An object with a status.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct View<Status: Default> {
    /// Which object.
    #[serde(default)]
    pub metadata: Metadata,
    /// How it is.
    #[serde(default)]
    pub status: Status,
}

/// A pod.
pub type Pod = View<PodStatus>;

/// A Job.
pub type Job = View<JobStatus>;

/// Several objects.
#[derive(Clone, Debug, Deserialize)]
pub struct List<T> {
    /// When that was so.
    #[serde(default)]
    pub metadata: Metadata,
    /// The objects.
    pub items: Vec<T>,
}

/// Which object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// What it is called.
    pub name: String,
    /// Which of all that had and will have the name.
    pub uid: String,
    /// Which state of it.
    pub resource_version: String,
    /// Whether it is about to go, and when.
    pub deletion_timestamp: Option<String>,
}

impl Metadata {
    /// Of a Job, as the owner of another object.
    pub fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: "batch/v1".to_owned(),
            kind: "Job".to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            ..OwnerReference::default()
        }
    }
}

/// How a pod is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: String,
    /// Why it ended, if others ended it.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// Whether it has a node, among others.
    pub conditions: Vec<Condition>,
    /// Its containers.
    pub container_statuses: Vec<Container>,
}

/// How a Job is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct JobStatus {
    /// Whether it failed, among others.
    pub conditions: Vec<Condition>,
}

/// Something that is so, or not.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// What.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
}

/// How a container is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Which.
    pub name: String,
    /// Waiting, running or terminated.
    pub state: ContainerState,
}

/// One of these.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// It does not run yet.
    pub waiting: Option<Why>,
    /// It runs.
    pub running: Option<serde::de::IgnoredAny>,
    /// It has run.
    pub terminated: Option<Why>,
}

/// Why a container does not run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Why {
    /// What it exited with.
    pub exit_code: i32,
    /// In a word.
    pub reason: String,
    /// In words, or what the container left to be read.
    pub message: Option<String>,
}

/// What happened to an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    /// In a word.
    pub reason: String,
    /// In words.
    pub message: String,
}
