//! The other commands of docker, podman and buildah.

use std::ffi::OsString;

/// Groups of commands, whose members stand for themselves.
const GROUPS: [&str; 3] = ["image", "buildx", "builder"];

/// What is called otherwise here.
const NAMES: [(&str, &str); 5] = [
    ("ls", "images"),
    ("list", "images"),
    ("rm", "rmi"),
    ("remove", "rmi"),
    ("bud", "build"),
];

/// Flags that ask for what is so in any case: of which command, which flag.
const FINE: [(&str, &str); 8] = [
    ("rmi", "-f"),
    ("rmi", "--force"),
    ("images", "-a"),
    ("images", "--all"),
    ("images", "--no-trunc"),
    ("images", "--digests"),
    ("inspect", "--type=image"),
    ("load", "-q"),
];

/// Puts the command and its flags into the words of this program.
pub fn translate(arguments: &mut Vec<OsString>) -> Result<(), String> {
    let is = |at: usize, names: &[&str], arguments: &[OsString]| {
        arguments
            .get(at)
            .is_some_and(|word| names.iter().any(|name| word == *name))
    };
    if is(1, &["--version", "-v"], arguments) {
        arguments[1] = "version".into();
    }
    let in_group = is(1, &GROUPS, arguments);
    if in_group {
        arguments.remove(1);
    }
    let Some(command) = arguments.get(1).and_then(|word| word.to_str()).map(str::to_owned) else {
        return Ok(());
    };
    let renamed = NAMES.iter().find(|(theirs, _)| *theirs == command);
    let command = match renamed {
        // Outside of a group, `rm` and `ls` are about containers.
        Some((theirs, ours)) if in_group || *theirs == "bud" => *ours,
        _ => command.as_str(),
    };
    if [
        "run", "exec", "ps", "rm", "start", "stop", "logs", "create", "compose",
    ]
    .contains(&command)
    {
        return Err(format!(
            "{command} is about containers, and this program only builds and moves images"
        ));
    }
    arguments[1] = command.into();
    let fine = |word: &OsString| FINE.iter().any(|(of, flag)| *of == command && word == *flag);
    let mut at = 0;
    arguments.retain(|word| {
        at += 1;
        at <= 2 || !fine(word)
    });
    if let Some(at) = arguments
        .iter()
        .position(|word| word == "--type")
        .filter(|_| command == "inspect")
        && is(at + 1, &["image"], arguments)
    {
        arguments.drain(at..at + 2);
    }
    if command == "inspect" {
        arguments.insert(2, "--as-docker".into());
    }
    Ok(())
}
