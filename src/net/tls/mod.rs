//! TLS: the files and lists that users name, as the configurations that sessions are made with.
//!
//! The parameters are those of Tarantool's Enterprise Edition: who has an authority's file checks
//! the other side's certificate against it, who has none trusts everybody; a server may be told to
//! ask its clients for less (`ssl_verify_client`). A certificate is checked
//! for who signed it and not for whose name it bears: instances are known by address.
//!
//! TLS 1.2 and 1.3 are spoken.
//!
//! # Yields
//! never; reading keys takes long enough to be done aside

mod cipher;
mod key;
mod pem;
mod web;

pub use web::Web;

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, InconsistentKeys, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::base::error::{Builder, Error, Result, Type};
use crate::base::error_code::ER_SSL;

/// What a user says about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `ssl_key_file`
    pub key_file: Option<String>,
    /// `ssl_cert_file`
    pub cert_file: Option<String>,
    /// `ssl_ca_file`
    pub ca_file: Option<String>,
    /// `ssl_ciphers`
    pub ciphers: Option<String>,
    /// `ssl_password`
    pub password: Option<String>,
    /// `ssl_password_file`
    pub password_file: Option<String>,
    /// `ssl_verify_client`
    pub verify_client: Option<VerifyClient>,
}

/// What a server asks of its clients; by default a certificate if it has an authority to check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyClient {
    /// Nothing.
    Off,
    /// A certificate.
    On,
    /// A certificate may be missing, and not be wrong.
    Optional,
}

impl VerifyClient {
    /// By the word of the parameter.
    pub fn by_name(name: &str) -> Option<VerifyClient> {
        Some(match name {
            "off" => VerifyClient::Off,
            "on" => VerifyClient::On,
            "optional" => VerifyClient::Optional,
            _ => return None,
        })
    }
}

/// An error of TLS.
pub fn failure(message: impl Into<String>) -> Error {
    Builder::new(Type::Other("SSLError"), message.into()).code(ER_SSL.number).build()
}

/// The error of TLS in an error of a stream; none in those of its socket.
pub fn failure_of(error: &std::io::Error) -> Option<Error> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(failure(format!("Init session error: {inner}")))
}

fn read(path: &str, what: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        failure(format!(
            "Unable to set {what}: {path}: {}",
            Error::system("open", &error).message()
        ))
    })
}

fn certificates(path: &str, what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let blocks = pem::blocks(&read(path, what)?);
    let found: Vec<_> = blocks
        .into_iter()
        .filter(|block| block.label.ends_with("CERTIFICATE"))
        .map(|block| CertificateDer::from(block.content))
        .collect();
    if found.is_empty() {
        return Err(failure(format!("Unable to set {what}: {path}: no certificate in it")));
    }
    Ok(found)
}

impl Settings {
    /// The configuration of a server.
    pub fn server(&self) -> Result<Arc<ServerConfig>> {
        let provider = self.provider()?;
        let Some(identity) = self.identity(&provider)? else {
            let message = "ssl_key_file and ssl_cert_file parameters are mandatory for a server";
            return Err(Error::illegal_params(message));
        };
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| failure(error.to_string()))?;
        let builder = match (self.authorities()?, self.verify_client) {
            (_, Some(VerifyClient::Off)) | (None, None) => builder.with_no_client_auth(),
            (None, Some(_)) => {
                let message = "ssl_ca_file parameter is mandatory to verify clients";
                return Err(Error::illegal_params(message));
            }
            (Some(authorities), verify) => {
                let mut verifier =
                    WebPkiClientVerifier::builder_with_provider(authorities.into(), provider);
                if verify == Some(VerifyClient::Optional) {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier.build().map_err(|error| failure(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        Ok(Arc::new(builder.with_cert_resolver(Arc::new(identity))))
    }

    /// The configuration of a client.
    pub fn client(&self) -> Result<Arc<ClientConfig>> {
        let provider = self.provider()?;
        let identity = self.identity(&provider)?;
        let authorities = self.authorities()?;
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| failure(error.to_string()))?;
        let verifier = Arc::new(Signed { authorities, provider });
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        Ok(Arc::new(match identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(identity)),
            None => builder.with_no_client_auth(),
        }))
    }

    fn provider(&self) -> Result<Arc<CryptoProvider>> {
        let mut provider = ring::default_provider();
        if let Some(list) = &self.ciphers {
            provider.cipher_suites = cipher::suites(list, &provider.cipher_suites);
            if provider.cipher_suites.is_empty() {
                return Err(failure(format!("Unable to set cipher list: {list}")));
            }
        }
        Ok(Arc::new(provider))
    }

    fn identity(&self, provider: &CryptoProvider) -> Result<Option<SingleCertAndKey>> {
        let (Some(key_file), Some(cert_file)) = (&self.key_file, &self.cert_file) else {
            return Ok(None);
        };
        let chain = certificates(cert_file, "certificate file")?;
        let failed =
            |reason: &str| failure(format!("Unable to set private key file: {key_file}: {reason}"));
        let text = read(key_file, "private key file")?;
        let key = key::read(&text, &self.passwords()?).map_err(failed)?;
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|error| failed(&error.to_string()))?;
        let identity = CertifiedKey::new(chain, key);
        // Certificates that this library does not read may still be good for those who connect.
        if let Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) =
            identity.keys_match()
        {
            return Err(failed("key values mismatch"));
        }
        Ok(Some(identity.into()))
    }

    /// Passwords in the order in which they are tried.
    fn passwords(&self) -> Result<Vec<Vec<u8>>> {
        let mut passwords: Vec<Vec<u8>> =
            self.password.iter().map(|password| password.as_bytes().to_vec()).collect();
        if let Some(path) = &self.password_file {
            let text = read(path, "password file")?;
            passwords.extend(
                text.split(|byte| *byte == b'\n')
                    .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec()),
            );
        }
        Ok(passwords)
    }

    fn authorities(&self) -> Result<Option<RootCertStore>> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let mut store = RootCertStore::empty();
        for certificate in certificates(path, "CA file")? {
            store
                .add(certificate)
                .map_err(|error| failure(format!("Unable to set CA file: {path}: {error}")))?;
        }
        Ok(Some(store))
    }
}

/// Checks that a server's certificate was signed by an authority, if there are any.
#[derive(Debug)]
struct Signed {
    authorities: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Signed {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(authorities) = &self.authorities {
            let certificate = rustls::server::ParsedCertificate::try_from(certificate)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            rustls::client::verify_server_cert_signed_by_trust_anchor(
                &certificate,
                authorities,
                chain,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
