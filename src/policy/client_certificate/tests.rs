use super::*;

/// SHA-256 of nothing, and of `abc`.
const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OTHER: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const HOP: &str = "5d95c3876576b207c0c104e82a4fa5a2573b365e0ed565ee6de6022c03027ad4";

fn hex(text: &str) -> Option<Thumbprint> {
    let thumbprint = Thumbprint::of_hex(text.as_bytes());
    assert!(thumbprint.is_some(), "{text}");
    thumbprint
}

fn attributes(values: &[(Attribute, &[u8])]) -> AttributeValues {
    let mut attributes = AttributeValues::default();
    for (attribute, value) in values {
        attributes.insert(*attribute, value.to_vec());
    }
    attributes
}

fn head(fields: &[(&str, &[u8])]) -> RequestHead {
    RequestHead::new(fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect())
}

#[test]
fn only_one_element_with_one_hash_is_read_from_x_forwarded_client_cert() {
    for (value, expected) in [
        (format!("Hash={HEX}"), hex(HEX)),
        (format!("hash={HEX}"), hex(HEX)),
        (format!("HASH={}", HEX.to_uppercase()), hex(HEX)),
        // As Envoy writes it.
        (
            format!("By=spiffe://acme/gw;Hash={HEX};Subject=\"CN=d-7,O=ACME\";URI=spiffe://acme/d-7;DNS=d-7.acme.com"),
            hex(HEX),
        ),
        (format!("By=;Hash={HEX};URI="), hex(HEX)),
        (format!("Hash={HEX};Subject=\"\""), hex(HEX)),
        (format!("Hash={HEX};Subject=\"CN=a\\,b\\;c\\\"d,O=\u{e9}\";URI=a;URI=b"), hex(HEX)),
        (format!("Subject=\"CN=x;y=z,w\\\\\";Hash={HEX}"), hex(HEX)),
        (format!("Cert=\"-----BEGIN%20CERTIFICATE-----%0A\";Hash={HEX}"), hex(HEX)),
        // No hash, or not exactly one.
        (String::new(), None),
        (String::from("By=spiffe://acme/gw"), None),
        (format!("Hash={HEX};Hash={HEX}"), None),
        (format!("Hash={HEX};hash={OTHER}"), None),
        (format!("Hash={OTHER};HASH={HEX}"), None),
        // Several elements.
        (format!("Hash={HEX},Hash={OTHER}"), None),
        (format!("Hash={HEX},By=x"), None),
        (format!("By=x,Hash={HEX}"), None),
        (format!("Hash={HEX},"), None),
        (format!(",Hash={HEX}"), None),
        (format!("Hash={HEX}, Hash={HEX}"), None),
        // In the names of the client, quoted or not.
        (format!("Hash={HEX};Subject=\"CN=d-7\\,Hash={OTHER}\""), None),
        (format!("Subject=\"CN=x;Hash={OTHER}\";Hash={HEX}"), None),
        (format!("Subject=\"CN=x;Hash={OTHER}\""), None),
        (format!("Subject=\"CN=x\";Hash={OTHER}\";Hash={HEX}"), None),
        (format!("Hash={HEX};URI=spiffe://x;Hash={OTHER}"), None),
        (format!("Hash={HEX};URI=spiffe://x,Hash={OTHER}"), None),
        (format!("Hash={OTHER};Subject=\",By=x;Hash={HEX};URI=\""), None),
        // Quoted, misspelt or of another length.
        (format!("Hash=\"{HEX}\""), None),
        (format!("Hash={}", &HEX[1..]), None),
        (format!("Hash={}", &HEX[2..]), None),
        (format!("Hash={HEX}00"), None),
        (format!("Hash=0x{}", &HEX[2..]), None),
        (format!("Hash={}g", &HEX[1..]), None),
        (format!("Hash= {HEX}"), None),
        (format!("Hash ={HEX}"), None),
        (format!(" Hash={HEX}"), None),
        (format!("Hash={HEX} "), None),
        (format!("Hash={HEX};"), None),
        (format!(";Hash={HEX}"), None),
        (format!("Hash={HEX};;By=x"), None),
        (format!("Hash={HEX};By"), None),
        (format!("=x;Hash={HEX}"), None),
        (format!("Hash:{HEX}"), None),
        (format!("XHash={HEX}"), None),
        (format!("Hash2={HEX}"), None),
        (String::from("Hash="), None),
        (String::from("Hash"), None),
        (HEX.to_owned(), None),
        // Quotes that do not close, or do not end the value.
        (format!("Hash={HEX};Subject=\"CN=x"), None),
        (format!("Hash={HEX};Subject=\"CN=x\\\""), None),
        (format!("Hash={HEX};Subject=\"CN=x\"y"), None),
        (format!("Hash={HEX};Subject=CN=\"x\""), None),
        (format!("Hash={HEX};URI=a\\;By=x"), None),
        (format!("Hash={HEX};URI=a b"), None),
        (format!("Hash={HEX};Subject=\"a\nb\""), None),
        (format!("Hash={HEX};By={}", "a".repeat(MAX_VALUE_BYTES)), None),
    ] {
        assert_eq!(CertificateHeader::ForwardedClientCert.parse(value.as_bytes()), expected, "{value}");
    }
}

