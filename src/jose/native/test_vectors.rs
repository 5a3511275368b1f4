//! Known-answer tests: signatures that a host must verify correctly before it is used.
//!
//! They were made with OpenSSL and the keys of `tests/data/keys/`. ECDSA is randomized, so they cannot be reproduced
//! byte for byte. The private halves of the other EC keys were deleted.

use crate::jose::Algorithm;

pub(super) const MESSAGE: &[u8] = b"A signature of okta-proxy-wasm over these words.";
/// Another message, which no signature is for.
pub(super) const OTHER_MESSAGE: &[u8] = b"A signature of okta-proxy-wasm over those words.";

/// A key, its JWS signature of [`MESSAGE`], and another key that did not make the signature.
pub(super) struct TestVector {
    pub(super) algorithm: Algorithm,
    pub(super) key: &'static str,
    pub(super) other_key: &'static str,
    pub(super) signature: &'static str,
}

const RSA: &str = r#"{"kty":"RSA","e":"AQAB","n":"3NX9rL947UpdkJdxeu99D9508_IqrNTadD2cVCEvpR42K7lkRXa1uYR-WA95JfRYFpULGQh4lznOWx4_3EeU90x39J5qIk61zJNLiDUjc56efLmMdpMQ6E6GCSkxN4OSInlrvtfV4NELLxfWo8H6i__iJrT_G24mwrYBK8b0t5M-cW9lhdIQe6SKQY-R6mO4f1ZSE700Iv0W6oAAuICyi31YmolNvbCcXQ_NY4BLBfvPq60S7eIcPod4trcsr1nXcm96Nw9C_nbEIYpaSJSC8KjkwIgcl61cCG7sxQrXNvqiqUQ8BFbCn8WxDHJMhJKcnO4RXLcoVgXJJzKXCsFhEQ"}"#;
const OTHER_RSA: &str = r#"{"kty":"RSA","e":"AQAB","n":"hsNH9kUugODFZw-jkI5ivYXI3r6P72LW7Va0UcpHiuweAyIzZN9aXt-H5EwkZ79EAyhPodB61moeNXgyPrfErxYpNufxQrsz0hD0fw0ggqJdxtFe_Y9TsFP5vyMV_iWln_0lGv8HcnjME-_hu54HRGnTkeRsv8Dh3qgfKdV6xjBoOxaocqwzJVopttTrVfSVjPUWn5k8A3BWVzMaz7Y4RVkJibfmBKNbnXiFD9XteinBwAKfXHN8o0sEJYcF_9VBeGpu3aPygXky1L45atQ6y5KcaUoIDeHfPQyEKFxz6Dqgpbeto_l7SqH3CvUx6f8N1mKV3e6H_GfwFKB7x1w2KQ"}"#;

