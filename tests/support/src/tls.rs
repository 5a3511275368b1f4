//! A throw-away certificate authority and the certificates it issues, as PEM files, and both ends of a
//! connection: a client that may present one, a server that does.
//! Envoy is configured to trust the CA's file.

use std::fs;
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::client::Request;
use crate::http1::{MessageReader, Response};

/// A certificate authority that lives as long as the directory its files are written to.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
}

/// Where the PEM files of a certificate are.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, without the CA's.
    pub certificate: PathBuf,
    /// Its private key, PKCS#8.
    pub private_key: PathBuf,
    /// SHA-256 of its DER form in lower-case hex.
    pub sha256: String,
}

impl Certificate {
    /// The digest as `x5t#S256` has it (RFC 8705 section 3.1).
    pub fn thumbprint(&self) -> String {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("a digit");
        let digest: Vec<u8> = self.sha256.as_bytes().chunks(2).map(byte).collect();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
    }

    /// The certificate as `Client-Cert` has it (RFC 9440): a byte sequence with its DER form.
    pub fn client_cert(&self) -> String {
        let der = CertificateDer::from_pem_file(&self.certificate).expect("a certificate");
        format!(":{}:", base64::engine::general_purpose::STANDARD.encode(der))
    }

    /// Makes a certificate that its own key signed, for the client `CN=<common_name>`.
    pub fn self_signed(common_name: &str, directory: &Path) -> Self {
        let key = KeyPair::generate().expect("a client key");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self::write("self-signed.client", &certificate, &key, directory)
    }

    fn write(name: &str, certificate: &rcgen::Certificate, key: &KeyPair, directory: &Path) -> Self {
        let files = Self {
            certificate: directory.join(format!("{name}.pem")),
            private_key: directory.join(format!("{name}.key.pem")),
            sha256: digest(&SHA256, certificate.der()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        fs::write(&files.certificate, certificate.pem()).expect("the certificate is written");
        fs::write(&files.private_key, key.serialize_pem()).expect("the key is written");
        files
    }
}

impl CertificateAuthority {
    /// Makes a new CA and writes its certificate to `ca.pem` in `directory`.
    pub fn create(directory: &Path) -> Self {
        let mut params = CertificateParams::default();
        // A name of its own: OpenSSL takes the CA of a certificate by its name, and sends it along.
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        params.distinguished_name.push(DnType::CommonName, format!("testbed CA {name}"));
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

    /// Issues a certificate whose only subject alternative name is `name`: a DNS name, or a URI such as `spiffe://…`.
    pub fn issue(&self, name: &str) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        let text = name.try_into().expect("ASCII");
        params.subject_alt_names = vec![if name.contains("://") { SanType::URI(text) } else { SanType::DnsName(text) }];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        self.write(&name.replace(['/', ':'], "_"), &certificate, &key)
    }

    /// Issues a certificate to the client `O=ACME, CN=<common_name>`, also known by a URI and a DNS name. The common name is
    /// part of the names of its files.
    pub fn issue_to_client(&self, common_name: &str, uri: &str, dns_name: &str) -> Certificate {
        let key = KeyPair::generate().expect("a client key");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "ACME");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let name = |text: &str| text.to_owned().try_into().expect("ASCII");
        params.subject_alt_names = vec![SanType::URI(name(uri)), SanType::DnsName(name(dns_name))];
        let certificate = params.signed_by(&key, &self.issuer).expect("a client certificate");
        self.write(&format!("{common_name}.client"), &certificate, &key)
    }

    fn write(&self, name: &str, certificate: &rcgen::Certificate, key: &KeyPair) -> Certificate {
        Certificate::write(name, certificate, key, &self.directory)
    }
}

/// The server's end of TLS on a connection that was accepted, with this certificate. What fails, fails when it is read.
pub fn serve(stream: TcpStream, files: &Certificate) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&files.private_key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    let connection = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}

/// Sends a request over TLS on this connection, to a server of this name whose certificate `ca_pem` signed. An error
/// is a handshake that failed, or no whole response.
pub fn send(
    request: &Request,
    stream: TcpStream,
    dns_name: &str,
    ca_pem: &Path,
    certificate: Option<&Certificate>,
) -> io::Result<Response> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_pem).expect("a certificate")).expect("a CA");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots);
    let config = match certificate {
        None => config.with_no_client_auth(),
        Some(files) => {
            let chain = vec![CertificateDer::from_pem_file(&files.certificate).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_file(&files.private_key).expect("a key");
            config.with_client_auth_cert(chain, key).expect("a certificate and its key")
        }
    };
    let name = ServerName::try_from(dns_name.to_owned()).expect("a DNS name");
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(&request.to_bytes())?;
    stream.flush()?;
    MessageReader::new(stream).read_response(request.method())
}
