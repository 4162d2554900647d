//! The first line of a script.

use rustix::io::Errno;

/// Bytes of a file that the kernel looks at.
pub(super) const LIMIT: usize = 256;

/// Who reads a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script<'a> {
    pub interpreter: &'a [u8],
    /// All the rest of the line.
    pub argument: Option<&'a [u8]>,
}

/// Reads the start of a file as the kernel does; `None` if it is no script.
pub(super) fn parse(start: &[u8]) -> Result<Option<Script<'_>>, Errno> {
    let Some(rest) = start.strip_prefix(b"#!") else {
        return Ok(None);
    };
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = rest.iter().position(|byte| matches!(byte, b'\n' | 0));
    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let from = line.iter().position(|byte| !blank(byte)).ok_or(Errno::NOEXEC)?;
    let line = line.get(from..).unwrap_or_default();
    let (interpreter, argument) = match line.iter().position(blank) {
        Some(at) => line.split_at(at),
        // The name may go on beyond what was read.
        None if end.is_none() && start.len() == LIMIT => return Err(Errno::NOEXEC),
        None => (line, [].as_slice()),
    };
    let argument = argument.trim_ascii_start();
    let last = argument.iter().rposition(|byte| !blank(byte));
    let argument = last.and_then(|last| argument.get(..=last));
    Ok(Some(Script {
        interpreter,
        argument,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        let read = |text: &str| {
            parse(text.as_bytes()).map(|script| {
                script.map(|script| {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    (text(script.interpreter), script.argument.map(text))
                })
            })
        };
        let script = |interpreter: &str, argument: Option<&str>| {
            Ok(Some((interpreter.to_owned(), argument.map(str::to_owned))))
        };
        assert_eq!(read("#!/bin/sh\nexit"), script("/bin/sh", None));
        assert_eq!(read("#! \t/bin/sh \n"), script("/bin/sh", None));
        assert_eq!(
            read("#!/usr/bin/env -S a b \t\nrest"),
            script("/usr/bin/env", Some("-S a b"))
        );
        assert_eq!(read("#!/bin/sh"), script("/bin/sh", None));
        assert_eq!(read("#!/bin/sh -e"), script("/bin/sh", Some("-e")));
        assert_eq!(read("#!\n"), Err(Errno::NOEXEC));
        assert_eq!(read("#!"), Err(Errno::NOEXEC));
        assert_eq!(read("#!   "), Err(Errno::NOEXEC));
        assert_eq!(read("text"), Ok(None));
        assert_eq!(read(""), Ok(None));
        let long = format!("#!/{}", "x".repeat(LIMIT - 3));
        assert_eq!(read(&long), Err(Errno::NOEXEC));
        let cut = format!("#!/x {}", "y".repeat(LIMIT - 5));
        assert_eq!(read(&cut), script("/x", Some(&"y".repeat(LIMIT - 5))));
    }
}
