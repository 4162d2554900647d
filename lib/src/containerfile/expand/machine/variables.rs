//! What begins with `$`: variables and their modifiers.

use std::borrow::Cow;

use super::{
    super::{ExpandError, pattern},
    Frame, LONGEST, Machine,
};

impl<'a, 'v> Machine<'a, 'v> {
    /// `$name`, `${name}` or the beginning of `${name…`.
    pub(super) fn dollar(&mut self) -> Result<(), ExpandError> {
        let (from, start) = (self.position, self.out.len());
        self.bump();
        if self.peek() != Some('{') {
            match self.name() {
                "" => self.out.push('$'),
                name => self.put_variable(name, from)?,
            }
            self.finish_piece(start, true);
            return Ok(());
        }
        self.bump();
        match self.peek() {
            None => return Err(ExpandError::UnclosedBrace('}')),
            Some('{' | '}' | ':') => return Err(ExpandError::MissingName),
            Some(_) => {}
        }
        let name = self.name();
        match self.bump() {
            None => Err(ExpandError::UnclosedBrace('}')),
            Some('}') => {
                self.put_variable(name, from)?;
                self.finish_piece(start, true);
                Ok(())
            }
            Some(modifier) => self.open_brace(name, modifier, from),
        }
    }

    fn open_brace(&mut self, name: &'a str, mut modifier: char, from: usize) -> Result<(), ExpandError> {
        let (start, keep_escapes) = (self.out.len(), self.options.keep_escapes);
        let or_empty = modifier == ':';
        if or_empty {
            modifier = self.bump().ok_or(ExpandError::UnclosedBrace('}'))?;
        }
        let known = matches!(modifier, '-' | '+' | '?' | '#' | '%') || (modifier == '/' && !or_empty);
        // Where variables stay as written, so do modifiers that are unknown after a colon.
        let kept = or_empty && self.options.variables.is_none();
        if !(known || kept) {
            let colon = if or_empty { ":" } else { "" };
            return Err(ExpandError::UnsupportedModifier(
                format!("{colon}{modifier}"),
                name.to_owned(),
            ));
        }
        if modifier == '/' && !or_empty {
            let all = self.peek() == Some('/');
            if all {
                self.bump();
            }
            self.options.keep_escapes = true;
            self.frames.push(Frame::Pattern {
                name,
                all,
                start,
                keep_escapes,
            });
        } else {
            self.options.keep_escapes = matches!(modifier, '#' | '%');
            self.frames.push(Frame::Word {
                name,
                modifier,
                or_empty,
                start,
                keep_escapes,
            });
        }
        if self.options.variables.is_none() {
            // What stays as written keeps its escapes if its surroundings do.
            self.options.keep_escapes = keep_escapes;
            self.out
                .push_str(self.input.get(from..self.position).unwrap_or_default());
        }
        Ok(())
    }

    /// Reads a name: letters, digits and underscores, or only digits, or one of the shell's special parameters.
    fn name(&mut self) -> &'a str {
        let rest = self.input.get(self.position..).unwrap_or_default();
        let length = match rest.chars().next() {
            Some(c) if c.is_numeric() => rest.find(|c: char| !c.is_numeric()).unwrap_or(rest.len()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len()),
        };
        self.position += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Puts in the value of a variable, or its mention where variables stay as written.
    fn put_variable(&mut self, name: &'a str, from: usize) -> Result<(), ExpandError> {
        if self.options.variables.is_none() {
            self.out
                .push_str(self.input.get(from..self.position).unwrap_or_default());
            return Ok(());
        }
        match self.value(name, true) {
            Some(value) => self.put(&value),
            None => Ok(()),
        }
    }

    fn value(&mut self, name: &'a str, must_be_set: bool) -> Option<Cow<'v, str>> {
        let value = self.options.variables.and_then(|lookup| lookup(name));
        if value.is_some() {
            self.used.insert(name);
        } else if must_be_set {
            self.undefined.insert(name);
        }
        value
    }

    fn put(&mut self, value: &str) -> Result<(), ExpandError> {
        self.work = self.work.checked_sub(value.len()).ok_or(ExpandError::TooLarge)?;
        if self.out.len() + value.len() > LONGEST {
            return Err(ExpandError::TooLarge);
        }
        self.out.push_str(value);
        Ok(())
    }

    /// Replaces what the frame that closes has put out.
    fn replace(&mut self, start: usize, value: &str) -> Result<(), ExpandError> {
        self.out.truncate(start);
        self.put(value)
    }

    pub(super) fn close_word(&mut self) -> Result<(), ExpandError> {
        let Some(Frame::Word {
            name,
            modifier,
            or_empty,
            start,
            keep_escapes,
        }) = self.frames.pop()
        else {
            return Ok(());
        };
        self.options.keep_escapes = keep_escapes;
        self.bump();
        if self.options.variables.is_none() {
            self.out.push('}');
        } else if matches!(modifier, '#' | '%') {
            let value = self.value(name, true).unwrap_or_default();
            let word = self.out.split_off(start);
            let stripped = pattern::strip(&value, modifier, &word, &mut self.work)?;
            self.put(stripped)?;
        } else {
            let value = self.value(name, false);
            let missing = value.as_ref().is_none_or(|value| or_empty && value.is_empty());
            match (modifier, missing) {
                ('-', true) | ('+', false) => {}
                ('+', true) => self.out.truncate(start),
                ('?', true) => return Err(self.required(name, start, value.is_some())),
                _ => self.replace(start, &value.unwrap_or_default())?,
            }
        }
        self.finish_piece(start, true);
        Ok(())
    }

    fn required(&self, name: &str, start: usize, is_set: bool) -> ExpandError {
        let message = match self.out.get(start..) {
            Some(word) if !word.is_empty() => word,
            _ if is_set => "must not be empty",
            _ => "must be set",
        };
        ExpandError::Required {
            name: name.to_owned(),
            message: message.to_owned(),
        }
    }

    pub(super) fn close_pattern(&mut self) -> Result<(), ExpandError> {
        let Some(Frame::Pattern {
            name,
            all,
            start,
            keep_escapes,
        }) = self.frames.pop()
        else {
            return Ok(());
        };
        self.bump();
        let middle = self.out.len();
        self.frames.push(Frame::Replacement {
            name,
            all,
            start,
            middle,
            keep_escapes,
        });
        if self.options.variables.is_none() {
            self.out.push('/');
        }
        Ok(())
    }

    pub(super) fn close_replacement(&mut self) -> Result<(), ExpandError> {
        let Some(Frame::Replacement {
            name,
            all,
            start,
            middle,
            keep_escapes,
        }) = self.frames.pop()
        else {
            return Ok(());
        };
        self.options.keep_escapes = keep_escapes;
        self.bump();
        if self.options.variables.is_none() {
            self.out.push('}');
        } else {
            let value = self.value(name, true).unwrap_or_default();
            let replacement = self.out.split_off(middle);
            let pattern = self.out.split_off(start);
            let replaced = pattern::replace(&value, &pattern, &replacement, all, &mut self.work)?;
            self.put(&replaced)?;
        }
        self.finish_piece(start, true);
        Ok(())
    }
}
