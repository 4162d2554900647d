//! Certificates for tests with TLS.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// Makes an authority (`ca.crt`), and a certificate (`.cert`) with its key (`.key`) of 127.0.0.1 (`server`) and one of a
/// client (`client`).
pub fn make_certificates(openssl: &Path, directory: &Path) {
    let extensions = directory.join("extensions");
    fs::write(
        &extensions,
        "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
    )
    .expect("to write in a directory for certificates");
    let run = |arguments: &str| {
        let mut command = Command::new(openssl);
        command
            .args(arguments.split_whitespace())
            .current_dir(directory)
            .stdin(Stdio::null());
        let output = command.output().expect("openssl to run");
        assert!(
            output.status.success(),
            "{arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let new = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(&format!(
        "{new} -x509 -days 2 -keyout ca.key -out ca.crt -subj /CN=authority"
    ));
    for name in ["server", "client"] {
        run(&format!(
            "{new} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        let sign = "x509 -req -days 2 -CA ca.crt -CAkey ca.key -CAcreateserial -extfile extensions";
        run(&format!("{sign} -in {name}.csr -out {name}.cert"));
    }
}
