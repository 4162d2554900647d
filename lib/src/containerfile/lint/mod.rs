//! What builds but is likely not meant: the rules of the reference builder, by their names there.
//!
//! - `check`: which rules are in force: the `# check=…` directive and comments
//! - `casing`: upper and lower case; `stages`: names of stages, and `FROM`
//! - `instructions`: what one look at an instruction tells
//! - `variables`: what is defined where, stage by stage

mod casing;
mod check;
mod instructions;
mod stages;
mod variables;

use super::{Containerfile, Diagnostic, Severity, Span, ignore::Ignore};

use check::Check;

/// A rule, for lists and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is called in `# check=skip=…`.
    pub name: &'static str,
    /// What it asks for.
    pub description: &'static str,
    /// Whether it has to be asked for by `# check=experimental=…`.
    pub experimental: bool,
}

const fn rule(name: &'static str, description: &'static str) -> Rule {
    Rule {
        name,
        description,
        experimental: false,
    }
}

const fn experimental(name: &'static str, description: &'static str) -> Rule {
    Rule {
        name,
        description,
        experimental: true,
    }
}

/// All rules.
pub const RULES: [Rule; 22] = [
    rule("StageNameCasing", "names of stages are in lower case"),
    rule("FromAsCasing", "AS is in the same case as FROM"),
    rule("NoEmptyContinuation", "a continued line has no blank lines in it"),
    rule(
        "ConsistentInstructionCasing",
        "all instructions are in the same case",
    ),
    rule("DuplicateStageName", "every stage has a name of its own"),
    rule(
        "ReservedStageName",
        "no stage has a name that means something else",
    ),
    rule(
        "JSONArgsRecommended",
        "CMD and ENTRYPOINT have the JSON form, so that signals reach the program",
    ),
    rule("MaintainerDeprecated", "a label names the author"),
    rule(
        "UndefinedArgInFrom",
        "FROM uses arguments that are declared before",
    ),
    rule(
        "WorkdirRelativePath",
        "the first WORKDIR is absolute, whatever the base image has",
    ),
    rule("UndefinedVar", "variables are defined before they are used"),
    rule(
        "MultipleInstructionsDisallowed",
        "what counts once is given once in a stage",
    ),
    rule("LegacyKeyValueFormat", "ENV and LABEL have the form key=value"),
    rule(
        "InvalidBaseImagePlatform",
        "the base image is for the platform that is built for",
    ),
    rule(
        "RedundantTargetPlatform",
        "FROM does not ask for the platform that it gets anyway",
    ),
    rule(
        "SecretsUsedInArgOrEnv",
        "secrets are mounted, not given as ARG or ENV",
    ),
    rule(
        "InvalidDefaultArgInFrom",
        "FROM names an image with the defaults of its arguments",
    ),
    rule(
        "FromPlatformFlagConstDisallowed",
        "the platform of FROM is not fixed",
    ),
    experimental(
        "CopyIgnoredFile",
        "what is copied is not left out by the ignore file",
    ),
    experimental(
        "InvalidDefinitionDescription",
        "a comment on a stage or an argument begins with its name",
    ),
    rule("ExposeProtoCasing", "protocols are in lower case"),
    rule("ExposeInvalidFormat", "EXPOSE names ports of the container only"),
];

/// What the rules may know besides the file.
#[derive(Default)]
pub struct Options<'a> {
    /// The ignore file of the context.
    pub ignore: Option<&'a Ignore>,
    /// The names of the variables that the base image of each stage defines, by the stage's index; none where that is
    /// not known.
    pub base_variables: Option<&'a dyn Fn(usize) -> Option<Vec<String>>>,
    /// Used in place of the file's `# check=` directive.
    pub check: Option<&'a str>,
}

impl Containerfile {
    /// Finds what is likely not meant, in the order of the file.
    pub fn lint(&self, options: &Options<'_>) -> Vec<Diagnostic> {
        let check = match Check::of(self, options) {
            Ok(check) => check,
            Err(error) => return vec![error],
        };
        let mut found = Vec::new();
        casing::lint(self, &mut found);
        stages::lint(self, &mut found);
        instructions::lint(self, options, &mut found);
        variables::lint(self, options, &mut found);
        found.retain(|found| check.wants(found));
        found.sort_by_key(|found| (found.span.start, found.span.end));
        if check.error {
            found
                .iter_mut()
                .for_each(|found| found.severity = Severity::Error);
        }
        found
    }
}

/// The finding of a build that pulls a base image for another platform than it builds for.
pub fn invalid_base_image_platform(image: &str, expected: &str, actual: &str, span: Span) -> Diagnostic {
    let message = format!("{image} is for {actual}, but the build is for {expected}");
    Diagnostic::warning("InvalidBaseImagePlatform", message, span)
}

#[cfg(test)]
mod tests;
