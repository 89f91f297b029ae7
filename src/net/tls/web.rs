//! TLS as a client of the web has it: servers are known by their names and by authorities.
//!
//! # Yields
//! never; reads files

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::{Settings, Signed, certificates, failure};
use crate::base::error::Result;

/// What a client wants of servers.
#[derive(Clone, Debug, Default)]
pub struct Web {
    /// Files with certificates of authorities.
    pub authorities: Vec<String>,
    /// Whether an authority must vouch for the server.
    pub verifies_peer: bool,
    /// Whether the certificate must name the server.
    pub verifies_host: bool,
    /// The client's own key.
    pub key_file: Option<String>,
    /// The client's own certificate.
    pub cert_file: Option<String>,
}

impl Web {
    /// The configuration of a client.
    pub fn client(&self) -> Result<Arc<ClientConfig>> {
        let settings = Settings {
            key_file: self.key_file.clone().or_else(|| self.cert_file.clone()),
            cert_file: self.cert_file.clone(),
            ..Settings::default()
        };
        let provider = settings.provider()?;
        let identity = settings.identity(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| failure(error.to_string()))?;
        let builder = if self.verifies_peer && self.verifies_host {
            builder.with_root_certificates(self.store()?)
        } else {
            let authorities = if self.verifies_peer { Some(self.store()?) } else { None };
            let verifier = Arc::new(Signed { authorities, provider });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        };
        Ok(Arc::new(match identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(identity)),
            None => builder.with_no_client_auth(),
        }))
    }

    /// The authorities; what is no certificate, or of a kind that is not read, is left out.
    fn store(&self) -> Result<RootCertStore> {
        let mut store = RootCertStore::empty();
        let is_single = self.authorities.len() == 1;
        for path in &self.authorities {
            match certificates(path, "CA file") {
                Ok(found) => {
                    store.add_parsable_certificates(found);
                }
                Err(error) if is_single => return Err(error),
                Err(_) => {}
            }
        }
        Ok(store)
    }
}
