//! Fetches keys as a host does: without redirects, and with the system's trusted certificates.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use okta_proxy_wasm::callout::{CalloutResult, HttpResponse, ResponseFormat, TransportError};
use okta_proxy_wasm::engine::{Callout, CalloutAddress};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// Returns the result and a note for the output.
pub fn get(callout: &Callout) -> (CalloutResult, String) {
    let address = &callout.request.address;
    match attempt(address, callout.timeout, callout.format) {
        Ok(response) => {
            let note = format!("GET {address}: {}, {} bytes", response.status, response.body.len());
            (Ok(response), note)
        }
        Err(error) => {
            let is_late = matches!(error, ureq::Error::Timeout(_));
            let transport_error = if is_late { TransportError::TimedOut } else { TransportError::ConnectionFailed };
            (Err(transport_error), format!("GET {address}: {error}"))
        }
    }
}

fn attempt(address: &CalloutAddress, timeout: Duration, format: &ResponseFormat) -> Result<HttpResponse, ureq::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .http_status_as_error(false)
        .tls_config(tls)
        .build()
        .into();
    let request = agent.get(address.to_string()).header("accept", "application/json");
    let request = address.headers.fields().fold(request, |request, (name, value)| request.header(name, value));
    let mut response = request.call()?;
    let mut body = Vec::new();
    // Reads one byte more than the limit, so that the filter detects a response that is too long.
    let limit = u64::try_from(format.max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    response.body_mut().as_reader().take(limit).read_to_end(&mut body).map_err(ureq::Error::Io)?;
    let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let read = HttpResponse::new(response.status().as_u16(), body);
    Ok(format.headers.iter().fold(read, |read, name| read.with_header(name, header(name))))
}
