//! `check` of nginx configurations: each warning and fault with its place, and `deploy/nginx/nginx.conf` without any.

use std::fs;

use crate::tool::{assert_golden, root, run, run_with_input};

const FILE: &str = "deploy/nginx/nginx.conf";
const PASS: &str = "proxy_pass http://127.0.0.1:9000/;";

/// The file without faults and warnings.
fn clean() -> String {
    fs::read_to_string(root().join(FILE)).unwrap()
}

/// The clean file with other text in one place.
fn changed(from: &str, to: &str) -> String {
    let clean = clean();
    assert_eq!(clean.matches(from).count(), 1, "{from}");
    clean.replace(from, to)
}

/// With directives in the location.
fn in_location(directives: &str) -> String {
    changed(PASS, &format!("{PASS} {directives}"))
}

/// With another location.
fn with_location(location: &str) -> String {
    changed("        location / {", &format!("        {location}\n        location / {{"))
}

fn without(line: &str) -> String {
    changed(line, "")
}

#[test]
fn the_file_that_ships_has_no_fault_and_no_warning() {
    let found = run(&["check", "--strict", FILE]);
    assert_eq!(found.status, 0, "{}", found.transcript());
    let line = 1 + clean().lines().position(|line| line.contains("proxy_wasm okta")).unwrap();
    assert_eq!(found.stdout, format!("{FILE}:{line}: proxy_wasm okta: no fault\n"));
    assert_eq!(run(&["explain", "--config", FILE]).status, 1, "the other commands read it, too");
}

#[test]
fn each_warning_and_fault_is_reported_with_its_line() {
    let cases = [
        // Where no filter runs.
        (
            "location with another filter",
            with_location("location /other { proxy_wasm another; proxy_pass http://b/other; }"),
        ),
        ("location with wasm_call", with_location("location /other { wasm_call rewrite another run; }")),
        (
            "server without the filter",
            changed("    server {", "    server { listen 81; location / { proxy_pass http://b/; } }\n    server {"),
        ),
        (
            "filter in one location only",
            changed("        location / {", "        location /x/ { proxy_pass http://b/; }\n        location /y/ {")
                .replacen(
                    "        proxy_wasm okta '{",
                    "        location /z/ { proxy_pass http://b/; proxy_wasm okta '{",
                    1,
                )
                .replacen("        }';", "        }'; }", 1),
        ),
        (
            "error_page to a location without the filter",
            with_location("error_page 413 @big; location @big { proxy_wasm another; proxy_pass http://b; }"),
        ),
        // Directives that respond before the filter, or without it.
        ("rewrite last", in_location("rewrite ^/a /b last;\nif ($host = x) { rewrite ^/c /d; }")),
        ("rewrite redirect", in_location("rewrite ^/a /b permanent;\nrewrite ^/c https://acme.com/;")),
        ("return", in_location("if ($arg_x) { return 200 text; }")),
        ("mirror", changed("    server {", "    mirror /copy;\n    server {")),
        ("auth_request", in_location("auth_request /auth;")),
        // A second run of the filter.
        ("try_files", in_location("try_files $uri /index.html;")),
        ("error_page", in_location("error_page 502 /sorry.html;")),
        ("index", with_location("index home.html; location /files/ { root /srv; }")),
        // The path that the backend receives.
        ("proxy_pass without a URI", changed(PASS, "proxy_pass http://127.0.0.1:9000;")),
        ("proxy_pass to a socket", with_location("location /s/ { proxy_pass http://unix:/run/b.sock; }")),
        ("proxy_pass in a regular expression", with_location("location ~ ^/v\\d { proxy_pass http://b; }")),
        ("proxy_pass in if", in_location("if ($arg_x) { proxy_pass http://b; }")),
        ("proxy_pass with a variable", with_location("location /v/ { proxy_pass http://$arg_b; }")),
        ("proxy_pass with $request_uri", with_location("location /v/ { proxy_pass http://b$request_uri; }")),
        ("proxy_pass with $uri", with_location("location /v/ { proxy_pass http://b$uri; }")),
        ("location without a slash", with_location("location /v { proxy_pass http://b/; }")),
        ("alias without a slash", with_location("location /v { alias /srv/; }")),
        // Settings of `wasm`.
        ("no tls_trusted_certificate", without("tls_trusted_certificate /etc/ssl/certs/ca-certificates.crt;")),
        ("no tls_verify_cert", changed("tls_verify_cert on;", "tls_verify_cert off;")),
        ("no tls_verify_host", without("tls_verify_host on;")),
        ("no resolver", without("resolver 127.0.0.1;")),
        ("name of a cluster as upstream", changed("acme.okta.com:443", "okta")),
        // Settings of `http`.
        ("isolation", changed("proxy_wasm_isolation none;", "proxy_wasm_isolation stream;")),
        ("underscores_in_headers", changed("underscores_in_headers off;", "underscores_in_headers on;")),
        ("ignore_invalid_headers", changed("ignore_invalid_headers on;", "ignore_invalid_headers off;")),
        ("merge_slashes", changed("merge_slashes on;", "merge_slashes off;")),
        ("access phase", in_location("proxy_wasm_request_headers_in_access on;")),
        ("default access log", without("access_log /var/log/nginx/access.log no_query;")),
        ("access log with the default format", in_location("access_log /a.log;\naccess_log /b.log buffer=1m;")),
        ("access log with $request", changed("$request_method $uri ", "${request} ")),
        // The configuration of the filter.
        ("fault in the configuration", changed("\"audiences\"", "\"audience\"")),
        ("text that is too long", changed("\"realm\": \"acme\"", &format!("\"realm\": \"acme\"{}", " ".repeat(4094)))),
        ("from_params", changed("\"responses\"", "\"token\": { \"from_params\": [\"t\"] }, \"responses\"")),
        (
            "filter_state",
            changed(
                "\"responses\"",
                "\"filter_state\": [{ \"name\": \"tenant\", \"claim\": \"tenant\" }], \"responses\"",
            ),
        ),
        ("clear_route_cache", changed("\"responses\"", "\"clear_route_cache\": true, \"responses\"")),
        (
            "condition",
            changed(
                "\"responses\"",
                "\"default_rule\": { \"require\": { \"condition\": \"connection.mtls\" } }, \"responses\"",
            ),
        ),
        (
            "variable without env",
            changed(
                "\"audiences\"",
                "\"introspection\": { \"client_id\": \"c\", \"client_secret\": { \"env\": \"SECRET\" } }, \"audiences\"",
            ),
        ),
    ];
    let mut transcript = String::new();
    for (name, text) in cases {
        let found = run_with_input(&["check", "--strict", "--assume-env", "-"], &text);
        assert_eq!(found.status, 1, "{name}: {}", found.transcript());
        transcript.push_str(&format!("== {name}\n{}{}", found.stdout, found.stderr));
    }
    assert_golden("check-nginx", &transcript);
}

