//! The files under `testdata`: those that use what well-known projects use, and what fuzzing starts from.

use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
};

use rbuild::containerfile::{
    Containerfile, Severity,
    expand::{expand_heredoc, expand_report},
    ignore::Ignore,
    lint::Options,
    mount::Mount,
    pattern::Pattern,
};

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata")
        .join(directory);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .into_owned()
}

#[test]
fn what_projects_use_is_parsed_and_printed() {
    let files = files("containerfiles");
    assert!(files.len() >= 40, "{} files", files.len());
    for path in files {
        let source = text(&path);
        let name = path.display().to_string();
        let file = Containerfile::parse(&source).unwrap_or_else(|errors| panic!("{}", errors.render(&name)));
        let printed = file.to_string();
        let again =
            Containerfile::parse(&printed).unwrap_or_else(|errors| panic!("{}", errors.render(&name)));
        assert_eq!(again.to_string(), printed, "{name}");
        let count = |file: &Containerfile| {
            file.stages
                .iter()
                .map(|stage| stage.instructions.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (again.global_args.len(), count(&again)),
            (file.global_args.len(), count(&file)),
            "{name}"
        );
        let findings = file.lint(&Options::default());
        assert!(
            findings.iter().all(|found| found.severity == Severity::Warning),
            "{name}: {findings:?}"
        );
    }
}

#[test]
fn spans_of_what_projects_use_hold_what_they_say() {
    for path in files("containerfiles") {
        let source = text(&path);
        let file = Containerfile::parse(&source).expect("valid");
        for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
            let keyword = &instruction.keyword;
            assert_eq!(source[keyword.span.clone()], keyword.text, "{}", path.display());
            assert!(instruction.span.start == keyword.span.start && instruction.span.end <= source.len());
            for span in &instruction.arguments {
                assert!(instruction.span.start < span.start && span.end <= instruction.span.end);
                assert!(
                    source
                        .get(span.clone())
                        .is_some_and(|argument| !argument.is_empty())
                );
            }
        }
    }
}

#[test]
fn files_that_fuzzing_starts_from_are_parsed() {
    for path in files("corpus/parser") {
        let source = text(&path);
        if let Ok(file) = Containerfile::parse(&source) {
            let printed = file.to_string();
            let again = Containerfile::parse(&printed)
                .unwrap_or_else(|errors| panic!("{}: {errors}", path.display()));
            assert_eq!(again.to_string(), printed, "{}", path.display());
            file.lint(&Options::default());
        }
    }
}

#[test]
fn words_that_fuzzing_starts_from_are_expanded() {
    let lookup = |name: &str| name.len().is_multiple_of(2).then_some(Cow::Borrowed("a b/c.d"));
    for path in files("corpus/expander") {
        let word = text(&path);
        for escape in ['\\', '`'] {
            if let Ok(expanded) = expand_report(&word, escape, &lookup) {
                assert!(
                    expanded.words.iter().all(|word| expanded.text.contains(word)),
                    "{}",
                    path.display()
                );
            }
        }
        let _ = expand_heredoc(&word, &lookup);
        let _ = Mount::parse(&word, |value| Ok(value.to_owned()));
    }
}

#[test]
fn patterns_that_fuzzing_starts_from_are_matched() {
    for path in files("corpus/ignore") {
        let source = text(&path);
        let (patterns, candidate) = source.split_once("\n---\n").unwrap_or((&source, "a/b"));
        if let Ok(ignore) = Ignore::parse(patterns) {
            let ignored = ignore.matches(candidate);
            // Nothing below a directory comes back if nothing may.
            let returns =
                !ignore.may_descend(candidate) && ignored && !ignore.matches(format!("{candidate}/x"));
            assert!(!returns, "{}", path.display());
        }
        for line in patterns.lines() {
            if let Ok(pattern) = Pattern::parse(line) {
                pattern.matches(candidate);
            }
        }
    }
}
