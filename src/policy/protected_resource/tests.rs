use super::*;
use crate::policy::route::CaseSensitivity;

fn resources(addresses: &[&str]) -> ProtectedResources {
    let resource = |text: &&str| {
        let address = ResourceAddress::parse(text).unwrap();
        ProtectedResource { address, document: Vec::new() }
    };
    ProtectedResources::new(addresses.iter().map(resource).collect())
}

fn head(host: &str, path: &str) -> RequestHead {
    let fields = [(":method", "GET"), (":authority", host), (":path", path)];
    RequestHead::new(fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec())
}

#[test]
fn metadata_addresses_follow_the_standard() {
    for (resource, metadata) in [
        ("https://api.acme.com", "https://api.acme.com/.well-known/oauth-protected-resource"),
        ("https://api.acme.com/", "https://api.acme.com/.well-known/oauth-protected-resource"),
        ("https://api.acme.com/mcp", "https://api.acme.com/.well-known/oauth-protected-resource/mcp"),
        ("https://api.acme.com/mcp/", "https://api.acme.com/.well-known/oauth-protected-resource/mcp/"),
        ("https://api.acme.com:8443/a/b", "https://api.acme.com:8443/.well-known/oauth-protected-resource/a/b"),
        ("https://[::1]/mcp", "https://[::1]/.well-known/oauth-protected-resource/mcp"),
    ] {
        let address = ResourceAddress::parse(resource).unwrap();
        assert_eq!((address.as_str(), address.metadata_address()), (resource, metadata));
        assert!(metadata.ends_with(address.metadata_path()));
    }
}

#[test]
fn identifier_has_one_accepted_spelling() {
    for (text, fault) in [
        ("http://api.acme.com", ResourceFault::NotHttps),
        ("HTTPS://api.acme.com", ResourceFault::NotHttps),
        ("api.acme.com", ResourceFault::NotHttps),
        ("https://", ResourceFault::Host),
        ("https:///mcp", ResourceFault::Host),
        ("https://API.acme.com", ResourceFault::Host),
        ("https://api.acme.com.", ResourceFault::Host),
        ("https://api.acme.com:443", ResourceFault::Host),
        ("https://api.acme.com:0443", ResourceFault::Host),
        ("https://api.acme.com:", ResourceFault::Host),
        ("https://api.acme.com:99999", ResourceFault::Host),
        ("https://user@api.acme.com", ResourceFault::Host),
        ("https://*.acme.com", ResourceFault::Host),
        ("https://api.acme.com\"/x", ResourceFault::Host),
        ("https://api.acme.com/mcp?x=1", ResourceFault::QueryOrFragment),
        ("https://api.acme.com#x", ResourceFault::QueryOrFragment),
        ("https://api.acme.com/a/../b", ResourceFault::Path),
        ("https://api.acme.com//a", ResourceFault::Path),
        ("https://api.acme.com/%61", ResourceFault::Path),
        ("https://api.acme.com/a;b=1", ResourceFault::Path),
        ("https://api.acme.com/a\"b", ResourceFault::Path),
        ("https://api.acme.com/\u{e9}", ResourceFault::Path),
    ] {
        assert_eq!(ResourceAddress::parse(text).err(), Some(fault), "{text}");
    }
    let long = format!("https://api.acme.com/{}", "a".repeat(1024));
    assert_eq!(ResourceAddress::parse(&long).err(), Some(ResourceFault::TooLong));
}