#[test]
fn harmless_directives_give_no_warning() {
    for (name, text) in [
        ("rewrite break", in_location("rewrite ^/a /b break;")),
        ("rewrite in the server", with_location("rewrite ^/a /b last; rewrite ^/c /d permanent;")),
        ("return of an error", in_location("if ($arg_x) { return 403; }")),
        ("location that only responds", with_location("location = /live { proxy_wasm another; return 200 ok; }")),
        ("location that denies", with_location("location ~ /\\. { proxy_wasm another; deny all; }")),
        ("internal location", with_location("location @b { proxy_wasm another; proxy_pass http://b; }")),
        ("auth_request off", in_location("auth_request off;")),
        ("try_files to a status", with_location("location /f/ { root /srv; try_files $uri =404; }")),
        (
            "try_files to a location without the filter",
            with_location(
                "location @b { proxy_wasm another; proxy_pass http://b; } location /f/ { try_files $uri @b; }",
            ),
        ),
        (
            "error_page to a file",
            with_location(
                "error_page 502 /50x.html; location = /50x.html { internal; proxy_wasm another; root /srv; }",
            ),
        ),
        (
            "server that only redirects",
            changed("    server {", "    server { listen 80; return 301 https://$host; }\n    server {"),
        ),
        ("server of a stream", changed("http {", "stream { server { listen 1; proxy_pass b:1; } }\nhttp {")),
        ("access log off", in_location("access_log off;")),
        ("location for one file", with_location("location = /a.txt { root /srv; }")),
        ("upstream by address", changed("acme.okta.com:443", "[::1]:443").replace("resolver 127.0.0.1;", "")),
        ("Lua", in_location("access_by_lua_block { if a then return { \"}\" } end }")),
    ] {
        let found = run_with_input(&["check", "--strict", "-"], &text);
        assert_eq!(found.status, 0, "{name}: {}", found.transcript());
    }
    let forwards = changed("\"responses\"", "\"token\": { \"forward\": true }, \"responses\"");
    let forwards =
        forwards.replace(PASS, "root /srv; index a.html; error_page 502 /sorry.html; try_files $uri /index.html;");
    let found = run_with_input(&["check", "-"], &forwards);
    assert!(!found.stdout.contains("internal redirect"), "{}", found.transcript());
}

#[test]
fn positions_are_those_of_the_escaped_text() {
    let text = "events {}\nhttp { server { proxy_wasm okta '{\"a\\\\\\\\b\": 1, \"c\": 2,\n  \"it\\'s\": 3, \"x\": 4}'; } }\nwasm { module okta /okta_proxy_wasm.wasm; }\n";
    let found = run_with_input(&["check", "--format", "json", "-"], text).json();
    let faults = found["configurations"][0]["faults"].as_array().unwrap().clone();
    let position = |path: &str| {
        let fault = faults.iter().find(|fault| fault["path"] == path).unwrap_or_else(|| panic!("{path}: {faults:?}"));
        (fault["line"].as_u64().unwrap(), fault["column"].as_u64().unwrap())
    };
    let column = |line: usize, of: &str| text.lines().nth(line - 1).unwrap().find(of).unwrap() as u64 + 1;
    assert_eq!(position("$.c"), (2, column(2, "\"c\"")));
    assert_eq!(position("$.x"), (3, column(3, "\"x\"")));
    assert_eq!(found["configurations"][0]["location"], "-:2: proxy_wasm okta");
}

