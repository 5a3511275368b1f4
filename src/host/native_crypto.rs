//! Selects the signature verifier of a configuration: the host if it is Envoy, has `verify_signature` and passes the
//! self-test of `jose`, otherwise the module. The choice is logged. RS256 signatures are made by the host only.

use std::rc::Rc;

use proxy_wasm::hostcalls;

use crate::config::{Loaded, NativeCrypto};
use crate::engine::{
    Algorithm, HostCannotSign, NativeSigner, NativeVerifier, PortableVerifier, RsaSigner, SignatureVerifier,
};
use crate::host::host_kind::is_envoy;

/// How many algorithms in use each side verifies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Verification {
    pub(super) by_host: usize,
    pub(super) by_module: usize,
    /// Verified by the module because the host failed the self-test.
    pub(super) failed_self_test: usize,
}

/// The verifier for the algorithms of a policy.
pub(super) fn verifier(mode: NativeCrypto, algorithms: &[Algorithm]) -> (Box<dyn SignatureVerifier>, Verification) {
    let use_module = |reason: &str| -> (Box<dyn SignatureVerifier>, Verification) {
        log::info!("signatures are verified by the module: {reason}");
        (Box::new(PortableVerifier), Verification { by_module: algorithms.len(), ..Verification::default() })
    };
    match mode {
        NativeCrypto::Off => use_module("native_crypto is off"),
        NativeCrypto::Auto if !is_envoy() => use_module("this host is not Envoy"),
        NativeCrypto::Auto => {
            let verifier = NativeVerifier::with_self_test(Box::new(verify_signature), algorithms);
            log_verification(&verifier, algorithms);
            let (by_host, failed_self_test) = (verifier.host_algorithms().len(), verifier.failures().len());
            let by_module = algorithms.len().saturating_sub(by_host).saturating_sub(failed_self_test);
            (Box::new(verifier), Verification { by_host, by_module, failed_self_test })
        }
    }
}

/// The host as signer, if the configuration has an RSA key. `native_crypto` does not apply, because the module cannot
/// sign with RSA.
pub(super) fn signer(loaded: &Loaded) -> Result<Option<Rc<dyn RsaSigner>>, HostCannotSign> {
    let introspections = loaded.policy.providers.iter().filter_map(|(_, provider)| provider.introspection.as_ref());
    let mut keys = introspections.filter_map(|settings| settings.client.host_key()).peekable();
    if keys.peek().is_none() {
        return Ok(None);
    }
    if !is_envoy() {
        return Err(HostCannotSign);
    }
    let signer = NativeSigner::with_self_test(Box::new(sign), keys)?;
    Ok(Some(Rc::new(signer)))
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

/// On hosts other than Envoy that lack the function, this call traps.
fn verify_signature(arguments: &[u8]) -> Option<Vec<u8>> {
    hostcalls::call_foreign_function("verify_signature", Some(arguments)).ok().flatten()
}

/// Like `verify_signature`. Envoy before 1.37 returns an error, because it lacks the function.
fn sign(arguments: &[u8]) -> Option<Vec<u8>> {
    hostcalls::call_foreign_function("sign", Some(arguments)).ok().flatten()
}
