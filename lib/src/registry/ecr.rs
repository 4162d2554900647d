//! A password for Amazon's registry: asked for with the access key of the environment, signed as Amazon wants it
//! (Signature Version 4), and good for twelve hours.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::{runtime::Handle, time::timeout};

use super::{
    Credentials, KeychainError, Secret,
    tls::{self, HostCertificates},
};
use crate::{Digest, Hasher};

const TYPE: &str = "application/x-amz-json-1.1";
const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
const BODY: &str = "{}";
const PATIENCE: Duration = Duration::from_secs(30);

/// Who asks, and where.
pub(super) struct Ecr {
    region: String,
    endpoint: String,
    key: String,
    secret: String,
    session: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: Vec<Authorization>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: String,
}

impl Ecr {
    /// For `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, if the environment has a key.
    pub(super) fn of(host: &str, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let (_, rest) = host.split_once(".dkr.ecr")?;
        let rest = rest.strip_prefix("-fips").unwrap_or(rest).strip_prefix('.')?;
        let (region, domain) = rest.split_once('.')?;
        if !["amazonaws.com", "amazonaws.com.cn"].contains(&domain) {
            return None;
        }
        // As with Amazon's own programs, which tests and private links make use of.
        let endpoint = variable("AWS_ENDPOINT_URL_ECR").or_else(|| variable("AWS_ENDPOINT_URL"));
        Some(Self {
            region: region.to_owned(),
            endpoint: endpoint.unwrap_or_else(|| format!("https://api.ecr.{region}.{domain}")),
            key: variable("AWS_ACCESS_KEY_ID")?,
            secret: variable("AWS_SECRET_ACCESS_KEY")?,
            session: variable("AWS_SESSION_TOKEN"),
        })
    }

    /// Asks for the password. Blocks; in a thread of a runtime.
    pub(super) fn credentials(&self) -> Result<Credentials, KeychainError> {
        let failed = |reason: String| KeychainError {
            source_name: self.endpoint.clone(),
            reason,
        };
        let runtime = Handle::try_current().map_err(|error| failed(error.to_string()))?;
        let asked = runtime.block_on(async { timeout(PATIENCE, self.ask()).await });
        let text = asked
            .map_err(|_| failed("no answer".to_owned()))?
            .map_err(failed)?;
        let answer: Answer =
            serde_json::from_str(&text).map_err(|_| failed(text.chars().take(300).collect()))?;
        let token = answer
            .authorization_data
            .first()
            .map(|first| &first.authorization_token);
        let bytes = token.and_then(|token| BASE64_STANDARD.decode(token).ok());
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let (username, password) = text
            .as_deref()
            .and_then(|text| text.split_once(':'))
            .ok_or_else(|| failed("its answer has no password".to_owned()))?;
        let secret = Secret::Password {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        Ok(Credentials {
            secret,
            source: "Amazon, by AWS_ACCESS_KEY_ID".to_owned(),
        })
    }

    async fn ask(&self) -> Result<String, String> {
        let url = Url::parse(&self.endpoint).map_err(|error| error.to_string())?;
        let tls = tls::client_config(HostCertificates::default(), true)?;
        let client = Client::builder().tls_backend_preconfigured(tls).build();
        let client = client.map_err(|error| error.to_string())?;
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let mut request = client.post(url).body(BODY);
        for (name, value) in self.headers(&host, Timestamp::now()) {
            // The client knows its own host.
            if name != "host" {
                request = request.header(name, value);
            }
        }
        let response = request.send().await.map_err(|error| error.to_string())?;
        response.text().await.map_err(|error| error.to_string())
    }

    /// All headers, the signature last.
    fn headers(&self, host: &str, now: Timestamp) -> Vec<(&'static str, String)> {
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = vec![
            ("content-type", TYPE.to_owned()),
            ("host", host.to_owned()),
            ("x-amz-date", time.clone()),
        ];
        headers.extend(
            self.session
                .clone()
                .map(|session| ("x-amz-security-token", session)),
        );
        headers.push(("x-amz-target", TARGET.to_owned()));
        let names = headers
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(";");
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let request = format!("POST\n/\n\n{lines}\n{names}\n{}", Digest::of(BODY).hex());
        let day = time.split('T').next().unwrap_or_default();
        let signature = sign(&self.secret, &time, day, &self.region, "ecr", &request);
        let scope = format!("{day}/{}/ecr/aws4_request", self.region);
        let login = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.key
        );
        headers.push(("authorization", login));
        headers
    }
}

/// The signature of a canonical request.
fn sign(secret: &str, time: &str, day: &str, region: &str, service: &str, request: &str) -> String {
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", Digest::of(request).hex());
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [day, region, service, "aws4_request"] {
        key = hmac(&key, part).to_vec();
    }
    Digest::from_bytes(hmac(&key, &text)).hex()
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut padded = [0; BLOCK];
    match key.len() > BLOCK {
        true => padded[..32].copy_from_slice(Digest::of(key).as_bytes()),
        false => padded[..key.len()].copy_from_slice(key),
    }
    let mut inner = Hasher::new();
    inner.update(padded.map(|byte| byte ^ 0x36));
    inner.update(text.as_bytes());
    let mut outer = Hasher::new();
    outer.update(padded.map(|byte| byte ^ 0x5c));
    outer.update(inner.finish().as_bytes());
    *outer.finish().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_those_of_the_standard() {
        // RFC 4231, cases 2 and 6.
        let table = [
            (
                b"Jefe".to_vec(),
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, text, expected) in table {
            assert_eq!(Digest::from_bytes(hmac(&key, text)).hex(), expected);
        }
    }

    #[test]
    fn the_signature_is_that_of_amazon_s_example() {
        let request = "GET\n/\nAction=ListUsers&Version=2010-05-08\ncontent-type:application/x-www-form-urlencoded; charset=utf-8\nhost:iam.amazonaws.com\nx-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let signature = sign(
            secret,
            "20150830T123600Z",
            "20150830",
            "us-east-1",
            "iam",
            request,
        );
        assert_eq!(
            signature,
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn only_amazon_s_hosts_are_meant() {
        let variable = |name: &str| (!name.contains("ENDPOINT")).then(|| name.to_owned());
        let of = |host: &str| Ecr::of(host, variable).map(|ecr| ecr.endpoint);
        let expected = Some("https://api.ecr.eu-west-1.amazonaws.com".to_owned());
        assert_eq!(of("1.dkr.ecr.eu-west-1.amazonaws.com"), expected);
        assert_eq!(of("1.dkr.ecr.eu-west-1.amazonaws.com.example"), None);
        assert_eq!(of("ecr.eu-west-1.amazonaws.com"), None);
        assert!(Ecr::of("1.dkr.ecr.eu-west-1.amazonaws.com", |_| None).is_none());
    }
}
