use proptest::prelude::*;

use super::*;

/// All that a file means, without places and the text as written.
pub(crate) fn meaning(file: &Containerfile) -> String {
    let mut file = file.clone();
    file.source = std::sync::Arc::from("");
    file.empty_continuations.clear();
    let instructions = file
        .stages
        .iter_mut()
        .flat_map(|stage| &mut stage.instructions)
        .chain(&mut file.global_args);
    instructions.for_each(erase);
    for stage in &mut file.stages {
        (stage.from.text, stage.from.line, stage.from.flags) = Default::default();
    }
    without_spans(&format!("{file:#?}"))
}

fn erase(instruction: &mut Instruction) {
    (
        instruction.text,
        instruction.line,
        instruction.flags,
        instruction.arguments,
    ) = Default::default();
    if let InstructionKind::Onbuild(trigger) = &mut instruction.kind {
        erase(trigger);
    }
}

fn without_spans(debug: &str) -> String {
    debug
        .lines()
        .filter(|line| !line.trim_start().starts_with("span: "))
        .fold(String::new(), |text, line| text + line + "\n")
}

fn print(source: &str) -> String {
    Containerfile::parse(source)
        .unwrap_or_else(|errors| panic!("{source}\n{errors}"))
        .to_string()
}

fn round_trip(source: &str) {
    let Ok(file) = Containerfile::parse(source) else {
        return;
    };
    let printed = file.to_string();
    let again = Containerfile::parse(&printed)
        .unwrap_or_else(|errors| panic!("{source:?}\nwas printed as\n{printed:?}\n{errors}"));
    assert_eq!(
        meaning(&again),
        meaning(&file),
        "{source:?}\nwas printed as\n{printed:?}"
    );
    assert_eq!(again.to_string(), printed, "{source:?}");
}

#[test]
fn lines_are_normalized() {
    for (source, want) in [
        ("from  a  as  b", "from a as b\n"),
        ("FROM --platform=\"$P\" a", "FROM --platform=$P a\n"),
        ("FROM a\nRUN x \\\n  # c\n  y", "FROM a\nRUN x   y\n"),
        (
            "FROM a\nRUN --mount='target=/a b' -- --x",
            "FROM a\nRUN --mount='target=/a b' -- --x\n",
        ),
        (
            "FROM a\nRUN --network=default --security=sandbox x",
            "FROM a\nRUN x\n",
        ),
        ("FROM a\nENV b c d\nENV e f", "FROM a\nENV b  c d\nENV e=f\n"),
        ("FROM a\nCMD [ \"b\",\"c\" ]", "FROM a\nCMD [\"b\", \"c\"]\n"),
        (
            "FROM a\nHEALTHCHECK --interval=1m30s --timeout=1500ms --retries=2 CMD x",
            "FROM a\nHEALTHCHECK --interval=90s --timeout=1500ms --retries=2 CMD x\n",
        ),
        (
            "FROM a\nCOPY --link --from=b <<-\"E\" c /d/\n\tx\nE",
            "FROM a\nCOPY --from=b --link <<-'E' c /d/\n\tx\nE\n",
        ),
        (
            "FROM a\nONBUILD  RUN <<E\nx\nE",
            "FROM a\nONBUILD RUN <<E\nx\nE\n",
        ),
        (
            "FROM a\nVOLUME [\"/b\", \"/c\"]\nVOLUME [\"/d e\"]",
            "FROM a\nVOLUME /b /c\nVOLUME [\"/d e\"]\n",
        ),
        (
            "#escape=`\n#syntax=x\nFROM a\n# c\nUSER b",
            "# syntax=x\n# escape=`\nFROM a\n# c\nUSER b\n",
        ),
        ("\n# escape=`\nFROM a\nFROM b", "\n# escape=`\nFROM a\n\nFROM b\n"),
    ] {
        assert_eq!(print(source), want, "{source}");
    }
}

#[test]
fn a_changed_file_prints_its_changes() {
    let mut file = Containerfile::parse("FROM a\nCOPY --from=b c /d\nUSER e").expect("valid");
    let instructions = &mut file.stages[0].instructions;
    if let InstructionKind::Copy(copy) = &mut instructions[0].kind {
        (copy.from, copy.link) = (None, true);
    }
    instructions[1].kind = InstructionKind::Workdir(Word {
        text: "/w".into(),
        span: 0..0,
    });
    assert_eq!(file.to_string(), "FROM a\nCOPY --link c /d\nWORKDIR /w\n");
}

