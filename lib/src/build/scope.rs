//! The variables of a stage: `ENV` and `ARG` in one scope, the last writer wins.

/// What instructions of a stage see when they expand `$name`, and what its RUNs find in their environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// In the order in which they were first set.
    variables: Vec<(String, String)>,
    /// `ARG`s declared in this stage or inherited, in order; the value is missing where nobody gave one.
    args: Vec<(String, Option<String>)>,
}

impl Scope {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Sets a variable, for `ENV`, and for an `ARG` that has a value.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Declares an `ARG`.
    pub fn declare(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(name, value);
        }
        self.args.push((name.to_owned(), value.map(str::to_owned)));
    }

    /// `NAME=value` for all variables.
    pub fn environment(&self) -> Vec<String> {
        self.variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    /// `NAME=value` for each declared `ARG`, once, with what a RUN sees: history shows them.
    pub fn declared(&self) -> Vec<String> {
        let mut shown: Vec<(&str, String)> = Vec::new();
        for (name, default) in &self.args {
            let value = self.get(name).or(default.as_deref()).unwrap_or_default();
            let line = format!("{name}={value}");
            match shown.iter_mut().find(|(known, _)| known == name) {
                Some((_, old)) => *old = line,
                None => shown.push((name, line)),
            }
        }
        shown.into_iter().map(|(_, line)| line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_writer_wins() {
        let mut scope = Scope::default();
        scope.set("X", "env");
        scope.declare("X", Some("arg"));
        assert_eq!(scope.get("X"), Some("arg"));
        scope.set("X", "again");
        scope.declare("Y", None);
        assert_eq!(scope.environment(), ["X=again"]);
        assert_eq!(scope.declared(), ["X=again", "Y="]);
        assert_eq!(scope.get("Y"), None);
    }
}
