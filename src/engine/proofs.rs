//! What the engine needs to check proofs (DPoP) beside the policy: keys that clients used before, nonces, and the memory of
//! used proofs.

use std::rc::Rc;

use crate::jose::{ProofKey, SignatureVerifier, UnverifiedProof, VerifiedProof};
use crate::lookup::bounded_lru::BoundedLru;
use crate::policy::{NonceIssuer, NonceMode, Policy, ProofFault, ProviderId};
use crate::randomness::Entropy;
use crate::replay::{Recorded, ReplayMemory, UsedProof};
use crate::thumbprint::Thumbprint;
use crate::unix_time::UnixTime;

/// How many keys of clients are kept. An RSA key of 4096 bits takes some 3 kB.
const MAX_KEYS: usize = 4096;
const MAX_KEY_BYTES: usize = 4 * 1024 * 1024;
/// The approximate size of a key, beside its encoding.
const KEY_BYTES: usize = 512;

pub(super) struct Proofs {
    /// Keys that signed a proof for a token that is bound to them: only holders of tokens can fill it.
    keys: BoundedLru<Thumbprint, Rc<ProofKey>>,
    nonces: Vec<(ProviderId, NonceIssuer)>,
    memory: Rc<dyn ReplayMemory>,
    max_proofs: u32,
}

impl Proofs {
    /// `secret` is the key of nonces for which none is configured.
    pub(super) fn new(policy: &Policy, memory: Rc<dyn ReplayMemory>, secret: &Entropy) -> Self {
        let nonces = policy.providers.iter().filter_map(|(id, provider)| {
            let key = match &provider.sender_constraint.dpop.as_ref()?.nonce {
                NonceMode::Off => return None,
                NonceMode::OfProcess => secret.0.as_slice(),
                NonceMode::WithKey(key) => key.reveal().as_bytes(),
            };
            Some((id, NonceIssuer::new(key, &provider.issuer)))
        });
        Self {
            keys: BoundedLru::new(MAX_KEYS, MAX_KEY_BYTES),
            nonces: nonces.collect(),
            memory,
            max_proofs: policy.max_proofs,
        }
    }

    /// The nonces for the tokens of a provider, if proofs must have one.
    pub(super) fn nonces(&self, provider: ProviderId) -> Option<&NonceIssuer> {
        self.nonces.iter().find(|(id, _)| *id == provider).map(|(_, nonces)| nonces)
    }

    /// Verifies the signature of a proof that passed all other checks.
    pub(super) fn verify(
        &mut self,
        proof: UnverifiedProof<'_>,
        verifier: &dyn SignatureVerifier,
    ) -> Result<VerifiedProof, ProofFault> {
        let thumbprint = proof.thumbprint();
        if let Some(key) = self.keys.get_mut(&thumbprint) {
            return proof.verify(key, verifier).ok_or(ProofFault::SignatureInvalid);
        }
        let key = proof.key().map_err(|_| ProofFault::KeyUnusable)?;
        let verified = proof.verify(&key, verifier).ok_or(ProofFault::SignatureInvalid)?;
        let bytes = KEY_BYTES.saturating_add(key.held_bytes());
        self.keys.insert(thumbprint, Rc::new(key), bytes);
        Ok(verified)
    }

    /// Records that a proof is used.
    pub(super) fn record(&self, proof: &UsedProof, now: UnixTime) -> Recorded {
        self.memory.record(proof, self.max_proofs, now)
    }
}
