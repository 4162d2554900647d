use super::super::*;

mod files;

fn parse(source: &str) -> Containerfile {
    Containerfile::parse(source).unwrap_or_else(|errors| panic!("{source}\n{errors}"))
}

/// The instructions of a stage of a minimal file.
fn body(source: &str) -> Vec<Instruction> {
    parse(&format!("FROM scratch\n{source}"))
        .stages
        .remove(0)
        .instructions
}

fn one(source: &str) -> InstructionKind {
    let mut body = body(source);
    assert_eq!(body.len(), 1, "{source}");
    body.remove(0).kind
}

/// The names of what is wrong.
fn errors(source: &str) -> Vec<&'static str> {
    match Containerfile::parse(source) {
        Ok(file) => panic!("{source} should fail: {file:?}"),
        Err(errors) => errors.list.into_iter().map(|error| error.name).collect(),
    }
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.text.as_str()).collect()
}

fn pairs(kind: &InstructionKind) -> Vec<(&str, &str)> {
    match kind {
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => pairs
            .iter()
            .map(|(key, value)| (key.text.as_str(), value.text.as_str()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn copy(source: &str) -> Copy {
    match one(source) {
        InstructionKind::Copy(copy) | InstructionKind::Add(copy) => copy,
        other => panic!("{source}: {other:?}"),
    }
}

fn run(source: &str) -> Run {
    match one(source) {
        InstructionKind::Run(run) => run,
        other => panic!("{source}: {other:?}"),
    }
}

#[test]
fn directives() {
    for (source, syntax, escape, check) in [
        ("FROM a", None, '\\', None),
        (
            "# syntax=docker/dockerfile:1\nFROM a",
            Some("docker/dockerfile:1"),
            '\\',
            None,
        ),
        (
            "#ESCAPE = `\n# check=skip=all\nFROM a",
            None,
            '`',
            Some("skip=all"),
        ),
        ("#!/usr/bin/env x\n# escape=`\nFROM a", None, '`', None),
        ("\u{feff}# escape=`\r\nFROM a", None, '`', None),
        ("# a comment\n# escape=`\nFROM a", None, '\\', None),
        ("\n# escape=`\nFROM a", None, '\\', None),
        ("# other=1\n# escape=`\nFROM a", None, '\\', None),
        ("FROM a\n# escape=`", None, '\\', None),
        ("# escape=\nFROM a", None, '\\', None),
    ] {
        let found = parse(source).directives;
        let text = |word: Option<Word>| word.map(|word| word.text);
        assert_eq!(text(found.syntax).as_deref(), syntax, "{source}");
        assert_eq!(text(found.check).as_deref(), check, "{source}");
        assert_eq!(found.escape, escape, "{source}");
    }
    for source in [
        "# escape=\\\n# escape=\\\nFROM a",
        "# escape=x\nFROM a",
        "# syntax=a\n# Syntax=b\nFROM a",
    ] {
        assert_eq!(errors(source), ["InvalidDirective"], "{source}");
    }
}

#[test]
fn from() {
    let file = parse("ARG V=1\nFROM --platform=$P  img:$V  As Build\nfrom build");
    assert_eq!((file.global_args.len(), file.stages.len()), (1, 2));
    let from = &file.stages[0].from;
    assert_eq!(from.image.text, "img:$V");
    assert_eq!(from.platform.as_ref().map(|word| word.text.as_str()), Some("$P"));
    assert_eq!(from.name.as_ref().map(|word| word.text.as_str()), Some("Build"));
    assert_eq!(
        from.as_keyword.as_ref().map(|word| word.text.as_str()),
        Some("As")
    );
    assert_eq!(
        (from.line, from.text.as_str()),
        (2, "FROM --platform=$P  img:$V  As Build")
    );
    assert_eq!(file.stages[1].from.keyword.text, "from");
    for (source, want) in [
        ("FROM", "InvalidInstruction"),
        ("FROM a b", "InvalidInstruction"),
        ("FROM a # nope", "InvalidInstruction"),
        ("FROM a AS b c", "InvalidInstruction"),
        ("FROM a AS 1", "InvalidStageName"),
        ("FROM a AS a/b", "InvalidStageName"),
        ("FROM --from=x a", "UnknownFlag"),
        ("FROM --platform a", "InvalidFlag"),
    ] {
        assert_eq!(errors(source), [want], "{source}");
    }
}

#[test]
fn files_without_a_stage() {
    for source in ["", "\n# c\n", "ARG A", "\u{feff}"] {
        assert_eq!(errors(source), ["NoStage"], "{source:?}");
    }
    assert_eq!(errors("RUN a\nFROM b"), ["NoStage"]);
    assert_eq!(errors("ENV a=b"), ["NoStage"]);
}

#[test]
fn all_errors_are_reported() {
    assert_eq!(
        errors("FROM a\nCOPPY a b\nCOPY a\nRUN ok\nUSER\n"),
        ["UnknownInstruction", "InvalidInstruction", "InvalidInstruction"]
    );
    assert_eq!(errors(&"x\n".repeat(1000)).len(), 100);
}

#[test]
fn suggestions() {
    let error = Containerfile::parse("FROM a\nCOPPY x y").expect_err("unknown instruction");
    assert_eq!(error.list[0].help.as_deref(), Some("did you mean COPY?"));
    assert_eq!(error.list[0].span, 7..12);
}

#[test]
fn env_and_label() {
    for (source, want) in [
        ("ENV a=1 b=2", &[("a", "1"), ("b", "2")][..]),
        ("ENV a=", &[("a", "")]),
        ("ENV a=b=c", &[("a", "b=c")]),
        ("ENV a b  c ", &[("a", "b  c")]),
        ("ENV a  b=c", &[("a", "b=c")]),
        (
            "ENV a=\"x y\" b='p q' c=r\\ s",
            &[("a", "\"x y\""), ("b", "'p q'"), ("c", "r\\ s")],
        ),
        ("LABEL \"a b\"=c", &[("\"a b\"", "c")]),
        ("LABEL a b c", &[("a", "b c")]),
        ("ENV a=1 \\\n # c\n  b=2", &[("a", "1"), ("b", "2")]),
    ] {
        assert_eq!(pairs(&one(source)), want, "{source}");
    }
    for source in [
        "ENV",
        "ENV a",
        "ENV a=1 b",
        "ENV =1",
        "LABEL",
        "LABEL a",
        "ENV --x=1 a=b",
    ] {
        assert_eq!(errors(&format!("FROM a\n{source}")).len(), 1, "{source}");
    }
    let file = parse("# escape=`\nFROM a\nENV X=a`$b Y=c\\d Z=e` f");
    assert_eq!(
        pairs(&file.stages[0].instructions[0].kind),
        [("X", "a`$b"), ("Y", "c\\d"), ("Z", "e` f")]
    );
}

#[test]
fn arg() {
    let InstructionKind::Arg(args) = one("ARG a b=1 c= d=\"x y\"") else {
        panic!("an ARG")
    };
    let args: Vec<_> = args
        .iter()
        .map(|(name, value)| (&*name.text, value.as_ref().map(|word| &*word.text)))
        .collect();
    assert_eq!(
        args,
        [
            ("a", None),
            ("b", Some("1")),
            ("c", Some("")),
            ("d", Some("\"x y\""))
        ]
    );
    assert_eq!(errors("ARG\nFROM a"), ["InvalidInstruction"]);
    assert_eq!(errors("ARG =a\nFROM a"), ["InvalidInstruction"]);
}

#[test]
fn commands() {
    let shell = |text: &str| Command::Shell(text.to_owned());
    let exec = |words: &[&str]| Command::Exec(words.iter().map(|word| word.to_string()).collect());
    for (source, want) in [
        ("CMD a  b ", shell("a  b")),
        ("CMD", shell("")),
        ("CMD []", exec(&[])),
        ("cmd [ \"a\", \"b c\" ]  ", exec(&["a", "b c"])),
        ("CMD [\"a\", 'b']", shell("[\"a\", 'b']")),
        ("CMD [\"x\"] # c", shell("[\"x\"] # c")),
        ("CMD a # c", shell("a # c")),
        ("CMD -- --a", shell("--a")),
        ("CMD \"a\\\n  # c\n b\"", shell("\"a b\"")),
    ] {
        let InstructionKind::Cmd(command) = one(source) else {
            panic!("{source}: a CMD")
        };
        assert_eq!(command, want, "{source}");
    }
    assert!(matches!(
        one("ENTRYPOINT [\"e\"]"),
        InstructionKind::Entrypoint(Command::Exec(_))
    ));
    for (source, want) in [
        ("CMD [1]", "InvalidJson"),
        ("ENTRYPOINT [[\"a\"]]", "InvalidJson"),
        ("CMD --x a", "UnknownFlag"),
    ] {
        assert_eq!(errors(&format!("FROM a\n{source}")), [want], "{source}");
    }
}

#[test]
fn healthchecks() {
    let check =
        one("HEALTHCHECK --interval=1m30s --timeout=3s --start-period=0s --retries=4 cmd [\"/c\", \"a\"]");
    let want = Healthcheck::Cmd {
        command: Command::Exec(vec!["/c".into(), "a".into()]),
        interval: Some(90_000_000_000),
        timeout: Some(3_000_000_000),
        start_period: None,
        start_interval: None,
        retries: Some(4),
    };
    assert!(matches!(check, InstructionKind::Healthcheck(check) if check == want));
    assert!(matches!(
        one("HEALTHCHECK none"),
        InstructionKind::Healthcheck(Healthcheck::None)
    ));
    for source in [
        "HEALTHCHECK",
        "HEALTHCHECK CMD",
        "HEALTHCHECK CMD []",
        "HEALTHCHECK NONE a",
        "HEALTHCHECK RUN a",
        "HEALTHCHECK --interval=1 CMD a",
        "HEALTHCHECK --interval=1us CMD a",
        "HEALTHCHECK --interval=-1s CMD a",
        "HEALTHCHECK --retries=-1 CMD a",
        "HEALTHCHECK --retries=x CMD a",
        "HEALTHCHECK --every=1s CMD a",
    ] {
        assert_eq!(errors(&format!("FROM a\n{source}")).len(), 1, "{source}");
    }
}

#[test]
fn the_small_ones() {
    assert!(matches!(one("USER a b"), InstructionKind::User(word) if word.text == "a b"));
    assert!(matches!(one("WORKDIR /a b/ "), InstructionKind::Workdir(word) if word.text == "/a b/"));
    assert!(matches!(one("STOPSIGNAL SIGKILL"), InstructionKind::Stopsignal(word) if word.text == "SIGKILL"));
    assert!(
        matches!(one("MAINTAINER me <x@y>"), InstructionKind::Maintainer(word) if word.text == "me <x@y>")
    );
    assert!(
        matches!(one("EXPOSE 80 $P/udp"), InstructionKind::Expose(words) if texts(&words) == ["80", "$P/udp"])
    );
    assert!(
        matches!(one("VOLUME /v [\"/w\"]"), InstructionKind::Volume(words) if texts(&words) == ["/v", "[\"/w\"]"])
    );
    assert!(
        matches!(one("VOLUME [\"/x\", \" /y z \"]"), InstructionKind::Volume(words) if texts(&words) == ["/x", "/y z"])
    );
    assert!(matches!(one("SHELL [\"a\", \"-c\"]"), InstructionKind::Shell(words) if words == ["a", "-c"]));
    for source in [
        "USER",
        "WORKDIR",
        "STOPSIGNAL",
        "MAINTAINER",
        "EXPOSE",
        "VOLUME",
        "VOLUME []",
        "VOLUME [\" \"]",
        "SHELL",
        "SHELL []",
        "SHELL sh -c",
        "ONBUILD",
    ] {
        assert_eq!(errors(&format!("FROM a\n{source}")).len(), 1, "{source}");
    }
}

#[test]
fn onbuild() {
    let kind = one("ONBUILD  COPY --chown=1 <<EOF /a  \nx\nEOF\n");
    let InstructionKind::Onbuild(trigger) = kind else {
        panic!("an ONBUILD")
    };
    assert_eq!(trigger.text, "COPY --chown=1 <<EOF /a  \nx\nEOF");
    assert!(
        matches!(&trigger.kind, InstructionKind::Copy(copy) if matches!(copy.sources[..], [Source::Heredoc(_)]))
    );
    for source in ["ONBUILD ONBUILD RUN a", "ONBUILD FROM a", "onbuild maintainer x"] {
        assert_eq!(
            errors(&format!("FROM a\n{source}")),
            ["InvalidOnbuild"],
            "{source}"
        );
    }
}

#[test]
fn triggers() {
    let trigger = Instruction::parse_trigger("RUN <<EOF\necho hi\nEOF").expect("valid");
    assert!(matches!(&trigger.kind, InstructionKind::Run(run) if run.heredocs[0].content == "echo hi\n"));
    assert_eq!(trigger.text, "RUN <<EOF\necho hi\nEOF");
    for text in [
        "",
        "RUN a\nRUN b",
        "FROM a",
        "ONBUILD RUN a",
        "MAINTAINER x",
        "FOO a",
        "COPY a",
    ] {
        assert!(Instruction::parse_trigger(text).is_err(), "{text}");
    }
}

#[test]
fn texts_and_places() {
    let source =
        "FROM a\r\n# about it\r\nRUN --mount=target=/x \\\r\n  # no\r\n  a <<E && b\r\nx\r\nE\r\nUSER u\r\n";
    let file = parse(source);
    let run = &file.stages[0].instructions[0];
    assert_eq!(run.text, "RUN --mount=target=/x   a <<E && b\nx\r\nE");
    assert_eq!((run.line, texts(&run.comments)), (3, vec!["about it"]));
    assert!(
        source[run.span.clone()].starts_with("RUN --mount") && source[run.span.clone()].ends_with("x\r\nE")
    );
    assert_eq!(&source[run.keyword.span.clone()], "RUN");
    assert_eq!(&source[run.flags[0].span.clone()], "--mount=target=/x");
    assert_eq!(
        run.arguments
            .iter()
            .map(|span| &source[span.clone()])
            .collect::<Vec<_>>(),
        ["a <<E && b"]
    );
    assert_eq!(file.stages[0].instructions[1].line, 8);
}

#[test]
fn arguments_have_places() {
    for (source, want) in [
        ("ENV a=1  b=\"x y\"", &["a=1", "b=\"x y\""][..]),
        ("ENV a b  c", &["a b  c"]),
        ("ARG a b=1", &["a", "b=1"]),
        ("COPY a \\\n b /c", &["a", "b", "/c"]),
        ("COPY [\"a\", \"b\"]", &["\"a\"", "\"b\""]),
        ("CMD [\"a\"]", &["\"a\""]),
        ("CMD a b", &["a b"]),
        ("VOLUME a b", &["a", "b"]),
        ("HEALTHCHECK CMD a b", &["CMD", "a b"]),
        ("HEALTHCHECK NONE", &["NONE"]),
        ("CMD", &[]),
    ] {
        let source = format!("FROM scratch\n{source}");
        let file = parse(&source);
        let spans = &file.stages[0].instructions[0].arguments;
        assert_eq!(
            spans.iter().map(|span| &source[span.clone()]).collect::<Vec<_>>(),
            want,
            "{source}"
        );
    }
}

#[test]
fn comments_belong_to_what_follows_directly() {
    for (source, want) in [
        ("# a\n# b\nUSER u", &["a", "b"][..]),
        ("# a\n\nUSER u", &[]),
        ("# a\n#\nUSER u", &[]),
        ("# a\n#\n  # b\nUSER u", &["b"]),
        ("USER u # no", &[]),
    ] {
        assert_eq!(texts(&body(source)[0].comments), want, "{source}");
    }
}

#[test]
fn large_input_is_no_trouble() {
    let line = format!("FROM a\nRUN {}", "a ".repeat(500_000));
    assert_eq!(parse(&line).stages[0].instructions.len(), 1);
    let flags = format!("FROM a\nRUN {} x", "--mount=target=/a ".repeat(50_000));
    assert_eq!(parse(&flags).stages[0].instructions.len(), 1);
    assert_eq!(body(&"ENV a=b\n".repeat(100_000)).len(), 100_000);
    let continued = format!("FROM a\nENV {}", "a=b \\\n".repeat(100_000));
    assert_eq!(parse(&continued).stages[0].instructions.len(), 1);
    let docs = format!(
        "FROM a\nCOPY {}/x/\n{}",
        "<<E ".repeat(20_000),
        "E\n".repeat(20_000)
    );
    assert_eq!(parse(&docs).stages[0].instructions.len(), 1);
    assert!(Containerfile::parse(&"ONBUILD ".repeat(100_000)).is_err());
}
