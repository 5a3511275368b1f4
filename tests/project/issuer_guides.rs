//! The guides on issuers: each configuration accepts the token on its page, signed with a test key, and rejects each token
//! that is documented as rejected, for the documented reason.

use std::fs;

use crate::engine_harness::{Harness, Setup, head, status_of};
use crate::pages::{Block, blocks, root};
use crate::signing::{SigningKey, key_set, with};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

/// A minute after the tokens on the pages were issued.
const NOW: u64 = 1_800_000_060;

/// The reason of the decision; `authorized` where the request is allowed.
fn decided(configuration: &Value, request: &str, payload: &Value) -> String {
    let key = SigningKey::a("k1");
    let mut configuration = configuration.clone();
    for provider in configuration["providers"].as_object_mut().unwrap().values_mut() {
        provider["jwks"] = json!({ "inline": key_set(&[&key]) });
        provider.as_object_mut().unwrap().remove("upstream");
    }
    let (method, path) = request.split_once(' ').unwrap();
    let token = format!("Bearer {}", key.token(payload));
    let fields = [(":method", method), (":path", path), (":authority", "api.acme.com"), ("authorization", &token)];
    let setup = Setup { start: UnixTime::from_secs(NOW), ..Setup::default() };
    let decision = Harness::with(&configuration, setup).decide(&head(&fields));
    let reason = decision.audit.reason();
    assert_eq!(status_of(&decision) == 200, reason == "authorized");
    reason.to_owned()
}

#[test]
fn each_guide_accepts_its_tokens_and_rejects_the_others_for_the_stated_reason() {
    let (mut pages, mut rejected, mut wrong) = (0, 0, Vec::new());
    for entry in fs::read_dir(root().join("docs/guides/issuers")).unwrap() {
        let path = entry.unwrap().path();
        let page = path.display();
        let found = blocks(&fs::read_to_string(&path).unwrap());
        let of =
            |start: &str| -> Vec<&Block> { found.iter().filter(|block| block.language.starts_with(start)).collect() };
        let read = |block: &Block| serde_json::from_str::<Value>(&block.text).unwrap();
        let configurations: Vec<&Block> = found.iter().filter(|block| block.language == "json").collect();
        let ([configuration], tokens) = (configurations.as_slice(), of("json token ")) else { panic!("{page}") };
        let configuration = read(configuration);
        let (mut whole, mut request) = (json!({}), "");
        for token in tokens {
            // A second token differs from the first in these members.
            let payload = with(&whole, read(token));
            request = token.language.strip_prefix("json token ").unwrap();
            let found = decided(&configuration, request, &payload);
            if found != "authorized" {
                wrong.push(format!("{page}: {found} instead of authorized: {}", token.text));
            }
            if whole == json!({}) {
                whole = payload;
            }
        }
        let others = of("json rejected ");
        assert!(others.len() >= 2, "{page}: a token that is nearly right is missing");
        for token in others {
            let reason = token.language.strip_prefix("json rejected ").unwrap();
            let found = decided(&configuration, request, &with(&whole, read(token)));
            if found != reason {
                wrong.push(format!("{page}: {found} instead of {reason}: {}", token.text));
            }
            rejected += 1;
        }
        pages += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(pages >= 7 && rejected >= 20, "{pages} pages, {rejected} rejected tokens");
}