/// Whatever the client puts into its certificate, or in front of the element of a hop that appends.
#[test]
fn no_text_of_the_client_is_read_as_another_hash() {
    const PIECES: [&str; 20] = [
        ",",
        ";",
        "=",
        "\"",
        "\\",
        "Hash",
        "hash",
        "HASH=",
        "Hash=",
        "By=",
        "URI=",
        "Subject=\"",
        "\";",
        "\",",
        "x",
        " ",
        "\\\"",
        "%22",
        OTHER,
        "\u{e9}",
    ];
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut accepted = 0;
    for _ in 0..100_000 {
        let mut text = || (0..random(6)).map(|_| PIECES[random(PIECES.len())]).collect::<String>();
        let (subject, uri, before) = (text(), text(), text());
        for value in [
            format!("Hash={HEX};Subject=\"{subject}\";URI={uri}"),
            format!("By={uri};Hash={HEX};URI={uri};Subject=\"{subject}\""),
            format!("{before},Hash={HEX};Subject=\"{subject}\";URI={uri}"),
            format!("Hash={OTHER};Subject=\"{before},Hash={HEX};URI={uri}"),
        ] {
            let found = CertificateHeader::ForwardedClientCert.parse(value.as_bytes());
            assert!(found.is_none() || found == hex(HEX), "{value}");
            accepted += usize::from(found.is_some());
        }
    }
    assert!(accepted > 1000, "only {accepted} were read at all");
}

