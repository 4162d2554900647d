//! What becomes of a Job: a pod, and what the script says of it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    Fate,
    state::{Shared, text},
};

/// Does with a new Job what the script says.
pub fn run(shared: &Arc<Shared>, job: &Value) {
    let fate = shared.script().fate.clone();
    if let Fate::NoPod(why) = &fate {
        return event(shared, &text(&job["metadata"]["name"]), "FailedCreate", why);
    }
    let pod = make(job);
    let name = text(&pod["metadata"]["name"]);
    shared.change(|state| state.put(pod.clone()));
    match fate {
        Fate::NoNode(why) => status(
            shared,
            &name,
            json!({ "phase": "Pending", "conditions": [
                { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why },
            ] }),
        ),
        Fate::NoImage(why) => {
            waiting(shared, &name, "ErrImagePull", &why);
            event(shared, &name, "Failed", &why);
            waiting(shared, &name, "ImagePullBackOff", "Back-off pulling image");
        }
        Fate::BadImageName(why) => waiting(shared, &name, "InvalidImageName", &why),
        Fate::NoVolume(why) => {
            waiting(shared, &name, "ContainerCreating", "");
            event(shared, &name, "FailedMount", &why);
        }
        Fate::Evicted(why) => status(
            shared,
            &name,
            json!({ "phase": "Failed", "reason": "Evicted", "message": why }),
        ),
        Fate::Says { lines, code, message } => {
            begin(shared, &pod);
            hear(shared, &name, &pod);
            say(shared, &name, &lines);
            be_seen(shared, &name);
            end(shared, &name, code, "", &message);
        }
        Fate::OutOfMemory(lines) => {
            begin(shared, &pod);
            hear(shared, &name, &pod);
            say(shared, &name, &lines);
            be_seen(shared, &name);
            end(shared, &name, 137, "OOMKilled", "");
        }
        Fate::Hangs(lines) => {
            begin(shared, &pod);
            say(shared, &name, &lines);
        }
        Fate::Deleted(lines) => {
            begin(shared, &pod);
            say(shared, &name, &lines);
            be_seen(shared, &name);
            shared.change(|state| state.remove("Pod", &name));
        }
        Fate::Late(lines) => {
            begin(shared, &pod);
            say(shared, &name, &lines);
            be_seen(shared, &name);
            let failed = json!({ "conditions": [{ "type": "Failed", "status": "True", "reason": "DeadlineExceeded" }] });
            shared.change(|state| {
                let mut job = job.clone();
                job["status"] = failed;
                state.put(job);
                state.remove("Pod", &name)
            });
        }
        Fate::Runs(program) => process(shared, &pod, &program),
        Fate::NoPod(_) => {}
    }
}

fn make(job: &Value) -> Value {
    let template = &job["spec"]["template"];
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"],
        "spec": template["spec"],
        "status": { "phase": "Pending" },
    });
    let metadata = &mut pod["metadata"];
    let name = text(&job["metadata"]["name"]);
    metadata["name"] = json!(format!("{name}-x7k2p"));
    metadata["namespace"] = job["metadata"]["namespace"].clone();
    metadata["labels"]["job-name"] = json!(name);
    metadata["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"], "controller": true,
    }]);
    pod
}

fn event(shared: &Shared, object: &str, reason: &str, message: &str) {
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": format!("{object}.1"), "namespace": "builds" },
        "involvedObject": { "name": object },
        "type": "Warning",
        "reason": reason,
        "message": message,
    });
    shared.change(|state| state.put(event));
}

/// Sets the status of a pod, if it is still there.
fn status(shared: &Shared, pod: &str, status: Value) {
    shared.change(|state| {
        if let Some(mut known) = state.get("Pod", pod).cloned() {
            known["status"] = status;
            state.put(known);
        }
    });
}

fn container(shared: &Shared, pod: &str, phase: &str, state: Value) {
    let container = json!({ "name": "rbuild", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state });
    status(
        shared,
        pod,
        json!({ "phase": phase, "containerStatuses": [container] }),
    );
}

fn waiting(shared: &Shared, pod: &str, reason: &str, message: &str) {
    let waiting = json!({ "waiting": { "reason": reason, "message": message } });
    container(shared, pod, "Pending", waiting);
}

