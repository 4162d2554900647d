//! From the text of one instruction to its kind. The larger ones have a module each.

mod copy;
mod healthcheck;
mod pairs;
mod run;

use super::{
    Command, Diagnostic, Flag, From, Heredoc, Instruction, InstructionKind, Run, Span, Word,
    flags::{Flags, Known, Takes, split_flags},
    lines::Logical,
    suggest, values,
    words::{self, Json},
};

use copy::{ADD_FLAGS, COPY_FLAGS};

/// The names of all instructions.
pub(super) const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

const FROM_FLAGS: &Known = &[("platform", Takes::Value)];

/// An instruction cut into its name, flags and arguments.
pub(super) struct Head {
    /// As written.
    pub keyword: Span,
    /// In upper case.
    pub name: String,
    pub flags: Vec<Flag>,
    pub arguments: Span,
}

impl Head {
    pub fn split(line: &Logical<'_>, range: &Span) -> Self {
        let (keyword, rest) = words::split_first(&line.text, range);
        let (flags, arguments) = split_flags(line, &rest);
        Head {
            name: line.slice(&keyword).to_ascii_uppercase(),
            keyword,
            flags,
            arguments,
        }
    }

    /// The arguments in which heredocs may be announced: those of `RUN`, `COPY` and `ADD`, unless in JSON form, and of
    /// `ONBUILD` with one of these.
    pub fn heredoc_range(&self, line: &Logical<'_>) -> Option<Span> {
        match self.name.as_str() {
            "RUN" | "COPY" | "ADD" => {
                let plain = words::parse_json(&line.text, &self.arguments) == Json::No;
                plain.then(|| self.arguments.clone())
            }
            "ONBUILD" => {
                let trigger = Head::split(line, &self.arguments);
                if trigger.name == "ONBUILD" {
                    None
                } else {
                    trigger.heredoc_range(line)
                }
            }
            _ => None,
        }
    }
}

/// What the parser of one instruction works with.
pub(super) struct Parser<'p, 's> {
    pub line: &'p Logical<'s>,
    pub head: Head,
    pub escape: char,
    pub heredocs: Vec<Heredoc>,
}

impl Parser<'_, '_> {
    /// A `FROM`, without its place, text and comments.
    pub fn from(self) -> Result<From, Diagnostic> {
        let flags = Flags::check(&self.head.flags, FROM_FLAGS, "FROM")?;
        let arguments = self.words();
        let (image, as_keyword, name) = match arguments.as_slice() {
            [image] => (image, None, None),
            [image, keyword, name] if keyword.text.eq_ignore_ascii_case("as") => {
                (image, Some(keyword), Some(name))
            }
            _ => {
                let help = "write FROM image, or FROM image AS name";
                return Err(self
                    .error("FROM takes one argument, or three with AS in the middle")
                    .with_help(help));
            }
        };
        if let Some(name) = name.filter(|name| !values::is_stage_name(&name.text.to_lowercase())) {
            let message = format!("invalid stage name {:?}", name.text);
            let help = "a stage name begins with a letter; letters, digits, -, _ and . may follow";
            return Err(Diagnostic::error("InvalidStageName", message, name.span.clone()).with_help(help));
        }
        Ok(From {
            image: image.clone(),
            platform: flags.value("platform"),
            name: name.cloned(),
            keyword: self.line.word(&self.head.keyword),
            as_keyword: as_keyword.cloned(),
            flags: self.head.flags.clone(),
            comments: Vec::new(),
            span: 0..0,
            line: 0,
            text: String::new(),
        })
    }

    /// Any other instruction: what it is, and where its arguments stand.
    pub fn kind(&mut self) -> Result<(InstructionKind, Vec<Span>), Diagnostic> {
        let kind = match self.head.name.as_str() {
            "ADD" => InstructionKind::Add(self.copy(ADD_FLAGS)?),
            "COPY" => InstructionKind::Copy(self.copy(COPY_FLAGS)?),
            "RUN" => InstructionKind::Run(self.run()?),
            // The reference builder does not look at the flags of these.
            "ARG" => InstructionKind::Arg(self.arg()?),
            "STOPSIGNAL" => InstructionKind::Stopsignal(self.whole()?),
            "HEALTHCHECK" => InstructionKind::Healthcheck(self.healthcheck()?),
            "CMD" | "ENTRYPOINT" | "ENV" | "EXPOSE" | "LABEL" | "MAINTAINER" | "ONBUILD" | "SHELL"
            | "USER" | "VOLUME" | "WORKDIR" => {
                Flags::check(&self.head.flags, &[], &self.head.name)?;
                self.flagless()?
            }
            _ => return Err(self.unknown()),
        };
        let arguments = self.argument_spans(&kind);
        Ok((kind, arguments))
    }

