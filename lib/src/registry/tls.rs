//! Whom to trust: the system's certificates, what `certs.d` adds for one host, client certificates.
//!
//! Reading the system's certificates takes milliseconds, more than a whole unchanged build should, so they are read when the
//! first server shows its certificate and not before.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

/// What is special about the TLS of one host.
#[derive(Debug, Default)]
pub(super) struct HostCertificates {
    authorities: Vec<CertificateDer<'static>>,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl HostCertificates {
    /// Reads the files of each directory: `*.crt` are authorities, `NAME.cert` with `NAME.key` is a client certificate.
    ///
    /// They are named as in docker's `/etc/docker/certs.d/HOST`.
    pub(super) fn read(directories: &[PathBuf]) -> Result<Self, String> {
        let mut found = Self::default();
        for directory in directories {
            let Ok(entries) = fs::read_dir(directory) else {
                continue;
            };
            let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            files.sort();
            for file in files {
                match file.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => found.authorities.extend(certificates(&file)?),
                    Some("cert") if found.client.is_none() => found.client = Some(identity(&file)?),
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    /// Who is trusted beyond those that the system trusts.
    pub(super) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// Whether there is a client certificate.
    pub(super) fn has_identity(&self) -> bool {
        self.client.is_some()
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let explain = |error| format!("{}: {error}", file.display());
    CertificateDer::pem_file_iter(file)
        .map_err(explain)?
        .collect::<Result<_, _>>()
        .map_err(explain)
}

fn identity(file: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let key_file = file.with_extension("key");
    let key = PrivateKeyDer::from_pem_file(&key_file)
        .map_err(|error| format!("{}: {error}", key_file.display()))?;
    Ok((certificates(file)?, key))
}

/// The TLS set-up for one host; with `verify` off, any certificate is taken for the host's own.
pub(super) fn client_config(certificates: HostCertificates, verify: bool) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = Arc::new(Verifier {
        trust: if verify {
            Trust::Authorities(certificates.authorities)
        } else {
            Trust::Anyone
        },
        provider: Arc::clone(&provider),
        webpki: OnceLock::new(),
    });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match certificates.client {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| error.to_string()),
        None => Ok(builder.with_no_client_auth()),
    }
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    webpki: OnceLock<Result<Arc<WebPkiServerVerifier>, rustls::Error>>,
}

#[derive(Debug)]
enum Trust {
    /// The system's authorities and these.
    Authorities(Vec<CertificateDer<'static>>),
    /// Whoever answers.
    Anyone,
}

impl Verifier {
    fn webpki(&self, extra: &[CertificateDer<'static>]) -> Result<&WebPkiServerVerifier, rustls::Error> {
        let made = self.webpki.get_or_init(|| {
            let mut roots = system_roots();
            roots.add_parsable_certificates(extra.iter().cloned());
            WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&self.provider))
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))
        });
        made.as_ref().map(|verifier| &**verifier).map_err(Clone::clone)
    }
}

/// What the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` included); where it has nothing, as in an image that holds only this
/// program, what browsers trust.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.trust {
            Trust::Anyone => Ok(ServerCertVerified::assertion()),
            Trust::Authorities(extra) => self.webpki(extra)?.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
