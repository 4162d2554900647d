//! Users and groups of an image: `/etc/passwd` and `/etc/group` of the stage, never of this machine.

use super::error::Problem;

/// What `/etc/passwd` and `/etc/group` of a root filesystem say; empty where a file is missing.
#[derive(Debug, Default)]
pub(crate) struct Users {
    passwd: Vec<Passwd>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Passwd {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

#[derive(Debug)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// Who a RUN runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory; `/` for who has no entry.
    pub home: String,
}

impl Users {
    /// From the contents of the two files. Lines that are not entries are passed over, as getpwnam does.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let lines = |bytes: &[u8]| -> Vec<Vec<String>> {
            let text = String::from_utf8_lossy(bytes);
            text.lines()
                .map(|line| line.split(':').map(str::to_owned).collect())
                .collect()
        };
        let passwd = lines(passwd).into_iter().filter_map(|fields| {
            let [name, _, uid, gid, rest @ ..] = &fields[..] else {
                return None;
            };
            Some(Passwd {
                name: name.clone(),
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                home: rest.get(1).cloned().unwrap_or_default(),
            })
        });
        let groups = lines(group).into_iter().filter_map(|fields| {
            let [name, _, gid, rest @ ..] = &fields[..] else {
                return None;
            };
            let members = rest.first().map(String::as_str).unwrap_or_default();
            Some(Group {
                name: name.clone(),
                gid: gid.parse().ok()?,
                members: members.split(',').map(|name| name.trim().to_owned()).collect(),
            })
        });
        Self {
            passwd: passwd.collect(),
            groups: groups.collect(),
        }
    }

    /// Who `USER spec` is: `user`, `uid`, `user:group` and so on; empty means user 0.
    ///
    /// A group in the spec leaves no supplementary groups; a user without one gets those of `/etc/group`, also one that
    /// is root because nobody said otherwise.
    pub fn identity(&self, spec: &str) -> Result<Identity, Problem> {
        let (user, group) = split(spec);
        let user = if user.is_empty() { "0" } else { user };
        let number = user.parse::<u32>().ok();
        let entry = match number {
            Some(uid) => self.passwd.iter().find(|entry| entry.uid == uid),
            None => self.passwd.iter().find(|entry| entry.name == user),
        };
        let uid = entry
            .map(|entry| entry.uid)
            .or(number)
            .ok_or_else(|| Problem::NoSuchUser {
                name: user.to_owned(),
                known: self.passwd.iter().map(|entry| entry.name.clone()).collect(),
            })?;
        let home = entry
            .map(|entry| entry.home.clone())
            .filter(|home| !home.is_empty());
        let (gid, groups) = match group {
            Some(group) => (self.group(group)?, Vec::new()),
            None => (entry.map_or(0, |entry| entry.gid), self.supplementary(entry)),
        };
        Ok(Identity {
            uid,
            gid,
            groups,
            home: home.unwrap_or_else(|| "/".to_owned()),
        })
    }

    /// Owner for `--chown=spec`: `user`, `user:group`, `:group`, by name or number; a user alone brings its primary
    /// group, a number alone is also the group, an unknown name is root.
    pub fn owner(&self, spec: &str) -> (u32, u32) {
        if spec.is_empty() {
            return (0, 0);
        }
        let (user, group) = split(spec);
        let entry = self.passwd.iter().find(|entry| entry.name == user);
        let uid = user.parse().ok().or(entry.map(|entry| entry.uid)).unwrap_or(0);
        let gid = match group {
            Some(group) => self.group(group).unwrap_or(0),
            None => user.parse().ok().or(entry.map(|entry| entry.gid)).unwrap_or(0),
        };
        (uid, gid)
    }

    fn group(&self, name: &str) -> Result<u32, Problem> {
        let entry = self.groups.iter().find(|entry| entry.name == name);
        name.parse()
            .ok()
            .or(entry.map(|entry| entry.gid))
            .ok_or_else(|| Problem::NoSuchGroup {
                name: name.to_owned(),
                known: self.groups.iter().map(|entry| entry.name.clone()).collect(),
            })
    }

    fn supplementary(&self, entry: Option<&Passwd>) -> Vec<u32> {
        let Some(entry) = entry else { return Vec::new() };
        let member = |group: &&Group| group.members.contains(&entry.name);
        self.groups.iter().filter(member).map(|group| group.gid).collect()
    }
}

/// Whether a `--chown` needs no files to look names up in.
pub(crate) fn is_numeric(spec: &str) -> bool {
    let (user, group) = split(spec);
    let number = |text: &str| text.is_empty() || text.parse::<u32>().is_ok();
    number(user) && group.is_none_or(number)
}

fn split(spec: &str) -> (&str, Option<&str>) {
    match spec.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (spec, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:2:2::/:\nbroken\napp:x:500:501::/app:\n\n";
    const GROUP: &[u8] = b"root:x:0:\nbin:x:1:root,app\nextra:x:600:other,app\nlp:x:7:lp\n";

    #[test]
    fn identities() {
        let users = Users::parse(PASSWD, GROUP);
        let of = |spec: &str| {
            let id = users.identity(spec).unwrap();
            (id.uid, id.gid, id.groups, id.home)
        };
        let root = || "/".to_owned();
        assert_eq!(of(""), (0, 0, vec![1], "/root".to_owned()));
        assert_eq!(of("0:0"), (0, 0, vec![], "/root".to_owned()));
        assert_eq!(of("daemon"), (2, 2, vec![], root()));
        assert_eq!(of("app"), (500, 501, vec![1, 600], "/app".to_owned()));
        assert_eq!(of("500"), (500, 501, vec![1, 600], "/app".to_owned()));
        assert_eq!(of("app:lp"), (500, 7, vec![], "/app".to_owned()));
        assert_eq!(of("1234"), (1234, 0, vec![], root()));
        assert_eq!(of("1234:5678"), (1234, 5678, vec![], root()));
        assert!(matches!(
            users.identity("nosuch"),
            Err(Problem::NoSuchUser { .. })
        ));
        assert!(matches!(
            users.identity("app:nosuch"),
            Err(Problem::NoSuchGroup { .. })
        ));
    }

    #[test]
    fn root_needs_no_entry() {
        let nobody = Users::parse(b"", b"bin:x:1:root\n");
        for spec in ["", "0"] {
            let id = nobody.identity(spec).unwrap();
            assert_eq!((id.uid, id.gid, id.groups), (0, 0, vec![]), "{spec:?}");
        }
    }

    #[test]
    fn owners() {
        let users = Users::parse(PASSWD, GROUP);
        for (spec, owner) in [
            ("7", (7, 7)),
            ("7:8", (7, 8)),
            (":8", (0, 8)),
            ("daemon", (2, 2)),
            ("app:extra", (500, 600)),
            ("nosuch:nogrp", (0, 0)),
            ("nosuch", (0, 0)),
        ] {
            assert_eq!(users.owner(spec), owner, "{spec}");
        }
        assert!(
            is_numeric("7")
                && is_numeric(":8")
                && is_numeric("7:8")
                && !is_numeric("a")
                && !is_numeric("7:a")
        );
    }
}
