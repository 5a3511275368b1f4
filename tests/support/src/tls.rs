//! A throw-away certificate authority and the certificates it issues to servers and clients, as PEM files.
//! Used by the authorization server and by listeners that speak TLS; Envoy is told to trust the CA's file.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use ring::digest::{SHA256, digest};

/// A certificate authority that lives as long as the directory its files are written to.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
}

/// Where the PEM files of a server certificate are.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    /// The certificate, without the CA's.
    pub certificate: PathBuf,
    /// Its private key, PKCS#8.
    pub private_key: PathBuf,
}

/// A client certificate.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate, without the CA's.
    pub certificate: PathBuf,
    /// Its private key, PKCS#8.
    pub private_key: PathBuf,
    /// SHA-256 of its DER form in lower-case hex.
    pub sha256: String,
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

    /// Issues a certificate to the client `O=ACME, CN=<common_name>`, also known by a URI and a DNS name.
    pub fn issue_to_client(&self, common_name: &str, uri: &str, dns_name: &str) -> ClientCertificate {
        let key = KeyPair::generate().expect("a client key");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "ACME");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let name = |text: &str| text.to_owned().try_into().expect("ASCII");
        params.subject_alt_names = vec![SanType::URI(name(uri)), SanType::DnsName(name(dns_name))];
        let certificate = params.signed_by(&key, &self.issuer).expect("a client certificate");
        let files = ClientCertificate {
            certificate: self.directory.join(format!("{common_name}.client.pem")),
            private_key: self.directory.join(format!("{common_name}.client.key.pem")),
            sha256: digest(&SHA256, certificate.der()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        fs::write(&files.certificate, certificate.pem()).expect("the certificate is written");
        fs::write(&files.private_key, key.serialize_pem()).expect("the key is written");
        files
    }
}
