//! Contexts in object stores: `s3://BUCKET/KEY` by a presigned URL (AWS Signature Version 4), `gs://BUCKET/OBJECT` by the
//! JSON API of Google Cloud Storage with a token. What the environment has no credentials for is asked for without.

use std::{env, fs::File, path::Path};

use anyhow::{Result, anyhow, ensure};
use rbuild::{Digest, event, registry::Registry};

/// How long a presigned URL is good for, in seconds.
const EXPIRES: &str = "86400";

/// Fetches an object into a file.
pub async fn fetch(scheme: &str, address: &str, registry: &Registry, file: &Path) -> Result<()> {
    let place = format!("{scheme}://{address}");
    let object = address
        .split_once('/')
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
    let (bucket, key) = object.ok_or_else(|| anyhow!("{place}: expected {scheme}://BUCKET/OBJECT"))?;
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let begin = || File::create(file);
    let sink = event::ignore();
    let fetched = match scheme {
        "s3" => {
            let url = S3::from_environment(variable)?.url(bucket, key, &amazon_time());
            registry.download(&url, None, begin, &sink).await.map(drop)
        }
        _ => {
            let (url, token) = google(variable, bucket, key)?;
            match token {
                Some(token) => registry
                    .download_with_token(&url, &token, begin, &sink)
                    .await
                    .map(drop),
                None => registry.download(&url, None, begin, &sink).await.map(drop),
            }
        }
    };
    // The URL holds a signature, and is not for logs.
    fetched.map_err(|error| anyhow!("cannot fetch {place}: {}", error.cause()))
}

/// The URL of an object, and the token for it.
fn google(
    variable: impl Fn(&str) -> Option<String>,
    bucket: &str,
    object: &str,
) -> Result<(String, Option<String>)> {
    let host =
        variable("STORAGE_EMULATOR_HOST").unwrap_or_else(|| "https://storage.googleapis.com".to_owned());
    let host = host.trim_end_matches('/');
    let token = variable("GOOGLE_OAUTH_ACCESS_TOKEN").or_else(|| variable("CLOUDSDK_AUTH_ACCESS_TOKEN"));
    ensure!(
        token.is_some() || variable("GOOGLE_APPLICATION_CREDENTIALS").is_none(),
        "gs:// needs a token, and makes none of GOOGLE_APPLICATION_CREDENTIALS: \
         set GOOGLE_OAUTH_ACCESS_TOKEN=$(gcloud auth print-access-token)"
    );
    let object = encode(object, "");
    Ok((
        format!("{host}/storage/v1/b/{}/o/{object}?alt=media", encode(bucket, "")),
        token,
    ))
}

fn amazon_time() -> String {
    jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Who asks, and where.
struct S3 {
    scheme: String,
    host: String,
    /// The bucket is part of the path, not of the host.
    in_path: bool,
    region: String,
    /// Access key and secret key.
    keys: Option<(String, String)>,
    session: Option<String>,
}

impl S3 {
    fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint =
            variable("S3_ENDPOINT").unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", &endpoint));
        let keys = match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(access), Some(secret)) => Some((access, secret)),
            (None, None) => None,
            _ => return Err(anyhow!("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together")),
        };
        Ok(Self {
            scheme: scheme.to_owned(),
            host: host.trim_end_matches('/').to_owned(),
            in_path: variable("S3_FORCE_PATH_STYLE").is_some_and(|value| value == "true"),
            region,
            keys,
            session: variable("AWS_SESSION_TOKEN"),
        })
    }

    /// The URL of an object, signed at this time if there are keys.
    fn url(&self, bucket: &str, key: &str, time: &str) -> String {
        let key = encode(key, "/");
        let (host, path) = match self.in_path {
            true => (self.host.clone(), format!("/{bucket}/{key}")),
            false => (format!("{bucket}.{}", self.host), format!("/{key}")),
        };
        let url = format!("{}://{host}{path}", self.scheme);
        match &self.keys {
            Some((access, secret)) => format!("{url}?{}", self.query(access, secret, &host, &path, time)),
            None => url,
        }
    }

    /// The signed query of a GET, as «Authenticating Requests: Using Query Parameters» of the S3 API says.
    fn query(&self, access: &str, secret: &str, host: &str, path: &str, time: &str) -> String {
        let day = time.split('T').next().unwrap_or_default();
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let mut query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={time}&X-Amz-Expires={EXPIRES}",
            encode(&format!("{access}/{scope}"), ""),
        );
        if let Some(session) = &self.session {
            query.push_str(&format!("&X-Amz-Security-Token={}", encode(session, "")));
        }
        query.push_str("&X-Amz-SignedHeaders=host");
        let request = format!("GET\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", Digest::of(request).hex());
        let mut signed = Digest::of("");
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in scope.split('/').chain([to_sign.as_str()]) {
            signed = authenticated(&key, part.as_bytes());
            key = signed.as_bytes().to_vec();
        }
        format!("{query}&X-Amz-Signature={}", signed.hex())
    }
}

/// HMAC with SHA-256 (RFC 2104).
fn authenticated(key: &[u8], message: &[u8]) -> Digest {
    const BLOCK: usize = 64;
    let mut block = match key.len() > BLOCK {
        true => Digest::of(key).as_bytes().to_vec(),
        false => key.to_vec(),
    };
    block.resize(BLOCK, 0);
    let with = |pad: u8, message: &[u8]| {
        let padded: Vec<u8> = block.iter().map(|byte| byte ^ pad).collect();
        Digest::of([&padded, message].concat())
    };
    with(0x5c, with(0x36, message).as_bytes())
}

/// Percent-encodes all but what RFC 3986 calls unreserved, and these.
fn encode(text: &str, but: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            other if but.as_bytes().contains(&other) => encoded.push(other.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    /// RFC 4231, test cases 2 and 6.
    #[test]
    fn messages_are_authenticated() {
        for (key, message, expected) in [
            (
                &b"Jefe"[..],
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131][..],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(authenticated(key, message.as_bytes()).hex(), expected);
        }
    }

    #[test]
    fn objects_of_amazon() {
        let of = |pairs: &[(&str, &str)]| S3::from_environment(environment(pairs)).unwrap();
        let time = "20130524T000000Z";
        let keys = [
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            (
                "AWS_SECRET_ACCESS_KEY",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            ),
            ("S3_ENDPOINT", "https://s3.amazonaws.com"),
        ];
        let signed = of(&keys).url("examplebucket", "test.txt", time);
        let expected = "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
            &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
            &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert_eq!(signed, expected);
        assert_eq!(
            of(&[]).url("b", "a b/c", time),
            "https://b.s3.us-east-1.amazonaws.com/a%20b/c"
        );
        let own = of(&[("S3_ENDPOINT", "http://h:9/"), ("S3_FORCE_PATH_STYLE", "true")]);
        assert_eq!(own.url("b", "k", time), "http://h:9/b/k");
        assert!(S3::from_environment(environment(&keys[..1])).is_err());
    }

    #[test]
    fn objects_of_google() {
        let of = |pairs: &[(&str, &str)]| google(environment(pairs), "b", "a/c d");
        let address = "https://storage.googleapis.com/storage/v1/b/b/o/a%2Fc%20d?alt=media".to_owned();
        assert_eq!(of(&[]).unwrap(), (address.clone(), None));
        assert_eq!(
            of(&[("GOOGLE_OAUTH_ACCESS_TOKEN", "t")]).unwrap(),
            (address, Some("t".to_owned()))
        );
        assert!(of(&[("GOOGLE_APPLICATION_CREDENTIALS", "f")]).is_err());
    }
}
