//! A failed build in words: what happened, the place in the Containerfile, the last output, what to do.

use rbuild::{
    build::{At, BuildError, Problem},
    containerfile::{Diagnostic, Diagnostics},
};

use super::{Failure, OWN_ERROR, causes, hint};

impl From<BuildError> for Box<Failure> {
    fn from(error: BuildError) -> Self {
        let mut failure = match error.problem() {
            Problem::Syntax(mistakes) => of_mistakes(mistakes, error.at()),
            problem => of_problem(&error, problem),
        };
        failure.hint = of_problem_itself(error.problem()).or_else(|| hint::find(&error));
        Self::new(failure)
    }
}

fn of_problem(error: &BuildError, problem: &Problem) -> Failure {
    let mut failure = Failure::new(error.to_string());
    failure.causes = causes(&failure.message, anyhow::Chain::new(error).skip(1));
    failure.snippet = error.at().map(snippet);
    if let Problem::Run { code, tail } = problem {
        failure.output = String::from_utf8_lossy(tail).lines().map(str::to_owned).collect();
        failure.code = u8::try_from(*code).unwrap_or(OWN_ERROR);
    }
    failure
}

/// Each mistake is shown with its place; the first one's message leads.
fn of_mistakes(mistakes: &Diagnostics, at: Option<&At>) -> Failure {
    let file = at.map_or("Containerfile", |at| at.file.as_str());
    let mut rendered = String::new();
    for (n, mistake) in mistakes.list.iter().enumerate() {
        let text = mistake.render(file, &mistakes.source);
        // The headline of the first is the message.
        let shown = if n == 0 {
            text.split_once('\n').map_or("", |(_, rest)| rest)
        } else {
            &text
        };
        rendered.push_str(shown);
    }
    let first = mistakes
        .list
        .first()
        .map_or("the Containerfile has mistakes", |first| &first.message);
    let mut failure = Failure::new(first);
    failure.snippet = Some(rendered);
    failure
}

/// The place, the line and carets below what the error is about.
fn snippet(at: &At) -> String {
    let rendered = Diagnostic::error("", "", at.span.clone()).render(&at.file, &at.source);
    rendered
        .split_once('\n')
        .map_or_else(String::new, |(_, place)| place.to_owned())
}

fn of_problem_itself(problem: &Problem) -> Option<String> {
    match problem {
        Problem::NoContainerfile { .. } => Some("name the file with -f FILE".to_owned()),
        Problem::NoSuchSource {
            ignored_by: Some(file),
            ..
        } => Some(format!("it is there, but {file} hides it")),
        Problem::NoSuchSource {
            similar: Some(name), ..
        } => Some(format!("did you mean {name:?}?")),
        Problem::Base { why, .. } => of_problem_itself(why),
        Problem::Io { why, .. } => hint::of_io(why).map(str::to_owned),
        Problem::Registry(error) => hint::of_registry(error.cause()).map(str::to_owned),
        Problem::NoSecret(id) => Some(format!("give it with --secret id={id},src=FILE")),
        Problem::NoSsh(id) => Some(format!("give it with --ssh {id}=SOCKET")),
        _ => None,
    }
}
