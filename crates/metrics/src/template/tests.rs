use super::*;
use crate::variables::podinfo;

fn variables() -> Variables {
    let pairs = [("threshold", "5"), ("my-key", "x"), ("empty", "")];
    let given = pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Variables {
        name: "app".to_owned(),
        service: "app-svc".to_owned(),
        ingress: "app-in".to_owned(),
        route: "app-route".to_owned(),
        interval: "2m".to_owned(),
        variables: given,
        ..podinfo()
    }
}

fn check(rows: &[(&str, &str)]) {
    for (source, expected) in rows {
        assert_eq!(
            render(source, &variables()).as_deref(),
            Ok(*expected),
            "{source}"
        );
    }
}

#[track_caller]
fn refused(source: &str, expected: &str) {
    assert_eq!(
        render(source, &variables()).unwrap_err().to_string(),
        expected,
        "{source}"
    );
}

#[test]
fn every_value_has_its_name() {
    check(&[
        ("{{ name }}.{{namespace}}", "app.test"),
        (
            "{{ target }} {{ service }} {{ ingress }} {{ route }}",
            "podinfo app-svc app-in app-route",
        ),
        ("rate(x[{{ interval }}])", "rate(x[2m])"),
        ("{{ variables.threshold }}", "5"),
        ("{{ index variables \"my-key\" }}", "x"),
        ("{{ index variables `gone` }}.", "."),
        (
            "{{ \"a\\\"b\\\\d\" }}{{ `\\d\"` }}{{ true }}",
            "a\"b\\d\\d\"true",
        ),
        (
            "plain } text { stays }} as it is",
            "plain } text { stays }} as it is",
        ),
    ]);
}

#[test]
fn functions_mean_what_they_mean_to_go() {
    check(&[
        (
            "{{ printf \"%s-%v-%q-%%\" name target \"a\\\"b\" }}",
            "app-podinfo-\"a\\\"b\"-%",
        ),
        ("{{ target | printf \"%s/%s\" namespace }}", "test/podinfo"),
        ("{{ \"my-key\" | index variables | printf \"%s!\" }}", "x!"),
        (
            "{{ eq name \"app\" }} {{ eq name \"a\" \"app\" }} {{ ne name \"app\" }}",
            "true true false",
        ),
        (
            "{{ and name \"\" target }}|{{ or \"\" name target }}|{{ not name }}",
            "|app|false",
        ),
        ("{{ and true (not variables.empty) }}", "true"),
        ("{{ (printf \"%s\" name) }}", "app"),
        // What stands behind the argument that decides is not looked at.
        (
            "{{ or name variables.gone }}{{ and \"\" variables.gone }}",
            "app",
        ),
    ]);
}

#[test]
fn a_condition_takes_one_branch_and_looks_at_no_other() {
    check(&[
        ("{{ if name }}a{{ else }}{{ variables.gone }}{{ end }}", "a"),
        (
            "{{ if variables.empty }}a{{ else if eq name \"app\" }}b{{ else }}c{{ end }}",
            "b",
        ),
        ("{{ if not name }}a{{ end }}.", "."),
        (
            "{{ if eq (index variables \"gone\") \"\" }}{{ if true }}x{{ end }}{{ end }}",
            "x",
        ),
        ("{{ if variables }}given{{ end }}", "given"),
    ]);
}

#[test]
fn trim_markers_and_comments_leave_no_trace() {
    check(&[
        ("a \n{{- name -}}\n b", "aappb"),
        ("a {{- /* no */ -}} b", "ab"),
        ("a {{/* }} */}} b", "a  b"),
        ("a {{-  if true -}} b {{- end }} c", "ab c"),
        ("{{ printf\n\"%s\"\n\tname }}", "app"),
    ]);
}

#[test]
fn what_is_not_allowed_is_refused_by_name_and_place() {
    let names = "allowed are name, namespace, target, service, ingress, route, interval, variables, printf, index, eq, ne, and, or, not";
    refused(
        "a\n bä{{ quantile }}",
        &format!("line 2, column 7: unknown name \"quantile\", {names}"),
    );
    refused(
        "{{ len name }}",
        &format!("line 1, column 4: unknown name \"len\", {names}"),
    );
    for keyword in [
        "range", "with", "define", "template", "block", "break", "continue",
    ] {
        let expected =
            format!("line 1, column 4: {{{{{keyword}}}}}, allowed are values, if, else and end");
        refused(&format!("{{{{ {keyword} \"x\" }}}}"), &expected);
    }
    refused(
        "{{ .Name }}",
        "line 1, column 4: field .Name, names stand without a point before them: name, variables.key",
    );
    refused(
        "{{ $x := name }}",
        "line 1, column 4: '$' of a variable, allowed are names, texts in quotes, | and parentheses",
    );
    refused(
        "{{ printf \"%d\" 5 }}",
        "line 1, column 16: a number, allowed are names, texts in quotes, | and parentheses",
    );
    refused(
        "{{ printf \"%5s\" name }}",
        "line 1, column 4: printf with %5, allowed are %s, %v, %q and %%",
    );
    refused(
        "{{ printf \"%s\" }}",
        "line 1, column 4: printf \"%s\" with too few arguments, one for each verb is needed",
    );
    refused(
        "{{ printf \"\" name }}",
        "line 1, column 4: printf \"\" with too many arguments, one for each verb is allowed",
    );
    refused(
        "{{ true | printf \"%s\" }}",
        "line 1, column 11: printf with %s of true, allowed is %v for true and false",
    );
    refused(
        "{{ \"\\x41\" }}",
        "line 1, column 5: escape \\x in a text, allowed are \\\" \\\\ \\n \\r \\t; a text in backquotes needs none",
    );
    refused(
        "{{ variables.my-key }}",
        "line 1, column 16: '-' in a name, for such a key write index variables \"my-key\"",
    );
}

