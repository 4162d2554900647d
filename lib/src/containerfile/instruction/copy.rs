//! `COPY` and `ADD`.

use super::{
    super::{
        Copy, Diagnostic, Heredoc, Source, Word,
        flags::{Flags, Known, Takes},
        heredoc::Marker,
    },
    Parser,
};

pub(super) const COPY_FLAGS: &Known = &[
    ("from", Takes::Value),
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("parents", Takes::Bool),
    ("exclude", Takes::List),
];

pub(super) const ADD_FLAGS: &Known = &[
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Bool),
    ("exclude", Takes::List),
    ("keep-git-dir", Takes::Bool),
    ("checksum", Takes::Value),
    ("unpack", Takes::Bool),
];

impl Parser<'_, '_> {
    pub(super) fn copy(&mut self, known: &Known) -> Result<Copy, Diagnostic> {
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
