use proptest::prelude::*;

use super::*;

fn lookup<'v>(name: &str) -> Option<Cow<'v, str>> {
    Some(Cow::Borrowed(match name {
        "x" => "value",
        "e" => "",
        "s" => "foobarbaz",
        "v" => "a.b/c",
        "two" => "one two",
        "é" => "accent",
        "q" => "\"'\\$x",
        _ => return None,
    }))
}

fn ok(word: &str) -> String {
    expand(word, '\\', &lookup).unwrap_or_else(|error| panic!("{word}: {error}"))
}

#[test]
fn words() {
    for (word, want) in [
        ("", ""),
        ("plain", "plain"),
        ("$x", "value"),
        ("a${x}b", "avalueb"),
        ("$x-$x", "value-value"),
        ("$xy", ""),
        ("${x}y", "valuey"),
        ("$unset.", "."),
        ("$é", "accent"),
        ("$", "$"),
        ("a$", "a$"),
        ("$.", "$."),
        ("$1$22 $@$$$!$?$#$*$-", " "),
        (r"\$x", "$x"),
        (r"\a\\\'", r"a\'"),
        (r"end\", "end"),
        ("'$x'", "$x"),
        (r"'\a'", r"\a"),
        (r#""$x y""#, "value y"),
        (r#""\$x \" \\ \n '""#, r#"$x " \ \n '"#),
        ("\"${x:-\"in\"}\"", "value"),
        ("\"${u:-\"in $x\"}\"", "in value"),
        ("a\"b\"'c'd", "abcd"),
        ("$q", "\"'\\$x"),
    ] {
        assert_eq!(ok(word), want, "{word}");
    }
}

#[test]
fn modifiers() {
    for (word, want) in [
        ("${x-w}", "value"),
        ("${x:-w}", "value"),
        ("${e-w}", ""),
        ("${e:-w}", "w"),
        ("${u-w}", "w"),
        ("${u:-w}", "w"),
        ("${u:-}", ""),
        ("${x+w}", "w"),
        ("${x:+w}", "w"),
        ("${e+w}", "w"),
        ("${e:+w}", ""),
        ("${u+w}", ""),
        ("${u:+w}", ""),
        ("${x?w}", "value"),
        ("${x:?w}", "value"),
        ("${e?w}", ""),
        ("${u:-$x}", "value"),
        ("${u:-${u2:-${x}}}", "value"),
        (r"${u:-a\}b}", "a}b"),
        ("${u:-'a}b'}", "a}b"),
        ("${s#f*b}", "arbaz"),
        ("${s##f*b}", "az"),
        ("${s%b*}", "foobar"),
        ("${s%%b*}", "foo"),
        ("${s:#foo}", "barbaz"),
        ("${s/ba/fo}", "fooforbaz"),
        ("${s//ba/fo}", "fooforfoz"),
        ("${s/b?r/[x]}", "foo[x]baz"),
        (r"${v//\//_}", "a.b_c"),
        ("${v/./-}", "a-b/c"),
        ("${s%${s#foo}}", "foo"),
        ("${s/${u:-ba}/$x}", "foovaluerbaz"),
        ("${u#x}", ""),
        ("${u/a/b}", ""),
    ] {
        assert_eq!(ok(word), want, "{word}");
    }
}

#[test]
fn errors() {
    for (word, want) in [
        ("'a", ExpandError::UnclosedQuote('\'')),
        ("\"a", ExpandError::UnclosedQuote('"')),
        ("${", ExpandError::UnclosedBrace('}')),
        ("${x", ExpandError::UnclosedBrace('}')),
        ("${x:", ExpandError::UnclosedBrace('}')),
        ("${x:-a", ExpandError::UnclosedBrace('}')),
        ("${x/a", ExpandError::UnclosedBrace('/')),
        ("${x/a}", ExpandError::UnclosedBrace('/')),
        ("${x/a/b", ExpandError::UnclosedBrace('}')),
        ("${}", ExpandError::MissingName),
        ("${:-a}", ExpandError::MissingName),
        ("${{x}}", ExpandError::MissingName),
        ("${.}", ExpandError::UnsupportedModifier(".".into(), "".into())),
        (
            "${x:=a}",
            ExpandError::UnsupportedModifier(":=".into(), "x".into()),
        ),
        ("${x=a}", ExpandError::UnsupportedModifier("=".into(), "x".into())),
        ("${x^^}", ExpandError::UnsupportedModifier("^".into(), "x".into())),
        (
            "${x:/a/b}",
            ExpandError::UnsupportedModifier(":/".into(), "x".into()),
        ),
        (r"${x#\a}", ExpandError::InvalidPattern(r"\a".into())),
        (
            "${u:?}",
            ExpandError::Required {
                name: "u".into(),
                message: "must be set".into(),
            },
        ),
        (
            "${e:?}",
            ExpandError::Required {
                name: "e".into(),
                message: "must not be empty".into(),
            },
        ),
        (
            "${u?give $x}",
            ExpandError::Required {
                name: "u".into(),
                message: "give value".into(),
            },
        ),
    ] {
        assert_eq!(expand(word, '\\', &lookup), Err(want), "{word}");
    }
}

#[test]
fn the_backtick_escapes_where_it_is_the_escape_character() {
    for (word, want) in [
        ("a`$b", "a$b"),
        (r"c\d", r"c\d"),
        (r"\$x", r"\value"),
        ("\"`\" `n\"", "\" `n"),
        ("``", "`"),
        ("`a", "a"),
    ] {
        assert_eq!(expand(word, '`', &lookup).as_deref(), Ok(want), "{word}");
    }
}

#[test]
fn several_words() {
    for (word, want) in [
        ("", &[][..]),
        ("  ", &[]),
        ("a b", &["a", "b"]),
        ("$two", &["one", "two"]),
        ("\"$two\"", &["one two"]),
        ("'a b' c", &["a b", "c"]),
        (r"a\ b", &["a b"]),
        ("x$two", &["xone", "two"]),
        ("${u:-p q}r", &["p", "qr"]),
        ("\"\" ''", &[]),
        ("$u", &[]),
        ("a\"\"b", &["ab"]),
    ] {
        assert_eq!(expand_words(word, '\\', &lookup).expect("valid"), want, "{word}");
    }
}

#[test]
fn heredocs() {
    let body = "x $x ${x} \\$V \"q\" 's' \\\\ \\n `b` \"$x\" '$x'\n";
    assert_eq!(
        expand_heredoc(body, &lookup).expect("valid"),
        "x value value $V \"q\" 's' \\ n `b` \"value\" 'value'\n"
    );
    assert_eq!(expand_heredoc("it's", &lookup).as_deref(), Ok("it's"));
}

#[test]
fn what_was_used() {
    let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
    for (word, used, undefined) in [
        ("$x $u ${e}", "e x", "u"),
        ("${u:-$w}", "", "w"),
        ("${u+a}${u2#b}${x-c}", "x", "u2"),
        ("'$x'", "", ""),
        ("${s/$x/$u}", "s x", "u"),
    ] {
        let report = expand_report(word, '\\', &lookup).expect("valid");
        assert_eq!(
            (names(&report.used).as_str(), names(&report.undefined).as_str()),
            (used, undefined),
            "{word}"
        );
    }
}

#[test]
fn scanning_keeps_everything() {
    let scan = |line: &str| {
        scan_words(line).map(|words| {
            words
                .into_iter()
                .map(|word| line[word].to_owned())
                .collect::<Vec<_>>()
        })
    };
    for (line, want) in [
        ("RUN cat <<EOF > x", &["RUN", "cat", "<<EOF", ">", "x"][..]),
        ("a \"b <<X c\" d", &["a", "\"b <<X c\"", "d"]),
        (
            "a 'b c' $((1<<2)) ${y:-z w}",
            &["a", "'b c'", "$((1<<2))", "${y:-z", "w}"],
        ),
        (r#"a\ b "c\n\"" $q"#, &[r"a\ b", r#""c\n\"""#, "$q"]),
        ("${x:=y} <<E", &["${x:=y}", "<<E"]),
    ] {
        assert_eq!(
            scan(line).as_deref(),
            Some(&want.iter().map(|word| word.to_string()).collect::<Vec<_>>()[..]),
            "{line}"
        );
    }
    for line in ["it's <<E", "\" <<E", "${x^^} <<E", "${ <<E"] {
        assert_eq!(scan(line), None, "{line}");
    }
}

#[test]
fn unquoting() {
    for (word, want) in [
        ("EOF", Some(("EOF", false))),
        ("'EOF'", Some(("EOF", true))),
        ("E\"O\"F", Some(("EOF", true))),
        (r"\EOF", Some(("EOF", false))),
        ("'a b'", Some(("a b", true))),
        ("$x", Some(("$x", false))),
        ("''", None),
    ] {
        let want = want.map(|(name, quoted)| (name.to_owned(), quoted));
        assert_eq!(unquote(word).expect("valid"), want, "{word}");
    }
}

#[test]
fn deep_nesting_and_long_words() {
    let depth = 200_000;
    assert_eq!(ok(&("${u:-".repeat(depth) + "deep" + &"}".repeat(depth))), "deep");
    assert_eq!(
        ok(&("${u:-\"".repeat(depth) + "deep" + &"\"}".repeat(depth))),
        "deep"
    );
    assert_eq!(
        expand(&"${u:-".repeat(depth), '\\', &lookup),
        Err(ExpandError::UnclosedBrace('}'))
    );
    let nested = "${x/".repeat(depth) + "v" + &"/w}".repeat(depth);
    assert!(expand(&nested, '\\', &lookup).is_ok());
    assert_eq!(ok(&"$x".repeat(depth)).len(), 5 * depth);
    assert_eq!(ok(&"\\a".repeat(depth)).len(), depth);
}

#[test]
fn results_are_limited() {
    let long = "v".repeat(100_000);
    let lookup = |_: &str| Some(Cow::Borrowed(long.as_str()));
    assert_eq!(
        expand(&"$x".repeat(1000), '\\', &lookup),
        Err(ExpandError::TooLarge)
    );
    assert_eq!(
        expand(&("${x:-".repeat(10_000) + &"}".repeat(10_000)), '\\', &lookup),
        Err(ExpandError::TooLarge)
    );
    assert_eq!(
        expand(&"${x//v/vvvv}".repeat(1000), '\\', &lookup),
        Err(ExpandError::TooLarge)
    );
}

proptest! {
    #[test]
    fn nothing_panics(word in r#"[$\{\}:+\-?#%/*\\`'"a-c \n]{0,40}"#) {
        for escape in ['\\', '`'] {
            let _ = expand_report(&word, escape, &lookup);
        }
        let _ = expand_heredoc(&word, &lookup);
        let _ = scan_words(&word);
        let _ = unquote(&word);
    }

    #[test]
    fn quoted_text_is_kept(text in "[^']*") {
        prop_assert_eq!(ok(&format!("'{text}'")), text);
    }

    #[test]
    fn escaped_text_is_kept(text in any::<String>()) {
        let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
        prop_assert_eq!(ok(&escaped), text.clone());
        prop_assert_eq!(expand_heredoc(&escaped, &lookup).expect("valid"), text);
    }
}