#[test]
fn an_unknown_key_names_the_keys_that_are_given() {
    let expected = "line 1, column 13: unknown key \"gone\" of variables, allowed is one of its keys: empty, my-key, threshold";
    refused("{{ variables.gone }}", expected);
    let nothing = render("{{ variables.gone }}", &podinfo())
        .unwrap_err()
        .to_string();
    assert_eq!(
        nothing,
        "line 1, column 13: unknown key \"gone\" of variables, no templateVariables are given"
    );
    refused(
        "{{ variables }}",
        "line 1, column 4: variables as a whole, allowed is one of its keys: empty, my-key, threshold",
    );
    refused(
        "{{ name.x }}",
        "line 1, column 8: key \"x\" of a text, only variables has keys",
    );
    refused(
        "{{ variables.a.b }}",
        "line 1, column 15: key .b, the action must end here with }}",
    );
}

#[test]
fn what_does_not_end_is_refused_where_it_begins() {
    refused(
        "a {{ name",
        "line 1, column 3: {{ that does not end, it must end with }}",
    );
    refused(
        "{{ if name }}",
        "line 1, column 1: {{if}} that does not end, it must end with {{end}}",
    );
    refused(
        "{{ if name }}{{ else }}",
        "line 1, column 1: {{if}} that does not end, it must end with {{end}}",
    );
    refused(
        "{{ end }}",
        "line 1, column 1: {{end}}, an {{if}} must come before it",
    );
    refused(
        "{{ else }}",
        "line 1, column 1: {{else}}, an {{if}} must come before it",
    );
    refused(
        "{{ if name }}{{ else }}{{ else }}{{ end }}",
        "line 1, column 24: a second {{else}}, one is allowed, as the last branch",
    );
    refused(
        "{{ \"a\nb\" }}",
        "line 1, column 4: a text that does not end, it must end with \" on the same line",
    );
    refused(
        "{{ `a }}",
        "line 1, column 4: a text that does not end, it must end with `",
    );
    refused(
        "{{/* a }}",
        "line 1, column 1: a comment that does not end, it must end with */}}",
    );
    refused(
        "{{ (name }}",
        "line 1, column 4: ( that does not end, it must end with )",
    );
}

#[test]
fn wrong_arguments_are_refused_with_the_usage() {
    refused(
        "{{ eq name }}",
        "line 1, column 4: eq with 1 arguments of these kinds, allowed is eq value value …",
    );
    refused(
        "{{ index name \"a\" }}",
        "line 1, column 4: index with 2 arguments of these kinds, allowed is index variables \"key\"",
    );
    refused(
        "{{ eq name true }}",
        "line 1, column 4: a comparison of different kinds, allowed are two texts, or two of true and false",
    );
    refused(
        "{{ name \"x\" }}",
        "line 1, column 9: text \"x\", the action must end here with }}",
    );
    refused(
        "{{ }}",
        "line 1, column 4: }}, a value or a function must stand here",
    );
    refused(
        "{{ and }}",
        "line 1, column 4: and with 0 arguments of these kinds, allowed is and value …",
    );
    refused(
        "{{ \"x\" | name }}",
        "line 1, column 10: a value behind |, allowed is a function: printf, index, eq, ne, and, or, not",
    );
}

#[test]
fn depth_is_bounded_so_that_no_template_exhausts_the_stack() {
    let deep =
        |open: &str, close: &str, n: usize| format!("{}name{}", open.repeat(n), close.repeat(n));
    assert_eq!(
        render(&format!("{{{{ {} }}}}", deep("(", ")", 50)), &variables()).as_deref(),
        Ok("app")
    );
    for source in [
        format!("{{{{ {} }}}}", deep("(", ")", 100_000)),
        deep("{{ if true }}", "{{ end }}", 100_000),
        format!("{{{{ variables{} }}}}", ".a".repeat(100_000)),
    ] {
        assert!(render(&source, &variables()).is_err());
    }
}
