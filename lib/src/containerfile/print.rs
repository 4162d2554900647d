//! Back to text: a file that parses to the same thing.
//!
//! What is printed follows from the kind of each instruction, so a changed file can be printed, too. Comments above
//! instructions stay; continuation lines are joined, and flags come in a fixed order.

use std::fmt::{self, Write};

use super::{
    Command, Containerfile, Copy, Directives, From, Healthcheck, Heredoc, Instruction, InstructionKind,
    Network, Run, Source, Word, lines,
    words::{self, Json},
};

impl fmt::Display for Containerfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = self.directives.escape;
        print_directives(&self.directives, f)?;
        // Without a line between, a comment at the top might be taken for a directive.
        let first = self
            .global_args
            .first()
            .map(|arg| &arg.comments)
            .or(self.stages.first().map(|stage| &stage.from.comments));
        if first.is_some_and(|comments| !comments.is_empty()) {
            f.write_str("\n")?;
        }
        for arg in &self.global_args {
            f.write_str(&arg.print(escape))?;
        }
        for (index, stage) in self.stages.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&stage.from.print(escape))?;
            for instruction in &stage.instructions {
                f.write_str(&instruction.print(escape))?;
            }
        }
        Ok(())
    }
}

fn print_directives(directives: &Directives, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(syntax) = &directives.syntax {
        writeln!(f, "# syntax={}", syntax.text)?;
    }
    if directives.escape != '\\' {
        writeln!(f, "# escape={}", directives.escape)?;
    }
    if let Some(check) = &directives.check {
        writeln!(f, "# check={}", check.text)?;
    }
    Ok(())
}

impl From {
    /// As a line of a file with this escape character, comments included.
    pub fn print(&self, escape: char) -> String {
        let mut line = Line::new(&self.keyword, "FROM");
        line.flag("platform", self.platform.as_ref());
        line.arguments(&self.image.text);
        if let Some(name) = &self.name {
            line.argument(self.as_keyword.as_ref().map_or("AS", |keyword| &keyword.text));
            line.argument(&name.text);
        }
        print_comments(&self.comments) + &line.finish(escape)
    }
}

impl Instruction {
    /// As lines of a file with this escape character, comments and heredocs included.
    pub fn print(&self, escape: char) -> String {
        let mut line = Line::new(&self.keyword, self.kind.name());
        line.kind(&self.kind, escape);
        let mut text = print_comments(&self.comments) + &line.finish(escape);
        for heredoc in self.kind.heredocs() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}{}", heredoc.raw, heredoc.name);
        }
        text
    }
}

impl InstructionKind {
    /// In upper case, as in `COPY`.
    pub fn name(&self) -> &'static str {
        match self {
            InstructionKind::Arg(_) => "ARG",
            InstructionKind::Env(_) => "ENV",
            InstructionKind::Label(_) => "LABEL",
            InstructionKind::Run(_) => "RUN",
            InstructionKind::Copy(_) => "COPY",
            InstructionKind::Add(_) => "ADD",
            InstructionKind::Cmd(_) => "CMD",
            InstructionKind::Entrypoint(_) => "ENTRYPOINT",
            InstructionKind::Shell(_) => "SHELL",
            InstructionKind::Workdir(_) => "WORKDIR",
            InstructionKind::User(_) => "USER",
            InstructionKind::Volume(_) => "VOLUME",
            InstructionKind::Expose(_) => "EXPOSE",
            InstructionKind::Stopsignal(_) => "STOPSIGNAL",
            InstructionKind::Healthcheck(_) => "HEALTHCHECK",
            InstructionKind::Onbuild(_) => "ONBUILD",
            InstructionKind::Maintainer(_) => "MAINTAINER",
        }
    }

    /// The heredocs that follow the line, in order.
    pub fn heredocs(&self) -> Vec<&Heredoc> {
        match self {
            InstructionKind::Run(run) => run.heredocs.iter().collect(),
            InstructionKind::Copy(copy) | InstructionKind::Add(copy) => {
                copy.sources.iter().filter_map(Source::heredoc).collect()
            }
            InstructionKind::Onbuild(trigger) => trigger.kind.heredocs(),
            _ => Vec::new(),
        }
    }
}

impl Source {
    fn heredoc(&self) -> Option<&Heredoc> {
        match self {
            Source::Heredoc(heredoc) => Some(heredoc),
            Source::Word(_) => None,
        }
    }
}

