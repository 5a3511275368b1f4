mod servers;

use super::*;

use AmbiguousPaths::{InsecureAllow, Reject};

fn read(target: &str) -> Result<String, TargetFault> {
    RequestTarget::read(target.as_bytes(), Reject).map(|target| target.path().as_str().to_owned())
}

fn insecure(target: &[u8]) -> String {
    let target = RequestTarget::read(target, InsecureAllow).unwrap();
    assert_eq!(target.other_readings(), [], "the insecure mode has no other readings");
    target.path().as_str().to_owned()
}

fn other_readings(target: &str) -> Vec<String> {
    let target = RequestTarget::read(target.as_bytes(), Reject).unwrap();
    target.other_readings().iter().map(|path| path.as_str().to_owned()).collect()
}

#[test]
fn equivalent_targets_have_one_normal_form() {
    for (target, path) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/a?b=/../c", "/a"),
        ("/?", "/"),
        ("/a??#", "/a"),
        ("/%61%2D%2e%5f%7E", "/a-._~"),
        ("/keys%3arevoke", "/keys:revoke"),
        ("/%21%24%26%27%28%29%2A%2b%2C%3D%40", "/!$&'()*+,=@"),
        ("/a%20b", "/a%20b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%f0%9f%98%80", "/%F0%9F%98%80"),
        ("/{id}|\"<>^`", "/%7Bid%7D%7C%22%3C%3E%5E%60"),
        ("/c%23", "/c%23"),
        ("/a%3fb", "/a%3Fb"),
        ("/100%25", "/100%25"),
        ("/a//b///c//", "/a/b/c/"),
        ("/a/..b/.c/d./...", "/a/..b/.c/d./..."),
        ("/.well-known/jwks.json", "/.well-known/jwks.json"),
        ("/Admin", "/Admin"),
    ] {
        assert_eq!(read(target).as_deref(), Ok(path), "{target}");
        assert_eq!(other_readings(target), [""; 0], "{target}");
    }
}

/// Envoy without `normalize_path` forwards dot segments, and Express, Koa, Fastify and WSGI servers keep them.
#[test]
fn dot_segments_are_removed_and_kept_as_another_reading() {
    for (target, path, as_written) in [
        ("/.", "/", "/."),
        ("/./a", "/a", "/./a"),
        ("/a/.", "/a/", "/a/."),
        ("/a/./b/.", "/a/b/", "/a/./b/."),
        ("/a/..", "/", "/a/.."),
        ("/a/b/..", "/a/", "/a/b/.."),
        ("/a/b/../c", "/a/c", "/a/b/../c"),
        ("/a/%2E%2e/b", "/b", "/a/../b"),
        ("/a/.%2e/b", "/b", "/a/../b"),
        ("/a//b/./c/", "/a/b/c/", "/a/b/./c/"),
    ] {
        assert_eq!(read(target).as_deref(), Ok(path), "{target}");
        assert_eq!(other_readings(target), [as_written], "{target}");
    }
}

#[test]
fn normalized_path_is_borrowed() {
    let is_borrowed = |target: &'static str| {
        matches!(RequestTarget::read(target.as_bytes(), Reject).unwrap().path, NormalPath(Cow::Borrowed(_)))
    };
    for plain in ["/", "/a", "/a/b.c/d/", "/a?b#;%", "/!$&'()*+,=:@/~_-.", "/a.b/c."] {
        assert!(is_borrowed(plain), "{plain}");
    }
    for other in ["//", "/.", "/a/.b", "/a;b", "/%61", "/a/%20", "/{"] {
        assert!(!is_borrowed(other), "{other}");
    }
}

#[test]
fn escape_is_decoded_once() {
    assert_eq!(read("/a/%252e%252e/b").as_deref(), Ok("/a/%252e%252e/b"));
    assert_eq!(read("/a%252Fb%255c%2500").as_deref(), Ok("/a%252Fb%255c%2500"));
    assert_eq!(read("/%2561dmin").as_deref(), Ok("/%2561dmin"));
}

