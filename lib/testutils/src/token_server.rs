//! A token server as docker's own registry trusts one: its tokens are JSON Web Tokens, signed with a key whose certificate
//! the registry knows (docker's token authentication specification).

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::{
    registry::pairs,
    web::{Asked, Reply, WebServer},
};

/// What tokens are said to be from and for.
const ISSUER: &str = "tests";
const SERVICE: &str = "registry";

/// A running server that gives tokens for everything to one user; it ends when this is dropped.
pub struct TokenServer {
    server: WebServer,
    certificate: PathBuf,
}

impl TokenServer {
    /// Makes the key in a directory, with openssl.
    pub fn start(openssl: &Path, directory: &Path, username: &str, password: &str) -> Self {
        let signer = Signer::new(openssl, directory);
        let certificate = signer.certificate();
        let login = format!(
            "Basic {}",
            BASE64_STANDARD.encode(format!("{username}:{password}"))
        );
        let server = WebServer::start(move |asked| match asked.header("authorization") == Some(&login) {
            true => Reply::ok(json!({ "token": signer.token(asked) }).to_string()),
            false => Reply::status(
                401,
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}"#,
            ),
        });
        Self { server, certificate }
    }

    /// The section `auth` of docker-registry's config.
    pub fn config(&self) -> Value {
        json!({ "token": {
            "realm": self.server.url("/token"), "service": SERVICE, "issuer": ISSUER,
            "rootcertbundle": self.certificate,
        } })
    }

    /// How many tokens were asked for since this was last called.
    pub fn asked(&self) -> usize {
        self.server.asked().len()
    }
}

struct Signer {
    openssl: PathBuf,
    directory: PathBuf,
}

impl Signer {
    fn new(openssl: &Path, directory: &Path) -> Self {
        let signer = Self {
            openssl: openssl.to_owned(),
            directory: directory.to_owned(),
        };
        let make =
            "req -newkey rsa:2048 -nodes -x509 -days 2 -keyout token.key -out token.crt -subj /CN=tokens";
        signer.run(make, b"");
        signer
    }

    fn certificate(&self) -> PathBuf {
        self.directory.join("token.crt")
    }

    fn run(&self, arguments: &str, input: &[u8]) -> Vec<u8> {
        let mut command = Command::new(&self.openssl);
        command
            .args(arguments.split_whitespace())
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("openssl to run");
        let mut stdin = child.stdin.take().expect("a pipe to openssl");
        stdin.write_all(input).expect("openssl to read");
        drop(stdin);
        let output = child.wait_with_output().expect("openssl to end");
        assert!(output.status.success(), "openssl {arguments}");
        output.stdout
    }

    /// A token for whatever was asked for.
    fn token(&self, asked: &Asked) -> String {
        let query = asked.target.split_once('?').map_or("", |(_, query)| query);
        let scopes = pairs(query).into_iter().filter(|(key, _)| key == "scope");
        let access: Vec<Value> = scopes.filter_map(|(_, scope)| access(&scope)).collect();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock that is right")
            .as_secs();
        let claims = json!({
            "iss": ISSUER, "sub": "", "aud": SERVICE, "jti": "1",
            "iat": now - 60, "nbf": now - 60, "exp": now + 600, "access": access,
        });
        let certificate = self.run("x509 -in token.crt -outform DER", b"");
        let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [BASE64_STANDARD.encode(certificate)] });
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.run("dgst -sha256 -sign token.key", signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// `repository:NAME:ACTION,ACTION` in the claims' form.
fn access(scope: &str) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let actions: Vec<&str> = actions.split(',').collect();
    Some(json!({ "type": kind, "name": name, "actions": actions }))
}