fn print_comments(comments: &[Word]) -> String {
    comments
        .iter()
        .map(|comment| format!("# {}\n", comment.text))
        .collect()
}

/// A logical line that grows.
struct Line {
    text: String,
    /// Whether arguments have begun: flags may not follow.
    arguments: bool,
}

impl Line {
    /// Begins with the name as it was written.
    fn new(keyword: &Word, name: &str) -> Self {
        let written = keyword.text.eq_ignore_ascii_case(name);
        Line {
            text: if written {
                keyword.text.clone()
            } else {
                name.to_owned()
            },
            arguments: false,
        }
    }

    fn finish(mut self, escape: char) -> String {
        // A line that ends like a continued one, and was none: white space that is no blank ends it in another way.
        if lines::strip_continuation(&self.text, escape).1 {
            self.text.push('\x0b');
        }
        self.text + "\n"
    }

    fn argument(&mut self, text: &str) {
        self.text.push(' ');
        self.text.push_str(text);
    }

    /// The arguments, which must not be taken for flags.
    fn arguments(&mut self, text: &str) {
        if !self.arguments && text.starts_with("--") {
            self.argument("--");
        }
        self.arguments = true;
        if !text.is_empty() {
            self.argument(text);
        }
    }

    fn flag(&mut self, name: &str, value: Option<&Word>) {
        if let Some(value) = value {
            self.argument(&format!("--{name}={}", quote(&value.text)));
        }
    }

    fn switch(&mut self, name: &str, on: bool) {
        if on {
            self.argument(&format!("--{name}"));
        }
    }

    fn kind(&mut self, kind: &InstructionKind, escape: char) {
        match kind {
            InstructionKind::Arg(arguments) => self.arguments(&print_arg(arguments)),
            InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
                self.arguments(&print_pairs(pairs, escape));
            }
            InstructionKind::Run(run) => self.run(run),
            InstructionKind::Copy(copy) | InstructionKind::Add(copy) => self.copy(copy),
            InstructionKind::Cmd(command) | InstructionKind::Entrypoint(command) => self.command(command),
            InstructionKind::Shell(strings) => self.arguments(&print_json(strings)),
            InstructionKind::Workdir(word)
            | InstructionKind::User(word)
            | InstructionKind::Stopsignal(word)
            | InstructionKind::Maintainer(word) => self.arguments(&word.text),
            InstructionKind::Volume(words) => self.arguments(&print_volumes(words)),
            InstructionKind::Expose(words) => {
                self.arguments(&join(words.iter().map(|word| word.text.as_str())))
            }
            InstructionKind::Healthcheck(check) => self.healthcheck(check),
            InstructionKind::Onbuild(trigger) => {
                let mut line = Line::new(&trigger.keyword, trigger.kind.name());
                line.kind(&trigger.kind, escape);
                self.arguments(&line.text);
            }
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Exec(strings) => self.arguments(&print_json(strings)),
            Command::Shell(text) => self.arguments(text),
        }
    }

    fn run(&mut self, run: &Run) {
        run.mounts
            .iter()
            .for_each(|mount| self.flag("mount", Some(mount)));
        match run.network {
            Network::Default => {}
            Network::None => self.argument("--network=none"),
            Network::Host => self.argument("--network=host"),
        }
        if run.insecure {
            self.argument("--security=insecure");
        }
        self.command(&run.command);
    }

    fn copy(&mut self, copy: &Copy) {
        self.flag("from", copy.from.as_ref());
        self.flag("chown", copy.chown.as_ref());
        self.flag("chmod", copy.chmod.as_ref());
        self.flag("checksum", copy.checksum.as_ref());
        self.switch("link", copy.link);
        self.switch("parents", copy.parents);
        self.switch("keep-git-dir", copy.keep_git_dir);
        copy.exclude
            .iter()
            .for_each(|exclude| self.flag("exclude", Some(exclude)));
        if let Some(unpack) = copy.unpack {
            self.argument(&format!("--unpack={unpack}"));
        }
        let words: Vec<String> = copy.sources.iter().map(print_source).collect();
        let words: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .chain([copy.destination.text.as_str()])
            .collect();
        self.arguments(&if copy.json {
            print_json(&words)
        } else {
            join(words)
        });
    }

    fn healthcheck(&mut self, check: &Healthcheck) {
        let Healthcheck::Cmd {
            command,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        } = check
        else {
            return self.arguments("NONE");
        };
        let durations = [
            ("interval", interval),
            ("timeout", timeout),
            ("start-period", start_period),
            ("start-interval", start_interval),
        ];
        for (name, duration) in durations {
            if let Some(duration) = duration {
                self.argument(&format!("--{name}={}", print_duration(*duration)));
            }
        }
        if let Some(retries) = retries {
            self.argument(&format!("--retries={retries}"));
        }
        self.arguments("CMD");
        self.command(command);
    }
}

