//! Modes: `--chmod=755`, `--chmod=u=rwX,go=rX`.

/// A text that is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no mode such as 755, 0644 or u=rwX,go=rX")]
pub struct InvalidChmod(String);

/// A change of a file's mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    /// An octal number: the mode, whatever it was.
    Octal(u32),
    /// Symbols: steps, each on the result of the one before.
    Symbolic(Vec<Step>),
}

/// One step: `go+w` of `u=r,go+w`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The bits that may change; those of all classes if none was named.
    who: u32,
    operator: Operator,
    /// The bits named by letters.
    bits: u32,
    /// Whether `X` was among them.
    search: bool,
    /// Classes to copy from, as shifts of their bits.
    copies: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;
const STICKY: u32 = 0o1000;

impl Chmod {
    /// Reads a mode.
    pub fn parse(text: &str) -> Result<Self, InvalidChmod> {
        let invalid = || InvalidChmod(text.to_owned());
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Chmod::Octal).ok_or_else(invalid);
        }
        let mut steps = Vec::new();
        for clause in text.split(',') {
            let operators = clause.find(['+', '-', '=']).ok_or_else(invalid)?;
            let (who, mut rest) = clause.split_at(operators);
            let who = parse_who(who).ok_or_else(invalid)?;
            while let Some(operator) = rest.chars().next() {
                let body = rest.get(1..).unwrap_or_default();
                let end = body.find(['+', '-', '=']).unwrap_or(body.len());
                let (letters, after) = body.split_at(end);
                steps.push(Step::parse(who, operator, letters).ok_or_else(invalid)?);
                rest = after;
            }
        }
        Ok(Chmod::Symbolic(steps))
    }

    /// The new mode of a file or directory that has `mode`; the low 12 bits.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Chmod::Octal(mode) => *mode,
            Chmod::Symbolic(steps) => {
                // X looks at the mode that the file had in the beginning.
                let search = is_directory || mode & 0o111 != 0;
                steps
                    .iter()
                    .fold(mode & 0o7777, |mode, step| step.apply(mode, search))
            }
        }
    }
}

/// The bits of the classes named; 0 if none is.
fn parse_who(text: &str) -> Option<u32> {
    text.chars().try_fold(0, |who, class| {
        Some(
            who | match class {
                'a' => SET_USER | SET_GROUP | 0o777,
                'u' => SET_USER | 0o700,
                'g' => SET_GROUP | 0o070,
                'o' => 0o007,
                _ => return None,
            },
        )
    })
}

impl Step {
    fn parse(who: u32, operator: char, letters: &str) -> Option<Self> {
        let operator = match operator {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            '=' => Operator::Set,
            _ => return None,
        };
        let mut step = Step {
            who,
            operator,
            bits: 0,
            search: false,
            copies: Vec::new(),
        };
        if who == 0 {
            step.who = SET_USER | SET_GROUP | 0o777;
        }
        // Others alone have no set-id bit and no sticky bit.
        let special = who != 0o007;
        for letter in letters.chars() {
            match letter {
                'r' => step.bits |= 0o444,
                'w' => step.bits |= 0o222,
                'x' => step.bits |= 0o111,
                'X' => step.search = true,
                's' if special => step.bits |= SET_USER | SET_GROUP,
                't' if special => {
                    step.bits |= STICKY;
                    step.who |= STICKY;
                }
                's' | 't' => {}
                'u' => step.copies.push(6),
                'g' => step.copies.push(3),
                'o' => step.copies.push(0),
                _ => return None,
            }
        }
        Some(step)
    }

    fn apply(&self, mode: u32, search: bool) -> u32 {
        let copied = self
            .copies
            .iter()
            .fold(0, |bits, shift| bits | ((mode >> shift & 0o7) * 0o111));
        let search = if self.search && search { 0o111 } else { 0 };
        let bits = (self.bits | copied | search) & self.who;
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            // What is copied are permissions: it leaves the set-id bits alone.
            Operator::Set if !self.copies.is_empty() => mode & !(self.who & 0o777) | bits,
            Operator::Set => mode & !self.who | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (text, mode, is_directory, want) in [
            ("755", 0o600, false, 0o755),
            ("0640", 0o777, true, 0o640),
            ("4755", 0, false, 0o4755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o1777, true, 0o1755),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("g+s,o=", 0o600, false, 0o2600),
            ("g+s,o=", 0o755, true, 0o2750),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("=r", 0o4777, false, 0o444),
            ("u=", 0o4777, false, 0o077),
            ("u+s", 0o755, false, 0o4755),
            ("o+s", 0o755, false, 0o755),
            ("+t", 0o777, true, 0o1777),
            ("o+t", 0o777, true, 0o777),
            ("u+t", 0o777, true, 0o1777),
            ("-t", 0o1777, true, 0o777),
            ("g=u", 0o740, false, 0o770),
            ("go=u-w", 0o777, false, 0o755),
            ("o=g", 0o2750, false, 0o2755),
            ("u-x+w", 0o555, false, 0o655),
            ("+X", 0o644, false, 0o644),
            ("+X", 0o744, false, 0o755),
            ("a=rx", 0, false, 0o555),
            ("ug=rw,o=r", 0o777, false, 0o664),
            ("u+", 0o600, false, 0o600),
        ] {
            let got = Chmod::parse(text).expect("valid").apply(mode, is_directory);
            assert_eq!(got, want, "{text} on {mode:o}: {got:o}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "10000",
            "8",
            "9",
            "0o7",
            "u",
            "q+r",
            "u+r,",
            ",u+r",
            "u+q",
            "u+r u+w",
            "77777777777777",
            "é=r",
        ] {
            assert_eq!(Chmod::parse(text), Err(InvalidChmod(text.into())), "{text}");
        }
    }
}
