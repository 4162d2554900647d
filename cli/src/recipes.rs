//! The recipes in testdata are files of the kind they are called, and every command in them is one that there is.

use rbuild::containerfile::Containerfile;
use yaml_rust2::{Yaml, YamlLoader};

const YAML: [(&str, &str, usize); 6] = [
    (
        "gitlab-ci.yml",
        include_str!("../../testdata/recipes/gitlab-ci.yml"),
        6,
    ),
    (
        "github-actions.yml",
        include_str!("../../testdata/recipes/github-actions.yml"),
        4,
    ),
    (
        "tekton-task.yaml",
        include_str!("../../testdata/recipes/tekton-task.yaml"),
        1,
    ),
    (
        "argo-workflow.yaml",
        include_str!("../../testdata/recipes/argo-workflow.yaml"),
        2,
    ),
    (
        "kubernetes-job.yaml",
        include_str!("../../testdata/recipes/kubernetes-job.yaml"),
        1,
    ),
    (
        "openshift-build.yaml",
        include_str!("../../testdata/recipes/openshift-build.yaml"),
        3,
    ),
];
const JENKINSFILE: &str = include_str!("../../testdata/recipes/Jenkinsfile");
const STEP_RUNNER: &str = include_str!("../../testdata/recipes/opschain-step-runner.Containerfile");

#[test]
fn recipes_in_yaml() {
    for (name, text, expected) in YAML {
        let documents = YamlLoader::load_from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut commands = Vec::new();
        for document in &documents {
            assert!(
                document.as_hash().is_some(),
                "{name}: a document that says nothing"
            );
            find(document, &mut commands);
        }
        check(name, &commands, expected);
    }
}

/// Of Groovy only this is looked at: strings, brackets, and that there is one pipeline.
#[test]
fn a_recipe_in_groovy() {
    let strings = groovy(JENKINSFILE);
    assert!(JENKINSFILE.contains("\npipeline {\n"));
    let mut commands = Vec::new();
    for string in &strings {
        match string.contains("apiVersion:") {
            true => {
                let pods = YamlLoader::load_from_str(string).expect("a pod");
                assert_eq!(pods[0]["kind"].as_str(), Some("Pod"));
            }
            false => commands.extend(shell(string)),
        }
    }
    check("Jenkinsfile", &commands, 3);
}

#[test]
fn a_recipe_that_is_a_containerfile() {
    let parsed = Containerfile::parse(STEP_RUNNER).expect("a Containerfile");
    assert_eq!(parsed.stages.len(), 2);
    let runs = STEP_RUNNER.lines().filter_map(|line| line.strip_prefix("RUN "));
    let in_comments = STEP_RUNNER.lines().filter_map(|line| line.strip_prefix("#     "));
    let commands: Vec<_> = runs.chain(in_comments).flat_map(shell).collect();
    check("opschain-step-runner.Containerfile", &commands, 3);
}

/// There are as many commands of ours as expected, and their flags exist.
fn check(name: &str, commands: &[Vec<String>], expected: usize) {
    assert_eq!(commands.len(), expected, "{name}: {commands:#?}");
    for command in commands {
        if command[0].ends_with("executor") {
            crate::kaniko::check(&command[1..])
                .unwrap_or_else(|error| panic!("{name}: {command:?}: {error:#}"));
            continue;
        }
        let line = command.iter().map(Into::into);
        let translated =
            crate::compat::translate(line).unwrap_or_else(|why| panic!("{name}: {command:?}: {why}"));
        assert_eq!(translated.notices, [""; 0], "{name}: {command:?}");
        crate::cli::parse(translated.arguments)
            .unwrap_or_else(|error| panic!("{name}: {command:?}: {error}"));
    }
}

