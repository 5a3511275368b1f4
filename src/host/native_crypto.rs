//! Selects the signature verifier of a configuration: the host if it has `verify_signature` and passes the
//! self-test of `jose`, otherwise the module. The choice is logged. RS256 signatures are made by the host only.

use crate::config::{Loaded, NativeCrypto};
use crate::engine::{
    Algorithm, HostCannotSign, NativeSigner, NativeVerifier, NoRsaSigner, PortableVerifier, RsaSigner,
    SignatureVerifier,
};
use crate::host::host_interface::Host;
use crate::telemetry::stats::ConfigurationStats;

/// The verifier for the algorithms of a policy.
pub(super) fn verifier(
    host: &dyn Host,
    mode: NativeCrypto,
    algorithms: &[Algorithm],
) -> (Box<dyn SignatureVerifier>, ConfigurationStats) {
    let use_module = |reason: &str| -> (Box<dyn SignatureVerifier>, ConfigurationStats) {
        log::info!("signatures are verified by the module: {reason}");
        (
            Box::new(PortableVerifier),
            ConfigurationStats { module_algorithms: algorithms.len(), ..ConfigurationStats::default() },
        )
    };
    match (mode, host.verify_signature()) {
        (NativeCrypto::Off, _) => use_module("native_crypto is off"),
        (NativeCrypto::Auto, None) => use_module("this host is not Envoy"),
        (NativeCrypto::Auto, Some(verify_signature)) => {
            let verifier = NativeVerifier::with_self_test(Box::new(verify_signature), algorithms);
            log_verification(&verifier, algorithms);
            let (host_algorithms, fallback_algorithms) = (verifier.host_algorithms().len(), verifier.failures().len());
            let module_algorithms =
                algorithms.len().saturating_sub(host_algorithms).saturating_sub(fallback_algorithms);
            (
                Box::new(verifier),
                ConfigurationStats { host_algorithms, module_algorithms, fallback_algorithms, insecure_settings: 0 },
            )
        }
    }
}

/// The host as signer, if the configuration has an RSA key. `native_crypto` does not apply, because the module cannot
/// sign with RSA.
pub(super) fn signer(host: &dyn Host, loaded: &Loaded) -> Result<Box<dyn RsaSigner>, HostCannotSign> {
    let introspections = loaded.policy.providers.iter().filter_map(|(_, provider)| provider.introspection.as_ref());
    let mut keys = introspections.filter_map(|settings| settings.client.host_key()).peekable();
    if keys.peek().is_none() {
        return Ok(Box::new(NoRsaSigner));
    }
    let sign = host.sign().ok_or(HostCannotSign)?;
    Ok(Box::new(NativeSigner::with_self_test(Box::new(sign), keys)?))
}

fn log_verification(verifier: &NativeVerifier, algorithms: &[Algorithm]) {
    for (algorithm, failure) in verifier.failures() {
        log::warn!("the host does not verify {algorithm} signatures, because its self-test failed: {failure}");
    }
    let by_host = verifier.host_algorithms();
    let by_module: Vec<Algorithm> =
        algorithms.iter().copied().filter(|algorithm| !by_host.contains(algorithm)).collect();
    match (by_host, by_module.as_slice()) {
        (by_host, []) => log::info!("signatures are verified by the host ({})", names(by_host)),
        ([], by_module) => log::info!("signatures are verified by the module ({})", names(by_module)),
        (by_host, by_module) => {
            log::info!(
                "signatures are verified by the host ({}) and the module ({})",
                names(by_host),
                names(by_module)
            );
        }
    }
}

fn names(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(", ")
}
