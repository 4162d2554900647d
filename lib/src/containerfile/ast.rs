//! What a parsed Containerfile is.
//!
//! Words are kept as written, quotes, escapes and `$variables` included; expansion is a second step, since it needs
//! the values that only a build knows.

use std::{ops::Range, sync::Arc};

/// Variables that need no `ARG`: a `RUN` sees them if the build was given them, and nothing records them.
pub const PROXY_VARIABLES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// A place in the source: byte offsets.
pub type Span = Range<usize>;

/// A word as it stands in the source (after continuation lines were joined), and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As written: quotes, escapes and variables are still there.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A whole file.
#[derive(Clone, Debug)]
pub struct Containerfile {
    /// The text that all spans point into.
    pub source: Arc<str>,
    /// Blank lines inside continued lines. They vanish, but the rule `NoEmptyContinuation` frowns on them.
    pub empty_continuations: Vec<Span>,
    /// What the parser directives at the top say.
    pub directives: Directives,
    /// The `ARG`s before the first `FROM`.
    pub global_args: Vec<Instruction>,
    /// In order; at least one.
    pub stages: Vec<Stage>,
}

/// Parser directives: `# key=value` lines at the very top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// `syntax`, as written.
    pub syntax: Option<Word>,
    /// `escape`: `\` or a backtick.
    pub escape: char,
    /// `check`: as written.
    pub check: Option<Word>,
}

/// A `FROM` and what follows it.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its `FROM`.
    pub from: From,
    /// What follows, without the `FROM`.
    pub instructions: Vec<Instruction>,
}

/// A `FROM`.
#[derive(Clone, Debug)]
pub struct From {
    /// Image reference, stage name or `scratch`.
    pub image: Word,
    /// `--platform`.
    pub platform: Option<Word>,
    /// `AS name`, as written; stages are looked up in lower case.
    pub name: Option<Word>,
    /// `FROM`, in the case it was written in.
    pub keyword: Word,
    /// `AS`, in the case it was written in.
    pub as_keyword: Option<Word>,
    /// Flags as written.
    pub flags: Vec<Flag>,
    /// The comment lines right above, without their `#`.
    pub comments: Vec<Word>,
    /// The whole instruction.
    pub span: Span,
    /// First line, from 1.
    pub line: usize,
    /// The logical line as written, continuation lines joined by a blank, for people.
    pub text: String,
}

/// An instruction of a stage.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// Which one, and its words.
    pub kind: InstructionKind,
    /// Its name, in the case it was written in.
    pub keyword: Word,
    /// Flags as written, the ones that `kind` gives a meaning to.
    pub flags: Vec<Flag>,
    /// Where its arguments stand, in order: words, strings of a JSON array, or the whole shell text.
    pub arguments: Vec<Span>,
    /// The comment lines right above, without their `#`.
    pub comments: Vec<Word>,
    /// The whole instruction, heredocs included.
    pub span: Span,
    /// First line, from 1.
    pub line: usize,
    /// The logical line as written, continuation lines joined, heredoc bodies included; `ONBUILD` stores its trigger
    /// in this form, and progress shows it.
    pub text: String,
}

/// All instructions but `FROM`.
#[derive(Clone, Debug)]
pub enum InstructionKind {
    /// `ARG name[=default]…`
    Arg(Vec<(Word, Option<Word>)>),
    /// `ENV`: pairs in order.
    Env(Vec<(Word, Word)>),
    /// `LABEL`: pairs in order.
    Label(Vec<(Word, Word)>),
    /// `RUN`
    Run(Run),
    /// `COPY`
    Copy(Copy),
    /// `ADD`
    Add(Copy),
    /// `CMD`
    Cmd(Command),
    /// `ENTRYPOINT`
    Entrypoint(Command),
    /// `SHELL`
    Shell(Vec<String>),
    /// `WORKDIR`
    Workdir(Word),
    /// `USER`
    User(Word),
    /// `VOLUME`
    Volume(Vec<Word>),
    /// `EXPOSE`, as written; the reference builder handles the words in byte order.
    Expose(Vec<Word>),
    /// `STOPSIGNAL`
    Stopsignal(Word),
    /// `HEALTHCHECK`
    Healthcheck(Healthcheck),
    /// `ONBUILD`: the trigger, parsed; its `text` is what the image stores.
    Onbuild(Box<Instruction>),
    /// `MAINTAINER`: not expanded.
    Maintainer(Word),
}

/// `RUN`, `CMD` and `ENTRYPOINT` arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The JSON form.
    Exec(Vec<String>),
    /// The shell form; heredoc markers are still in the text.
    Shell(String),
}

/// A flag: `--name` or `--name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Without the dashes.
    pub name: String,
    /// After `=`, unexpanded. Unlike in other words, quotes and backslashes are already removed: that is done before
    /// flags are looked at, so `--chown="$U"` is expanded and `--chown='$U'` is, too.
    pub value: Option<Word>,
    /// The whole flag.
    pub span: Span,
}

/// A `RUN`.
#[derive(Clone, Debug)]
pub struct Run {
    /// `--mount` values, unexpanded, in order.
    pub mounts: Vec<Word>,
    /// `--network`.
    pub network: Network,
    /// `--security=insecure`.
    pub insecure: bool,
    /// What to run.
    pub command: Command,
    /// Heredocs of the shell form, in order.
    pub heredocs: Vec<Heredoc>,
}

/// `RUN --network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Network {
    /// What the build has.
    #[default]
    Default,
    /// A network namespace of its own, with loopback only.
    None,
    /// The host's.
    Host,
}

/// An inline document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter, quotes removed.
    pub name: String,
    /// The lines between, each with its newline; leading tabs already stripped for `<<-`.
    pub content: String,
    /// The lines between as they stand in the file, tabs included: what a shell is given that handles `<<-` itself.
    pub raw: String,
    /// Whether variables in it are expanded: no part of the delimiter was quoted.
    pub expand: bool,
    /// Whether it was `<<-`.
    pub strip_tabs: bool,
    /// The descriptor in front of `<<`, if any.
    pub fd: Option<u32>,
    /// Marker to closing delimiter.
    pub span: Span,
}

/// A `COPY` or an `ADD`.
#[derive(Clone, Debug)]
pub struct Copy {
    /// In order.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: Word,
    /// `--from`, never expanded.
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, in order, not expanded.
    pub exclude: Vec<Word>,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--unpack`, if given.
    pub unpack: Option<bool>,
    /// Whether it was the JSON form. Expansion is the same for both, quotes inside the strings included.
    pub json: bool,
}

/// What `COPY` and `ADD` take from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, a pattern, a URL.
    Word(Word),
    /// An inline document; its file name is the delimiter.
    Heredoc(Heredoc),
}

/// A `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// `HEALTHCHECK NONE`
    None,
    /// `HEALTHCHECK [flags] CMD …`; durations in nanoseconds, as the image config has them.
    Cmd {
        /// What to run.
        command: Command,
        /// `--interval`
        interval: Option<i64>,
        /// `--timeout`
        timeout: Option<i64>,
        /// `--start-period`
        start_period: Option<i64>,
        /// `--start-interval`
        start_interval: Option<i64>,
        /// `--retries`
        retries: Option<i64>,
    },
}
