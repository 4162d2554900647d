//! `FROM`: names of stages, platforms, arguments.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::super::{
    Containerfile, Diagnostic, From, InstructionKind, Word,
    expand::{Expanded, expand_report},
    suggest,
};

/// Arguments that `FROM` has without a declaration.
const GIVEN: [&str; 9] = [
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
];

/// Names that `--from` takes for something else.
const RESERVED: [&str; 2] = ["context", "scratch"];

pub(super) fn lint(file: &Containerfile, found: &mut Vec<Diagnostic>) {
    let arguments = Arguments::of(file);
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        if let Some(name) = &stage.from.name {
            stage_name(name, &names, found);
            names.insert(name.text.to_lowercase());
        }
        description(&stage.from, found);
        arguments.lint_image(file, &stage.from, found);
        arguments.lint_platform(file, &stage.from, found);
    }
}

fn stage_name(name: &Word, earlier: &BTreeSet<String>, found: &mut Vec<Diagnostic>) {
    let lower = name.text.to_lowercase();
    let mut warn = |rule, message: String| found.push(Diagnostic::warning(rule, message, name.span.clone()));
    if lower != name.text {
        warn(
            "StageNameCasing",
            format!("stage name {} should be in lower case", name.text),
        );
    }
    if RESERVED.contains(&lower.as_str()) {
        warn(
            "ReservedStageName",
            format!("{lower} means something else where stages are named"),
        );
    }
    if earlier.contains(&lower) {
        warn("DuplicateStageName", format!("there is a stage {lower} already"));
    }
}

fn description(from: &From, found: &mut Vec<Diagnostic>) {
    let Some(name) = &from.name else { return };
    if let Some(comment) = super::instructions::stray_description(&from.comments, &[name.text.to_lowercase()])
    {
        let message = format!(
            "a description of this stage begins with {}",
            name.text.to_lowercase()
        );
        found.push(Diagnostic::warning(
            "InvalidDefinitionDescription",
            message,
            comment,
        ));
    }
}

/// What `FROM` can use: the arguments declared before the first one, with their defaults.
struct Arguments(BTreeMap<String, Option<String>>);

impl Arguments {
    fn of(file: &Containerfile) -> Self {
        let mut arguments = Arguments(BTreeMap::new());
        for instruction in &file.global_args {
            let InstructionKind::Arg(declared) = &instruction.kind else {
                continue;
            };
            for (name, value) in declared {
                let value = value
                    .as_ref()
                    .and_then(|value| arguments.expand(file, value))
                    .map(|value| value.text);
                arguments.0.insert(name.text.clone(), value);
            }
        }
        arguments
    }

    /// None if it cannot be expanded: the build will say so.
    fn expand(&self, file: &Containerfile, word: &Word) -> Option<Expanded> {
        let lookup = |name: &str| match self.0.get(name) {
            Some(value) => value.as_deref().map(Cow::Borrowed),
            None => GIVEN.contains(&name).then(|| Cow::Owned(name.to_lowercase())),
        };
        expand_report(&word.text, file.directives.escape, &lookup).ok()
    }

    fn lint_undefined(&self, expanded: &Expanded, word: &Word, found: &mut Vec<Diagnostic>) {
        let known = || self.0.keys().map(String::as_str).chain(GIVEN);
        for name in expanded
            .undefined
            .iter()
            .filter(|name| !known().any(|known| known == *name))
        {
            let message = format!("${name} is not declared before the first FROM");
            let mut warning = Diagnostic::warning("UndefinedArgInFrom", message, word.span.clone());
            warning.help = Some(match suggest::nearest(name, known()) {
                Some(known) => format!("did you mean ${known}?"),
                None => format!("declare it with ARG {name} above"),
            });
            found.push(warning);
        }
    }

    fn lint_image(&self, file: &Containerfile, from: &From, found: &mut Vec<Diagnostic>) {
        let Some(expanded) = self.expand(file, &from.image) else {
            return;
        };
        self.lint_undefined(&expanded, &from.image, found);
        let variable =
            !expanded.used.is_empty() || !expanded.undefined.is_empty() || expanded.text.is_empty();
        if variable && expanded.text.parse::<crate::Reference>().is_err() {
            let message = match expanded.text.as_str() {
                "" => format!("{} is empty if no build argument is given", from.image.text),
                text => format!(
                    "{} is {text:?} if no build argument is given, which is no image",
                    from.image.text
                ),
            };
            let warning = Diagnostic::warning("InvalidDefaultArgInFrom", message, from.image.span.clone());
            found.push(warning.with_help("give the argument a default"));
        }
    }

    fn lint_platform(&self, file: &Containerfile, from: &From, found: &mut Vec<Diagnostic>) {
        let Some(platform) = &from.platform else { return };
        let Some(expanded) = self.expand(file, platform) else {
            return;
        };
        self.lint_undefined(&expanded, platform, found);
        let mut warn =
            |rule, message: String| found.push(Diagnostic::warning(rule, message, platform.span.clone()));
        let target = "TARGETPLATFORM";
        if expanded.used.iter().eq([target])
            && expanded.undefined.is_empty()
            && expanded.text == target.to_lowercase()
        {
            warn(
                "RedundantTargetPlatform",
                format!("{} is the platform it would be anyway", platform.text),
            );
        }
        if expanded.used.is_empty() && expanded.undefined.is_empty() && is_fixed(&expanded.text, from) {
            warn(
                "FromPlatformFlagConstDisallowed",
                format!("the platform is always {}", expanded.text),
            );
        }
    }
}

/// Whether a platform is one, and the stage's name does not say that it is meant for this one.
fn is_fixed(platform: &str, from: &From) -> bool {
    let Ok(platform) = platform.parse::<crate::image::Platform>() else {
        return false;
    };
    let name = from
        .name
        .as_ref()
        .map(|name| name.text.to_lowercase())
        .unwrap_or_default();
    !name.contains(&platform.os) && !name.contains(&platform.architecture)
}
