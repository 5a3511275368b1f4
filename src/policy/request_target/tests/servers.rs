//! Compares the readings of a target with the segments that different kinds of servers serve.

use super::*;

/// How a server converts the target into the segments that it serves.
#[derive(Clone, Copy, Debug)]
struct Server {
    name: &'static str,
    strips_parameters: Step,
    /// `;` starts the query.
    ends_at_semicolon: bool,
    skips_host: bool,
    merges_before_dots: bool,
    keeps_dots: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Never,
    BeforeDecoding,
    AfterDecoding,
}

impl Server {
    const ENVOY: Self = Self {
        name: "Envoy, Spring",
        strips_parameters: Step::Never,
        ends_at_semicolon: false,
        skips_host: false,
        merges_before_dots: false,
        keeps_dots: false,
    };
    const ALL: [Self; 8] = [
        Self::ENVOY,
        Self { name: "nginx, Go, WSGI", merges_before_dots: true, ..Self::ENVOY },
        Self { name: "Tomcat", strips_parameters: Step::BeforeDecoding, merges_before_dots: true, ..Self::ENVOY },
        Self { name: "Shiro", strips_parameters: Step::AfterDecoding, merges_before_dots: true, ..Self::ENVOY },
        Self { name: "new URL()", skips_host: true, ..Self::ENVOY },
        Self { name: "Fastify, restify behind Envoy", ends_at_semicolon: true, ..Self::ENVOY },
        Self { name: "Express, WSGI", keeps_dots: true, ..Self::ENVOY },
        Self { name: "Fastify, restify", ends_at_semicolon: true, keeps_dots: true, ..Self::ENVOY },
    ];

    fn serves(self, target: &str) -> Vec<Vec<u8>> {
        let mut path = target.split('?').next().unwrap();
        if self.skips_host && path.starts_with("//") {
            path = path.trim_start_matches('/');
            path = path.find('/').map_or("/", |at| &path[at..]);
        }
        if self.ends_at_semicolon {
            path = path.split(';').next().unwrap();
        }
        let cut = |segment: &[u8]| segment.split(|byte| *byte == b';').next().unwrap().to_vec();
        let mut segments: Vec<Vec<u8>> = path.split('/').skip(1).map(|segment| segment.as_bytes().to_vec()).collect();
        if self.strips_parameters == Step::BeforeDecoding {
            segments = segments.iter().map(|segment| cut(segment)).collect();
        }
        segments = segments.iter().map(|segment| decoded(segment)).collect();
        if self.strips_parameters == Step::AfterDecoding {
            segments = segments.iter().map(|segment| cut(segment)).collect();
        }
        if self.merges_before_dots {
            segments.retain(|segment| !segment.is_empty());
        }
        let mut served: Vec<Vec<u8>> = Vec::new();
        for segment in segments {
            match segment.as_slice() {
                b"." if !self.keeps_dots => {}
                b".." if !self.keeps_dots => drop(served.pop()),
                _ => served.push(segment),
            }
        }
        served.retain(|segment| !segment.is_empty());
        served
    }
}

fn decoded(segment: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut at = 0;
    while at < segment.len() {
        let escape = segment.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if segment[at] == b'%' => {
                plain.push(byte);
                at += 3;
            }
            _ => {
                plain.push(segment[at]);
                at += 1;
            }
        }
    }
    plain
}

#[test]
fn served_path_of_an_accepted_target_is_one_of_its_readings() {
    let mut lcg = Lcg(3);
    let (mut accepted, mut ambiguous) = (0, 0);
    for _ in 0..40_000 {
        let text = lcg.target();
        let Ok(target) = RequestTarget::read(text.as_bytes(), Reject) else { continue };
        accepted += 1;
        ambiguous += usize::from(!target.other_readings().is_empty());
        let readings: Vec<Vec<Vec<u8>>> = std::iter::once(target.path())
            .chain(target.other_readings())
            .map(|path| path.segments().map(|segment| decoded(segment.as_bytes())).collect())
            .collect();
        for server in Server::ALL {
            assert!(readings.contains(&server.serves(&text)), "{}: {text} {target:?}", server.name);
        }
    }
    assert!(accepted > 8000 && ambiguous > 1000, "{accepted} accepted, {ambiguous} of them ambiguous");
}
