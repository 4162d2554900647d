//! `RUN`, `COPY` and `ADD`, with their heredocs.

use super::*;

#[test]
fn run_flags() {
    let found = run(
        "RUN --mount=type=cache,target=/c --network=none --mount=\"target=/a b\" --security=insecure -- echo --x",
    );
    assert_eq!(texts(&found.mounts), ["type=cache,target=/c", "target=/a b"]);
    assert_eq!((found.network, found.insecure), (Network::None, true));
    assert_eq!(found.command, Command::Shell("echo --x".into()));
    assert_eq!(
        run("RUN echo --mount=x").command,
        Command::Shell("echo --mount=x".into())
    );
    assert_eq!(run("RUN --network=host a").network, Network::Host);
    for (source, want) in [
        ("RUN --network=x a", "InvalidFlag"),
        ("RUN --security=x a", "InvalidFlag"),
        ("RUN --network=none --network=none a", "DuplicateFlag"),
        ("RUN --chown=x a", "UnknownFlag"),
        ("RUN --device=vendor.com/gpu=all a", "UnsupportedFlag"),
        ("RUN [ \"a\", 1 ]", "InvalidJson"),
    ] {
        assert_eq!(errors(&format!("FROM a\n{source}")), [want], "{source}");
    }
}

#[test]
fn run_heredocs() {
    let found = run("RUN <<EOF cat > /p; cat <<-'X' > /q\na $b\nEOF\n\tc\nX\n");
    assert_eq!(
        found.command,
        Command::Shell("<<EOF cat > /p; cat <<-'X' > /q".into())
    );
    let docs: Vec<_> = found
        .heredocs
        .iter()
        .map(|doc| (&*doc.name, &*doc.content, doc.expand))
        .collect();
    assert_eq!(docs, [("EOF", "a $b\n", true), ("X", "c\n", false)]);
    assert!(run("RUN [\"sh\", \"-c\", \"echo <<EOF\"]").heredocs.is_empty());
    assert_eq!(errors("FROM a\nRUN <<EOF\na\n"), ["UnterminatedHeredoc"]);
    // Other instructions announce none.
    assert_eq!(body("CMD cat <<EOF\nUSER a").len(), 2);
}

#[test]
fn copies() {
    let found =
        copy("COPY --from=b --chown=1:2 --chmod=u=rw --link --parents --exclude=*.a --exclude=b a* \"b /c/");
    let sources: Vec<_> = found
        .sources
        .iter()
        .map(|source| matches!(source, Source::Word(_)))
        .collect();
    assert_eq!(sources, [true, true]);
    assert_eq!(
        (
            found.destination.text.as_str(),
            found.link,
            found.parents,
            found.json
        ),
        ("/c/", true, true, false)
    );
    assert_eq!(texts(&found.exclude), ["*.a", "b"]);
    assert_eq!(found.chmod.map(|word| word.text).as_deref(), Some("u=rw"));
    let found = copy("COPY [\"sp ace\", \"/b c\"] ");
    assert_eq!((found.destination.text.as_str(), found.json), ("/b c", true));
    let found = copy("ADD --checksum=sha256:a --keep-git-dir --unpack=false --link=false http://h/f /g");
    assert_eq!(
        (found.keep_git_dir, found.unpack, found.link),
        (true, Some(false), false)
    );
    for (source, want) in [
        ("COPY a", "InvalidInstruction"),
        ("COPY", "InvalidInstruction"),
        ("COPY [\"a\"]", "InvalidInstruction"),
        ("COPY --foo=1 a /b", "UnknownFlag"),
        ("COPY --unpack a /b", "UnknownFlag"),
        ("ADD --from=x a /b", "UnknownFlag"),
        ("ADD --parents a /b", "UnknownFlag"),
        ("COPY a <<EOF\nEOF", "InvalidHeredoc"),
        ("COPY <<EOF it's", "InvalidHeredoc"),
        ("COPY [1, \"a\"]", "InvalidJson"),
    ] {
        assert_eq!(errors(&format!("FROM a\n{source}")), [want], "{source}");
    }
}

#[test]
fn copy_heredocs() {
    let found = copy("COPY <<-E1 f <<\"E2\" /d/\n\ta\n\tE1\nb\nE2\n");
    let got: Vec<_> = found
        .sources
        .iter()
        .map(|source| match source {
            Source::Word(word) => (word.text.as_str(), "", true),
            Source::Heredoc(doc) => (doc.name.as_str(), doc.content.as_str(), doc.expand),
        })
        .collect();
    assert_eq!(got, [("E1", "a\n", true), ("f", "", true), ("E2", "b\n", false)]);
}
