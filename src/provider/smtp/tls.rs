//! TLS towards a mail server. Only in builds with the feature `https` (which `tls` brings along).
//!
//! Invariant: a certificate is always checked against the configured host; there is no way to
//! switch that off.

use std::path::Path;

use anyhow::Result;

/// How a line is encrypted.
#[cfg_attr(
    not(feature = "https"),
    allow(
        deprecated,
        reason = "lettre's interface names it in builds without TLS as well"
    )
)]
pub(super) type Parameters = lettre::transport::smtp::client::TlsParameters;

/// Trusts the certificates of a file, or the system's.
#[cfg(feature = "https")]
pub(super) fn parameters(host: &str, ca_file: Option<&Path>) -> Result<Parameters> {
    use anyhow::{Context as _, bail};
    use lettre::transport::smtp::client::{Certificate, CertificateStore};
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;

    let mut builder = Parameters::builder(host.to_owned());
    if let Some(file) = ca_file {
        let certificates = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("ca_file: {} cannot be read", file.display()))?;
        if certificates.is_empty() {
            bail!("ca_file: {} holds no certificate", file.display());
        }
        builder = builder.certificate_store(CertificateStore::None);
        for certificate in certificates {
            let certificate = Certificate::from_der(certificate.to_vec())
                .with_context(|| format!("ca_file: {} cannot be used", file.display()))?;
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder
        .build_rustls()
        .context("the trusted certificates cannot be used")
}

/// Always refused.
#[cfg(not(feature = "https"))]
pub(super) fn parameters(_: &str, _: Option<&Path>) -> Result<Parameters> {
    anyhow::bail!(
        "this build has no TLS: build with --features tls (or https), or set tls = \"none\" for a server on this machine"
    )
}
