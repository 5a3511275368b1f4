//! How strong an authentication was (`acr`), by Okta's values and their order.
//!
//! `phrh` > `phr` > `urn:okta:loa:2fa:any` > everything with one factor. `urn:okta:loa:2fa:any:ifpossible` is among
//! the latter: Okta grants it to users who have enrolled no second factor. Values that Okta does not define have no
//! order, and are met by themselves only.

/// Okta's values; those of one rank stand for each other.
pub const OKTA_VALUES: [&str; 6] = [
    "phrh",
    "phr",
    "urn:okta:loa:2fa:any",
    "urn:okta:loa:2fa:any:ifpossible",
    "urn:okta:loa:1fa:any",
    "urn:okta:loa:1fa:pwd",
];

/// Whether an authentication of the class `presented` is as good as one of the class `demanded`. Compared byte for
/// byte: a value in other letters is another value.
pub fn satisfies(presented: &str, demanded: &str) -> bool {
    match (rank(presented), rank(demanded)) {
        (Some(presented), Some(demanded)) => presented >= demanded,
        (None, _) | (_, None) => presented == demanded,
    }
}

fn rank(value: &str) -> Option<u8> {
    match value {
        // Phishing-resistant, and with a key in hardware.
        "phrh" => Some(4),
        "phr" => Some(3),
        "urn:okta:loa:2fa:any" => Some(2),
        "urn:okta:loa:2fa:any:ifpossible" | "urn:okta:loa:1fa:any" | "urn:okta:loa:1fa:pwd" => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn oktas_values_are_ordered_and_others_are_met_by_themselves_only() {
        let values = [
            "phrh",
            "phr",
            "urn:okta:loa:2fa:any",
            "urn:okta:loa:2fa:any:ifpossible",
            "urn:okta:loa:1fa:any",
            "urn:okta:loa:1fa:pwd",
            "https://idp.example/gold",
            "",
        ];
        // A row per value presented, a column per value demanded, both in the order above.
        let met = ["11111100", "01111100", "00111100", "00011100", "00011100", "00011100", "00000010", "00000001"];
        for (presented, row) in values.iter().zip(met) {
            for (demanded, met) in values.iter().zip(row.chars()) {
                assert_eq!(satisfies(presented, demanded), met == '1', "{presented:?} for {demanded:?}");
            }
        }
        assert_eq!(OKTA_VALUES, values[..6]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn nothing_but_the_very_value_has_its_rank() {
        for near in ["PHR", "phr ", " phr", "phr phrh", "phrhh", "ph", "urn:okta:loa:2fa:an", "URN:OKTA:LOA:2FA:ANY"] {
            for demanded in OKTA_VALUES {
                assert!(!satisfies(near, demanded), "{near:?} for {demanded:?}");
                assert!(!satisfies(demanded, near), "{demanded:?} for {near:?}");
            }
        }
    }
}
