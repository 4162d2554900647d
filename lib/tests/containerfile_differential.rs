//! What another parser reads from the classic part of the language is what this one reads.

use dockerfile_parser::{Dockerfile, Instruction as Other, ShellOrExecExpr};
use proptest::prelude::*;
use rbuild::containerfile::{Command, Containerfile, InstructionKind, Source, Word};

/// An instruction as both see it: its name and its arguments, blanks evened out.
type Plain = (String, Vec<String>);

fn even(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn plain(name: &str, arguments: impl IntoIterator<Item = impl AsRef<str>>) -> Plain {
    (
        name.to_owned(),
        arguments
            .into_iter()
            .map(|argument| even(argument.as_ref()))
            .collect(),
    )
}

fn theirs(source: &str) -> Vec<Plain> {
    let file = Dockerfile::parse(source).unwrap_or_else(|error| panic!("{source}\n{error}"));
    file.instructions.iter().map(their_instruction).collect()
}

fn their_instruction(instruction: &Other) -> Plain {
    match instruction {
        Other::From(from) => {
            let alias = from.alias.iter().map(|alias| alias.content.clone());
            plain("FROM", std::iter::once(from.image.content.clone()).chain(alias))
        }
        Other::Arg(arg) => {
            let value = arg.value.iter().map(|value| value.content.clone());
            plain("ARG", std::iter::once(arg.name.content.clone()).chain(value))
        }
        Other::Label(label) => plain(
            "LABEL",
            label
                .labels
                .iter()
                .flat_map(|label| [label.name.content.clone(), label.value.content.clone()]),
        ),
        Other::Env(env) => plain(
            "ENV",
            env.vars
                .iter()
                .flat_map(|var| [var.key.content.clone(), var.value.to_string()]),
        ),
        Other::Run(run) => their_command("RUN", &run.expr),
        Other::Cmd(cmd) => their_command("CMD", &cmd.expr),
        Other::Entrypoint(entrypoint) => their_command("ENTRYPOINT", &entrypoint.expr),
        Other::Copy(copy) => {
            let flags = copy
                .flags
                .iter()
                .map(|flag| format!("--{}={}", flag.name.content, flag.value.content));
            let words = copy.sources.iter().map(|source| source.content.clone());
            plain(
                "COPY",
                flags.chain(words).chain([copy.destination.content.clone()]),
            )
        }
        Other::Misc(misc) => plain(
            &misc.instruction.content.to_uppercase(),
            [misc.arguments.to_string()],
        ),
    }
}

fn their_command(name: &str, command: &ShellOrExecExpr) -> Plain {
    match command {
        ShellOrExecExpr::Shell(text) => plain(name, [text.to_string()]),
        ShellOrExecExpr::Exec(array) => (
            name.to_owned(),
            array.as_str_vec().into_iter().map(str::to_owned).collect(),
        ),
    }
}

fn ours(source: &str) -> Vec<Plain> {
    let file = Containerfile::parse(source).unwrap_or_else(|errors| panic!("{errors}"));
    let mut all: Vec<Plain> = file.global_args.iter().map(|arg| our_kind(&arg.kind)).collect();
    for stage in &file.stages {
        let name = stage.from.name.iter().map(|name| name.text.clone());
        all.push(plain(
            "FROM",
            std::iter::once(stage.from.image.text.clone()).chain(name),
        ));
        all.extend(
            stage
                .instructions
                .iter()
                .map(|instruction| our_kind(&instruction.kind)),
        );
    }
    all
}

fn our_kind(kind: &InstructionKind) -> Plain {
    let name = kind.name();
    let one = |word: &Word| plain(name, [&word.text]);
    let joined = |words: &[Word]| {
        plain(
            name,
            [words
                .iter()
                .map(|word| word.text.as_str())
                .collect::<Vec<_>>()
                .join(" ")],
        )
    };
    match kind {
        InstructionKind::Arg(arguments) => plain(
            name,
            arguments.iter().flat_map(|(name, value)| {
                std::iter::once(&name.text).chain(value.iter().map(|value| &value.text))
            }),
        ),
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => plain(
            name,
            pairs
                .iter()
                .flat_map(|(key, value)| [key.text.as_str(), value.text.trim_matches('"')]),
        ),
        InstructionKind::Run(run) => our_command(name, &run.command),
        InstructionKind::Cmd(command) | InstructionKind::Entrypoint(command) => our_command(name, command),
        InstructionKind::Copy(copy) => {
            let flag =
                |name: &str, word: &Option<Word>| word.as_ref().map(|word| format!("--{name}={}", word.text));
            let flags = flag("from", &copy.from)
                .into_iter()
                .chain(flag("chown", &copy.chown));
            let sources = copy.sources.iter().map(|source| match source {
                Source::Word(word) => word.text.clone(),
                Source::Heredoc(heredoc) => panic!("no heredoc was written: {}", heredoc.name),
            });
            plain(name, flags.chain(sources).chain([copy.destination.text.clone()]))
        }
        InstructionKind::User(word) | InstructionKind::Workdir(word) | InstructionKind::Stopsignal(word) => {
            one(word)
        }
        InstructionKind::Expose(words) | InstructionKind::Volume(words) => joined(words),
        other => panic!("this was not written: {other:?}"),
    }
}

fn our_command(name: &str, command: &Command) -> Plain {
    match command {
        Command::Shell(text) => plain(name, [text]),
        Command::Exec(strings) => (name.to_owned(), strings.clone()),
    }
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_./:-]{0,8}"
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_]{0,8}"
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![word(), "\"[a-z0-9 ./$]{1,10}\""].prop_filter("no blanks at the ends", |value| {
        let inner = value.trim_matches('"');
        inner == inner.trim() && !inner.is_empty()
    })
}

