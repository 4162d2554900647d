//! What one look at an instruction tells, or at those of its stage.

use std::collections::BTreeMap;

use super::{
    super::{
        Command, Containerfile, Copy, Diagnostic, Healthcheck, Instruction, InstructionKind, Source, Span,
        Stage, Word, ignore::clean, values,
    },
    Options, check,
};

pub(super) fn lint(file: &Containerfile, options: &Options<'_>, found: &mut Vec<Diagnostic>) {
    for arg in &file.global_args {
        instruction(file, arg, options, found);
    }
    // What a stage hands on to those that are from it, by the stage's name.
    let mut handed_on: BTreeMap<String, Context> = BTreeMap::new();
    for stage in &file.stages {
        let mut context = handed_on
            .get(&stage.from.image.text.to_lowercase())
            .cloned()
            .unwrap_or_default();
        lint_stage(stage, &mut context, found);
        for each in &stage.instructions {
            instruction(file, each, options, found);
        }
        if let Some(name) = &stage.from.name {
            handed_on.insert(name.text.to_lowercase(), context);
        }
    }
}

/// What earlier instructions of a stage have settled.
#[derive(Clone, Default)]
struct Context {
    shell: bool,
    workdir: bool,
}

fn lint_stage(stage: &Stage, context: &mut Context, found: &mut Vec<Diagnostic>) {
    let mut once: BTreeMap<&str, &Instruction> = BTreeMap::new();
    for instruction in &stage.instructions {
        let name = match &instruction.kind {
            InstructionKind::Cmd(command) => Some(("CMD", Some(command))),
            InstructionKind::Entrypoint(command) => Some(("ENTRYPOINT", Some(command))),
            InstructionKind::Healthcheck(Healthcheck::None | Healthcheck::Cmd { .. }) => {
                Some(("HEALTHCHECK", None))
            }
            InstructionKind::Shell(_) => {
                context.shell = true;
                None
            }
            InstructionKind::Workdir(path) => {
                lint_workdir(path, context, found);
                None
            }
            _ => None,
        };
        let Some((name, command)) = name else { continue };
        if let Some(earlier) = once.insert(name, instruction) {
            let message = format!("another {name} below makes this one useless");
            found.push(Diagnostic::warning(
                "MultipleInstructionsDisallowed",
                message,
                earlier.span.clone(),
            ));
        }
        if matches!(command, Some(Command::Shell(_))) && !context.shell {
            let message = format!("{name} runs in a shell, which keeps signals from the program");
            let warning = Diagnostic::warning("JSONArgsRecommended", message, instruction.span.clone());
            found.push(warning.with_help(format!("write {name} [\"program\", \"argument\"]")));
        }
    }
}

fn lint_workdir(path: &Word, context: &mut Context, found: &mut Vec<Diagnostic>) {
    let absolute = path.text.starts_with(['/', '$', '"', '\'']);
    if !absolute && !context.workdir {
        let message = format!(
            "{} is relative to a directory that the base image decides on",
            path.text
        );
        found.push(Diagnostic::warning(
            "WorkdirRelativePath",
            message,
            path.span.clone(),
        ));
    }
    context.workdir = true;
}

fn instruction(
    file: &Containerfile,
    instruction: &Instruction,
    options: &Options<'_>,
    found: &mut Vec<Diagnostic>,
) {
    match &instruction.kind {
        InstructionKind::Maintainer(_) => {
            let message = "MAINTAINER is deprecated";
            let warning = Diagnostic::warning("MaintainerDeprecated", message, instruction.span.clone());
            found.push(warning.with_help("write LABEL org.opencontainers.image.authors=…"));
        }
        InstructionKind::Arg(arguments) => {
            let names: Vec<String> = arguments.iter().map(|(name, _)| name.text.clone()).collect();
            arguments.iter().for_each(|(name, _)| secret("ARG", name, found));
            if let Some(comment) = stray_description(&instruction.comments, &names) {
                let name = if let [name] = names.as_slice() {
                    name
                } else {
                    "its name"
                };
                let message = format!("a description of this argument begins with {name}");
                found.push(Diagnostic::warning(
                    "InvalidDefinitionDescription",
                    message,
                    comment,
                ));
            }
        }
        InstructionKind::Env(pairs) => {
            pairs.iter().for_each(|(name, _)| secret("ENV", name, found));
            legacy(file, "ENV", pairs, found);
        }
        InstructionKind::Label(pairs) => legacy(file, "LABEL", pairs, found),
        InstructionKind::Expose(words) => words.iter().for_each(|word| expose(word, found)),
        InstructionKind::Copy(copy) if copy.from.is_none() => ignored(copy, options, found),
        InstructionKind::Add(copy) => ignored(copy, options, found),
        _ => {}
    }
}

