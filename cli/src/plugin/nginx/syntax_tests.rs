//! What nginx makes of quotes, escapes, variables and comments, and where faults are reported.

use super::*;

fn source(text: &str) -> Rc<Source> {
    Rc::new(Source { name: String::from("nginx.conf"), text: text.into() })
}

fn parsed(text: &str) -> Vec<Directive> {
    parse(&source(text)).unwrap_or_else(|error| panic!("{error}"))
}

/// The arguments of the first directive.
fn arguments(text: &str) -> Vec<String> {
    parsed(text)[0].arguments.iter().map(|word| word.value.clone()).collect()
}

fn error(text: &str) -> String {
    parse(&source(text)).map_or_else(|error| error.to_string(), |_| String::from("no error"))
}

#[test]
fn quotes_escapes_and_variables_are_read_as_nginx_reads_them() {
    for (text, expected) in [
        ("a b  c\td\r\ne;", &["b", "c", "d", "e"][..]),
        ("a 'b c' \"d ; e\";", &["b c", "d ; e"]),
        (r#"a 'it\'s' "say \"x\"" '"';"#, &["it's", "say \"x\"", "\""]),
        ("a ${b}c/$d x$;", &["${b}c/$d", "x$"]),
        ("a b'c d\"e f#g h}i;", &["b'c", "d\"e", "f#g", "h}i"]),
        ("a '' \"\";", &["", ""]),
        ("if ($a ~ \"x\") {}", &["($a", "~", "x", ")"]),
        ("a # '{;\n b;", &["b"]),
        ("a 'é\n ü';", &["é\n ü"]),
    ] {
        assert_eq!(arguments(text), expected, "{text}");
    }
    assert_eq!(arguments(r"a '\\d \d' \;x \\;"), [r"\d \d", r"\;x", r"\"]);
    assert_eq!(arguments(r"a '\t|\r|\n';"), ["\t|\r|\n"]);
}

#[test]
fn blocks_are_nested() {
    let found = parsed("http {\n  server { listen 80; location / {} }\n}\nevents{}");
    let server = &found[0].directives()[0];
    assert_eq!(server.directives().iter().map(|it| it.name.value.as_str()).collect::<Vec<_>>(), ["listen", "location"]);
    assert_eq!(server.directives()[0].block.as_ref().map(Vec::len), None);
    assert_eq!(server.directives()[1].location().to_string(), "nginx.conf:2");
    assert!(found[1].is("events") && found[1].arguments.is_empty() && found[1].block.is_some());
}

#[test]
fn lua_is_skipped_up_to_its_closing_brace() {
    let lua = "content_by_lua_block {\n local a = { '}', \"}\\\"}\" } -- }\n --[[ } ]] local b = [==[ }]] ]==] .. t[1]\n}\nreturn 200;";
    let found = parsed(lua);
    assert_eq!(found.iter().map(|it| it.name.value.as_str()).collect::<Vec<_>>(), ["content_by_lua_block", "return"]);
    assert_eq!(parsed("set_by_lua_block $a { return {} }\nb;")[0].argument(0), "$a");
    assert_eq!(error("a;\nx_by_lua_block {\n { }\n"), "nginx.conf:2:16: no `}` closes this block");
}

#[test]
fn faults_have_line_and_column() {
    for (text, expected) in [
        ("a;\n  'b", "2:3: no quote closes this text"),
        ("a 'b\\", "1:3: no quote closes this text"),
        ("a;\nb {\n c;\n", "2:3: no `}` closes this block"),
        ("a;\n }", "2:2: unexpected `}`: no block is open here"),
        ("é {\n b }", "2:4: unexpected `}`: expected `;` after the directive before it"),
        ("a;;", "1:3: unexpected `;`: expected a directive"),
        ("{", "1:1: unexpected `{`: expected a directive"),
        ("a 'b'é;", "1:6: unexpected `é`: expected a space or `;` after the closing quote"),
        ("a b", "1:4: the file ends here: expected `;` or `{`"),
        ("a \\", "1:4: the file ends here: expected `;` or `{`"),
    ] {
        assert_eq!(error(text), format!("nginx.conf:{expected}"), "{text}");
    }
    assert!(error(&"a {".repeat(MAX_DEPTH + 2)).ends_with("the blocks are nested too deeply"));
    assert!(error(&"a {".repeat(MAX_DEPTH)).ends_with("no `}` closes this block"));
}

#[test]
fn positions_of_an_escaped_text_are_those_of_the_file() {
    let text = "a '{\"é\\\\\\\\b\": 1,\n\"it\\'s\": 2, \"c\": 3}';";
    let found = parsed(text);
    let word = &found[0].arguments[0];
    assert_eq!(word.value, "{\"é\\\\b\": 1,\n\"it's\": 2, \"c\": 3}");
    assert_eq!(word.written_length(), text.len() - "a '';".len());
    let (origin, lines) = (word.origin(), Lines::of(&word.value));
    let find = |text: &str| lines.position(word.value.find(text).unwrap()).unwrap();
    let position = |text: &str| origin.position(find(text)).map(|it| (it.line, it.column));
    assert_eq!(position("\"é"), Some((1, 5)));
    assert_eq!(position("\"it"), Some((2, 1)));
    assert_eq!(position("\"c"), Some((2, 13)));
}