    fn flagless(&mut self) -> Result<InstructionKind, Diagnostic> {
        Ok(match self.head.name.as_str() {
            "CMD" => InstructionKind::Cmd(self.command(&self.head.arguments)?),
            "ENTRYPOINT" => InstructionKind::Entrypoint(self.command(&self.head.arguments)?),
            "ENV" => InstructionKind::Env(self.pairs()?),
            "LABEL" => InstructionKind::Label(self.pairs()?),
            "MAINTAINER" => InstructionKind::Maintainer(self.whole()?),
            "USER" => InstructionKind::User(self.whole()?),
            "WORKDIR" => InstructionKind::Workdir(self.whole()?),
            "EXPOSE" => InstructionKind::Expose(self.some(self.words())?),
            "VOLUME" => InstructionKind::Volume(self.volume()?),
            "SHELL" => InstructionKind::Shell(self.shell()?),
            _ => InstructionKind::Onbuild(Box::new(self.onbuild()?)),
        })
    }

    /// An error about the instruction as a whole.
    fn error(&self, message: impl Into<String>) -> Diagnostic {
        let end = self.head.arguments.end.max(self.head.keyword.end);
        Diagnostic::error(
            "InvalidInstruction",
            message,
            self.line.span(&(self.head.keyword.start..end)),
        )
    }

    fn unknown(&self) -> Diagnostic {
        let keyword = self.line.slice(&self.head.keyword);
        let message = format!("unknown instruction {keyword}");
        let error = Diagnostic::error("UnknownInstruction", message, self.line.span(&self.head.keyword));
        match suggest::nearest(keyword, NAMES) {
            Some(name) => error.with_help(format!("did you mean {name}?")),
            None => error,
        }
    }

    /// The arguments as blank-separated words.
    fn words(&self) -> Vec<Word> {
        let spans = words::split_blanks(&self.line.text, &self.head.arguments);
        spans.iter().map(|span| self.line.word(span)).collect()
    }

    /// The arguments as a JSON array of strings, or else as blank-separated words; and which it was.
    fn json_or_words(&self) -> Result<(Vec<Word>, bool), Diagnostic> {
        match words::parse_json(&self.line.text, &self.head.arguments) {
            Json::Strings(strings) => {
                let word = |(text, span): (String, Span)| Word {
                    text,
                    span: self.line.span(&span),
                };
                Ok((strings.into_iter().map(word).collect(), true))
            }
            Json::Mixed => Err(self.not_strings()),
            Json::No => Ok((self.words(), false)),
        }
    }

    fn not_strings(&self) -> Diagnostic {
        let span = self.line.span(&self.head.arguments);
        Diagnostic::error(
            "InvalidJson",
            "a JSON array of arguments may hold strings only",
            span,
        )
        .with_help("put numbers and other values into double quotes")
    }

    fn some(&self, words: Vec<Word>) -> Result<Vec<Word>, Diagnostic> {
        match words.is_empty() {
            true => Err(self.error(format!("{} needs at least one argument", self.head.name))),
            false => Ok(words),
        }
    }

    /// The arguments as one word, blanks included.
    fn whole(&self) -> Result<Word, Diagnostic> {
        match self.head.arguments.is_empty() {
            true => Err(self.error(format!("{} needs exactly one argument", self.head.name))),
            false => Ok(self.line.word(&self.head.arguments)),
        }
    }

    fn command(&self, range: &Span) -> Result<Command, Diagnostic> {
        match words::parse_json(&self.line.text, range) {
            Json::Strings(strings) => Ok(Command::Exec(strings.into_iter().map(|(text, _)| text).collect())),
            Json::Mixed => Err(self.not_strings()),
            Json::No => Ok(Command::Shell(self.line.slice(range).to_owned())),
        }
    }

