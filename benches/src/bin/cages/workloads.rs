//! The work of the steps, in the root that `base` makes.

/// What a step does.
pub struct Workload {
    /// For the table.
    pub name: &'static str,
    /// For a shell.
    pub script: &'static str,
    /// How many times as long as with mounts it may take under supervision, where somebody has said so.
    pub limit: Option<f64>,
}

/// All of them.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "cp -a of 12,000 files",
        script: "cp -a /data /copy",
        limit: Some(2.0),
    },
    Workload {
        name: "apt-get install of git, curl, vim, rsync, ssh",
        script: "apt-get install -y --no-install-recommends --no-download git curl vim rsync openssh-client",
        limit: Some(1.6),
    },
    Workload {
        name: "make -j2 of Lua with gcc",
        script: "cd /project/lua && make -j2 linux",
        limit: Some(1.3),
    },
    Workload {
        name: "find /, counted by wc",
        script: "find / | wc",
        limit: Some(3.0),
    },
    Workload {
        name: "python3 -m compileall",
        script: "cp -r /usr/lib/python3.11 /modules && python3 -m compileall -q -f /modules",
        limit: None,
    },
    Workload {
        name: "npm install of 250 packages",
        script: "cd /node && npm install --offline --no-audit --no-fund",
        limit: None,
    },
];

impl Workload {
    /// A script that does the work and says how long that took.
    pub fn timed(&self) -> String {
        let (script, mark) = (self.script, MARK);
        format!(
            "begin=$(date +%s%N); if ({script}) >/tmp/log 2>&1; then echo {mark} $(($(date +%s%N) - begin)); \
             else cat /tmp/log; exit 1; fi"
        )
    }
}

/// Comes before the nanoseconds.
const MARK: &str = "nanoseconds:";

/// The seconds that were told in what a step has printed.
pub fn seconds(output: &str) -> Option<f64> {
    let (_, after) = output.rsplit_once(MARK)?;
    let digits = after.split_whitespace().next()?;
    digits.parse::<u64>().ok().map(|nanos| nanos as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steps_tell() {
        assert_eq!(seconds("#3 nanoseconds: 1500000000\n#4 done"), Some(1.5));
        assert_eq!(
            seconds("RUN echo nanoseconds: $((2))\nnanoseconds: 2000000000\n"),
            Some(2.0)
        );
        assert_eq!(seconds("nothing"), None);
    }
}