#[test]
fn only_one_byte_sequence_of_a_certificate_is_read_from_client_cert() {
    let der = |content: &[u8]| [&[0x30, u8::try_from(content.len()).unwrap()], content].concat();
    let encoded = |bytes: &[u8]| format!(":{}:", STANDARD.encode(bytes));
    // 16 bytes: the base64 text has `/`, `+` and two signs of padding.
    let certificate = der(b"\xff\xfb\xef\xbe\xff\xff\xff a cer?");
    let expected = Some(Thumbprint::new(Sha256::digest(&certificate).into()));
    let long = [&[0x30, 0x82, 0x04, 0x00][..], &[7; 1024]].concat();
    let good = encoded(&certificate);
    assert_eq!(CertificateHeader::ClientCert.parse(good.as_bytes()), expected);
    assert!(CertificateHeader::ClientCert.parse(encoded(&long).as_bytes()).is_some());
    let text = good.trim_matches(':').to_owned();
    assert!(text.contains('/') && text.contains('+') && text.ends_with("w=="), "{text}");
    let too_long = [&[0x30, 0x82, 0xf0, 0x00][..], &[7; 0xf000]].concat();
    for malformed in [
        String::new(),
        String::from(":"),
        String::from("::"),
        text.clone(),
        format!(":{text}"),
        format!("{text}:"),
        format!("{good};q=1"),
        format!("{good}, {good}"),
        format!("{good},{good}"),
        format!(" {good}"),
        format!("{good} "),
        format!(": {text}:"),
        format!(":{text} :"),
        format!(":{}:", text.replace('=', "")),
        format!(":{text}=:"),
        format!(":{}:", text.replace('/', "_").replace('+', "-")),
        format!("\"{text}\""),
        format!(":{}!:", &text[1..]),
        // Unused bits that are not zero.
        format!(":{}:", text.replace("w==", "x==")),
        String::from(":-----BEGIN CERTIFICATE-----:"),
        // Base64 of something else than one SEQUENCE.
        encoded(b""),
        encoded(b"0"),
        encoded(&[0x30, 0]),
        encoded(&certificate[..certificate.len() - 1]),
        encoded(&[&certificate[..], b"x"].concat()),
        encoded(&[&certificate[..], &certificate].concat()),
        encoded(&[&[0x31], &certificate[1..]].concat()),
        encoded(&[0x30, 0x80, 0, 0]),
        encoded(&too_long),
    ] {
        if malformed == good {
            panic!("the row is not malformed: {malformed}");
        }
        assert_eq!(CertificateHeader::ClientCert.parse(malformed.as_bytes()), None, "{malformed}");
    }
}

fn forwarded(hops: Hops) -> ForwardedCertificate {
    ForwardedCertificate { header: CertificateHeader::ForwardedClientCert, hops }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_hop_is_recognized_by_its_connection_alone() {
    const MTLS: (Attribute, &[u8]) = (Attribute::Mtls, &[1]);
    const NOT_MTLS: (Attribute, &[u8]) = (Attribute::Mtls, &[0]);
    let by_hash = forwarded(Hops { certificates: vec![hex(HOP).unwrap()], ..Hops::default() });
    let by_uri = forwarded(Hops { uri_sans: names(&["spiffe://acme/edge"]), ..Hops::default() });
    let by_dns = forwarded(Hops { dns_sans: names(&["a.acme.com", "edge.acme.com"]), ..Hops::default() });
    let networks = ["10.0.0.0/8", "2001:db8::7"].map(|text| Network::parse(text).unwrap());
    let by_address = forwarded(Hops { addresses: networks.to_vec(), ..Hops::default() });
    let uri = |uri: &'static str| (Attribute::PeerUri, uri.as_bytes());
    let dns = |name: &'static str| (Attribute::PeerDns, name.as_bytes());
    let address = |address: &'static str| (Attribute::SourceAddress, address.as_bytes());
    let digest = |digest: &'static str| (Attribute::PeerDigest, digest.as_bytes());
    type Row<'a> = (&'a ForwardedCertificate, &'a [(Attribute, &'a [u8])], bool);
    let rows: &[Row<'_>] = &[
        (&by_hash, &[digest(HOP)], true),
        (&by_hash, &[digest(OTHER)], false),
        (&by_hash, &[digest("")], false),
        (&by_hash, &[], false),
        (&by_uri, &[MTLS, uri("spiffe://acme/edge")], true),
        (&by_uri, &[NOT_MTLS, uri("spiffe://acme/edge")], false),
        (&by_uri, &[uri("spiffe://acme/edge")], false),
        (&by_uri, &[MTLS, uri("spiffe://acme/edge/")], false),
        (&by_uri, &[MTLS, uri("SPIFFE://acme/edge")], false),
        (&by_uri, &[MTLS, uri("")], false),
        (&by_uri, &[MTLS], false),
        (&by_uri, &[MTLS, dns("spiffe://acme/edge")], false),
        (&by_dns, &[MTLS, dns("edge.acme.com")], true),
        (&by_dns, &[MTLS, dns("a.acme.com")], true),
        (&by_dns, &[MTLS, dns("xedge.acme.com")], false),
        (&by_dns, &[NOT_MTLS, dns("edge.acme.com")], false),
        (&by_dns, &[MTLS, uri("edge.acme.com")], false),
        (&by_address, &[address("10.0.0.7:40001")], true),
        (&by_address, &[address("[::ffff:10.0.0.7]:40001")], true),
        (&by_address, &[address("[2001:db8::7]:1")], true),
        (&by_address, &[address("11.0.0.7:40001")], false),
        // From `x-forwarded-for`.
        (&by_address, &[address("10.0.0.7:0")], false),
        (&by_address, &[address("10.0.0.7")], false),
        (&by_address, &[address("")], false),
        (&by_address, &[address("\u{e9}:1")], false),
        (&by_address, &[MTLS, digest(HOP)], false),
    ];
    for (forwarded, values, is_hop) in rows {
        let expected = match is_hop {
            true => CertificateSource::Header(CertificateHeader::ForwardedClientCert),
            false => CertificateSource::Connection,
        };
        assert_eq!(source(Some(forwarded), &attributes(values)), expected, "{:?} {values:?}", forwarded.hops);
        assert_eq!(source(None, &attributes(values)), CertificateSource::Connection);
    }
}

