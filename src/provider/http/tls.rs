//! TLS towards a provider. Only in builds with the feature `https` (which `tls` brings along).
//!
//! Invariant: a certificate is always checked against the host in the address; there is no way
//! to switch that off.

#[cfg(feature = "https")]
pub(super) use enabled::Tls;
#[cfg(not(feature = "https"))]
pub(super) use missing::Tls;

#[cfg(feature = "https")]
mod enabled {
    use std::path::Path;
    use std::sync::Arc;

    use anyhow::{Context as _, Result, bail};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use crate::provider::http::failure::Failure;

    /// Makes encrypted lines to one host.
    #[derive(Clone)]
    pub(in crate::provider::http) struct Tls {
        connector: TlsConnector,
        host: ServerName<'static>,
    }

    impl Tls {
        /// Trusts the certificates of a file, or the system's.
        pub(in crate::provider::http) fn new(host: &str, ca_file: Option<&Path>) -> Result<Self> {
            let host = ServerName::try_from(host.to_owned())
                .map_err(|_| anyhow::anyhow!("its host is no name that a certificate can have"))?;
            let mut roots = RootCertStore::empty();
            match ca_file {
                Some(file) => {
                    let certificates = CertificateDer::pem_file_iter(file)
                        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                        .with_context(|| format!("ca_file: {} cannot be read", file.display()))?;
                    let (added, _) = roots.add_parsable_certificates(certificates);
                    if added == 0 {
                        bail!("ca_file: {} holds no certificate", file.display());
                    }
                }
                None => {
                    let found = rustls_native_certs::load_native_certs();
                    let (added, _) = roots.add_parsable_certificates(found.certs);
                    if added == 0 {
                        bail!(
                            "this system has no trusted certificates: install ca-certificates, or set ca_file"
                        );
                    }
                }
            }
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            Ok(Self {
                connector: TlsConnector::from(Arc::new(config)),
                host,
            })
        }

        /// Shakes hands.
        pub(in crate::provider::http) async fn wrap(
            &self,
            stream: TcpStream,
        ) -> Result<TlsStream<TcpStream>, Failure> {
            self.connector
                .connect(self.host.clone(), stream)
                .await
                .map_err(|_| Failure::before("tls-failed"))
        }
    }
}

#[cfg(not(feature = "https"))]
mod missing {
    use std::path::Path;

    use anyhow::{Result, bail};
    use tokio::net::TcpStream;

    use crate::provider::http::failure::Failure;

    /// Stands in where there is no TLS: it cannot be made.
    #[derive(Clone)]
    pub(in crate::provider::http) enum Tls {}

    impl Tls {
        /// Always refused.
        pub(in crate::provider::http) fn new(_: &str, _: Option<&Path>) -> Result<Self> {
            bail!(
                "this build has no TLS, so it cannot be https: build with --features tls (or https)"
            )
        }

        /// Never called.
        #[allow(clippy::unused_async, reason = "as it is with TLS")]
        pub(in crate::provider::http) async fn wrap(
            &self,
            _: TcpStream,
        ) -> Result<TcpStream, Failure> {
            match *self {}
        }
    }
}