/// The last comment above a definition, if it looks like a description but begins with none of the names.
pub(super) fn stray_description(comments: &[Word], names: &[String]) -> Option<Span> {
    let last = comments
        .last()
        .filter(|comment| check::directive(&comment.text).is_none())?;
    let first = last.text.split(' ').next().unwrap_or_default();
    (!names.is_empty() && !names.iter().any(|name| name == first)).then(|| last.span.clone())
}

fn secret(instruction: &str, name: &Word, found: &mut Vec<Diagnostic>) {
    const SECRET: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    const HARMLESS: [&str; 3] = ["public", "file", "version"];
    let lower = name.text.to_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    if has(&SECRET) && !has(&HARMLESS) {
        let message = format!(
            "{instruction} {} stays in the image or its history for all to see",
            name.text
        );
        let warning = Diagnostic::warning("SecretsUsedInArgOrEnv", message, name.span.clone());
        found.push(warning.with_help("use RUN --mount=type=secret"));
    }
}

/// The old form is the one without a `=` between name and value.
fn legacy(file: &Containerfile, instruction: &str, pairs: &[(Word, Word)], found: &mut Vec<Diagnostic>) {
    let [(name, value)] = pairs else { return };
    let rest = file.source.get(name.span.end..).unwrap_or_default();
    if !rest.starts_with('=') {
        let message = format!("{instruction} has the old form without =");
        let span = name.span.start..value.span.end;
        let warning = Diagnostic::warning("LegacyKeyValueFormat", message, span);
        found.push(warning.with_help(format!(
            "write {instruction} {}={}",
            name.text,
            quoted(&value.text)
        )));
    }
}

fn quoted(value: &str) -> String {
    if value.contains(char::is_whitespace) && !value.contains(['"', '\'']) {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    }
}

fn expose(word: &Word, found: &mut Vec<Diagnostic>) {
    let mut warn = |rule, message: String, help: String| {
        found.push(Diagnostic::warning(rule, message, word.span.clone()).with_help(help));
    };
    let container = word.text.rsplit(':').next().unwrap_or_default();
    if values::Ports::parse(&word.text).is_ok_and(|ports| !ports.plain) {
        let message = format!(
            "{} names a port of the host, which an image cannot decide on",
            word.text
        );
        warn("ExposeInvalidFormat", message, format!("write {container}"));
    }
    if let Some((port, protocol)) = container.split_once('/') {
        let lower = protocol.to_ascii_lowercase();
        if lower != protocol && matches!(lower.as_str(), "tcp" | "udp" | "sctp") {
            let message = format!("protocol {protocol} should be in lower case");
            warn("ExposeProtoCasing", message, format!("write {port}/{lower}"));
        }
    }
}

/// Sources that the ignore file hides. With exceptions in it nobody can tell without looking at the files.
fn ignored(copy: &Copy, options: &Options<'_>, found: &mut Vec<Diagnostic>) {
    let Some(ignore) = options.ignore.filter(|ignore| !ignore.has_exceptions()) else {
        return;
    };
    for source in &copy.sources {
        let Source::Word(word) = source else { continue };
        if word.text.contains(['$', '"', '\'', '\\']) || word.text.contains("://") {
            continue;
        }
        let path = clean(word.text.trim_start_matches('/'));
        let hidden = if path == "." {
            ignore.covers_everything()
        } else {
            ignore.matches(&path)
        };
        if hidden {
            let message = format!("{} is left out by the ignore file", word.text);
            found.push(Diagnostic::warning("CopyIgnoredFile", message, word.span.clone()));
        }
    }
}