#[test]
fn round_trips() {
    for source in [
        "FROM a\nENV a\\  b=c",
        "FROM a\nENV a =b",
        "FROM a\nENV \"a b\" c",
        "FROM a\nLABEL \"a b\"=c d='e f' g=h\\ i",
        "FROM a\nARG a=\"b c\" d",
        "FROM a\nARG -- --x",
        "FROM a\nCOPY [\"a b\", \"c\\n\"]",
        "FROM a\nCOPY <<\\'E /x\n'E\n",
        "FROM a\nCOPY <<'$E' /x\n$E\n",
        "FROM a\nCOPY <<a\\${ <<'b${'\"'c\" /x/\na${\nb${'c\n",
        "FROM a\nRUN --mount='target=${x' cat <<E\nE",
        "FROM a\nRUN --mount=\"target=a\\\\b'c\" cat",
        "FROM a\nRUN a \\\\\nRUN b",
        "FROM a\nRUN a \\\u{a0}\nRUN b",
        "FROM a\nCOPY [\"a\",\x0b\"b\"]",
        "FROM a\nCOPY \\  <<E b\nE\n",
        "FROM a\nRUN",
        "FROM a\nCMD [\"a\"] x",
        "# escape=`\nFROM a\nRUN --mount=target=`\nUSER b",
        "# escape=`\nFROM a\nRUN a ``\nRUN b",
        "FROM a\nSTOPSIGNAL 9\nMAINTAINER x y\nEXPOSE 1 2/udp\nSHELL [\"a\"]",
        "FROM a\nHEALTHCHECK --interval=1.000001s CMD [\"a\", \"\\u0000\"]",
    ] {
        Containerfile::parse(source).unwrap_or_else(|errors| panic!("{errors}"));
        round_trip(source);
    }
}

/// Lines that are likely to be valid, of pieces that are likely to be trouble.
fn line() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b=c",
        " ",
        "  ",
        "\t",
        "\\",
        "\\\\",
        "`",
        "\"",
        "'",
        "$x",
        "${x:-y}",
        "${",
        "}",
        "[",
        "]",
        "[\"a\", \"b\"]",
        ",",
        "=",
        "--",
        "--from=x",
        "--link",
        "--mount=target=/a",
        "--mount=\"x y\"",
        "<<E",
        "<<-'E'",
        "3<<E",
        "#",
        "\\\n",
        "\\\n# c\n",
        "\u{a0}",
        "\x0b",
        "\r",
        "ü",
        "CMD",
        "NONE",
        "AS",
        "/x/",
        "1s",
    ]);
    let keyword = prop::sample::select(vec![
        "RUN",
        "COPY",
        "ADD",
        "ENV",
        "LABEL",
        "ARG",
        "CMD",
        "ENTRYPOINT",
        "SHELL",
        "USER",
        "WORKDIR",
        "VOLUME",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "HEALTHCHECK CMD",
        "ONBUILD RUN",
        "ONBUILD COPY",
        "MAINTAINER",
        "from",
        "# c",
        "",
    ]);
    let tail = prop::sample::select(vec!["", "\nE", "\n\tx\nE\nE", "\r"]);
    (keyword, prop::collection::vec(piece, 0..8), tail)
        .prop_map(|(keyword, pieces, tail)| format!("{keyword} {}{tail}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_line_round_trips(line in line(), escape in prop::bool::ANY) {
        let directive = if escape { "# escape=`\n" } else { "" };
        round_trip(&format!("{directive}FROM a\n{line}\n"));
    }

    #[test]
    fn any_file_round_trips(lines in prop::collection::vec(line(), 0..5)) {
        round_trip(&format!("FROM a\n{}\n", lines.join("\n")));
    }

    #[test]
    fn any_text_is_parsed(text in any::<String>()) {
        round_trip(&text);
        round_trip(&format!("FROM a\nRUN {text}"));
        round_trip(&format!("FROM a\nENV {text}"));
    }
}
