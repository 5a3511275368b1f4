//! Who verifies signatures: the host where it is Envoy, has `verify_signature` and passes the test of
//! `jose`, the module otherwise. Chosen once for each configuration, and told to the operator.

use proxy_wasm::hostcalls;

use crate::config::NativeCrypto;
use crate::engine::{Algorithm, NativeVerifier, PortableVerifier, SignatureVerifier};
use crate::host::host_kind::is_envoy;

/// The verifier for the algorithms of a policy.
pub(super) fn verifier(wanted: NativeCrypto, algorithms: &[Algorithm]) -> Box<dyn SignatureVerifier> {
    let portable = |why: &str| -> Box<dyn SignatureVerifier> {
        log::info!("signatures are verified by the module: {why}");
        Box::new(PortableVerifier)
    };
    match wanted {
        NativeCrypto::Off => portable("native_crypto is off"),
        NativeCrypto::Auto if !is_envoy() => portable("this host is not known to offer it"),
        NativeCrypto::Auto => {
            let verifier = NativeVerifier::tested(Box::new(verify_signature), algorithms);
            tell(&verifier, algorithms);
            Box::new(verifier)
        }
    }
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