#[test]
fn request_selects_the_resource_of_its_host_with_the_longest_path_prefix() {
    let all = resources(&[
        "https://api.acme.com",
        "https://api.acme.com/mcp",
        "https://api.acme.com/mcp/deep/",
        "https://api.acme.com:8443/mcp",
        "https://other.acme.com:9000",
    ]);
    for (host, path, expected) in [
        ("api.acme.com", "/", Some("https://api.acme.com")),
        ("api.acme.com", "/mcpx", Some("https://api.acme.com")),
        ("api.acme.com", "/mcp", Some("https://api.acme.com/mcp")),
        ("API.acme.com.", "/mcp/x?y=/mcp/deep", Some("https://api.acme.com/mcp")),
        ("api.acme.com:443", "/mcp/", Some("https://api.acme.com/mcp")),
        ("api.acme.com", "/mcp/deep", Some("https://api.acme.com/mcp/deep/")),
        ("api.acme.com", "/x/../mcp/%64eep/1", Some("https://api.acme.com/mcp/deep/")),
        ("api.acme.com:8443", "/mcp/deep", Some("https://api.acme.com:8443/mcp")),
        ("api.acme.com:8443", "/other", Some("https://api.acme.com")),
        ("api.acme.com:10000", "/mcp", Some("https://api.acme.com/mcp")),
        ("other.acme.com:9000", "/x", Some("https://other.acme.com:9000")),
        ("other.acme.com", "/x", None),
        ("evil.example", "/mcp", None),
        ("api.acme.com, evil.example", "/mcp", None),
        ("api.acme.com", "/mcp/%2f", None),
    ] {
        let found = all.find(&head(host, path)).map(|resource| resource.address.as_str());
        assert_eq!(found, expected, "{host} {path}");
    }
    let fields = [(":authority", "api.acme.com"), (":authority", "evil.example"), (":path", "/mcp")];
    let twice = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    assert!(all.find(&RequestHead::new(twice.to_vec())).is_none());
}

#[test]
fn metadata_are_served_at_exactly_their_address() {
    let all = resources(&["https://api.acme.com/mcp", "https://api.acme.com:8443/mcp", "https://b.acme.com"]);
    let well_known = "/.well-known/oauth-protected-resource";
    for (host, path, expected) in [
        ("api.acme.com", format!("{well_known}/mcp"), Some("https://api.acme.com/mcp")),
        ("api.acme.com", format!("{well_known}/mcp?x=1"), Some("https://api.acme.com/mcp")),
        ("api.acme.com:8443", format!("{well_known}/mcp"), Some("https://api.acme.com:8443/mcp")),
        ("api.acme.com:80", format!("{well_known}/mcp"), Some("https://api.acme.com/mcp")),
        ("b.acme.com", well_known.to_owned(), Some("https://b.acme.com")),
        ("b.acme.com", format!("{well_known}/"), None),
        ("b.acme.com", format!("{well_known}/mcp"), None),
        ("api.acme.com", well_known.to_owned(), None),
        ("api.acme.com", format!("{well_known}/mcp/"), None),
        ("api.acme.com", format!("{well_known}/mc%70"), None),
        ("api.acme.com", format!("/x{well_known}/mcp"), None),
        ("c.acme.com", format!("{well_known}/mcp"), None),
    ] {
        let found = all.find_by_metadata_path(&head(host, &path)).map(|resource| resource.address.as_str());
        assert_eq!(found, expected, "{host} {path}");
    }
}

#[test]
fn rule_may_match_a_resource_if_it_matches_its_path_or_one_below() {
    let address = ResourceAddress::parse("https://api.acme.com/mcp").unwrap();
    let ambiguous = AmbiguousPaths::Reject;
    let exact = |text, case| PathPattern::exact(text, case, ambiguous).unwrap();
    let prefix = |text| PathPattern::prefix(text, CaseSensitivity::Sensitive, ambiguous).unwrap();
    let regex = |text| PathPattern::regex(text, CaseSensitivity::Sensitive, ambiguous).unwrap();
    for (pattern, expected) in [
        (PathPattern::ANY, true),
        (exact("/mcp", CaseSensitivity::Sensitive), true),
        (exact("/mcp/x", CaseSensitivity::Sensitive), true),
        (exact("/MCP/x", CaseSensitivity::Insensitive), true),
        (exact("/MCP/x", CaseSensitivity::Sensitive), false),
        (exact("/", CaseSensitivity::Sensitive), false),
        (prefix("/"), true),
        (prefix("/mcp/tools"), true),
        (prefix("/mcpx"), false),
        (prefix("/other"), false),
        (regex("/mcp/[0-9]+"), true),
        (regex(".*"), true),
        (regex("/other/[0-9]+"), false),
    ] {
        assert_eq!(address.may_match(&[], &pattern), expected, "{pattern:?}");
    }
    for (host, expected) in [
        ("api.acme.com", true),
        ("*.acme.com", true),
        ("*.api.acme.com", false),
        ("*.me.com", false),
        ("b.acme.com", false),
    ] {
        assert_eq!(address.may_match(&[HostPattern::parse(host).unwrap()], &PathPattern::ANY), expected, "{host}");
    }
}
