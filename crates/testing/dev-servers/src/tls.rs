//! Certificate authority for a single test, and the certificate of a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Host names and addresses of the certificate.
const HOSTS: [&str; 2] = ["localhost", "127.0.0.1"];

/// Certificate authority with the certificate of one server, all as PEM files.
pub struct Authority {
    /// Certificate of the authority, which clients must trust.
    pub ca: PathBuf,
    /// Certificate of the server.
    pub certificate: PathBuf,
    /// Private key of the server.
    pub key: PathBuf,
    /// Certificate and private key of the server in one file, as mongod requires.
    pub combined: PathBuf,
    acceptor: TlsAcceptor,
    _folder: TempDir,
}

impl Authority {
    /// Creates an authority and the certificate of a server.
    ///
    /// # Errors
    /// If a key cannot be generated, or a file cannot be written.
    pub fn new() -> Result<Self> {
        let folder = TempDir::with_prefix("bakehouse-tls-")?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let name = "Authority of a test";
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(HOSTS.map(str::to_owned).to_vec())?;
        server.distinguished_name.push(DnType::CommonName, HOSTS[0]);
        server.use_authority_key_identifier_extension = true;
        let certificate = server.signed_by(&key, &issuer)?;
        let write = |name: &str, text: &str| write(folder.path(), name, text);
        let combined = certificate.pem() + &key.serialize_pem();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        Ok(Self {
            ca: write("ca.pem", &issuer.pem())?,
            certificate: write("certificate.pem", &certificate.pem())?,
            key: write("key.pem", &key.serialize_pem())?,
            combined: write("combined.pem", &combined)?,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            _folder: folder,
        })
    }

    /// Returns an acceptor of TLS connections with the certificate of the server.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text)?;
    Ok(file)
}