    fn volume(&self) -> Result<Vec<Word>, Diagnostic> {
        let (words, _) = self.json_or_words()?;
        let trimmed = |word: Word| match word.text.trim() {
            "" => Err(Diagnostic::error(
                "InvalidInstruction",
                "a VOLUME must not be empty",
                word.span,
            )),
            text => Ok(Word {
                text: text.to_owned(),
                span: word.span,
            }),
        };
        self.some(words)?.into_iter().map(trimmed).collect()
    }

    fn shell(&self) -> Result<Vec<String>, Diagnostic> {
        match self.command(&self.head.arguments)? {
            Command::Exec(words) if words.is_empty() => Err(self.error("SHELL needs at least one argument")),
            Command::Exec(words) => Ok(words),
            Command::Shell(_) => Err(self
                .error("SHELL takes the JSON form only")
                .with_help("write for instance SHELL [\"/bin/bash\", \"-c\"]")),
        }
    }

    fn onbuild(&mut self) -> Result<Instruction, Diagnostic> {
        if self.head.arguments.is_empty() {
            return Err(self.error("ONBUILD needs an instruction"));
        }
        let head = Head::split(self.line, &self.head.arguments);
        if matches!(head.name.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
            let message = format!("{} cannot be triggered by ONBUILD", head.name);
            return Err(Diagnostic::error(
                "InvalidOnbuild",
                message,
                self.line.span(&head.keyword),
            ));
        }
        // The trigger is stored as written, blanks at its end included.
        let range = self.head.arguments.start..self.line.text.len();
        let heredocs = std::mem::take(&mut self.heredocs);
        build(
            Parser {
                line: self.line,
                head,
                escape: self.escape,
                heredocs,
            },
            range,
        )
    }

    /// Where the arguments stand, as the kind of instruction sees them.
    fn argument_spans(&self, kind: &InstructionKind) -> Vec<Span> {
        let arguments = &self.head.arguments;
        let json = |range: &Span| match words::parse_json(&self.line.text, range) {
            Json::Strings(strings) => strings.into_iter().map(|(_, span)| span).collect(),
            _ => vec![range.clone()],
        };
        let spans = match kind {
            InstructionKind::Arg(_) => words::split_quoted(&self.line.text, arguments, self.escape),
            InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
                return pairs
                    .iter()
                    .map(|(key, value)| key.span.start..value.span.end)
                    .collect();
            }
            InstructionKind::Copy(copy) | InstructionKind::Add(copy) => match copy.json {
                true => json(arguments),
                false => words::split_blanks(&self.line.text, arguments),
            },
            InstructionKind::Volume(words) => return words.iter().map(|word| word.span.clone()).collect(),
            InstructionKind::Expose(words) => return words.iter().map(|word| word.span.clone()).collect(),
            InstructionKind::Healthcheck(_) => {
                let (kind, rest) = self.healthcheck_arguments();
                let rest = if rest.is_empty() { Vec::new() } else { json(&rest) };
                std::iter::once(kind).chain(rest).collect()
            }
            InstructionKind::Run(Run {
                command: Command::Exec(_),
                ..
            })
            | InstructionKind::Cmd(Command::Exec(_))
            | InstructionKind::Entrypoint(Command::Exec(_))
            | InstructionKind::Shell(_) => json(arguments),
            _ if arguments.is_empty() => Vec::new(),
            _ => vec![arguments.clone()],
        };
        spans.iter().map(|span| self.line.span(span)).collect()
    }
}

/// Finishes an instruction that takes up `range` of the line.
pub(super) fn build(mut parser: Parser<'_, '_>, range: Span) -> Result<Instruction, Diagnostic> {
    let line = parser.line;
    let mut text = line.slice(&range).to_owned();
    let mut span = line.span(&range);
    for heredoc in &parser.heredocs {
        text.push('\n');
        text.push_str(&heredoc.raw);
        text.push_str(&heredoc.name);
        span.end = span.end.max(heredoc.span.end);
    }
    let (kind, arguments) = parser.kind()?;
    Ok(Instruction {
        kind,
        keyword: line.word(&parser.head.keyword),
        flags: parser.head.flags,
        arguments,
        comments: Vec::new(),
        span,
        line: line.line,
        text,
    })
}

fn invalid_value(flag: &str, word: &Word, wanted: &str) -> Diagnostic {
    let message = format!("--{flag} is {wanted}, not {:?}", word.text);
    Diagnostic::error("InvalidFlag", message, word.span.clone())
}
