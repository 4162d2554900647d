//! The whole file: directives, logical lines, stages.

use std::sync::Arc;

use super::{
    Containerfile, Diagnostic, Diagnostics, Directives, Instruction, InstructionKind, Span, Stage, Word,
    heredoc,
    instruction::{self, Head, Parser},
    lines::{Line, Lines, Logical, is_comment},
};

/// After this many errors a file is given up.
const MOST_ERRORS: usize = 100;

impl Containerfile {
    /// Parses a file. All errors are reported, not only the first.
    pub fn parse(source: &str) -> Result<Self, Diagnostics> {
        let (directives, lines, mut errors) = read_directives(source);
        let mut file = Containerfile {
            source: Arc::from(source),
            empty_continuations: Vec::new(),
            directives,
            global_args: Vec::new(),
            stages: Vec::new(),
        };
        let mut reader = Reader {
            lines,
            escape: file.directives.escape,
            comments: Vec::new(),
        };
        while let Some(next) = reader.next() {
            let result = next.and_then(|(logical, heredocs, comments)| {
                file.empty_continuations.extend(logical.empty.iter().cloned());
                file.add(&logical, heredocs, comments)
            });
            errors.extend(result.err());
            if errors.len() >= MOST_ERRORS {
                break;
            }
        }
        if errors.is_empty() && file.stages.is_empty() {
            let end = source.trim_end().len();
            let error = Diagnostic::error("NoStage", "the file has no FROM", end..end);
            errors.push(error.with_help("begin a stage with FROM image, or with FROM scratch"));
        }
        match errors.is_empty() {
            true => Ok(file),
            false => Err(Diagnostics {
                source: file.source,
                list: errors,
            }),
        }
    }

    fn add(
        &mut self,
        logical: &Logical<'_>,
        heredocs: Vec<super::Heredoc>,
        comments: Vec<Word>,
    ) -> Result<(), Diagnostic> {
        let range = trimmed(logical);
        let head = Head::split(logical, &range);
        let keyword = logical.span(&head.keyword);
        let parser = Parser {
            line: logical,
            head,
            escape: self.directives.escape,
            heredocs,
        };
        if parser.head.name == "FROM" {
            let mut from = parser.from()?;
            from.span = logical.span(&range);
            from.line = logical.line;
            from.text = logical.slice(&range).to_owned();
            from.comments = comments;
            self.stages.push(Stage {
                from,
                instructions: Vec::new(),
            });
            return Ok(());
        }
        let mut instruction = instruction::build(parser, range)?;
        instruction.comments = comments;
        match (self.stages.last_mut(), &instruction.kind) {
            (Some(stage), _) => stage.instructions.push(instruction),
            (None, InstructionKind::Arg(_)) => self.global_args.push(instruction),
            (None, _) => {
                let message = format!("{} stands before the first FROM", instruction.keyword.text);
                return Err(Diagnostic::error("NoStage", message, keyword)
                    .with_help("only ARG may; begin a stage with FROM image, or with FROM scratch"));
            }
        }
        Ok(())
    }
}

impl Instruction {
    /// Parses a trigger as an image's config holds it: the text of one instruction, heredoc bodies included. Spans point
    /// into that text.
    pub fn parse_trigger(text: &str) -> Result<Self, Diagnostics> {
        let failed = |error: Diagnostic| Diagnostics {
            source: Arc::from(text),
            list: vec![error],
        };
        let mut reader = Reader {
            lines: Lines::new(text),
            escape: '\\',
            comments: Vec::new(),
        };
        let wrong = || {
            Diagnostic::error(
                "InvalidOnbuild",
                "a trigger must be exactly one instruction",
                0..text.len(),
            )
        };
        let (logical, heredocs, comments) = reader.next().ok_or_else(wrong).flatten().map_err(failed)?;
        if reader.next().is_some() {
            return Err(failed(wrong()));
        }
        let range = trimmed(&logical);
        let head = Head::split(&logical, &range);
        if matches!(head.name.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
            let message = format!("{} cannot be triggered by ONBUILD", head.name);
            return Err(failed(Diagnostic::error(
                "InvalidOnbuild",
                message,
                logical.span(&head.keyword),
            )));
        }
        let parser = Parser {
            line: &logical,
            head,
            escape: '\\',
            heredocs,
        };
        let mut instruction = instruction::build(parser, range).map_err(failed)?;
        instruction.comments = comments;
        Ok(instruction)
    }
}