#[test]
fn included_files_and_different_configurations_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = |audience: &str| {
        format!(
            r#"{{"providers":{{"okta":{{"okta":{{"domain":"acme.okta.com"}},"{audience}":["a"],"upstream":"10.0.0.1:443"}}}}}}"#
        )
    };
    let main = "events {}\nwasm { module f /f.wasm; tls_trusted_certificate /c; tls_verify_cert on; tls_verify_host on; }\n\
                http { access_log off; include sites/*.conf; }\n";
    let server = |number: &str, text: &str| {
        format!("\nserver {{ location / {{\n  proxy_wasm f '{text}'; proxy_pass http://{number}/; }} }}\n")
    };
    fs::create_dir(folder.path().join("sites")).unwrap();
    for (file, text) in [
        ("nginx.conf", main.to_owned()),
        ("sites/a.conf", server("a", &plugin("audiences"))),
        ("sites/b.conf", server("b", &plugin("audiences"))),
        ("sites/c.conf", server("c", &plugin("audience"))),
    ] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let file = |name: &str| folder.path().join(name).display().to_string();
    let found = run(&["check", &file("nginx.conf")]);
    assert_eq!(found.status, 1, "{}", found.transcript());
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert_eq!(lines[0], format!("{}:3: proxy_wasm f: no fault", file("sites/a.conf")), "{}", found.transcript());
    assert!(lines[1].starts_with(&format!("{}:3: proxy_wasm f: ", file("sites/c.conf"))), "{}", found.transcript());
    assert!(lines[2].contains(&format!("{}:3:", file("sites/c.conf"))), "{}", found.transcript());
    assert!(!found.stdout.contains("warning:"), "{}", found.transcript());
    // A file that `http` includes is checked alone, too.
    assert_eq!(run(&["check", "--strict", &file("sites/a.conf")]).status, 0);
    fs::write(folder.path().join("nginx.conf"), "events {}\nhttp { include none.conf; }").unwrap();
    let found = run(&["check", &file("nginx.conf")]);
    assert_eq!(found.status, 2, "{}", found.transcript());
    assert!(found.stderr.contains(&format!("{}:2:16: cannot include ", file("nginx.conf"))), "{}", found.stderr);
}

#[test]
fn a_file_without_the_filter_or_with_bad_syntax_cannot_be_checked() {
    for (text, expected) in [
        ("events {}\nhttp { server { proxy_wasm other '{}'; } }", "no okta-proxy-wasm plugin in this file"),
        ("events {}\nhttp {\n  server { listen 80 }\n}", "-:3:22: unexpected `}`"),
    ] {
        let found = run_with_input(&["check", "-"], text);
        assert_eq!(found.status, 2, "{}", found.transcript());
        assert!(found.stderr.contains(expected), "{}", found.transcript());
    }
}

#[test]
fn the_module_for_envoy_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let check = |callback: &str| {
        let export = [&[1, callback.len() as u8][..], callback.as_bytes(), &[0, 0]].concat();
        let module = [b"\0asm\x01\0\0\0", &[7, export.len() as u8][..], &export].concat();
        let path = folder.path().join("okta_proxy_wasm.wasm");
        fs::write(&path, module).unwrap();
        run_with_input(&["check", "-"], &changed("/etc/nginx/okta_proxy_wasm.wasm", path.to_str().unwrap()))
    };
    let found = check("proxy_on_request_headers");
    assert_eq!(found.status, 1, "{}", found.transcript());
    assert!(
        found.stdout.contains("module: this is the module for Envoy: it lacks proxy_on_response_headers"),
        "{}",
        found.stdout
    );
    assert_eq!(check("proxy_on_response_headers").status, 0);
}

#[test]
fn a_key_that_nginx_cannot_sign_with_is_a_fault() {
    let settings = r#""introspection": { "client_id": "c", "client_auth": "private_key_jwt", "private_key": { "env": "KEY" } }, "audiences""#;
    let text = format!("env KEY;\n{}", changed("\"audiences\"", settings));
    let folder = tempfile::tempdir().unwrap();
    let variables = folder.path().join("secrets.env");
    let key = fs::read_to_string(root().join("tests/data/keys/rsa-2048-a.pem")).unwrap();
    fs::write(&variables, format!("KEY=\"{}\"\n", key.trim().replace('\n', "\\n"))).unwrap();
    let found = run_with_input(&["check", "--env-file", variables.to_str().unwrap(), "-"], &text);
    assert_eq!(found.status, 1, "{}", found.transcript());
    let fault =
        "$.providers.okta.introspection.private_key: nginx does not sign with an RSA key\n    fix: use a P-256 key";
    assert!(found.stdout.contains(fault), "{}", found.transcript());
    // The assumed key is of P-256.
    assert_eq!(run_with_input(&["check", "--assume-env", "--strict", "-"], &text).status, 0);
}
