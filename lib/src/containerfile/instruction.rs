//! From the text of one instruction to its kind.

use super::{
    Command, Copy, Diagnostic, Flag, From, Healthcheck, Heredoc, Instruction, InstructionKind, Network, Run,
    Source, Span, Word,
    flags::{Flags, Known, Takes, split_flags},
    heredoc::Marker,
    lines::Logical,
    suggest, values,
    words::{self, Json},
};

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

const RUN_FLAGS: &Known = &[
    ("mount", Takes::List),
    ("network", Takes::Value),
    ("security", Takes::Value),
];

const COPY_FLAGS: &Known = &[
    ("from", Takes::Value),
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("parents", Takes::Bool),
    ("exclude", Takes::List),
];

const ADD_FLAGS: &Known = &[
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("exclude", Takes::List),
    ("keep-git-dir", Takes::Bool),
    ("checksum", Takes::Value),
    ("unpack", Takes::Bool),
];

const HEALTHCHECK_FLAGS: &Known = &[
    ("interval", Takes::Value),
    ("timeout", Takes::Value),
    ("start-period", Takes::Value),
    ("start-interval", Takes::Value),
    ("retries", Takes::Value),
];

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

    /// `KEY=value …`, or the old form `KEY rest of the line`.
    fn pairs(&self) -> Result<Vec<(Word, Word)>, Diagnostic> {
        let (line, name) = (self.line, &self.head.name);
        let spans = words::split_quoted(&line.text, &self.head.arguments, self.escape);
        let Some(first) = spans.first() else {
            return Err(self.error(format!("{name} needs at least one argument")));
        };
        if !line.slice(first).contains('=') {
            let (key, value) = words::split_first(&line.text, &self.head.arguments);
            if value.is_empty() {
                let help = format!("write {name} {}=value", line.slice(&key));
                return Err(self
                    .error(format!("{name} needs a name and a value"))
                    .with_help(help));
            }
            return Ok(vec![(line.word(&key), line.word(&value))]);
        }
        spans.iter().map(|span| self.pair(span)).collect()
    }

    fn pair(&self, span: &Span) -> Result<(Word, Word), Diagnostic> {
        let text = self.line.slice(span);
        match text.find('=') {
            None => {
                let message = format!("{text:?} has no =, {} wants name=value", self.head.name);
                Err(
                    Diagnostic::error("InvalidInstruction", message, self.line.span(span))
                        .with_help("put quotes around values that hold blanks"),
                )
            }
            Some(0) => Err(self.blank_name(span)),
            Some(at) => {
                let at = span.start + at;
                Ok((
                    self.line.word(&(span.start..at)),
                    self.line.word(&(at + 1..span.end)),
                ))
            }
        }
    }

    fn blank_name(&self, span: &Span) -> Diagnostic {
        let message = format!("{} names must not be empty", self.head.name);
        Diagnostic::error("InvalidInstruction", message, self.line.span(span))
    }

    fn arg(&self) -> Result<Vec<(Word, Option<Word>)>, Diagnostic> {
        let spans = words::split_quoted(&self.line.text, &self.head.arguments, self.escape);
        if spans.is_empty() {
            return Err(self.error("ARG needs at least one argument"));
        }
        let arg = |span: &Span| match self.line.slice(span).find('=') {
            None => Ok((self.line.word(span), None)),
            Some(_) => self.pair(span).map(|(name, value)| (name, Some(value))),
        };
        spans.iter().map(arg).collect()
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

    fn run(&mut self) -> Result<Run, Diagnostic> {
        let flags = Flags::check(&self.head.flags, RUN_FLAGS, "RUN")?;
        let network = match flags.value("network") {
            None => Network::Default,
            Some(word) => match word.text.as_str() {
                "default" => Network::Default,
                "none" => Network::None,
                "host" => Network::Host,
                _ => return Err(invalid_value("network", &word, "default, none or host")),
            },
        };
        let insecure = match flags.value("security") {
            None => false,
            Some(word) => match word.text.as_str() {
                "sandbox" => false,
                "insecure" => true,
                _ => return Err(invalid_value("security", &word, "sandbox or insecure")),
            },
        };
        let mounts = flags.list("mount");
        for mount in &mounts {
            super::mount::check(&mount.text)
                .map_err(|error| Diagnostic::error("InvalidMount", error.to_string(), mount.span.clone()))?;
        }
        let command = self.command(&self.head.arguments)?;
        Ok(Run {
            mounts,
            network,
            insecure,
            command,
            heredocs: std::mem::take(&mut self.heredocs),
        })
    }

    fn copy(&mut self, known: &Known) -> Result<Copy, Diagnostic> {
        let flags = Flags::check(&self.head.flags, known, &self.head.name)?;
        let (words, json) = self.json_or_words()?;
        let Some((destination, sources)) = words.split_last().filter(|(_, sources)| !sources.is_empty())
        else {
            return Err(self.error(format!(
                "{} needs at least one source and a destination",
                self.head.name
            )));
        };
        if !json && matches!(Marker::parse(&destination.text), Ok(Some(_))) {
            let message = format!("the destination of {} cannot be a heredoc", self.head.name);
            return Err(Diagnostic::error(
                "InvalidHeredoc",
                message,
                destination.span.clone(),
            ));
        }
        let mut heredocs = std::mem::take(&mut self.heredocs).into_iter();
        let sources = sources
            .iter()
            .map(|word| source(word, json, &mut heredocs))
            .collect::<Result<_, _>>()?;
        if let Some(heredoc) = heredocs.next() {
            let message = format!("the heredoc {} is no source: a blank in its name", heredoc.name);
            return Err(Diagnostic::error("InvalidHeredoc", message, heredoc.span));
        }
        Ok(Copy {
            sources,
            destination: destination.clone(),
            from: flags.value("from"),
            chown: flags.value("chown"),
            chmod: flags.value("chmod"),
            link: flags.bool("link").unwrap_or_default(),
            parents: flags.bool("parents").unwrap_or_default(),
            exclude: flags.list("exclude"),
            checksum: flags.value("checksum"),
            keep_git_dir: flags.bool("keep-git-dir").unwrap_or_default(),
            unpack: flags.bool("unpack"),
            json,
        })
    }

    fn healthcheck(&self) -> Result<Healthcheck, Diagnostic> {
        let arguments = self.healthcheck_arguments();
        let (kind, rest) = &arguments;
        let (kind_text, rest_text) = (self.line.slice(kind), self.line.slice(rest));
        if kind_text.eq_ignore_ascii_case("NONE") {
            return match rest_text.is_empty() {
                true => Ok(Healthcheck::None),
                false => Err(self.error("HEALTHCHECK NONE takes no arguments")),
            };
        }
        let flags = Flags::check(&self.head.flags, HEALTHCHECK_FLAGS, "HEALTHCHECK")?;
        if !kind_text.eq_ignore_ascii_case("CMD") {
            return Err(self.error("HEALTHCHECK must be followed by CMD or NONE"));
        }
        let command = match self.command(rest)? {
            Command::Exec(words) if words.is_empty() => None,
            Command::Shell(text) if text.is_empty() => None,
            command => Some(command),
        };
        Ok(Healthcheck::Cmd {
            command: command.ok_or_else(|| self.error("HEALTHCHECK CMD needs a command"))?,
            interval: duration(&flags, "interval")?,
            timeout: duration(&flags, "timeout")?,
            start_period: duration(&flags, "start-period")?,
            start_interval: duration(&flags, "start-interval")?,
            retries: retries(&flags)?,
        })
    }

    /// `CMD` or `NONE`, and what follows.
    fn healthcheck_arguments(&self) -> (Span, Span) {
        let arguments = &self.head.arguments;
        let text = self.line.slice(arguments);
        let end = arguments.start + text.find(char::is_whitespace).unwrap_or(text.len());
        (
            arguments.start..end,
            words::trim(&self.line.text, &(end..arguments.end)),
        )
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

/// A source of `COPY` or `ADD`. Heredocs stand in the order of their markers.
fn source(
    word: &Word,
    json: bool,
    heredocs: &mut impl Iterator<Item = Heredoc>,
) -> Result<Source, Diagnostic> {
    let marker = if json {
        None
    } else {
        Marker::parse(&word.text).ok().flatten()
    };
    let Some(marker) = marker else {
        return Ok(Source::Word(word.clone()));
    };
    match heredocs.find(|heredoc| heredoc.name == marker.name) {
        Some(heredoc) => Ok(Source::Heredoc(heredoc)),
        None => {
            let message = format!("the heredoc {} has no body", marker.name);
            let help = "a quote or a ${ somewhere on the line is left open";
            Err(Diagnostic::error("InvalidHeredoc", message, word.span.clone()).with_help(help))
        }
    }
}

fn invalid_value(flag: &str, word: &Word, wanted: &str) -> Diagnostic {
    let message = format!("--{flag} is {wanted}, not {:?}", word.text);
    Diagnostic::error("InvalidFlag", message, word.span.clone())
}

/// A duration in nanoseconds; none if zero, which stands for the default.
fn duration(flags: &Flags<'_>, name: &str) -> Result<Option<i64>, Diagnostic> {
    let Some(word) = flags.value(name).filter(|word| !word.text.is_empty()) else {
        return Ok(None);
    };
    let wrong =
        |message: String| Diagnostic::error("InvalidFlag", format!("--{name}: {message}"), word.span.clone());
    let duration = values::parse_duration(&word.text).map_err(|error| wrong(error.to_string()))?;
    match duration {
        0 => Ok(None),
        1_000_000.. => Ok(Some(duration)),
        _ => Err(wrong("a duration must be at least 1ms".to_owned())),
    }
}

fn retries(flags: &Flags<'_>) -> Result<Option<i64>, Diagnostic> {
    let Some(word) = flags.value("retries").filter(|word| !word.text.is_empty()) else {
        return Ok(None);
    };
    match word.text.parse::<i32>() {
        Ok(0) => Ok(None),
        Ok(retries) if retries > 0 => Ok(Some(i64::from(retries))),
        _ => Err(invalid_value("retries", &word, "a number that is not negative")),
    }
}
