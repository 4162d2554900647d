//! The filter of system calls that container runtimes use, read from where it is kept as data.

use anyhow::{Context, Result, bail};
use rbuild_sys::seccomp::{Condition, Filter, Rule, Test, Verdict};
use rustix::thread::CapabilitySet;
use serde::Deserialize;

const PROFILE: &str = include_str!("../../../../testdata/cages/seccomp-default.json");
const NUMBERS: &str = include_str!("../../../../testdata/cages/syscalls.tsv");

/// This architecture's column in `NUMBERS`, and its name in `PROFILE`.
const ARCHITECTURE: (usize, &str) = if cfg!(target_arch = "x86_64") {
    (1, "amd64")
} else {
    (2, "arm64")
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_errno_ret: u16,
    syscalls: Vec<Group>,
}

/// System calls that are treated alike.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    names: Vec<String>,
    action: String,
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Vec<Argument>,
    #[serde(default)]
    includes: Where,
    #[serde(default)]
    excludes: Where,
}

/// Where a group counts.
#[derive(Default, Deserialize)]
struct Where {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    op: String,
    value: u64,
    #[serde(default)]
    value_two: u64,
}

/// The filter of a container with these capabilities.
pub(super) fn filter(capabilities: CapabilitySet) -> Result<Filter> {
    let profile: Profile = serde_json::from_str(PROFILE).context("seccomp-default.json")?;
    let mut rules = Vec::new();
    let counts = |group: &&Group| group.counts(capabilities);
    for group in profile.syscalls.iter().filter(counts) {
        rules.extend(group.rules(profile.default_errno_ret)?);
    }
    // So does runc: programs are to find out that the runtime does not know a call, and try an older one.
    let unknown = NUMBERS.lines().filter_map(number_of).max().unwrap_or(0) + 1;
    rules.push(rule(unknown..=u32::MAX, Vec::new(), Verdict::Fail(38)));
    Ok(Filter {
        rules,
        otherwise: Verdict::Fail(profile.default_errno_ret),
        foreign: Verdict::UNKNOWN,
    })
}

impl Group {
    fn counts(&self, capabilities: CapabilitySet) -> bool {
        let held = |name: &String| {
            let name = name.trim_start_matches("CAP_");
            capabilities.iter_names().any(|(held, _)| held == name)
        };
        let here = |arches: &[String]| arches.iter().any(|name| name == ARCHITECTURE.1);
        self.includes.caps.iter().all(held)
            && !self.excludes.caps.iter().any(held)
            && (self.includes.arches.is_empty() || here(&self.includes.arches))
            && !here(&self.excludes.arches)
    }

    fn rules(&self, default_errno: u16) -> Result<Vec<Rule>> {
        let verdict = match self.action.as_str() {
            "SCMP_ACT_ALLOW" => Verdict::Allow,
            "SCMP_ACT_ERRNO" => Verdict::Fail(self.errno_ret.unwrap_or(default_errno)),
            other => bail!("an action that is not known: {other}"),
        };
        let when: Vec<Condition> = self.args.iter().map(Argument::condition).collect::<Result<_>>()?;
        let numbers = self.names.iter().filter_map(|name| number(name));
        Ok(numbers
            .map(|number| rule(number..=number, when.clone(), verdict))
            .collect())
    }
}

impl Argument {
    fn condition(&self) -> Result<Condition> {
        let test = match self.op.as_str() {
            "SCMP_CMP_EQ" => Test::Equal(self.value),
            "SCMP_CMP_LT" => Test::Less(self.value),
            "SCMP_CMP_GT" => Test::Greater(self.value),
            "SCMP_CMP_MASKED_EQ" => Test::Masked {
                mask: self.value,
                value: self.value_two,
            },
            other => bail!("a comparison that is not known: {other}"),
        };
        Ok(Condition {
            argument: self.index,
            test,
        })
    }
}

fn rule(calls: std::ops::RangeInclusive<u32>, when: Vec<Condition>, verdict: Verdict) -> Rule {
    Rule { calls, when, verdict }
}

/// The number of a system call here; the profile also names those of other architectures.
fn number(name: &str) -> Option<u32> {
    let line = NUMBERS
        .lines()
        .find(|line| line.split('\t').next() == Some(name))?;
    number_of(line)
}

fn number_of(line: &str) -> Option<u32> {
    line.split('\t').nth(ARCHITECTURE.0)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_libc() {
        for (name, expected) in [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("openat2", libc::SYS_openat2),
            ("mseal", libc::SYS_mseal),
            ("newfstatat", libc::SYS_newfstatat),
        ] {
            assert_eq!(number(name).map(i64::from), Some(expected), "{name}");
        }
        assert_eq!(number("socketcall"), None);
    }

    /// What becomes of a call whose arguments are all 0.
    fn verdict(filter: &Filter, name: &str) -> Verdict {
        let number = number(name).unwrap();
        let holds = |condition: &Condition| match condition.test {
            Test::Equal(value) | Test::Masked { value, .. } => value == 0,
            Test::Less(value) => value > 0,
            Test::Greater(_) => false,
        };
        let fits = |rule: &&Rule| rule.calls.contains(&number) && rule.when.iter().all(holds);
        filter
            .rules
            .iter()
            .find(fits)
            .map_or(filter.otherwise, |rule| rule.verdict)
    }

    #[test]
    fn capabilities_open_calls() {
        let cases = [
            ("read", CapabilitySet::empty(), Verdict::Allow),
            ("ptrace", CapabilitySet::empty(), Verdict::Allow),
            ("process_vm_readv", CapabilitySet::empty(), Verdict::Allow),
            ("seccomp", CapabilitySet::empty(), Verdict::Allow),
            ("mount", CapabilitySet::empty(), Verdict::Fail(1)),
            ("mount", CapabilitySet::SYS_ADMIN, Verdict::Allow),
            ("clone", CapabilitySet::empty(), Verdict::Allow),
            ("clone3", CapabilitySet::empty(), Verdict::Fail(38)),
            ("clone3", CapabilitySet::SYS_ADMIN, Verdict::Allow),
            ("chroot", CapabilitySet::empty(), Verdict::Fail(1)),
            ("chroot", CapabilitySet::SYS_CHROOT, Verdict::Allow),
            ("io_uring_setup", CapabilitySet::all(), Verdict::Fail(1)),
        ];
        for (name, capabilities, expected) in cases {
            let filter = filter(capabilities).unwrap();
            assert_eq!(verdict(&filter, name), expected, "{name} {capabilities:?}");
        }
    }
}
