//! `RUN`.

use super::{
    super::{
        Diagnostic, Network, Run,
        flags::{Flags, Known, Takes},
        mount,
    },
    Parser, invalid_value,
};

const RUN_FLAGS: &Known = &[
    ("mount", Takes::List),
    ("network", Takes::Value),
    ("security", Takes::Value),
];

impl Parser<'_, '_> {
    pub(super) fn run(&mut self) -> Result<Run, Diagnostic> {
        if let Some(device) = self.head.flags.iter().find(|flag| flag.name == "device") {
            let message = "RUN --device is not supported: a step gets no devices of the machine";
            return Err(Diagnostic::error("UnsupportedFlag", message, device.span.clone()));
        }
        let flags = Flags::check(&self.head.flags, RUN_FLAGS, "RUN")?;
        let network = match flags.value("network") {
            None => Network::Default,
            Some(word) => match word.text.as_str() {
                "default" => Network::Default,
                "none" => Network::None,
                "host" => Network::Host,
                _ => return Err(invalid_value("network", &word, "default, none or host")),
            },
        };
        let insecure = match flags.value("security") {
            None => false,
            Some(word) => match word.text.as_str() {
                "sandbox" => false,
                "insecure" => true,
                _ => return Err(invalid_value("security", &word, "sandbox or insecure")),
            },
        };
        let mounts = flags.list("mount");
        for mount in &mounts {
            mount::check(&mount.text)
                .map_err(|error| Diagnostic::error("InvalidMount", error.to_string(), mount.span.clone()))?;
        }
        let command = self.command(&self.head.arguments)?;
        Ok(Run {
            mounts,
            network,
            insecure,
            command,
            heredocs: std::mem::take(&mut self.heredocs),
        })
    }
}
