//! Who is let in.

use std::{collections::HashMap, net::SocketAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::http::{Answer, Request};

/// The login that a registry wants.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// User and password in each request.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// A token from this same server's `/token`, which gives it for a user and password or an identity token.
    Token {
        /// The user.
        username: String,
        /// The password.
        password: String,
        /// The identity token.
        identity: String,
        /// Whether everyone gets a token to pull.
        anonymous_pull: bool,
    },
}

impl Auth {
    /// [`Auth::Basic`] for a user.
    pub fn basic(username: &str, password: &str) -> Self {
        Self::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        }
    }

    /// [`Auth::Token`] for a user, with no anonymous pulls; the identity token is `identity-of-USER`.
    pub fn token(username: &str, password: &str) -> Self {
        Self::Token {
            username: username.to_owned(),
            password: password.to_owned(),
            identity: format!("identity-of-{username}"),
            anonymous_pull: false,
        }
    }
}

pub struct State {
    auth: Auth,
    address: SocketAddr,
    /// What each token allows: `(repository, action)`.
    tokens: HashMap<String, Vec<(String, String)>>,
    issued: u64,
}

impl State {
    pub fn new(auth: Auth, address: SocketAddr) -> Self {
        Self {
            auth,
            address,
            tokens: HashMap::new(),
            issued: 0,
        }
    }

    pub fn expire(&mut self) {
        self.tokens.clear();
    }

    /// The refusal, unless the request may do this.
    pub fn check(&self, request: &Request, repository: &str, action: &str) -> Result<(), Answer> {
        let given = request.header("authorization").unwrap_or_default();
        match &self.auth {
            Auth::None => Ok(()),
            Auth::Basic { username, password } if given == basic(username, password) => Ok(()),
            Auth::Basic { .. } => Err(Answer::error(401, "UNAUTHORIZED", "authentication required")
                .with("WWW-Authenticate", "Basic realm=\"test\"")),
            Auth::Token { .. } => {
                let token = given.strip_prefix("Bearer ").unwrap_or_default();
                let allowed = self.tokens.get(token);
                let wanted = (repository.to_owned(), action.to_owned());
                if allowed.is_some_and(|allowed| repository.is_empty() || allowed.contains(&wanted)) {
                    return Ok(());
                }
                let challenge = format!(
                    "Bearer realm=\"http://{}/token\",service=\"test\",scope=\"repository:{repository}:{action}\"",
                    self.address
                );
                Err(Answer::error(401, "UNAUTHORIZED", "authentication required")
                    .with("WWW-Authenticate", &challenge))
            }
        }
    }

    /// The token server.
    pub fn issue(&mut self, request: &Request) -> Answer {
        let Auth::Token {
            username,
            password,
            identity,
            anonymous_pull,
        } = &self.auth
        else {
            return Answer::error(404, "NOT_FOUND", "no token server here");
        };
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let given = request.header("authorization");
        let parameters = if request.method == "POST" {
            super::http::pairs(&form)
        } else {
            request.query.clone()
        };
        let value = |key: &str| {
            parameters
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value.as_str())
        };
        let full = given == Some(&basic(username, password))
            || (request.method == "POST" && value("refresh_token") == Some(identity));
        if !full && (given.is_some() || request.method == "POST" || !anonymous_pull) {
            return Answer::error(401, "UNAUTHORIZED", "incorrect username or password");
        }
        let scopes = parameters
            .iter()
            .filter(|(name, _)| name == "scope")
            .flat_map(|(_, value)| value.split(' '));
        let allowed = scopes.flat_map(|scope| granted(scope, full)).collect();
        self.issued += 1;
        let token = format!("token-{}", self.issued);
        self.tokens.insert(token.clone(), allowed);
        Answer::json(
            200,
            &serde_json::json!({ "token": token, "access_token": token, "expires_in": 300 }),
        )
    }
}

/// `repository:NAME:ACTION,ACTION`; who has not logged in may only pull.
fn granted(scope: &str, full: bool) -> Vec<(String, String)> {
    let rest = scope.split_once(':').map_or("", |(_, rest)| rest);
    let (repository, actions) = rest.rsplit_once(':').unwrap_or_default();
    let actions = actions.split(',').filter(|action| full || *action == "pull");
    actions
        .map(|action| (repository.to_owned(), action.to_owned()))
        .collect()
}

fn basic(username: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{username}:{password}"))
    )
}
