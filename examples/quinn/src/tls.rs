//! A certificate of the server's own, which its clients are given.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use quinn::{ClientConfig, ServerConfig, TransportConfig, VarInt};

/// The name that the certificate is for.
pub const NAME: &str = "server";

/// A key of Ed25519 as RFC 8410 writes it, but for its 32 bytes.
const KEY_BEGIN: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Who a server is.
pub struct Identity {
    key: PrivatePkcs8KeyDer<'static>,
    /// What its clients are to be given.
    pub certificate: CertificateDer<'static>,
}

impl Identity {
    /// That of a private key, whose bytes nobody else is to know.
    pub fn new(key: [u8; 32]) -> Result<Self> {
        let key = PrivatePkcs8KeyDer::from([&KEY_BEGIN[..], &key].concat());
        let pair = rcgen::KeyPair::try_from(&key)?;
        let certificate = rcgen::CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&pair)?;
        Ok(Self { key, certificate: certificate.der().clone() })
    }

    /// What a server of this identity is set up with.
    pub fn server(&self) -> Result<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(self.key.clone_key());
        let mut config = ServerConfig::with_single_cert(vec![self.certificate.clone()], key)?;
        config.transport_config(transport());
        Ok(config)
    }
}

/// What a client of a server with this certificate is set up with.
pub fn client(certificate: CertificateDer<'static>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    config.transport_config(transport());
    Ok(config)
}

fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.max_idle_timeout(Some(VarInt::from_u32(2_000).into()));
    config.keep_alive_interval(Some(Duration::from_millis(500)));
    Arc::new(config)
}
