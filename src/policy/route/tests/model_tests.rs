use super::*;

/// Deterministic pseudo-random numbers (Knuth's MMIX).
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn some<T: Copy>(&mut self, choices: &[T]) -> Vec<T> {
        (0..self.pick(&[0, 0, 1, 1, 2, 3])).map(|_| self.pick(choices)).collect()
    }

    fn path(&mut self) -> String {
        let segments = (0..self.below(5)).map(|_| self.pick(&["a", "a", "b", "c", "B", "a.b", "%C3%A9"]));
        let path: String = segments.map(|segment| format!("/{segment}")).collect();
        if path.is_empty() || self.below(4) == 0 { path + "/" } else { path }
    }
}

/// A rule in the naive model.
struct Naive {
    hosts: Vec<&'static str>,
    kind: usize,
    path: String,
    case: CaseSensitivity,
    methods: Vec<&'static str>,
}

const EXPRESSIONS: &[&str] = &[
    ".*",
    "/a/[^/]+",
    "/(a|b)/c",
    "/a|/b/c",
    "/a/b?",
    "/a(/b)*",
    "/[ab]/c",
    r"/a/a\.b/.*",
    "(?i)/A/b",
    "/a/[|]b/c",
    "/a/[]|]b/c|/b",
    "/a/b/c",
    "/a/b/.*",
    "/?a?(/b)?",
    "^/a/.+$",
    r"/b/\x61",
    "/a/b/(a|b|c)/?",
    "/a/(?:b/)?c",
    "/b/[^b]*/",
    "/a/b+/c",
    "/",
    "/(?:a/b|b/a)/.*",
    "/c/.{0,3}",
    "/a/b/c|.*/b",
    "/[^/]+/b",
    "/[^/]+/[^/]+/a",
    r"/.*\w",
    r"/.*\w/b/",
    ".*[ab]",
    "/.*(?i:b)/a",
    "/[^/]+/(?i:b)",
    r"/(a|b)/\x62/c$",
    r"/.*\.b",
];
const HOSTS: [&str; 7] = ["acme.com", "api.acme.com", "*.acme.com", "*.com", "*.api.acme.com", "[::1]", "x"];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "HEAD"];

impl Naive {
    fn random(lcg: &mut Lcg) -> Self {
        let kind = lcg.below(4);
        let path = if kind == 3 { lcg.pick(EXPRESSIONS).to_owned() } else { lcg.path() };
        let case = lcg.pick(&[Sensitive, Sensitive, Insensitive]);
        Self { hosts: lcg.some(&HOSTS), kind, path, case, methods: lcg.some(&METHODS) }
    }

    fn compiled(&self) -> Route {
        let path = match self.kind {
            0 => Ok(PathPattern::ANY),
            1 => PathPattern::exact(&self.path, self.case, Reject),
            2 => PathPattern::prefix(&self.path, self.case, Reject),
            _ => PathPattern::regex(&self.path, self.case, Reject),
        };
        Route { hosts: hosts(&self.hosts), path: path.unwrap(), methods: methods(&self.methods) }
    }

    fn matches(&self, host: &str, path: &str, method: &str) -> bool {
        let host = host.split(":8").next().unwrap().to_lowercase();
        let is_host = |pattern: &&str| match pattern.strip_prefix('*') {
            Some(above) => host.ends_with(above),
            None => host == *pattern,
        };
        (self.hosts.is_empty() || self.hosts.iter().any(is_host))
            && (self.methods.is_empty() || self.methods.contains(&method))
            && self.matches_path(path)
    }

    fn matches_path(&self, path: &str) -> bool {
        let fold = |text: &str| if self.case == Insensitive { text.to_lowercase() } else { text.to_owned() };
        let closed = |text: &str| format!("{}/", fold(text).trim_end_matches('/'));
        match self.kind {
            0 => true,
            1 => closed(path) == closed(&self.path),
            2 => closed(path).starts_with(&closed(&self.path)),
            _ => {
                let flag = if self.case == Insensitive { "(?i)" } else { "" };
                let regex = regex_lite::Regex::new(&format!(r"{flag}\A(?:{})\z", self.path)).unwrap();
                let shorter = path.strip_suffix('/').unwrap_or(path);
                regex.is_match(path) || (!shorter.is_empty() && regex.is_match(shorter))
            }
        }
    }
}

#[test]
fn router_finds_the_same_rule_as_a_linear_search() {
    let mut lcg = Lcg(7);
    let (mut found, mut none, mut late, mut ambiguous) = (0, 0, 0, 0);
    for _ in 0..1500 {
        let rules: Vec<Naive> = (0..lcg.pick(&[1, 3, 10, 40])).map(|_| Naive::random(&mut lcg)).collect();
        let router = Router::new(rules.iter().map(Naive::compiled).collect());
        for _ in 0..12 {
            let host = lcg.pick(&["acme.com", "API.acme.com", "v2.api.acme.com:8443", "b.com", "[::1]", "x", "y"]);
            let (path, method) = (lcg.path(), lcg.pick(&["GET", "POST", "PUT", "DELETE", "get"]));
            let expected = rules.iter().position(|rule| rule.matches(host, &path, method));
            match expected {
                Some(place) => {
                    found += 1;
                    late += usize::from(place > 3);
                }
                None => none += 1,
            }
            // With its port the host matches no rule's host.
            let as_written = match host.contains(":8") {
                true => rules.iter().position(|rule| rule.matches("unnamed", &path, method)),
                false => expected,
            };
            let names_hosts = rules.iter().any(|rule| !rule.hosts.is_empty());
            let expected = match as_written == expected || !names_hosts {
                true => Ok(expected),
                false => Err(RouteFault::HostAmbiguous),
            };
            ambiguous += usize::from(expected.is_err());
            let text = || rules.iter().map(|rule| format!("{:?}\n", rule.compiled())).collect::<String>();
            assert_eq!(find(&router, host, &path, method), expected, "{method} {host}{path} in\n{}", text());
        }
    }
    assert!(found > 5000 && none > 1000 && late > 1000, "{found} found, {late} of them late, {none} not");
    assert!(ambiguous > 200, "{ambiguous} ambiguous");
}
