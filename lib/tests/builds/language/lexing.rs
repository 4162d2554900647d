//! Lines, continuations, escapes, JSON forms, heredocs.

use crate::common::case;

/// Comments and blank lines inside a continued line vanish.
#[test]
fn continuations() {
    case("FROM scratch\nENV A=1 \\\n# comment\n\n   # another\n B=2 \\  \n C=3\nCOPY \\\n f \\\n /g")
        .file("f", "")
        .made()
        .unwrap()
        .tree("/g f644")
        .history("(ENV A=1 B=2 C=3)\nCOPY f /g # buildkit");
}

/// Two backslashes at the end of a line do not continue it.
#[test]
fn two_escapes_continue_nothing() {
    case("FROM busybox\nRUN echo one \\\\\nRUN echo two > /o").makes("/o f644 two");
}

/// A comment after an instruction is not one.
#[test]
fn a_comment_stands_alone() {
    case("FROM busybox # nope").fails("FROM");
}

/// The escape directive frees the backslash.
#[test]
fn escape_directive() {
    case("# escape=`\nFROM scratch\nENV X=a`$b Y=c\\d\nCOPY f `\n /x\\y")
        .file("f", "")
        .made()
        .unwrap()
        .tree(r"/x\y f644")
        .history("(ENV X=a$b Y=c\\d)\nCOPY f /x\\y # buildkit");
}

/// A byte order mark is dropped, CRLF ends lines, and stays in a heredoc's body.
#[test]
fn dos_files() {
    case("\u{feff}FROM busybox\r\nRUN echo a \\\r\n b > /o\r\nCOPY <<E /h\r\nline\r\nE\r\nENV X=1\r\n")
        .makes("/h f644 line\r\n/o f644 a b");
}

/// Instructions and names of stages go by any case.
#[test]
fn any_case() {
    case("from scratch as Foo\ncopy f /o\nFROM scratch\ncopy --from=fOO /o /p")
        .file("f", "")
        .makes("/p f644");
}

/// Flags end at the first other word, or at `--`; an unknown one is an error.
#[test]
fn flags() {
    case("FROM busybox\nRUN echo --mount=x > /o\nRUN -- echo dashes > /p")
        .makes("/o f644 --mount=x\n/p f644 dashes");
    case("FROM scratch\nCOPY --foo=1 a /b").fails("foo");
}

/// What is no JSON array is the shell form; one that holds other things than strings is an error.
#[test]
fn json_forms() {
    let made = case("FROM scratch\nCMD [\"a\", 'b']\nENTRYPOINT [\"x\"] # c")
        .made()
        .unwrap();
    made.config(
        r#"Cmd ["/bin/sh","-c","[\"a\", 'b']"]
           Entrypoint ["/bin/sh","-c","[\"x\"] # c"]
           Env ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]"#,
    );
    case("FROM scratch\nCMD [\"a\", 1]").fails("string");
}

/// COPY of heredocs: named after the word or the target, 0644; expanded unless the word is quoted; `<<-` drops tabs.
#[test]
fn copied_heredocs() {
    case(
        "FROM scratch
         ENV V=val
         COPY <<EOF /a
         x $V ${V} \\$V \"q\" 's'
         EOF
         COPY <<\"EOF\" /b
         x $V
         EOF
         COPY <<-E1 <<-'E2' /d/
         \t\ttab $V
         \tE1
         \tsp $V
         \tE2
         COPY --chmod=755 --chown=3:4 <<s.sh /bin/
         #!x
         s.sh",
    )
    .makes(
        r#"/a f644 x val val $V "q" 's'
           /b f644 x $V
           /bin d755 3:4
           /bin/s.sh f755 3:4 #!x
           /d d755
           /d/E1 f644 tab val
           /d/E2 f644 sp $V"#,
    );
}

/// A heredoc alone is the script; otherwise the shell gets the text as it is written; `#!` chooses a program.
#[test]
fn heredocs_to_run() {
    case(
        "FROM busybox
         RUN <<EOF
         echo a > /o
         false
         echo b $HOME >> /o
         EOF
         RUN <<EOF cat > /p
         x $HOME
         EOF
         RUN <<'X' cat > /r; cat <<Y >> /r
         $HOME
         X
         $((1+1))
         Y
         RUN <<E
         #!/bin/sh
         echo script > /s
         E",
    )
    .makes("/o f644 a\\nb /root\n/p f644 x /root\n/r f644 $HOME\\n2\n/s f644 script");
}

/// `<<` in quotes or arithmetic begins none.
#[test]
fn no_heredocs() {
    case("FROM busybox\nRUN echo \"<<EOF\" > /a\nRUN echo $((1<<2)) > /b\nRUN [\"sh\",\"-c\",\"echo '<<EOF' > /c\"]")
        .makes("/a f644 <<EOF\n/b f644 4\n/c f644 <<EOF");
}