#[test]
fn the_header_counts_for_a_hop_and_the_connection_for_everybody_else() {
    let forwarded = forwarded(Hops { certificates: vec![hex(HOP).unwrap()], ..Hops::default() });
    let (of_client, of_other) = (format!("Hash={HEX}").into_bytes(), format!("Hash={OTHER}").into_bytes());
    let of_hop = format!("Hash={HOP}").into_bytes();
    let name = "x-forwarded-client-cert";
    let one = head(&[(name, &of_client)]);
    let shown = |digest: &str, head: &RequestHead| {
        let attributes = attributes(&[(Attribute::PeerDigest, digest.as_bytes())]);
        thumbprint(source(Some(&forwarded), &attributes), head, &attributes)
    };
    assert_eq!(shown(HOP, &one), Ok(hex(HEX)));
    assert_eq!(shown(OTHER, &one), Ok(hex(OTHER)), "not a hop");
    assert_eq!(shown("", &one), Ok(None), "not a hop");
    assert_eq!(shown("zz", &one), Ok(None), "not a hop");
    assert_eq!(shown(HOP, &head(&[])), Ok(None), "never the hop's own certificate");
    assert_eq!(shown(HOP, &head(&[("client-cert", &of_client)])), Ok(None), "another header");
    for malformed in [
        head(&[(name, &of_client), (name, &of_other)]),
        head(&[(name, &of_client), (name, &of_client)]),
        head(&[(name, &of_client), (name, b"")]),
        head(&[(name, b""), (name, &of_client)]),
        head(&[(name, b"")]),
        // Envoy writes it with `SANITIZE_SET` at the gateway.
        head(&[(name, &of_hop)]),
    ] {
        assert_eq!(shown(HOP, &malformed), Err(CertificateHeaderMalformed), "{malformed:?}");
    }
}

#[test]
fn headers_with_certificates_are_removed_in_every_spelling() {
    let forwarded = forwarded(Hops::default());
    for (name, expected) in [
        ("client-cert", true),
        ("Client_Cert", true),
        ("client-cert-chain", true),
        ("grpc-metadata-client-cert", true),
        ("x-forwarded-client-cert", true),
        ("x_forwarded_client_cert", true),
        ("x-client-cert", false),
        ("client-certificate", false),
    ] {
        assert_eq!(forwarded.removes(name), expected, "{name}");
    }
    let standard = ForwardedCertificate { header: CertificateHeader::ClientCert, ..forwarded };
    assert!(standard.removes("client-cert") && !standard.removes("x-forwarded-client-cert"));
}
