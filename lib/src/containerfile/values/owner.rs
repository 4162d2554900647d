//! Owners: `--chown=user:group`, and `USER`.

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// By number.
    Id(u32),
    /// By name, to be looked up.
    Name(String),
}

/// Who something belongs to, or who runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// None if there is only a group: then it is the user 0.
    pub user: Option<Principal>,
    /// None if there is only a user: then it is the number of that user, or the primary group of that name.
    pub group: Option<Principal>,
}

impl Owner {
    /// Reads `user`, `user:group` or `:group`. Any text is something: names are not checked here.
    pub fn parse(text: &str) -> Self {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        Owner {
            user: Principal::parse(user),
            group: Principal::parse(group),
        }
    }
}

impl Principal {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        Some(match text.parse() {
            Ok(id) if digits => Principal::Id(id),
            _ => Principal::Name(text.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners() {
        let id = |id| Some(Principal::Id(id));
        let name = |name: &str| Some(Principal::Name(name.into()));
        for (text, user, group) in [
            ("7", id(7), None),
            ("7:8", id(7), id(8)),
            (":8", None, id(8)),
            ("7:", id(7), None),
            ("daemon", name("daemon"), None),
            ("a:b", name("a"), name("b")),
            ("a:b:c", name("a"), name("b:c")),
            ("+7", name("+7"), None),
            ("99999999999", name("99999999999"), None),
            ("", None, None),
        ] {
            assert_eq!(Owner::parse(text), Owner { user, group }, "{text}");
        }
    }
}
