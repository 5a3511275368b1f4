use super::*;

const NONE_KEPT: TargetHeaders = TargetHeaders { kept: Vec::new() };

#[test]
fn target_header_is_removed_in_every_spelling() {
    for header in TARGET_HEADERS {
        let mut spellings: Vec<String> =
            ["-", "_", ".", "~"].iter().map(|sign| header.name.replace(['-', '_', '$'], sign)).collect();
        spellings.push(header.name.to_owned());
        spellings.push(format!("grpc-metadata-{}", header.name));
        spellings.push(format!("grpc_metadata.grpcgateway-{}", header.name));
        for spelling in spellings {
            assert!(NONE_KEPT.removes_header(&spelling), "{spelling}");
            assert!(removes_trailer(&spelling), "{spelling}");
        }
    }
}

#[test]
fn other_headers_and_pseudo_headers_are_kept() {
    for name in [
        ":method",
        ":path",
        ":authority",
        ":scheme",
        ":protocol",
        "",
        "accept",
        "accept-encoding",
        "accept-language",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "grpc-timeout",
        "grpc-encoding",
        "grpc-metadata-x-trace",
        "host",
        "if-none-match",
        "origin",
        "referer",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "te",
        "traceparent",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-envoy-external-address",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-request-id",
        "x-requested-with",
        "x-forwarded-user",
        "x-forwarded-hosts",
        "x-hosts",
        "x-original-u\u{157}l",
        "g",
        "grpc-metadata-",
        "grpc-metadata-\u{157}",
    ] {
        assert!(!NONE_KEPT.removes_header(name), "{name}");
        assert!(!removes_trailer(name), "{name}");
    }
}

#[test]
fn other_spelling_of_a_header_that_envoy_sets_is_removed() {
    for name in PROTECTED_HEADERS {
        assert!(!NONE_KEPT.removes_header(name), "{name}");
        let spellings = [name.replace('-', "_"), name.replace('-', "."), format!("grpc-metadata-{name}")];
        for spelling in spellings.into_iter().filter(|spelling| spelling != name) {
            assert!(NONE_KEPT.removes_header(&spelling), "{spelling}");
        }
    }
}

#[test]
fn kept_header_is_kept_in_its_own_spelling_but_not_as_a_trailer() {
    let kept = TargetHeaders::keeping(&[find("X-Forwarded-Host").unwrap(), find("SCRIPT_NAME").unwrap()]);
    assert!(!kept.removes_header("x-forwarded-host") && !kept.removes_header("script_name"));
    for name in ["x_forwarded_host", "x-forwarded.host", "grpc-metadata-x-forwarded-host", "script-name", "forwarded"] {
        assert!(kept.removes_header(name), "{name}");
    }
    assert!(removes_trailer("x-forwarded-host"));
    for name in ["x_forwarded_host", "script-name", "x-user-id", "x-forwarded-for", ""] {
        assert_eq!(find(name), None, "{name}");
    }
}

#[test]
fn list_is_sorted_without_duplicates_and_within_the_index() {
    let key = |header: &TargetHeader| (header.name.len(), header.name);
    assert!(TARGET_HEADERS.windows(2).all(|pair| matches!(pair, [one, other] if key(one) < key(other))));
    assert!(TARGET_HEADERS.iter().all(|header| header.name.len() <= MAX_NAME_BYTES));
    assert_eq!(STARTS.last(), Some(&TARGET_HEADERS.len()));
}

#[test]
fn security_page_lists_the_same_headers() {
    let page = include_str!("../../../docs/security.md");
    let (_, section) = page.split_once("## Headers that change the target").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let (table, rest) = section.split_once("[`insecure_keep_target_headers`]").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let mut headers: Vec<&TargetHeader> = TARGET_HEADERS.iter().collect();
    headers.sort_by_key(|header| (header.changes, header.name));
    let written: Vec<String> = headers
        .iter()
        .map(|TargetHeader { name, changes, readers }| format!("| `{name}` | {changes} | {readers} |"))
        .collect();
    assert_eq!(rows, written, "docs/security.md: the table must be\n{}", written.join("\n"));
    let (_, spellings) = rest.split_once("Only other spellings").unwrap();
    for name in PROTECTED_HEADERS {
        assert!(spellings.contains(&format!("`{name}`")), "docs/security.md does not name {name}");
    }
}