/// Lets the container run once its Secrets are there. False if the pod is gone before.
fn begin(shared: &Shared, pod: &Value) -> bool {
    let name = text(&pod["metadata"]["name"]);
    waiting(shared, &name, "ContainerCreating", "");
    let secrets: Vec<String> = pod["spec"]["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|volume| text(&volume["secret"]["secretName"]))
        .filter(|secret| !secret.is_empty())
        .collect();
    let there = shared.wait(|state| {
        let all = secrets.iter().all(|secret| state.get("Secret", secret).is_some());
        let gone = state.get("Pod", &name).is_none();
        (all || gone).then_some(!gone)
    });
    if there != Some(true) {
        return false;
    }
    shared.change(|state| state.logs.insert(name.clone(), super::state::Log::default()));
    container(shared, &name, "Running", json!({ "running": {} }));
    true
}

/// Waits for the end of standard input, if the container has one.
fn hear(shared: &Shared, name: &str, pod: &Value) {
    if pod["spec"]["containers"][0]["stdin"] == true {
        let heard = std::io::sink();
        shared.change(|state| state.inputs.insert(name.to_owned(), Arc::new(Mutex::new(heard))));
        shared.wait(|state| (!state.inputs.contains_key(name)).then_some(()));
    }
}

fn say(shared: &Shared, pod: &str, lines: &[String]) {
    for line in lines {
        shared.change(|state| {
            if let Some(log) = state.logs.get_mut(pod) {
                log.say(line);
            }
        });
    }
}

/// Waits until a client has asked for the log.
fn be_seen(shared: &Shared, pod: &str) {
    shared.wait(|state| state.logs.get(pod).is_none_or(|log| log.asked).then_some(()));
}

fn end(shared: &Shared, pod: &str, code: i32, reason: &str, message: &str) {
    shared.change(|state| {
        if let Some(log) = state.logs.get_mut(pod) {
            log.ended = true;
        }
    });
    let usual = if code == 0 { "Completed" } else { "Error" };
    let reason = if reason.is_empty() { usual } else { reason };
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    let terminated = json!({ "terminated": { "exitCode": code, "reason": reason, "message": message } });
    container(shared, pod, phase, terminated);
}

/// Runs the container as a process, with its volumes in directories of this machine, and their paths in its arguments and
/// variables.
fn process(shared: &Arc<Shared>, pod: &Value, program: &Path) {
    if !begin(shared, pod) {
        return;
    }
    let name = text(&pod["metadata"]["name"]);
    let room = tempfile::tempdir().expect("a directory for the pod");
    let places = volumes(shared, pod, room.path());
    let mut child = command(shared, pod, program, &places)
        .spawn()
        .expect("the program runs");
    if let Some(input) = child.stdin.take() {
        shared.change(|state| state.inputs.insert(name.clone(), Arc::new(Mutex::new(input))));
    }
    let readers = [
        child.stdout.take().map(|out| relay(shared, &name, out)),
        child.stderr.take().map(|out| relay(shared, &name, out)),
    ];
    let code = wait(shared, &name, &mut child);
    for reader in readers.into_iter().flatten() {
        // It ends with the process.
        let _ = reader.join();
    }
    let message = fs::read_to_string(room.path().join("termination-log")).unwrap_or_default();
    end(shared, &name, code, "", &message);
}

/// Waits for the end of a process, and ends it when its pod is gone.
fn wait(shared: &Shared, pod: &str, child: &mut Child) -> i32 {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return status.code().unwrap_or(137);
        }
        if shared.look(|state| state.get("Pod", pod).is_none()) {
            // It may have ended by itself meanwhile.
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn relay(shared: &Arc<Shared>, pod: &str, out: impl Read + Send + 'static) -> thread::JoinHandle<()> {
    let (shared, pod) = (Arc::clone(shared), pod.to_owned());
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            say(&shared, &pod, &[line]);
        }
    })
}

/// What stands for what: a path in the pod, and one of this machine.
fn volumes(shared: &Shared, pod: &Value, room: &Path) -> Vec<(String, PathBuf)> {
    let spec = &pod["spec"];
    let mut places = vec![("/dev/termination-log".to_owned(), room.join("termination-log"))];
    for mount in spec["containers"][0]["volumeMounts"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let name = text(&mount["name"]);
        let place = room.join(&name);
        fs::create_dir_all(&place).expect("a volume");
        let volumes = spec["volumes"].as_array().into_iter().flatten();
        for volume in volumes.filter(|volume| volume["name"] == name) {
            fill(shared, &volume["secret"], &place);
        }
        places.push((text(&mount["mountPath"]), place));
    }
    // A path before those that it begins with.
    places.sort_by_key(|(inside, _)| std::cmp::Reverse(inside.len()));
    places
}

fn fill(shared: &Shared, volume: &Value, place: &Path) {
    let secret = text(&volume["secretName"]);
    let data = shared.look(|state| state.get("Secret", &secret).map(|secret| secret["data"].clone()));
    for item in volume["items"].as_array().into_iter().flatten() {
        let content = data.as_ref().map(|data| text(&data[text(&item["key"])]));
        let content = BASE64_STANDARD
            .decode(content.unwrap_or_default())
            .expect("base64");
        let file = place.join(text(&item["path"]));
        fs::create_dir_all(file.parent().unwrap_or(place)).expect("a directory in a volume");
        fs::write(file, content).expect("a file in a volume");
    }
}

fn command(shared: &Shared, pod: &Value, program: &Path, places: &[(String, PathBuf)]) -> Command {
    let container = &pod["spec"]["containers"][0];
    let here = |text: &str| {
        let mut text = text.to_owned();
        for (inside, outside) in places {
            text = text.replace(inside, &outside.display().to_string());
        }
        text
    };
    let mut variables = Vec::new();
    for variable in container["env"].as_array().into_iter().flatten() {
        let from = &variable["valueFrom"]["secretKeyRef"];
        let value = match from.is_null() {
            true => text(&variable["value"]),
            false => shared.look(|state| {
                let secret = state
                    .get("Secret", &text(&from["name"]))
                    .map(|secret| secret["data"].clone());
                let value = text(&secret.unwrap_or_default()[text(&from["key"])]);
                String::from_utf8(BASE64_STANDARD.decode(value).unwrap_or_default()).unwrap_or_default()
            }),
        };
        variables.push((text(&variable["name"]), value));
    }
    let mut command = Command::new(program);
    let arguments = container["args"].as_array().into_iter().flatten();
    command
        .args(arguments.map(|argument| here(&expand(&text(argument), &variables))))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .envs(variables.iter().map(|(name, value)| (name, here(value))))
        .current_dir("/")
        .stdin(match container["stdin"] == true {
            true => Stdio::piped(),
            false => Stdio::null(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// `$(NAME)` is the variable's value, or stays if there is no such variable; `$$` is `$`.
fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let name = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let found = name.and_then(|(name, after)| {
            let (_, value) = variables.iter().find(|(known, _)| known == name)?;
            Some((value, after))
        });
        match found {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => out.push('$'),
        }
    }
    out + rest
}
