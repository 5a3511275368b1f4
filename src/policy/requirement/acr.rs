//! The order of authentication context classes (`acr`) as Okta defines them.
//!
//! `phrh` > `phr` > `urn:okta:loa:2fa:any` > all one-factor classes. `urn:okta:loa:2fa:any:ifpossible` counts as one
//! factor, because Okta grants it to users without a second factor. Values that Okta does not define have no order and
//! are satisfied only by an equal value.

/// Okta's values. Values of the same rank satisfy each other.
pub const OKTA_VALUES: [&str; 6] = [
    "phrh",
    "phr",
    "urn:okta:loa:2fa:any",
    "urn:okta:loa:2fa:any:ifpossible",
    "urn:okta:loa:1fa:any",
    "urn:okta:loa:1fa:pwd",
];

/// Whether an authentication of class `presented` satisfies `required`. Values are compared byte for byte.
pub fn satisfies(presented: &str, required: &str) -> bool {
    match (rank(presented), rank(required)) {
        (Some(presented), Some(required)) => presented >= required,
        (None, _) | (_, None) => presented == required,
    }
}

fn rank(value: &str) -> Option<u8> {
    match value {
        // Phishing-resistant, with a hardware-protected key.
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

    #[test]
    fn okta_values_are_ordered_and_others_require_equality() {
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
        // A row per presented value and a column per required value, both in the order above.
        let met = ["11111100", "01111100", "00111100", "00011100", "00011100", "00011100", "00000010", "00000001"];
        for (presented, row) in values.iter().zip(met) {
            for (required, met) in values.iter().zip(row.chars()) {
                assert_eq!(satisfies(presented, required), met == '1', "{presented:?} for {required:?}");
            }
        }
        assert_eq!(OKTA_VALUES, values[..6]);
    }

    #[test]
    fn similar_value_has_no_rank() {
        for near in ["PHR", "phr ", " phr", "phr phrh", "phrhh", "ph", "urn:okta:loa:2fa:an", "URN:OKTA:LOA:2FA:ANY"] {
            for required in OKTA_VALUES {
                assert!(!satisfies(near, required), "{near:?} for {required:?}");
                assert!(!satisfies(required, near), "{required:?} for {near:?}");
            }
        }
    }
}
