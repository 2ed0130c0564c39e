//! Templates against what Go makes of them; the outputs were seen with frp 0.70.1.
#![allow(clippy::unwrap_used)]

use super::*;

fn run(text: &str) -> Result<String, String> {
    let environment = [("A", "1"), ("B", ""), ("NAME", "x y")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    match render(text, &environment, Functions::Frp) {
        Ok(rendered) => Ok(rendered.map_or_else(|| text.to_owned(), |r| r.text)),
        Err(error) => Err(format!("{}: {}", error.at, error.message)),
    }
}

#[test]
fn what_files_use() {
    let cases = [
        ("a = \"{{ .Envs.NAME }}\"", "a = \"x y\""),
        ("{{ .Envs.NOPE }}", "<no value>"),
        (
            "{{ .Envs.NOPE.x }} {{ .Envs.NOPE | print }}",
            "<no value> <nil>",
        ),
        (
            "{{ 1e21 }} {{ 0.00001 }} {{ 1 | print 2 }} {{ print true false }}",
            "1e+21 1e-05 2 1 true false",
        ),
        ("{{.Envs.B}}", ""),
        ("no action", "no action"),
        ("a {{- \"b\" -}} c", "abc"),
        ("a\n{{- /* note */ -}}\nb", "ab"),
        ("{{/* a }} b */}}c", "c"),
        ("{{ if .Envs.A }}y{{ else }}n{{ end }}", "y"),
        (
            "{{ if .Envs.NOPE }}1{{ else if .Envs.B }}2{{ else if .Envs.A }}3{{ end }}",
            "3",
        ),
        (
            "{{ with .Envs.A }}<{{ . }}>{{ end }}{{ with .Envs.B }}x{{ else }}none{{ end }}",
            "<1>none",
        ),
        (
            "{{ range parseNumberRange \"1-3,7\" }}{{ . }};{{ end }}",
            "1;2;3;7;",
        ),
        (
            "{{ range $i, $v := parseNumberRangePair \"1-2\" \"8-9\" }}{{ $i }}:{{ $v.First }}-{{ .Second }} {{ end }}",
            "0:1-8 1:2-9 ",
        ),
        (
            "{{ range $_, $v := parseNumberRange \"1-9\" }}{{ if eq $v 3 }}{{ continue }}{{ end }}{{ if gt $v 4 }}{{ break }}{{ end }}{{ $v }}{{ end }}",
            "124",
        ),
        (
            "{{ $x := \"a\" }}{{ if true }}{{ $x = \"b\" }}{{ end }}{{ $x }}{{ $.Envs.A }}",
            "b1",
        ),
        (
            "{{ range 3 }}{{ . }}{{ else }}none{{ end }}{{ range 0 }}x{{ else }}none{{ end }}",
            "012none",
        ),
        ("{{ .Envs.A | printf \"%s-%s\" \"x\" }}", "x-1"),
        (
            "{{ printf \"%03d|%-4s|%q|%v|%5.2f|%x|%%\" 7 \"ab\" \"c\" true 3.14159 255 }}",
            "007|ab  |\"c\"|true| 3.14|ff|%",
        ),
        (
            "{{ printf \"%d\" \"x\" }}{{ printf \"%s\" }}{{ printf \"a\" 1 }}",
            "%!d(string=x)%!s(MISSING)a%!(EXTRA int=1)",
        ),
        ("{{ print 1 2 \"a\" \"b\" 3 }}", "1 2ab3"),
        ("{{ println 1 \"a\" }}", "1 a\n"),
        (
            "{{ and 1 0 }} {{ or 0 \"\" \"x\" }} {{ not 1 }} {{ and true (eq 1 1) }}",
            "0 x false true",
        ),
        (
            "{{ eq .Envs.A \"2\" \"1\" }} {{ ne 1 2 }} {{ lt 1 2 }} {{ le \"b\" \"a\" }} {{ ge 2.5 2.5 }}",
            "true true true false true",
        ),
        (
            "{{ index .Envs \"A\" }}{{ index .Envs \"NOPE\" }}{{ index (parseNumberRange \"5-6\") 1 }}",
            "16",
        ),
        (
            "{{ len .Envs.NAME }} {{ len (parseNumberRange \"1-4\") }}",
            "3 4",
        ),
        (
            "{{ 'a' }}{{ 0x10 }}{{ 1_000 }}{{ -2 }}{{ 1.50 }}{{ `r\\n` }}{{ \"\\u00e4\\t\" }}",
            "97161000-21.5r\\nä\t",
        ),
        (
            "{{ parseNumberRange \"1-3\" }}{{ parseNumberRangePair \"1\" \"2\" }}",
            "[1 2 3][{1 2}]",
        ),
    ];
    for (template, expected) in cases {
        assert_eq!(run(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn errors_are_those_of_go_with_their_places() {
    let cases = [
        ("ab {{ foo }}", "6: function \"foo\" not defined"),
        ("{{ if }}x{{ end }}", "missing value for if"),
        ("{{ range }}{{ end }}", "missing value for range"),
        ("{{ }}", "missing value for command"),
        ("x {{ .Envs.A ", "unclosed action"),
        ("{{ \"a }}", "3: unterminated quoted string"),
        ("{{ end }}", "3: unexpected {{end}}"),
        ("{{ if true }}x", "unexpected EOF"),
        ("{{ break }}", "{{break}} outside {{range}}"),
        ("{{ $x }}", "3: undefined variable \"$x\""),
        (
            "{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}",
            "undefined variable \"$x\"",
        ),
        ("{{ 1x }}", "3: bad number syntax: \"1x\""),
        (
            "{{ .Foo }}",
            "3: executing \"frp\" at <.Foo>: can't evaluate field Foo in type *config.Values",
        ),
        (
            "{{ .Envs.A.b }}",
            "10: executing \"frp\" at <.Envs.A.b>: can't evaluate field b in type string",
        ),
        (
            "{{ eq .Envs.A 1 }}",
            "3: executing \"frp\" at <eq .Envs.A 1>: error calling eq: incompatible types for comparison: string and int",
        ),
        (
            "{{ parseNumberRangePair \"1-3\" \"2\" }}",
            "error calling parseNumberRangePair: first and second range numbers are not in pairs",
        ),
        (
            "{{ parseNumberRange \"x\" }}",
            "error calling parseNumberRange: range number is invalid, strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "{{ parseNumberRange 1 }}",
            "20: executing \"frp\" at <1>: expected string; found 1",
        ),
        (
            "{{ eq 1 }}",
            "error calling eq: missing argument for comparison",
        ),
        ("{{ not }}", "wrong number of args for not: want 1 got 0"),
        ("{{ len 3 }}", "error calling len: len of type int"),
        (
            "{{ define \"x\" }}{{ end }}",
            "3: {{define}} is not supported",
        ),
        ("{{ html \"x\" }}", "3: function \"html\" is not supported"),
        ("{{ (1 }}", "unclosed left paren"),
        ("{{ 1) }}", "unexpected right paren"),
        ("{{/* x }}", "unclosed comment"),
        ("{{ \"a\" | .Envs }}", "non executable command in pipeline"),
    ];
    for (template, expected) in cases {
        let error = run(template).unwrap_err();
        assert!(error.contains(expected), "{template}: {error}");
    }
}

#[test]
fn ini_files_have_only_the_functions_of_go() {
    let environment = BTreeMap::new();
    let text = "{{ parseNumberRange \"1\" }}";
    let error = render(text, &environment, Functions::Builtin).unwrap_err();
    assert_eq!(error.message, "function \"parseNumberRange\" not defined");
}

#[test]
fn a_place_in_the_output_is_one_in_the_template() {
    let text = "ab\n{{ range 2 }}cd {{ . }} e\n{{ end }}f";
    let rendered = render(text, &BTreeMap::new(), Functions::Frp)
        .unwrap()
        .unwrap();
    assert_eq!(rendered.text, "ab\ncd 0 e\ncd 1 e\nf");
    assert_eq!(rendered.origin(1), 1);
    for (out, source) in [("cd 1", "cd "), ("1 e", ". }}"), ("f", "f")] {
        let at = rendered.text.rfind(out).unwrap();
        assert_eq!(rendered.origin(at), text.rfind(source).unwrap(), "{out}");
    }
}

#[test]
fn what_never_ends_ends() {
    for text in [
        "{{ range 1000000000 }}{{ range 1000000000 }}{{ end }}{{ end }}",
        "{{ range 9000000 }}0123456789{{ end }}",
        "{{ printf \"%999999999d\" 1 }}{{ range 100000 }}{{ printf \"%999d\" 1 }}{{ end }}",
    ] {
        assert!(run(text).is_err(), "{text}");
    }
    let deep = "{{ if true }}".repeat(5000);
    assert!(run(&deep).is_err());
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    assert!(run(&deep).is_err());
}
