//! The encrypted line, in builds that have it. Certificates are made by `openssl`; without it the
//! test says `NOT RUN`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealpost_operators::gate::Answer;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::desk::{Desk, settings};
use crate::tell;

/// Makes a key and a certificate for `localhost` that signs itself.
pub(crate) fn certificate(folder: &Path) -> bool {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("certificate.pem"))
        .output();
    let made = made.is_ok_and(|output| output.status.success());
    if !made {
        tell("NOT RUN: a provider over https (openssl is not there)");
    }
    made
}

/// A server that answers every request with 200; counts those that it has read.
fn serve(folder: &Path) -> (u16, Arc<AtomicUsize>) {
    let chain = CertificateDer::pem_file_iter(folder.join("certificate.pem"))
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, counted) = (Arc::clone(&config), Arc::clone(&counted));
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                let mut text = Vec::new();
                let mut piece = [0; 4_096];
                while let Ok(bytes @ 1..) = stream.read(&mut piece) {
                    text.extend_from_slice(&piece[..bytes]);
                    if text.ends_with(b"}") {
                        text.clear();
                        counted.fetch_add(1, Ordering::SeqCst);
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    }
                }
            });
        }
    });
    (port, requests)
}

#[test]
fn a_trusted_provider_is_called_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    if !certificate(folder.path()) {
        return;
    }
    let (port, requests) = serve(folder.path());
    let mut http = settings(format!("https://localhost:{port}/send"));
    http.ca_file = Some(folder.path().join("certificate.pem"));
    let desk = Desk::new(http);
    for user in 0..3 {
        let accepted = Answer::Accepted {
            provider_message_id: None,
        };
        assert_eq!(desk.call(user), accepted);
    }
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[test]
fn a_certificate_that_is_not_trusted_or_of_another_host_is_told_nothing() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    if !certificate(folder.path()) || !certificate(other.path()) {
        return;
    }
    let (port, requests) = serve(folder.path());
    for (host, trusted) in [("localhost", other.path()), ("127.0.0.1", folder.path())] {
        let mut http = settings(format!("https://{host}:{port}/send"));
        http.ca_file = Some(trusted.join("certificate.pem"));
        let expected = Answer::NotAccepted {
            reason: "tls-failed",
            retry_after_ms: None,
        };
        assert_eq!(Desk::new(http).call(1), expected, "{host}");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}
