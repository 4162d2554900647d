//! Upper and lower case of instructions, and blank lines where none belong.

use super::super::{Containerfile, Diagnostic, Span, Word};

pub(super) fn lint(file: &Containerfile, found: &mut Vec<Diagnostic>) {
    instructions(file, found);
    empty_continuations(file, found);
    for stage in &file.stages {
        let from = &stage.from;
        if let Some(keyword) = from
            .as_keyword
            .as_ref()
            .filter(|keyword| differs(&from.keyword, keyword))
        {
            let message = format!("{} is not in the case of {}", keyword.text, from.keyword.text);
            found.push(Diagnostic::warning("FromAsCasing", message, keyword.span.clone()));
        }
    }
}

fn is_lower(text: &str) -> bool {
    !text.contains(|c: char| c.is_ascii_uppercase())
}

fn is_upper(text: &str) -> bool {
    !text.contains(|c: char| c.is_ascii_lowercase())
}

/// Whether `AS` is in another case than `FROM`. A `FROM` in mixed case is another rule's.
fn differs(from: &Word, keyword: &Word) -> bool {
    (is_lower(&from.text) && !is_lower(&keyword.text)) || (is_upper(&from.text) && !is_upper(&keyword.text))
}

fn keywords(file: &Containerfile) -> impl Iterator<Item = &Word> {
    file.stages.iter().flat_map(|stage| {
        std::iter::once(&stage.from.keyword)
            .chain(stage.instructions.iter().map(|instruction| &instruction.keyword))
    })
}

fn instructions(file: &Containerfile, found: &mut Vec<Diagnostic>) {
    let lower = keywords(file).filter(|keyword| is_lower(&keyword.text)).count();
    let upper = keywords(file).filter(|keyword| is_upper(&keyword.text)).count();
    let (is_right, right): (fn(&str) -> bool, _) = match lower > upper {
        true => (is_lower, "lower case"),
        false => (is_upper, "upper case"),
    };
    for keyword in keywords(file).filter(|keyword| !is_right(&keyword.text)) {
        let message = format!("{} should be in {right} as most instructions are", keyword.text);
        found.push(Diagnostic::warning(
            "ConsistentInstructionCasing",
            message,
            keyword.span.clone(),
        ));
    }
}

/// One finding an instruction, on the first blank line.
fn empty_continuations(file: &Containerfile, found: &mut Vec<Diagnostic>) {
    let mut spans: Vec<&Span> = file
        .stages
        .iter()
        .flat_map(|stage| {
            std::iter::once(&stage.from.span)
                .chain(stage.instructions.iter().map(|instruction| &instruction.span))
        })
        .chain(file.global_args.iter().map(|arg| &arg.span))
        .collect();
    spans.sort_by_key(|span| span.start);
    let mut last = None;
    for empty in &file.empty_continuations {
        let owner = spans.partition_point(|span| span.start <= empty.start);
        if last.replace(owner) != Some(owner) {
            let message = "a blank line inside of a continued one";
            let diagnostic = Diagnostic::warning("NoEmptyContinuation", message, empty.clone());
            found.push(diagnostic.with_help("take it out, or begin it with #"));
        }
    }
}