#[test]
fn ambiguous_target_is_rejected() {
    use TargetFault::*;
    for (target, fault) in [
        ("", NotAPath),
        ("*", NotAPath),
        ("a/b", NotAPath),
        ("?/a", NotAPath),
        ("%2Fa", NotAPath),
        ("\\a", NotAPath),
        ("http://acme.com/a", NotAPath),
        ("/a%2fb", EscapedSlash),
        ("/a%2Fb", EscapedSlash),
        ("/a/..%2fb", EscapedSlash),
        ("/a\\b", Backslash),
        ("/a/..\\b", Backslash),
        ("/a%5cb", Backslash),
        ("/a%5Cb", Backslash),
        ("/a\0", ControlByte),
        ("/a\tb", ControlByte),
        ("/a\u{7f}", ControlByte),
        ("/a%00", ControlByte),
        ("/a%0a", ControlByte),
        ("/a%1F", ControlByte),
        ("/a%7f", ControlByte),
        ("/%", BrokenEscape),
        ("/%4", BrokenEscape),
        ("/%zz", BrokenEscape),
        ("/%u002f", BrokenEscape),
        ("/%%32%65", BrokenEscape),
        ("/%+1", BrokenEscape),
        ("/%4?1", BrokenEscape),
        ("/a#b", Fragment),
        ("/a#?b", Fragment),
        ("/a b", RawByte),
        ("/é", RawByte),
        ("/%c0%af", NotUtf8),
        ("/%c0%ae%c0%ae/a", NotUtf8),
        ("/%e0%80%af", NotUtf8),
        ("/%ff", NotUtf8),
        ("/%c3", NotUtf8),
        ("/%c3/%a9", NotUtf8),
        ("/%ed%a0%80", NotUtf8),
        ("/%f4%90%80%80", NotUtf8),
        ("/a/..;/b", ParameterInDotSegment),
        ("/a/..;x=1/b", ParameterInDotSegment),
        ("/..;x/", ParameterInDotSegment),
        ("/a/.;/b", ParameterInDotSegment),
        ("/a/..;", ParameterInDotSegment),
        ("/a/..%3b/b", ParameterInDotSegment),
        ("/a/%2e%2E%3B/b", ParameterInDotSegment),
        ("/a//../b", DotsAfterEmptySegment),
        ("/a//./../b", DotsAfterEmptySegment),
        ("/a//b/../../c", DotsAfterEmptySegment),
        ("//../a", DotsAfterEmptySegment),
        ("/..", AboveRoot),
        ("/../a", AboveRoot),
        ("/a/../../b", AboveRoot),
        ("/%2e%2e/a", AboveRoot),
        ("//a/..", AboveRoot),
        ("/a;/;/../..", DotsAfterEmptySegment),
    ] {
        assert_eq!(read(target), Err(fault), "{target:?}");
    }
    for control in (0..0x20).chain([0x7f]) {
        assert_eq!(read(&format!("/a%{control:02x}")), Err(ControlByte));
        assert_eq!(RequestTarget::read(&[b'/', control], Reject), Err(ControlByte));
    }
    for raw in 0x80..=0xff {
        assert_eq!(RequestTarget::read(&[b'/', raw], Reject), Err(RawByte));
    }
}

#[test]
fn path_over_the_limit_is_rejected() {
    let longest = format!("/{}", "a".repeat(MAX_PATH_BYTES - 1));
    assert_eq!(read(&longest).as_deref(), Ok(longest.as_str()));
    assert_eq!(read(&format!("{longest}?{longest}")).as_deref(), Ok(longest.as_str()));
    assert_eq!(read(&format!("{longest}a")), Err(TargetFault::TooLong));
    assert_eq!(RequestTarget::read(format!("{longest}a").as_bytes(), InsecureAllow), Err(TargetFault::TooLong));
}

