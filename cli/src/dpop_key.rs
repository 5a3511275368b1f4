//! `--dpop-key`: makes the proof of a request (RFC 9449 section 4.2) with the client's private key.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use okta_proxy_wasm::engine::NoRsaSigner;
use okta_proxy_wasm::jose::{PrivateKey, SignedBy};
use okta_proxy_wasm::policy::{Dpop, PublicOrigin};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::document::Text;
use crate::failure::Failure;
use crate::request::Request;

const NOT_A_KEY: &str = "not a private key of P-256: a JWK, or PKCS#8 in PEM";

/// The private key of a client.
pub struct DpopKey {
    key: PrivateKey,
    jwk: Value,
}

impl DpopKey {
    /// Reads a key of P-256: a JWK, or PKCS#8 in PEM.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = Text::read(path)?;
        let key = PrivateKey::parse(&text.text).map_err(|_| Failure::of_file(path, NOT_A_KEY))?;
        let jwk = key.public_jwk().filter(|_| key.signed_by() == SignedBy::Module);
        let jwk = jwk.ok_or_else(|| Failure::of_file(path, NOT_A_KEY))?;
        Ok(Self { key, jwk: Value::Object(jwk) })
    }

    /// The proof of a request with this token. `htu` has the origin of the request, if it is one of the provider's, otherwise
    /// the first one.
    pub fn proof(
        &self,
        request: &Request,
        token: &str,
        dpop: &Dpop,
        nonce: Option<&str>,
        now: UnixTime,
    ) -> Result<String, Failure> {
        let field = |name: &str| request.values(name).into_iter().next().unwrap_or_default();
        let requested = format!("{}://{}", field(":scheme"), field(":authority"));
        let origins = || dpop.origins.iter().map(PublicOrigin::as_str);
        let origin = origins().find(|origin| *origin == requested).or_else(|| origins().next()).unwrap_or_default();
        let path = field(":path");
        let path = path.split('?').next().unwrap_or_default();
        let mut id = [0_u8; 16];
        getrandom::fill(&mut id).map_err(|error| Failure(format!("no random bytes: {error}")))?;
        let mut claims = json!({ "jti": URL_SAFE_NO_PAD.encode(id), "htm": field(":method"),
            "htu": format!("{origin}{path}"), "iat": now.as_secs(), "ath": URL_SAFE_NO_PAD.encode(Sha256::digest(token)) });
        if let (Some(nonce), Some(members)) = (nonce, claims.as_object_mut()) {
            members.insert(String::from("nonce"), json!(nonce));
        }
        let header = json!({ "typ": "dpop+jwt", "alg": self.key.algorithm().name(), "jwk": self.jwk });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(input.as_bytes(), &NoRsaSigner);
        let signature = signature.ok_or_else(|| Failure(String::from("the key does not sign")))?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