/// One test for each algorithm that a host may verify.
pub(super) const TEST_VECTORS: [TestVector; 6] = [
    TestVector {
        algorithm: Algorithm::Rs256,
        key: RSA,
        other_key: OTHER_RSA,
        signature: "hzseMcPggJZQOWVQ5115_jhTowUk6qwW7Ka3vYD1P7ut39mvIjETADUXFITt68zMTp8wxhCtLkXGz2U7o7O0x2FqpQo67ZJ05fiAKWveGr9ttGtVOryq1v2_ZJll6m9ZgDpKLmI25c5wsCkP2TckDkyTI8B1yXpn0Ng-5pB7hEUlSeEYddZidIPgsX5PlT2P9dqIEJM9IlXDSlhkyV_k5DB7CHLKd06pDlOimz1IqBGIAq7ymckShifDYc95kD0ev92s7fhODz6pU7eR5PEcNOMbU4dRWKTiOL4s_xlkIiI-SxYp6ObVN7MLj49zoy42zQ_SQ50Gt_9hPqbWPclSDw",
    },
    TestVector {
        algorithm: Algorithm::Rs384,
        key: RSA,
        other_key: OTHER_RSA,
        signature: "wh7LeSvL0iu_zA2QtGMe1eirHpKYYnanYVuhPbPZzoJGxpftz19-hvnGgAnuO5YTqzBsMT-pcO_x0-v-rI2cg54DhN2t_CYs79PVA8kPkcTeoqKPPAPmwnKCQ_-wVLxZHFtpX5AYkwamcC6stWalctPLsRQZ7W6gktC9m8VUu96rj3wf90Ip8f7osjsKPWrmAX44zN9uL1_yt3ckvk0ZJ2QSFk6aZ6Gzhr74FS9X-Kp0AwJiPh0Nwi35c4eelMrevQY1NI3-iFVde6ZLIg6hi0qDnIgR64G0UH9mfbgCoFIkjqf4F5UpoRxEUVJTSafWoduSB9GY0WXbtnADVvI9pg",
    },
    TestVector {
        algorithm: Algorithm::Rs512,
        key: RSA,
        other_key: OTHER_RSA,
        signature: "VFh8dWEG0A9qz1KIAKmSPjnpu3jNF1v5G4YPreYwtUvAZZjAtqk9wGOD2-NNNOxg4mMsakIAxQnfybCRvp4mR8qQXtpz0YzKqfLP0O6RmhZnRHlDKzuiQEZ7fyFBCzuIu_CwcISqXPk9iE-W4MQIRYqRJdRxseAMqpkr5IIMbPMfg5X6SMRK1Kp4BLc4gNvSLqkzF06dTZVLAF-_gnnWM1AorK0rAIvuG-3bL5D9oHKt4kIqbIOrqbu3Fj0cL1O_KaLYDjvSqVP1hlqEaoiX0hLDv0fCuoXIFh0hUDfS6S2bWImHqMNf1qvXCGISKMOA6f7tXs1iz3nvxSdm9jx0wA",
    },
    TestVector {
        algorithm: Algorithm::Es256,
        key: r#"{"kty":"EC","crv":"P-256","x":"W9-zHwz1uohKj3zm_fdih1_x7T30EyagNv83k8lQpmE","y":"y73jPAz4lW6g3XoGzGd7EnBLQ7JK7ywC-jrOb1SreCQ"}"#,
        other_key: r#"{"kty":"EC","crv":"P-256","x":"D2qRDkzegqPnBibLSl3GDvFL3VZx6INxjRDG9UIZbK0","y":"kKjfhdgiq5GoZGKuiuNvb4CmmxOpL6hxTyP-liRRdmM"}"#,
        signature: "BvTHw2pq9M5QjGNiU9lPRXE3Vlks5k92BcVcR4fAl9XRr1rPkUdyhFaM8kAmtNxGFpZkdJ1Km9pyPshWQN5TXg",
    },
    TestVector {
        algorithm: Algorithm::Es384,
        key: r#"{"kty":"EC","crv":"P-384","x":"-utCx2_IdQ-Zl1vxgzYJDjfd0MUh12urtRDpS-2MaylUdZ6Ex2gHAUZKdpkIMxKo","y":"Z6g4NIMupr0T7oI-jl6IZVOiRbFOgRucws3i2ukezvSFpvpb_svWcSb_H5bkbaJL"}"#,
        other_key: r#"{"kty":"EC","crv":"P-384","x":"KFvciS3oRVXD4sC3v_0maMsXoiij3c7F7MH3eMvuyjjZAyzz9W7e2dJrR8lf6Wtb","y":"OxwTdsg_vjO3djsXMhtYvwRphJgiX5oTNQrrTOR6GAeaqLBtpvmpohiETdqzGexB"}"#,
        signature: "PO9VDZhibw466248URQKLPRt7r8ypNEXGe9oolreYAwTt3IVAjbxeegC4YGrqYcrZ8dOZECpJ_LgAGSEPi1JkcaZ4Vx-i0hBdn41HnwXw_ORn-nfE7Exz9rfUDvaj-8j",
    },
    TestVector {
        algorithm: Algorithm::Es512,
        key: r#"{"kty":"EC","crv":"P-521","x":"Af4VB26EwYKC7AP98U8N1Un3j3Bu0vQ3G9NWNz2w66JjeUeTkVEF3wAp6p9ZLilGrhdtL0Z48em0iTrJ4RUYkKWa","y":"ABw5O6gg4E3g8BKgk6hwCdYitnj689P-ymiV18XZ1hRRHaOl3ceMHeMhangxwsacw0lAPw2etfjt3-ITpEtiJnZn"}"#,
        other_key: r#"{"kty":"EC","crv":"P-521","x":"ADdhuGUW5PH3-IQp8YwUKAJA7wj9IaT-ji-QmQkJ1fbJ57kgkmA7C_etOX_BTTZvs4txGaf7J0B3uYKZjva-Gwg7","y":"AKgPpkky4Xi4yCNLAXAfsKVC6RXvDWfg5IZn4z0o-OtrLOXhberHxfpX2__6Rl-V43PhklmbSLxCWwfywaNKkpa9"}"#,
        signature: "AVMuLxO-yeEiMm9YY6GtIfF1WweyhFbMl-TB66vd_meM6Ah_lchvVUNZVd_D3U2XXkTX4d7GhVHZyWLbrNQ1Y272AK975_x6DPhW1n_-yUJSgOqJU67DE7xmR6Q-J_VciFlzlkbdV1olwBx5hkkS34WH68WprHR8urvrJMolqLJds5Lt",
    },
];
