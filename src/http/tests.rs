use super::*;

#[test]
fn request_head_keeps_duplicates_and_lower_cases_names() {
    let head = RequestHead::new(vec![
        ("X-A".to_owned(), b"1".to_vec()),
        ("x-b".to_owned(), b"\xff".to_vec()),
        ("x-a".to_owned(), b"2".to_vec()),
    ]);
    assert_eq!(head.values("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(head.names().collect::<Vec<_>>(), ["x-a", "x-b", "x-a"]);
    assert_eq!(format!("{head:?}"), r#"["x-a", "x-b", "x-a"]"#);
}

#[test]
fn header_name_is_a_lower_case_token() {
    assert_eq!(HeaderName::parse("X-User-ID").unwrap().as_str(), "x-user-id");
    for bad in ["", "a b", "a:b", "a\r\nb", "é", ":path"] {
        assert_eq!(HeaderName::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn spelling_that_a_backend_folds_to_a_name_matches_it() {
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

#[test]
fn stripped_field_with_unsafe_bytes_is_rejected() {
    for bad in ["", "/a b", "/a\r\nx: y", "/a\0", "/a\t", "/\u{7f}"] {
        assert_eq!(StrippedField::of_path(bad.into()), None, "{bad:?}");
    }
    for bad in ["", "a=1\r\nx: y", "a=\0", "a=\n", "\u{7f}"] {
        assert_eq!(StrippedField::of_cookie(bad.into()), None, "{bad:?}");
    }
    assert_eq!(StrippedField::of_path(b"/\xff?a".to_vec()).unwrap().as_bytes(), b"/\xff?a");
    let cookies = StrippedField::of_cookie(b"sid=s3cret; b=\xff\t".to_vec()).unwrap();
    assert_eq!(cookies.as_bytes(), b"sid=s3cret; b=\xff\t");
    assert_eq!(format!("{cookies:?}"), "StrippedField(cookie, 16 bytes)");
}

#[test]
fn header_value_with_a_control_byte_is_rejected() {
    for bad in ["a\r\nset-cookie: z=1", "a\0", "\u{7f}", "é", " a", "a ", "\ta"] {
        assert!(HeaderValue::parse(bad).is_none(), "{bad:?}");
    }
    assert_eq!(HeaderValue::parse("a b").unwrap().as_str(), "a b");
}

#[test]
fn encoded_values_are_safe_and_unique() {
    let encode = |text: &str| HeaderValue::encode(text, None).0;
    assert_eq!(encode("alice@acme.com"), "alice@acme.com");
    assert_eq!(encode("a\r\nx: y"), "a%0D%0Ax: y");
    assert_eq!(encode("Zoë"), "Zo%C3%AB");
    assert_eq!(encode("Zo%C3%AB"), "Zo%25C3%25AB");
    assert_eq!(encode(" alice "), "%20alice%20");
    assert_eq!(HeaderValue::encode("a,b", Some(',')).0, "a%2Cb");
}
