use super::*;
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test(unsupported = test)]
fn a_request_head_keeps_duplicates_and_compares_names_in_lower_case() {
    let head = RequestHead::new(vec![
        ("X-A".to_owned(), b"1".to_vec()),
        ("x-b".to_owned(), b"\xff".to_vec()),
        ("x-a".to_owned(), b"2".to_vec()),
    ]);
    assert_eq!(head.values("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(head.names().collect::<Vec<_>>(), ["x-a", "x-b", "x-a"]);
    assert_eq!(format!("{head:?}"), r#"["x-a", "x-b", "x-a"]"#);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_header_name_is_a_token_in_lower_case() {
    assert_eq!(HeaderName::parse("X-User-ID").unwrap().as_str(), "x-user-id");
    for bad in ["", "a b", "a:b", "a\r\nb", "é", ":path"] {
        assert_eq!(HeaderName::parse(bad), None, "{bad:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_a_backend_would_fold_to_a_name_means_it() {
    let name = HeaderName::parse("x-user-id").unwrap();
    for spelling in ["x-user-id", "X_User_Id", "x.user-ID", "x~user!id"] {
        assert!(name.folds_to(spelling), "{spelling}");
    }
    for spelling in ["grpc-metadata-x-user-id", "Grpc_Metadata-X_User_Id", "grpcgateway-x-user-id"] {
        assert!(name.folds_to(spelling), "{spelling}");
    }
    for spelling in ["x-user-idx", "xuserid", "x-user-i1", "", "grpc-metadata-x-user", ":x-user-id", "x:user:id"] {
        assert!(!name.folds_to(spelling), "{spelling}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_remainder_that_would_break_the_head_does_not_exist() {
    for bad in ["", "/a b", "/a\r\nx: y", "/a\0", "/a\t", "/\u{7f}"] {
        assert_eq!(StrippedField::of_path(bad.into()), None, "{bad:?}");
    }
    for bad in ["", "a=1\r\nx: y", "a=\0", "a=\n", "\u{7f}"] {
        assert_eq!(StrippedField::of_cookie(bad.into()), None, "{bad:?}");
    }
    assert_eq!(StrippedField::of_path(b"/\xff?a".to_vec()).unwrap().as_bytes(), b"/\xff?a");
    let cookies = StrippedField::of_cookie(b"sid=s3cret; b=\xff\t".to_vec()).unwrap();
    assert_eq!(cookies.as_bytes(), b"sid=s3cret; b=\xff\t");
    assert_eq!(format!("{cookies:?}"), "Remainder(cookie, 16 bytes)");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_header_value_with_a_control_byte_does_not_exist() {
    for bad in ["a\r\nset-cookie: z=1", "a\0", "\u{7f}", "é", " a", "a ", "\ta"] {
        assert!(HeaderValue::parse(bad).is_none(), "{bad:?}");
    }
    assert_eq!(HeaderValue::parse("a b").unwrap().as_str(), "a b");
}

#[wasm_bindgen_test(unsupported = test)]
fn encoding_is_safe_and_tells_different_texts_apart() {
    let encode = |text: &str| HeaderValue::encode(text, None).0;
    assert_eq!(encode("alice@acme.com"), "alice@acme.com");
    assert_eq!(encode("a\r\nx: y"), "a%0D%0Ax: y");
    assert_eq!(encode("Zoë"), "Zo%C3%AB");
    assert_eq!(encode("Zo%C3%AB"), "Zo%25C3%25AB");
    assert_eq!(encode(" alice "), "%20alice%20");
    assert_eq!(HeaderValue::encode("a,b", Some(',')).0, "a%2Cb");
}
