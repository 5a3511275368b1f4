//! Who verifies signatures: the host where it is Envoy, has `verify_signature` and passes the test of
//! `jose`, the module otherwise. Chosen once for each configuration, and told to the operator. And who signs
//! with RSA: the host or nobody.

use std::rc::Rc;

use proxy_wasm::hostcalls;

use crate::config::{Loaded, NativeCrypto};
use crate::engine::{
    Algorithm, CannotSign, NativeSigner, NativeVerifier, PortableVerifier, RsaSigner, SignatureVerifier,
};
use crate::host::host_kind::is_envoy;
use crate::telemetry::stats::ConfigurationStats;

/// The verifier for the algorithms of a policy.
pub(super) fn verifier(
    wanted: NativeCrypto,
    algorithms: &[Algorithm],
) -> (Box<dyn SignatureVerifier>, ConfigurationStats) {
    let portable = |why: &str| -> (Box<dyn SignatureVerifier>, ConfigurationStats) {
        log::info!("signatures are verified by the module: {why}");
        (
            Box::new(PortableVerifier),
            ConfigurationStats { module_algorithms: algorithms.len(), ..ConfigurationStats::default() },
        )
    };
    match wanted {
        NativeCrypto::Off => portable("native_crypto is off"),
        NativeCrypto::Auto if !is_envoy() => portable("this host is not known to offer it"),
        NativeCrypto::Auto => {
            let verifier = NativeVerifier::tested(Box::new(verify_signature), algorithms);
            tell(&verifier, algorithms);
            let (host_algorithms, fallback_algorithms) = (verifier.by_host().len(), verifier.doubts().len());
            let module_algorithms =
                algorithms.len().saturating_sub(host_algorithms).saturating_sub(fallback_algorithms);
            (
                Box::new(verifier),
                ConfigurationStats { host_algorithms, module_algorithms, fallback_algorithms, insecure_settings: 0 },
            )
        }
    }
}

/// The host as the signer of a configuration that has a key for it; `None` where it has none. `native_crypto` has no say:
/// the module has no RSA of its own to sign with.
pub(super) fn signer(loaded: &Loaded) -> Result<Option<Rc<dyn RsaSigner>>, CannotSign> {
    let asked = loaded.policy.providers.iter().filter_map(|(_, provider)| provider.introspection.as_ref());
    let mut keys = asked.filter_map(|settings| settings.client.key_of_host()).peekable();
    if keys.peek().is_none() {
        return Ok(None);
    }
    if !is_envoy() {
        return Err(CannotSign);
    }
    let signer = NativeSigner::tested(Box::new(sign), keys)?;
    Ok(Some(Rc::new(signer)))
}

fn tell(verifier: &NativeVerifier, algorithms: &[Algorithm]) {
    for (algorithm, doubt) in verifier.doubts() {
        log::warn!("the host is not trusted with {algorithm} signatures: {doubt}");
    }
    let by_host = verifier.by_host();
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

/// On a host that does not know the function, Envoy excepted, this is a trap.
fn verify_signature(arguments: &[u8]) -> Option<Vec<u8>> {
    hostcalls::call_foreign_function("verify_signature", Some(arguments)).ok().flatten()
}

/// As with `verify_signature`. An Envoy before 1.37 does not know it and says so.
fn sign(arguments: &[u8]) -> Option<Vec<u8>> {
    hostcalls::call_foreign_function("sign", Some(arguments)).ok().flatten()
}
