//! Whether an object is what the API's schema says (`testdata/kubernetes`), and whether its pod is admitted by the Pod
//! Security Standard `restricted`.

use std::sync::OnceLock;

use serde_json::Value;

const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../testdata/kubernetes/schema-1.33.json"
);

/// What is wrong with a Job or a Secret; nothing, if it is empty.
pub fn faults(object: &Value) -> Vec<String> {
    let definition = match object["kind"].as_str() {
        Some("Job") => "io.k8s.api.batch.v1.Job",
        Some("Secret") => "io.k8s.api.core.v1.Secret",
        other => return vec![format!("no kind that is known: {other:?}")],
    };
    let mut faults = Vec::new();
    check(object, &schema()[definition], "", &mut faults);
    faults
}

fn schema() -> &'static Value {
    static PARSED: OnceLock<Value> = OnceLock::new();
    PARSED.get_or_init(|| {
        let text = std::fs::read_to_string(SCHEMA).expect("the schema is in testdata");
        serde_json::from_str(&text).expect("the schema is JSON")
    })
}

fn check(value: &Value, rule: &Value, at: &str, faults: &mut Vec<String>) {
    if let Some(name) = rule["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        return check(value, &schema()[name], at, faults);
    }
    if let Some(choices) = rule["oneOf"].as_array() {
        let fits = |choice: &Value| {
            let mut faults = Vec::new();
            check(value, choice, at, &mut faults);
            faults.is_empty()
        };
        if !choices.iter().any(fits) {
            faults.push(format!("{at}: is none of {choices:?}"));
        }
        return;
    }
    if !is_of_type(value, &rule["type"]) {
        return faults.push(format!("{at}: {value} is not of the type {}", rule["type"]));
    }
    if rule["enum"]
        .as_array()
        .is_some_and(|known| !known.contains(value))
    {
        faults.push(format!("{at}: {value} is not one of {}", rule["enum"]));
    }
    for required in rule["required"].as_array().into_iter().flatten() {
        if value[required.as_str().unwrap_or_default()].is_null() {
            faults.push(format!("{at}: {required} is missing"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{name}");
        match (&rule["properties"][name], &rule["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => faults.push(format!("{at}: the API knows no such field")),
            (Value::Null, Value::Object(_)) => check(inner, &rule["additionalProperties"], &at, faults),
            (Value::Null, _) => {}
            (known, _) => check(inner, known, &at, faults),
        }
    }
    for (number, inner) in value.as_array().into_iter().flatten().enumerate() {
        check(inner, &rule["items"], &format!("{at}/{number}"), faults);
    }
}

fn is_of_type(value: &Value, types: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    match types {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        // A rule without a type takes anything.
        _ => true,
    }
}

/// Why the Pod Security Standard `restricted` does not admit a pod, given its spec.
pub fn violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut rule = |holds: bool, words: &str| {
        if !holds {
            found.push(words.to_owned());
        }
    };
    let whole = &pod["securityContext"];
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        rule(pod[field] != true, field);
    }
    const VOLUMES: [&str; 8] = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kinds = volume.as_object().into_iter().flatten();
        let known = kinds
            .filter(|(name, _)| *name != "name")
            .all(|(name, _)| VOLUMES.contains(&&**name));
        rule(known, "restricted volume types");
    }
    for container in ["containers", "initContainers"]
        .iter()
        .flat_map(|list| pod[*list].as_array().into_iter().flatten())
    {
        let own = &container["securityContext"];
        let either = |field: &str| match &own[field] {
            Value::Null => &whole[field],
            own => own,
        };
        rule(own["privileged"] != true, "privileged");
        rule(
            own["allowPrivilegeEscalation"] == false,
            "allowPrivilegeEscalation != false",
        );
        rule(
            own["capabilities"]["drop"] == serde_json::json!(["ALL"]),
            "unrestricted capabilities",
        );
        let added = own["capabilities"]["add"].as_array().into_iter().flatten();
        rule(
            added.into_iter().all(|name| name == "NET_BIND_SERVICE"),
            "unrestricted capabilities",
        );
        rule(either("runAsNonRoot") == true, "runAsNonRoot != true");
        rule(either("runAsUser") != 0, "runAsUser=0");
        let seccomp = either("seccompProfile")["type"].as_str();
        rule(
            matches!(seccomp, Some("RuntimeDefault" | "Localhost")),
            "seccompProfile",
        );
        rule(
            own["procMount"].is_null() || own["procMount"] == "Default",
            "procMount",
        );
        let ports = container["ports"].as_array().into_iter().flatten();
        rule(
            ports.into_iter().all(|port| port["hostPort"].is_null()),
            "hostPort",
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_api_does_not_know_is_found() {
        let secret = json!({ "kind": "Secret", "apiVersion": "v1", "metadata": { "name": "a" }, "data": { "k": "dg==" } });
        assert_eq!(faults(&secret), Vec::<String>::new());
        let job = |spec: Value| json!({ "kind": "Job", "apiVersion": "batch/v1", "spec": spec });
        let template =
            json!({ "spec": { "containers": [{ "name": "a", "resources": { "limits": { "cpu": 1 } } }] } });
        assert_eq!(
            faults(&job(json!({ "template": template }))),
            Vec::<String>::new()
        );
        let wrong = [
            json!({}),
            json!({ "template": {}, "backofLimit": 0 }),
            json!({ "template": {}, "backoffLimit": "0" }),
            json!({ "template": { "spec": { "containers": [{ "image": "a" }] } } }),
            json!({ "template": { "spec": { "containers": {} } } }),
        ];
        for spec in wrong {
            assert_eq!(faults(&job(spec.clone())).len(), 1, "{spec}");
        }
        assert_eq!(faults(&json!({ "kind": "Job", "apiVersion": "v1" })).len(), 1);
    }

    #[test]
    fn what_restricted_does_not_admit() {
        let pod = |change: fn(&mut Value)| {
            let mut pod = json!({
                "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
                "volumes": [{ "name": "a", "emptyDir": {} }],
                "containers": [{ "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } } }],
            });
            change(&mut pod);
            violations(&pod)
        };
        assert_eq!(pod(|_| ()), Vec::<String>::new());
        let changes: [fn(&mut Value); 6] = [
            |pod| pod["hostNetwork"] = json!(true),
            |pod| pod["volumes"][0] = json!({ "name": "a", "hostPath": { "path": "/" } }),
            |pod| pod["securityContext"]["runAsUser"] = json!(0),
            |pod| pod["securityContext"]["seccompProfile"] = json!(null),
            |pod| pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(null),
            |pod| pod["containers"][0]["securityContext"]["capabilities"]["add"] = json!(["SYS_ADMIN"]),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_eq!(pod(change).len(), 1, "{number}");
        }
    }
}
