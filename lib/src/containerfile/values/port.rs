//! Ports of `EXPOSE`: `80`, `443/tcp`, `7000-7010/udp`, `8080:80`.

use std::{fmt, net::IpAddr};

/// A text that is no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no port such as 80, 53/udp or 7000-7010: {reason}")]
pub struct InvalidPort {
    text: String,
    reason: &'static str,
}

/// The protocols that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `tcp`
    Tcp,
    /// `udp`
    Udp,
    /// `sctp`
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// One or more ports of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// Of all of them.
    pub protocol: Protocol,
    /// Whether the text says only this, in lower case: no part for the host, which means nothing in an image.
    pub plain: bool,
}

impl Ports {
    /// Reads `[[ip:]host:]port[-port][/protocol]`. The host's part is checked and dropped.
    pub fn parse(text: &str) -> Result<Self, InvalidPort> {
        let invalid = |reason| InvalidPort {
            text: text.to_owned(),
            reason,
        };
        let (address, container) = match text.rsplit_once(':') {
            Some((address, container)) => (Some(address), container),
            None => (None, text),
        };
        let (ports, protocol) = container.split_once('/').unwrap_or((container, ""));
        let (first, last) = parse_range(ports).map_err(invalid)?;
        let parsed = parse_protocol(protocol).ok_or_else(|| invalid("the protocol is tcp, udp or sctp"))?;
        if let Some(address) = address {
            check_address(address, last - first).map_err(invalid)?;
        }
        Ok(Ports {
            first,
            last,
            protocol: parsed,
            plain: address.is_none(),
        })
    }

    /// Each port, as an image's config names it: `80/tcp`.
    pub fn names(&self) -> impl Iterator<Item = String> + use<> {
        let protocol = self.protocol;
        (self.first..=self.last).map(move |port| format!("{port}/{protocol}"))
    }
}

fn parse_protocol(text: &str) -> Option<Protocol> {
    match text.to_ascii_lowercase().as_str() {
        "" | "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        "sctp" => Some(Protocol::Sctp),
        _ => None,
    }
}

fn parse_range(text: &str) -> Result<(u16, u16), &'static str> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|_| digits)
            .ok_or("a port is a number up to 65535")
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if last < first {
        Err("the range ends before it begins")
    } else {
        Ok((first, last))
    }
}

/// The part of the host: `port` or `ip:port`, either may be empty.
fn check_address(address: &str, width: u16) -> Result<(), &'static str> {
    let (ip, ports) = match address.rsplit_once(':') {
        Some((ip, ports)) => (ip, ports),
        None => ("", address),
    };
    let bare = ip.strip_prefix('[').map_or(Some(ip), |ip| ip.strip_suffix(']'));
    let bare = bare.ok_or("a [ is not closed")?;
    if !bare.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err("what stands in front is no address");
    }
    if ports.is_empty() {
        return Ok(());
    }
    let (first, last) = parse_range(ports)?;
    // A range on the host may serve one port of the container.
    if width != 0 && last - first != width {
        Err("both ranges must be equally long")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        for (text, want) in [
            ("80", &["80/tcp"][..]),
            ("443/tcp", &["443/tcp"]),
            ("53/UDP", &["53/udp"]),
            ("1/sctp", &["1/sctp"]),
            ("80/", &["80/tcp"]),
            ("7000-7001", &["7000/tcp", "7001/tcp"]),
            ("9000-9002/udp", &["9000/udp", "9001/udp", "9002/udp"]),
            ("8080:80", &["80/tcp"]),
            ("8080-8090:80", &["80/tcp"]),
            (":80", &["80/tcp"]),
            ("127.0.0.1:8080:80/udp", &["80/udp"]),
            ("127.0.0.1::80", &["80/tcp"]),
            ("[::1]:8080:80", &["80/tcp"]),
            ("::1:8080:80", &["80/tcp"]),
            ("0", &["0/tcp"]),
            ("65535-65535", &["65535/tcp"]),
        ] {
            let ports = Ports::parse(text).expect(text);
            assert_eq!(ports.names().collect::<Vec<_>>(), want, "{text}");
            assert_eq!(ports.plain, !text.contains(':'), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "a",
            "80/foo",
            "/tcp",
            "65536",
            "-1",
            "1-",
            "2-1",
            "1-2-3",
            "+80",
            "x:80",
            "1-2:3-5",
            "localhost:1:80",
            "[::1:8080:80",
            "80:",
            "99999999999",
        ] {
            assert!(Ports::parse(text).is_err(), "{text}");
        }
    }
}
