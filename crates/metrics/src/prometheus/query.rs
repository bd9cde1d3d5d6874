//! A query on one line.

/// The query with every run of white space outside of strings as one space, and without comments.
///
/// Flagger collapses white space everywhere: a comment then swallows the rest of the query, and a string with two spaces is another
/// string. A query without either comes out the same.
pub(super) fn on_one_line(query: &str) -> String {
    let mut line = String::with_capacity(query.len());
    let mut rest = query.chars();
    let mut gap = false;
    while let Some(c) = rest.next() {
        match c {
            '#' => {
                gap = true;
                rest.by_ref().find(|c| *c == '\n');
            }
            _ if c.is_whitespace() => gap = true,
            _ => {
                if gap && !line.is_empty() {
                    line.push(' ');
                }
                gap = false;
                line.push(c);
                if matches!(c, '"' | '\'' | '`') {
                    string(c, &mut rest, &mut line);
                }
            }
        }
    }
    line
}

/// The rest of a string, up to and with its closing quote. Only a raw string knows no escapes.
fn string(quote: char, rest: &mut std::str::Chars<'_>, line: &mut String) {
    while let Some(c) = rest.next() {
        line.push(c);
        if c == quote {
            return;
        }
        if c == '\\' && quote != '`' {
            line.extend(rest.next());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_becomes_one_space_and_comments_go_but_strings_stay() {
        let rows = [
            ("\n sum(\n\t rate( x[1m] )\r\n)\n", "sum( rate( x[1m] ) )"),
            ("a # all of them\n + b # and", "a + b"),
            ("x{a=\"two  spaces # kept\"}", "x{a=\"two  spaces # kept\"}"),
            (
                "x{a=\"q\\\"  #\", b='c  \\'#'} #d",
                "x{a=\"q\\\"  #\", b='c  \\'#'}",
            ),
            ("x{a=`\\`}  # y", "x{a=`\\`}"),
            ("x{a=\"never  closed", "x{a=\"never  closed"),
            (" \n ", ""),
            ("# nothing else", ""),
        ];
        for (query, expected) in rows {
            assert_eq!(on_one_line(query), expected, "{query:?}");
        }
    }
}