/// A blank, or a continued line, perhaps with a comment in it.
fn gap() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(" "), 1 => Just("  "), 2 => Just(" \\\n  "), 1 => Just(" \\\n# a comment\n  ")]
}

fn shell() -> impl Strategy<Value = String> {
    prop::collection::vec((word(), gap()), 1..6).prop_map(|words| {
        words
            .into_iter()
            .flat_map(|(word, gap)| [word, gap.to_owned()])
            .collect::<String>()
            + "end"
    })
}

fn exec() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-zA-Z0-9 ./-]{0,8}", 1..4).prop_map(|words| format!("{words:?}"))
}

fn pairs() -> impl Strategy<Value = String> {
    prop::collection::vec((name(), value()), 1..4).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" \\\n    ")
    })
}

fn copied() -> impl Strategy<Value = String> {
    let flag = prop_oneof![
        Just(String::new()),
        name().prop_map(|name| format!("--from={name} ")),
        Just("--chown=1:2 ".to_owned())
    ];
    (flag, prop::collection::vec(word(), 2..5)).prop_map(|(flag, words)| format!("{flag}{}", words.join(" ")))
}

fn instruction() -> impl Strategy<Value = String> {
    prop_oneof![
        shell().prop_map(|text| format!("RUN {text}")),
        exec().prop_map(|text| format!("RUN {text}")),
        shell().prop_map(|text| format!("CMD {text}")),
        exec().prop_map(|text| format!("ENTRYPOINT {text}")),
        pairs().prop_map(|pairs| format!("ENV {pairs}")),
        (name(), word()).prop_map(|(name, word)| format!("ENV {name} {word}")),
        pairs().prop_map(|pairs| format!("LABEL {pairs}")),
        copied().prop_map(|words| format!("COPY {words}")),
        (name(), word()).prop_map(|(name, value)| format!("ARG {name}={value}")),
        name().prop_map(|name| format!("ARG {name}")),
        word().prop_map(|word| format!("USER {word}")),
        word().prop_map(|word| format!("WORKDIR /{word}")),
        Just("EXPOSE 80 443/tcp".to_owned()),
        word().prop_map(|word| format!("VOLUME /{word} /b")),
        Just("STOPSIGNAL SIGTERM".to_owned()),
        Just("\n# a comment\n".to_owned()),
    ]
}

fn stage() -> impl Strategy<Value = String> {
    (
        "[a-z]{1,8}(:[a-z0-9]{1,4})?",
        prop::option::of(name()),
        prop::collection::vec(instruction(), 0..8),
    )
        .prop_map(|(image, alias, lines)| {
            let alias = alias.map(|alias| format!(" AS {alias}")).unwrap_or_default();
            format!("FROM {image}{alias}\n{}\n", lines.join("\n"))
        })
}

proptest! {
    #[test]
    fn both_read_the_same(args in prop::collection::vec(name(), 0..3), stages in prop::collection::vec(stage(), 1..4)) {
        let args: String = args.iter().map(|name| format!("ARG {name}=1\n")).collect();
        let source = args + &stages.concat();
        prop_assert_eq!(ours(&source), theirs(&source), "{}", source);
    }
}