/// Words with blanks between. Where that would read as JSON, which it was not, other white space does.
fn join<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    let between = |separator: &str| {
        let mut joined = String::new();
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                // Heredocs are looked for with regard to escapes, though words are split without: a second separator
                // is one in both ways.
                joined.push_str(if joined.ends_with('\\') { separator } else { "" });
                joined.push_str(separator);
            }
            joined.push_str(word);
        }
        joined
    };
    let joined = between(" ");
    match words::parse_json(&joined, &(0..joined.len())) {
        Json::No => joined,
        _ => between("\x0b"),
    }
}

fn print_json<S: AsRef<str>>(strings: &[S]) -> String {
    let strings: Vec<String> = strings
        .iter()
        .map(|string| serde_json::Value::from(string.as_ref()).to_string())
        .collect();
    format!("[{}]", strings.join(", "))
}

fn print_volumes(words: &[Word]) -> String {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let joined = texts.join(" ");
    let places = words::split_blanks(&joined, &(0..joined.len()));
    let same = places.len() == texts.len() && !joined.contains('\n');
    match words::parse_json(&joined, &(0..joined.len())) {
        Json::No if same => joined,
        _ => print_json(&texts),
    }
}

fn print_arg(arguments: &[(Word, Option<Word>)]) -> String {
    let arguments = arguments.iter().map(|(name, value)| match value {
        Some(value) => format!("{}={}", name.text, value.text),
        None => name.text.clone(),
    });
    arguments.collect::<Vec<_>>().join(" ")
}

/// `key=value …`, unless that reads as something else: then it was the old form, which takes the rest of the line as it
/// is.
fn print_pairs(pairs: &[(Word, Word)], escape: char) -> String {
    let texts: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{}={}", key.text, value.text))
        .collect();
    let joined = texts.join(" ");
    let read = words::split_quoted(&joined, &(0..joined.len()), escape);
    let same = read
        .iter()
        .map(|word| joined.get(word.clone()).unwrap_or_default())
        .eq(&texts);
    match pairs {
        // Two blanks: the first may be escaped.
        [(key, value)] if !same => format!("{}  {}", key.text, value.text),
        _ => joined,
    }
}

fn print_source(source: &Source) -> String {
    match source {
        Source::Word(word) => word.text.clone(),
        Source::Heredoc(heredoc) => print_marker(heredoc),
    }
}

fn print_marker(heredoc: &Heredoc) -> String {
    let fd = heredoc.fd.map(|fd| fd.to_string()).unwrap_or_default();
    let dash = if heredoc.strip_tabs { "-" } else { "" };
    let name = match heredoc.expand {
        true => escape_double(&heredoc.name)
            .replace('$', r"\$")
            .replace('\'', r"\'"),
        false if heredoc.name.contains('\'') => {
            format!("\"{}\"", escape_double(&heredoc.name).replace('$', r"\$"))
        }
        false => format!("'{}'", heredoc.name),
    };
    format!("{fd}<<{dash}{name}")
}

/// A flag's value. Quotes and backslashes are removed before flags are read, so they have to be put around.
fn quote(value: &str) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '`');
    if !value.contains(special) {
        value.to_owned()
    } else if !value.contains(['\'', '\\']) {
        format!("'{value}'")
    } else {
        format!("\"{}\"", escape_double(value))
    }
}

fn escape_double(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"")
}

fn print_duration(nanoseconds: i64) -> String {
    match nanoseconds {
        whole if whole % 1_000_000_000 == 0 => format!("{}s", whole / 1_000_000_000),
        whole if whole % 1_000_000 == 0 => format!("{}ms", whole / 1_000_000),
        _ => format!("{nanoseconds}ns"),
    }
}

#[cfg(test)]
mod tests;