/// Commands in strings, and in the form of containers: `command` and `args`.
fn find(yaml: &Yaml, commands: &mut Vec<Vec<String>>) {
    match yaml {
        Yaml::String(text) => commands.extend(shell(text)),
        Yaml::Array(entries) => entries.iter().for_each(|entry| find(entry, commands)),
        Yaml::Hash(fields) => {
            let words = |name: &str| -> Vec<String> {
                let list = yaml[name].as_vec().into_iter().flatten();
                list.filter_map(Yaml::as_str).map(plain).collect()
            };
            let whole = [words("command"), words("args")].concat();
            let is_ours = whole.first().is_some_and(|word| is_ours(word));
            if is_ours {
                commands.push(whole);
            }
            let rest = fields
                .iter()
                .filter(|(name, _)| !is_ours || !matches!(name.as_str(), Some("command" | "args")));
            rest.for_each(|(_, value)| find(value, commands));
        }
        _ => {}
    }
}

fn is_ours(word: &str) -> bool {
    word == "rbuild" || word.ends_with("/executor") && word.starts_with("/")
}

/// Our commands in a script.
fn shell(script: &str) -> Vec<Vec<String>> {
    let script = plain(&script.replace("\\\n", " "));
    // What is no script, but prose, may have a quote without an end.
    let parts = words(&script).unwrap_or_default();
    let parts = parts.split(|word| matches!(word.as_str(), "\n" | "|" | "&&" | ";"));
    // A name alone is that of a container.
    let ours = parts.filter(|part| part.len() > 1 && is_ours(&part[0]));
    // Nothing here comes after a redirection.
    let argv = ours.map(|part| {
        part.iter()
            .take_while(|word| !word.starts_with('>'))
            .cloned()
            .collect()
    });
    argv.collect()
}

/// Words as a shell has them, and its operators.
fn words(script: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    for c in script.chars().chain(['\n']) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => (quote, begun) = (Some(c), true),
            (None, ' ' | '\t' | '\n' | ';') => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
                if matches!(c, '\n' | ';') {
                    words.push(c.to_string());
                }
            }
            (None, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    quote.is_none().then_some(words)
}

/// The text with `x` in place of all that is only known where it runs: `$NAME`, `${NAME}`, `$(…)`, `${{…}}`, `{{…}}`.
fn plain(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['$', '{']) {
        out += &rest[..at];
        rest = &rest[at..];
        let end = ["${{", "{{", "${", "$("].iter().find_map(|open| {
            let close = match *open {
                "${{" | "{{" => "}}",
                "${" => "}",
                _ => ")",
            };
            rest.strip_prefix(open)?
                .find(close)
                .map(|at| open.len() + at + close.len())
        });
        let name = || {
            let letters = rest.strip_prefix('$').unwrap_or_default();
            let end = letters.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            1 + end.unwrap_or(letters.len())
        };
        let end = end.unwrap_or_else(name);
        out += if end > 1 { "x" } else { &rest[..1] };
        rest = &rest[end..];
    }
    out + rest
}

/// The strings of a Groovy file; its brackets are all closed.
fn groovy(text: &str) -> Vec<String> {
    let (mut strings, mut open, mut rest) = (Vec::new(), Vec::new(), text);
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        if rest.starts_with("//") {
            taken = rest.find('\n').unwrap_or(rest.len());
        } else if let Some(quote) = ["'''", "'", "\""]
            .into_iter()
            .find(|quote| rest.starts_with(quote))
        {
            let inside = &rest[quote.len()..];
            let length = inside.find(quote).expect("a string with an end");
            strings.push(inside[..length].to_owned());
            taken = length + 2 * quote.len();
        } else if matches!(c, '{' | '(' | '[') {
            open.push(c);
        } else if matches!(c, '}' | ')' | ']') {
            let expected = match c {
                '}' => '{',
                ')' => '(',
                _ => '[',
            };
            assert_eq!(open.pop(), Some(expected), "at {rest:.20}");
        }
        rest = &rest[taken..];
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    strings
}

#[test]
fn what_is_only_known_later_is_a_name() {
    let text = "$A/${B}:$(c d) ${{ e.f }} {{g}} {h} $";
    assert_eq!(plain(text), "x/x:x x x {h} $");
    let script = "echo \"$A\" | rbuild login -u \"a b\" x > out; /kaniko/executor \\\n  --x\nrbuilds";
    let found = shell(script);
    assert_eq!(
        found,
        [
            vec!["rbuild", "login", "-u", "a b", "x"],
            vec!["/kaniko/executor", "--x"]
        ]
    );
}
