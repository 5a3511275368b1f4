//! A throw-away certificate authority and the server certificates it issues, as PEM files.
//! Used by the authorization server; Envoy is told to trust the CA's file.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate authority that lives as long as the directory its files are written to.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
}

/// Where the PEM files of a server certificate are.
pub struct ServerCertificate {
    /// The certificate, without the CA's.
    pub certificate: PathBuf,
    /// Its private key, PKCS#8.
    pub private_key: PathBuf,
}

impl CertificateAuthority {
    /// Makes a new CA and writes its certificate to `ca.pem` in `directory`.
    pub fn create(directory: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "testbed CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a CA key");
        let certificate = params.self_signed(&key).expect("a CA certificate");
        let authority = Self { issuer: Issuer::new(params, key), directory: directory.to_owned() };
        fs::write(authority.ca_pem_path(), certificate.pem()).expect("ca.pem is written");
        authority
    }

    /// The CA's certificate.
    pub fn ca_pem_path(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Issues a certificate whose only subject alternative name is `dns_name`.
    pub fn issue(&self, dns_name: &str) -> ServerCertificate {
        let key = KeyPair::generate().expect("a server key");
        let params = CertificateParams::new([dns_name.to_owned()]).expect("a valid DNS name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a server certificate");
        let files = ServerCertificate {
            certificate: self.directory.join(format!("{dns_name}.pem")),
            private_key: self.directory.join(format!("{dns_name}.key.pem")),
        };
        fs::write(&files.certificate, certificate.pem()).expect("the certificate is written");
        fs::write(&files.private_key, key.serialize_pem()).expect("the key is written");
        files
    }
}
