//! TLS of a listener: its certificate, which may be replaced while connections run.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use thiserror::Error;

/// A certificate with its key, from two PEM files, which are read again on request. Clones are one certificate.
#[derive(Clone)]
pub struct Certificate(Arc<Shared>);

struct Shared {
    chain: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file is not there, or not PEM with what is sought.
    #[error("reading {what} from {}: {source}", path.display())]
    Read {
        /// What was sought.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What went wrong.
        source: pem::Error,
    },
    /// There is no certificate in the file.
    #[error("{} holds no certificate; the server's own belongs first, then those that issued it", .0.display())]
    Empty(PathBuf),
    /// Key and certificate do not belong together, or the key's kind is not known.
    #[error("the key in {} cannot be used with the certificate in {}: {source}", key.display(), chain.display())]
    Mismatch {
        /// File of the certificates.
        chain: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// What went wrong.
        source: rustls::Error,
    },
}

impl Certificate {
    /// Reads the server's certificate and those that issued it from `chain`, and its private key from `key`.
    pub fn read(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let current = RwLock::new(read(chain, key)?);
        Ok(Self(Arc::new(Shared { chain: chain.to_owned(), key: key.to_owned(), current })))
    }

    /// Reads the files again, for connections to come. When they cannot be used, the former certificate stays.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let fresh = read(&self.0.chain, &self.0.key)?;
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The files of the certificates and of the key.
    pub fn files(&self) -> (&Path, &Path) {
        (&self.0.chain, &self.0.key)
    }

    /// What a listener shows to its clients: TLS 1.2 and 1.3, HTTP/1.1.
    pub(super) fn config(&self) -> io::Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The key is not printed.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.0.chain).finish_non_exhaustive()
    }
}

fn read(chain: &Path, key: &Path) -> Result<Arc<CertifiedKey>, CertificateError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError::Read { what, path, source }
    };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(failed("certificates", chain))?;
    if certificates.is_empty() {
        return Err(CertificateError::Empty(chain.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(failed("a private key", key))?;
    let certified = CertifiedKey::from_der(certificates, private, &ring::default_provider());
    certified.map(Arc::new).map_err(|source| CertificateError::Mismatch {
        chain: chain.to_owned(),
        key: key.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (chain, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&chain, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (chain, key)
    }

    #[test]
    fn what_cannot_be_used_is_named_and_the_former_certificate_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = write(folder.path(), "one");
        let (other_chain, other_key) = write(folder.path(), "other");
        let absent = folder.path().join("absent.pem");
        for (chain, key, said) in [
            (&absent, &key, "absent.pem"),
            (&chain, &chain, "a private key"),
            (&key, &key, "no certificate"),
            (&chain, &other_key, "cannot be used"),
        ] {
            let error = Certificate::read(chain, key).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }

        let certificate = Certificate::read(&chain, &key).unwrap();
        let shown = |certificate: &Certificate| certificate.0.current.read().unwrap().cert.clone();
        let former = shown(&certificate);
        fs::write(&chain, "nothing").unwrap();
        certificate.reload().unwrap_err();
        assert_eq!(shown(&certificate), former);
        fs::copy(&other_chain, &chain).unwrap();
        fs::copy(&other_key, &key).unwrap();
        certificate.reload().unwrap();
        assert_ne!(shown(&certificate), former);
        assert!(!format!("{certificate:?}").contains("PRIVATE"));
    }
}