#[test]
fn parameters_give_another_reading() {
    assert_eq!(read("/a;x=1/b").as_deref(), Ok("/a;x=1/b"));
    for (target, others) in [
        ("/a;x=1/b", vec!["/a/b", "/a"]),
        ("/a%3bx/b", vec!["/a/b", "/a"]),
        ("/a/;x/b", vec!["/a/b", "/a/"]),
        ("/;/a", vec!["/a", "/"]),
        ("/a;b;c", vec!["/a"]),
        ("/a;/x.css", vec!["/a/x.css", "/a"]),
        ("/a;?/x.css", vec!["/a"]),
        ("/a?;/x.css", vec![]),
        ("/a;x/../b", vec!["/a", "/a;x/../b", "/a/../b"]),
        ("/a%3Bx/../b;c", vec!["/b", "/a", "/a;x/../b;c", "/a;x/../b", "/a/../b"]),
        ("//a/b", vec!["/b"]),
        ("///a/b", vec!["/b"]),
        ("//a", vec!["/"]),
        ("//", vec![]),
        ("//a/a/..", vec!["/", "/a/a/..", "/a/.."]),
        ("//a;x/b;y", vec!["/b;y", "/a/b", "/a", "/b"]),
        ("/a%3bx;y/b", vec!["/a;x/b", "/a;x", "/a/b", "/a"]),
        ("/a//b", vec![]),
    ] {
        assert_eq!(other_readings(target), others, "{target}");
    }
}

#[test]
fn insecure_mode_keeps_ambiguous_characters() {
    for (target, path) in [
        (&b"/a%2fb"[..], "/a%2Fb"),
        (b"/a/..%2f../b", "/a/..%2F../b"),
        (b"/a\\b%5cc", "/a%5Cb%5Cc"),
        (b"/a\0%00", "/a%00%00"),
        (b"/%zz%4", "/%25zz%254"),
        (b"/%%41B", "/%25AB"),
        (b"/a#b c", "/a%23b%20c"),
        (b"/\xc3\xa9\xff%c0%af", "/%C3%A9%FF%C0%AF"),
        (b"/a/..;/b;x", "/a/..;/b;x"),
        (b"/a//../b", "/b"),
        (b"/../../a", "/a"),
        (b"//a/b", "/a/b"),
    ] {
        assert_eq!(insecure(target), path);
    }
    for target in [&b""[..], b"*", b"a", b"%2fa"] {
        assert_eq!(RequestTarget::read(target, InsecureAllow), Err(TargetFault::NotAPath));
    }
}

#[test]
fn request_has_exactly_one_target() {
    let head = |fields: &[(&str, &str)]| {
        RequestHead::new(
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect::<Vec<_>>(),
        )
    };
    let one = head(&[(":path", "/%61"), ("x-original-url", "/b"), ("x-envoy-original-path", "/c")]);
    assert_eq!(RequestTarget::of(&one, Reject).unwrap().path().as_str(), "/a");
    for fields in [&[][..], &[("path", "/a")], &[(":path", "/a"), (":path", "/a")]] {
        assert_eq!(RequestTarget::of(&head(fields), Reject), Err(TargetFault::NotAPath));
    }
}

#[test]
fn segments_are_separated_by_slashes() {
    for (target, segments) in [("/", vec![]), ("/a/b", vec!["a", "b"]), ("/a/b/", vec!["a", "b"])] {
        let target = RequestTarget::read(target.as_bytes(), Reject).unwrap();
        assert_eq!(target.path().segments().collect::<Vec<_>>(), segments);
        assert_eq!(target.path().clone().into_owned(), *target.path());
    }
}

/// Deterministic pseudo-random numbers (Knuth's MMIX).
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// A target of parts that are dangerous in combination.
    fn target(&mut self) -> String {
        let pieces = [
            "/", "/", "/", "/", "a", "b", "public", "admin", ".", "..", "%2e", "%2E%2e", ";", ";x=1", "%3b", "//", ":",
            "%3A", "%41", "%c3%a9", "%20", "+", "@", "{", "%25", "%252e", "?", "...",
        ];
        let rare = ["%2f", "\\", "%5c", "#", "%00", "%zz", "%", "%c0%af", " ", "\u{e9}", "%ff"];
        let mut target = String::from("/");
        for _ in 0..self.below(12) {
            let piece = if self.below(60) == 0 { self.pick(&rare) } else { self.pick(&pieces) };
            target.push_str(piece);
        }
        target
    }
}

