//! What a pod's status comes to. No I/O.

use super::{
    manifest::CONTAINER,
    views::{ContainerState, Pod, PodStatus, Why},
};

/// How far a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does not run yet; why, if there is more to it than that it takes time.
    Waiting(Option<String>),
    /// It does not run, and waiting does not help.
    Hopeless(String),
    /// The build runs.
    Running,
    /// The build has ended.
    Ended(End),
}

/// How a build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Exited {
        /// The code.
        code: i32,
        /// What it left to be read (`terminationMessagePath`).
        message: String,
    },
    /// Others ended it, or it did not even begin.
    Broken(String),
}

/// Reasons of a waiting container that stay: another attempt comes to the same. An image that cannot be pulled
/// (`ErrImagePull`) is tried again, and then backed off from.
const LASTING: [&str; 8] = [
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "SignatureValidationFailed",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// Reasons that only say that it takes time.
const USUAL: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// How far the pod is.
pub fn of(pod: &Pod) -> State {
    let status = &pod.status;
    let container = container(status);
    if let Some(terminated) = container.and_then(|state| state.terminated.as_ref()) {
        return State::Ended(match lost(pod, status) {
            Some(why) if terminated.exit_code != 0 => End::Broken(why),
            _ => ended(terminated),
        });
    }
    if status.phase == "Failed" {
        let why = lost(pod, status)
            .unwrap_or_else(|| "the pod failed, and the cluster does not say why".to_owned());
        return State::Ended(End::Broken(why));
    }
    if container.is_some_and(|state| state.running.is_some()) {
        return State::Running;
    }
    waiting(status, container)
}

fn container(status: &PodStatus) -> Option<&ContainerState> {
    let ours = status
        .container_statuses
        .iter()
        .find(|status| status.name == CONTAINER)?;
    Some(&ours.state)
}

/// Why the pod ends before its time, if it does: evicted, drained, past its deadline, deleted.
fn lost(pod: &Pod, status: &PodStatus) -> Option<String> {
    match (&status.reason, &status.message) {
        (Some(reason), Some(message)) => Some(format!("the pod was ended: {reason}: {message}")),
        (Some(reason), None) => Some(format!("the pod was ended: {reason}")),
        (None, _) if pod.metadata.deletion_timestamp.is_some() => Some("the pod was deleted".to_owned()),
        _ => None,
    }
}

fn ended(terminated: &Why) -> End {
    let message = terminated.message.clone().unwrap_or_default();
    match &*terminated.reason {
        "OOMKilled" => End::Broken(
            "the build was killed as it used more memory than the pod may: see --limit memory=…".to_owned(),
        ),
        reason @ ("ContainerCannotRun" | "StartError" | "ContainerStatusUnknown") => {
            End::Broken(format!("the build could not be started: {reason}: {message}"))
        }
        _ => End::Exited {
            code: terminated.exit_code,
            message,
        },
    }
}

fn waiting(status: &PodStatus, container: Option<&ContainerState>) -> State {
    let words = |reason: &str, message: &Option<String>| match message {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    };
    if let Some(waiting) = container.and_then(|state| state.waiting.as_ref()) {
        let reason = &*waiting.reason;
        let text = words(reason, &waiting.message);
        // The Secret comes right after the Job, which may be too late for the first look.
        let secret = text.contains("secret") && text.contains("not found");
        return match reason {
            "" => State::Waiting(None),
            _ if USUAL.contains(&reason) => State::Waiting(None),
            _ if LASTING.contains(&reason) && !secret => State::Hopeless(text),
            _ => State::Waiting(Some(text)),
        };
    }
    let unscheduled = status
        .conditions
        .iter()
        .find(|condition| condition.kind == "PodScheduled" && condition.status == "False");
    State::Waiting(unscheduled.map(|condition| {
        let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
        words(reason, &condition.message)
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state(status: Value) -> State {
        of(&serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap())
    }

    fn with_container(state_of: Value) -> State {
        let other = json!({ "name": "mesh", "ready": true, "restartCount": 0, "image": "", "imageID": "",
            "state": { "running": {} } });
        let ours = json!({ "name": "rbuild", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": state_of });
        state(json!({ "phase": "Pending", "containerStatuses": [other, ours] }))
    }

    fn waits(reason: &str, message: &str) -> State {
        with_container(json!({ "waiting": { "reason": reason, "message": message } }))
    }

    #[test]
    fn what_does_not_run_yet() {
        assert_eq!(of(&Pod::default()), State::Waiting(None));
        assert_eq!(state(json!({ "phase": "Pending" })), State::Waiting(None));
        let unscheduled = json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available" },
        ] });
        let why = "Unschedulable: 0/3 nodes are available".to_owned();
        assert_eq!(state(unscheduled), State::Waiting(Some(why)));
        let scheduled = json!({ "conditions": [{ "type": "PodScheduled", "status": "True" }] });
        assert_eq!(state(scheduled), State::Waiting(None));
        for reason in USUAL {
            assert_eq!(waits(reason, ""), State::Waiting(None), "{reason}");
        }
        let pull = "ErrImagePull: no such host".to_owned();
        assert_eq!(waits("ErrImagePull", "no such host"), State::Waiting(Some(pull)));
        let early = "CreateContainerConfigError: secret \"x\" not found".to_owned();
        assert_eq!(
            waits("CreateContainerConfigError", "secret \"x\" not found"),
            State::Waiting(Some(early))
        );
    }

    #[test]
    fn what_never_runs() {
        for reason in LASTING {
            let expected = State::Hopeless(format!("{reason}: because"));
            assert_eq!(waits(reason, "because"), expected, "{reason}");
        }
    }

    #[test]
    fn what_runs_and_what_ended() {
        assert_eq!(with_container(json!({ "running": {} })), State::Running);
        let exited = |code: i32, message: &str| {
            State::Ended(End::Exited {
                code,
                message: message.to_owned(),
            })
        };
        let terminated = |code: i32, reason: &str, message: &str| {
            with_container(
                json!({ "terminated": { "exitCode": code, "reason": reason, "message": message } }),
            )
        };
        assert_eq!(terminated(0, "Completed", "{}"), exited(0, "{}"));
        assert_eq!(terminated(7, "Error", ""), exited(7, ""));
        let broken = |state: State| match state {
            State::Ended(End::Broken(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(broken(terminated(137, "OOMKilled", "")).contains("--limit memory"));
        assert_eq!(
            broken(terminated(128, "StartError", "exec: \"rbuild\": not found")),
            "the build could not be started: StartError: exec: \"rbuild\": not found"
        );
        let evicted = json!({ "phase": "Failed", "reason": "Evicted", "message": "low on disk" });
        assert_eq!(broken(state(evicted)), "the pod was ended: Evicted: low on disk");
        assert!(broken(state(json!({ "phase": "Failed" }))).contains("does not say why"));
    }

    #[test]
    fn a_pod_that_is_deleted() {
        let pod = |code: i32| {
            let json = json!({
                "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" },
                "status": { "containerStatuses": [{ "name": "rbuild", "ready": false, "restartCount": 0, "image": "",
                    "imageID": "", "state": { "terminated": { "exitCode": code } } }] },
            });
            of(&serde_json::from_value(json).unwrap())
        };
        let deleted = State::Ended(End::Broken("the pod was deleted".to_owned()));
        assert_eq!(pod(143), deleted);
        // What had succeeded before has succeeded.
        assert!(matches!(pod(0), State::Ended(End::Exited { code: 0, .. })));
    }
}