fn trimmed(logical: &Logical<'_>) -> Span {
    super::words::trim(&logical.text, &logical.range())
}

/// Yields logical lines with the heredocs they announce and the comments above them.
struct Reader<'s> {
    lines: Lines<'s>,
    escape: char,
    comments: Vec<Word>,
}

type Read<'s> = (Logical<'s>, Vec<super::Heredoc>, Vec<Word>);

impl<'s> Reader<'s> {
    fn next(&mut self) -> Option<Result<Read<'s>, Diagnostic>> {
        loop {
            let line = self.lines.next()?;
            let content = line.content();
            if is_comment(content) {
                self.comment(line);
                continue;
            }
            if content.trim_start().is_empty() {
                self.comments.clear();
                continue;
            }
            let logical = Logical::read(line, &mut self.lines, self.escape);
            let comments = std::mem::take(&mut self.comments);
            return Some(
                self.heredocs(&logical)
                    .map(|heredocs| (logical, heredocs, comments)),
            );
        }
    }

    /// An empty comment separates what is above it from the instruction, as an empty line does.
    fn comment(&mut self, line: Line<'s>) {
        let content = line.content();
        let text = content.trim_start().strip_prefix('#').unwrap_or_default();
        let start = line.start + (content.len() - text.trim_start().len());
        match text.trim() {
            "" => self.comments.clear(),
            text => self.comments.push(Word {
                text: text.to_owned(),
                span: start..start + text.len(),
            }),
        }
    }

    fn heredocs(&mut self, logical: &Logical<'s>) -> Result<Vec<super::Heredoc>, Diagnostic> {
        let announced = memchr::memmem::find(logical.text.as_bytes(), b"<<").is_some();
        let range = announced
            .then(|| Head::split(logical, &logical.range()).heredoc_range(logical))
            .flatten();
        range.map_or(Ok(Vec::new()), |range| {
            heredoc::read(logical, &range, &mut self.lines)
        })
    }
}

/// Reads the directives at the very top: after a `#!` line, `# key=value` lines with keys that are known.
fn read_directives(source: &str) -> (Directives, Lines<'_>, Vec<Diagnostic>) {
    let mut directives = Directives {
        syntax: None,
        escape: '\\',
        check: None,
    };
    let mut errors = Vec::new();
    let mut escape_seen = false;
    let mut lines = Lines::new(source);
    if lines.peek().is_some_and(|line| line.text.starts_with("#!")) {
        lines.next();
    }
    while let Some((name, value)) = lines.peek().and_then(directive) {
        lines.next();
        let seen = match name.as_str() {
            "syntax" => directives.syntax.replace(value.clone()).is_some(),
            "check" => directives.check.replace(value.clone()).is_some(),
            _ => std::mem::replace(&mut escape_seen, true),
        };
        if seen {
            let message = format!("directive {name} is given twice");
            errors.push(Diagnostic::error("InvalidDirective", message, value.span));
        } else if name == "escape" {
            match value.text.as_str() {
                "\\" => directives.escape = '\\',
                "`" => directives.escape = '`',
                other => {
                    let message = format!("the escape character is either \\ or `, not {other}");
                    errors.push(Diagnostic::error("InvalidDirective", message, value.span));
                }
            }
        }
    }
    (directives, lines, errors)
}

/// `# key = value`, if the key is one of the three that there are; in lower case.
fn directive(line: Line<'_>) -> Option<(String, Word)> {
    let content = line.content();
    let text = content.trim_start().strip_prefix('#')?;
    let (key, value) = text.split_once('=')?;
    let key = key.trim().to_ascii_lowercase();
    if !matches!(key.as_str(), "syntax" | "escape" | "check") || value.trim().is_empty() {
        return None;
    }
    let start = line.start + (content.len() - value.trim_start().len());
    let value = value.trim();
    Some((
        key,
        Word {
            text: value.to_owned(),
            span: start..start + value.len(),
        },
    ))
}

#[cfg(test)]
mod tests;