#[test]
fn arbitrary_bytes_do_not_panic_and_accepted_paths_are_normalized() {
    let mut lcg = Lcg(1);
    let mut accepted = 0;
    for round in 0..40_000 {
        let target: Vec<u8> = if round % 2 == 0 {
            let bytes = (0..lcg.below(12)).map(|_| u8::try_from(lcg.below(256)).unwrap());
            std::iter::once(b'/').chain(bytes.collect::<Vec<_>>()).collect()
        } else {
            lcg.target().into_bytes()
        };
        let lenient = RequestTarget::read(&target, InsecureAllow).unwrap();
        let Ok(strict) = RequestTarget::read(&target, Reject) else {
            is_normal(lenient.path().as_str(), InsecureAllow);
            continue;
        };
        accepted += 1;
        assert_eq!(strict.path(), lenient.path(), "the insecure mode changes only rejected targets");
        for path in std::iter::once(strict.path()).chain(strict.other_readings()) {
            if path == strict.path() || !has_dot_segments(path.as_str()) {
                is_normal(path.as_str(), Reject);
                is_normal(path.as_str(), InsecureAllow);
            }
        }
    }
    assert!(accepted > 4000, "only {accepted} targets were accepted");
}

fn is_normal(path: &str, ambiguous: AmbiguousPaths) {
    assert!(path.starts_with('/') && !path.contains("//") && path.is_ascii(), "{path}");
    assert!(!path.split('/').any(|segment| segment == "." || segment == ".."), "{path}");
    let again = RequestTarget::read(path.as_bytes(), ambiguous).unwrap();
    assert_eq!(again.path().as_str(), path, "normalization is idempotent");
}

#[test]
fn spellings_that_decode_alike_have_one_normal_form() {
    let characters: Vec<char> = "abzAZ09-._~!$&'()*+,=:@ \"<>^`{|}%#?é😀".chars().collect();
    let mut lcg = Lcg(2);
    for _ in 0..4000 {
        let segments: Vec<String> = (0..=lcg.below(4))
            .map(|_| {
                let text: String = (0..=lcg.below(5)).map(|_| characters[lcg.below(characters.len())]).collect();
                // Not a dot segment, also when escaped differently.
                format!("s{text}")
            })
            .collect();
        let spelled = |lcg: &mut Lcg, respell: bool| {
            let mut target = String::new();
            for segment in &segments {
                target.push('/');
                if respell {
                    target.push_str(lcg.pick(&["", "", "", "./", "%2e/", "x/../", "x/%2E./", "x/y/.%2e/./../"]));
                    // Not at the start, where it may begin the name of another host.
                    if target.len() > 1 && lcg.below(4) == 0 {
                        target.push('/');
                    }
                }
                for byte in segment.bytes() {
                    let must = !byte.is_ascii() || b" %#?".contains(&byte);
                    match (must || (respell && lcg.below(3) == 0), lcg.below(2)) {
                        (true, 0) => target.push_str(&format!("%{byte:02x}")),
                        (true, _) => target.push_str(&format!("%{byte:02X}")),
                        (false, _) => target.push(char::from(byte)),
                    }
                }
            }
            target
        };
        let plain = read(&spelled(&mut lcg, false)).unwrap();
        for _ in 0..3 {
            let target = spelled(&mut lcg, true);
            assert_eq!(read(&target).as_deref(), Ok(plain.as_str()), "{target}");
        }
    }
}

#[test]
fn a_path_literal_of_a_condition_compiles_exactly_where_it_is_in_normal_form() {
    const PARTS: [&str; 22] = [
        "/", "/", "/", "a", "A~", ".", "..", ";", "?", " ", "%", "%2", "é", "%20", "%2F", "%2f", "%61", "%3B", "%25",
        "%2E", "%C3%A9", "%c3%a9",
    ];
    let mut accepted = 0;
    for first in PARTS {
        for second in PARTS {
            for third in PARTS {
                let path = format!("/{first}{second}{third}");
                let normal = RequestTarget::read(path.as_bytes(), AmbiguousPaths::InsecureAllow);
                let is_normal = normal.is_ok_and(|target| target.path().as_str() == path) && !path.ends_with('/');
                let compiled = crate::cel::Program::compile(&format!("request.url_path == '{path}'"));
                assert_eq!(compiled.is_ok(), is_normal, "{path}");
                accepted += usize::from(is_normal);
            }
        }
    }
    assert!(accepted > 300, "only {accepted} were in normal form");
}
