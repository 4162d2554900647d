//! Variables that are used where they are not defined.
//!
//! A base image may define any variable. Where nobody says which ones it does, only what looks like a slip is reported:
//! a name that is nearly one that is defined, or one that is declared before the first `FROM` only.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    super::{
        Containerfile, Copy, Diagnostic, Instruction, InstructionKind, PROXY_VARIABLES, Source, Span, Word,
        expand, mount::Mount, suggest,
    },
    Options,
};

/// What is defined at some place in a stage.
#[derive(Clone, Default)]
struct Scope {
    names: BTreeSet<String>,
    /// Whether these are all, the base image's included.
    complete: bool,
}

pub(super) fn lint(file: &Containerfile, options: &Options<'_>, found: &mut Vec<Diagnostic>) {
    let mut stages: BTreeMap<String, Scope> = BTreeMap::new();
    for (index, stage) in file.stages.iter().enumerate() {
        let base = stage.from.image.text.to_lowercase();
        let scope = stages
            .get(&base)
            .cloned()
            .unwrap_or_else(|| base_scope(index, &base, options));
        let mut linter = Linter {
            file,
            scope,
            found: &mut *found,
        };
        stage
            .instructions
            .iter()
            .for_each(|instruction| linter.instruction(instruction));
        if let Some(name) = &stage.from.name {
            let scope = linter.scope;
            stages.insert(name.text.to_lowercase(), scope);
        }
    }
}

fn base_scope(index: usize, base: &str, options: &Options<'_>) -> Scope {
    let names = match base {
        "scratch" => Some(Vec::new()),
        _ => options.base_variables.and_then(|names| names(index)),
    };
    let complete = names.is_some();
    let given = ["PATH"]
        .iter()
        .chain(&PROXY_VARIABLES)
        .map(|name| name.to_string());
    Scope {
        names: given.chain(names.unwrap_or_default()).collect(),
        complete,
    }
}

struct Linter<'l> {
    file: &'l Containerfile,
    scope: Scope,
    found: &'l mut Vec<Diagnostic>,
}

impl Linter<'_> {
    /// Looks at every word that is expanded; then the instruction defines what it defines.
    fn instruction(&mut self, instruction: &Instruction) {
        match &instruction.kind {
            InstructionKind::Env(pairs) => {
                self.pairs(pairs);
                self.scope
                    .names
                    .extend(pairs.iter().map(|(name, _)| name.text.clone()));
            }
            InstructionKind::Label(pairs) => self.pairs(pairs),
            // The arguments of one ARG see those to their left.
            InstructionKind::Arg(arguments) => {
                for (name, value) in arguments {
                    value.iter().for_each(|value| self.word(value));
                    self.scope.names.insert(name.text.clone());
                }
            }
            InstructionKind::Copy(copy) | InstructionKind::Add(copy) => self.copy(copy),
            InstructionKind::Run(run) => run.mounts.iter().for_each(|mount| self.mount(mount)),
            InstructionKind::Workdir(word)
            | InstructionKind::User(word)
            | InstructionKind::Stopsignal(word) => {
                self.word(word);
            }
            InstructionKind::Volume(words) | InstructionKind::Expose(words) => {
                words.iter().for_each(|word| self.word(word));
            }
            _ => {}
        }
    }

    fn pairs(&mut self, pairs: &[(Word, Word)]) {
        for (name, value) in pairs {
            self.word(name);
            self.word(value);
        }
    }

    fn copy(&mut self, copy: &Copy) {
        for source in &copy.sources {
            match source {
                Source::Word(word) => self.word(word),
                Source::Heredoc(heredoc) if heredoc.expand => {
                    let expanded = expand::expand_heredoc_report(&heredoc.content, &self.scope.lookup());
                    self.report(expanded, &heredoc.span);
                }
                Source::Heredoc(_) => {}
            }
        }
        self.word(&copy.destination);
        [&copy.chown, &copy.chmod, &copy.checksum]
            .into_iter()
            .flatten()
            .for_each(|word| self.word(word));
    }

    /// What else is wrong with a mount, the build tells when it gets there.
    fn mount(&mut self, mount: &Word) {
        let escape = self.file.directives.escape;
        let mut all = Vec::new();
        let _ = Mount::parse(&mount.text, |value| {
            let expanded = expand::expand_report(value, escape, &self.scope.lookup())?;
            let text = expanded.text.clone();
            all.push(expanded);
            Ok(text)
        });
        all.into_iter()
            .for_each(|expanded| self.report(Ok(expanded), &mount.span));
    }

    fn word(&mut self, word: &Word) {
        let escape = self.file.directives.escape;
        let expanded = expand::expand_report(&word.text, escape, &self.scope.lookup());
        self.report(expanded, &word.span);
    }

    /// What cannot be expanded at all is an error of the build, if it gets there. The shell's own variables, such as
    /// `$1`, are no mistakes.
    fn report(&mut self, expanded: Result<expand::Expanded, expand::ExpandError>, span: &Span) {
        for name in expanded.unwrap_or_default().undefined {
            if name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                self.undefined(&name, span);
            }
        }
    }

    fn undefined(&mut self, name: &str, span: &Span) {
        let global = self.file.global_args.iter().any(|arg| match &arg.kind {
            InstructionKind::Arg(arguments) => arguments.iter().any(|(declared, _)| declared.text == name),
            _ => false,
        });
        let near = suggest::nearest(name, self.scope.names.iter().map(String::as_str));
        let help = match (global, near) {
            (true, _) => Some(format!("declare it again in this stage: ARG {name}")),
            (false, Some(near)) => Some(format!("did you mean ${near}?")),
            (false, None) => None,
        };
        if help.is_none() && !self.scope.complete {
            return;
        }
        let message = format!("${name} is not defined here");
        let mut warning = Diagnostic::warning("UndefinedVar", message, span.clone());
        warning.help = help;
        self.found.push(warning);
    }
}

impl Scope {
    fn lookup<'s>(&'s self) -> impl Fn(&str) -> Option<Cow<'s, str>> + 's {
        |name| self.names.contains(name).then_some(Cow::Borrowed("x"))
    }
}
