//! What a registry wants to see before it lets one in: the `WWW-Authenticate` header (RFC 9110, 11.6.1).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How to log in to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With user and password in each request.
    Basic,
    /// With a token from a token server.
    Bearer {
        /// The token server's address.
        realm: String,
        /// What the token is for.
        service: Option<String>,
    },
}

/// The challenge of an answer; a token is preferred to a password in each request.
pub(super) fn of_response(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers
        .get_all(WWW_AUTHENTICATE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let challenges: Vec<Challenge> = values.flat_map(parse).collect();
    let bearer = challenges
        .iter()
        .find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or(challenges.first()).cloned()
}

/// All challenges of one header value that are understood.
fn parse(value: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = value;
    while let Some((scheme, after)) = word(rest) {
        let (parameters, after) = parameters(after);
        let get = |name: &str| {
            parameters
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        } else if let (true, Some(realm)) = (scheme.eq_ignore_ascii_case("bearer"), get("realm")) {
            challenges.push(Challenge::Bearer {
                realm,
                service: get("service"),
            });
        }
        rest = after;
    }
    challenges
}

/// `key=value, key="value"` up to the next scheme, and the rest from there.
fn parameters(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    while let Some((key, after)) = word(rest) {
        let Some(value) = after.trim_start().strip_prefix('=') else {
            break;
        };
        let (value, after) = match value.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => match word(value) {
                Some((value, after)) => (value.to_owned(), after),
                None => break,
            },
        };
        found.push((key.to_owned(), value));
        rest = after;
    }
    (found, rest)
}

/// The next token, with separators before it skipped.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    let end = text.find([' ', '\t', ',', '=', '"']).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A quoted string whose opening quote is gone; a backslash keeps what follows it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        }
    }

    #[test]
    fn reads_what_registries_send() {
        let table = [
            (r#"Basic realm="Registry""#, vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                vec![bearer("https://auth.docker.io/token", Some("registry.docker.io"))],
            ),
            (
                r#"BEARER Realm=https://a , service = "x\"y""#,
                vec![bearer("https://a", Some("x\"y"))],
            ),
            (
                r#"Negotiate, Basic realm="a, b", Bearer realm="r""#,
                vec![Challenge::Basic, bearer("r", None)],
            ),
            (r#"Bearer service="no realm""#, vec![]),
            (r#"Bearer realm="open"#, vec![bearer("open", None)]),
            ("", vec![]),
            ("= = \"", vec![]),
        ];
        for (text, challenges) in table {
            assert_eq!(parse(text), challenges, "{text}");
        }
    }

    #[test]
    fn prefers_a_token() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=\"a\"".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, "Bearer realm=\"b\"".parse().unwrap());
        assert_eq!(of_response(&headers), Some(bearer("b", None)));
        assert_eq!(of_response(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            parse(&text);
        }
    }
}
