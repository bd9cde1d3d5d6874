//! A command line without a shell, as words.

/// The words, with quotes and backslashes as a shell reads them; nothing where a quote is not closed.
///
/// **Differs from Flagger**, which splits at white space and leaves the quotes in the words: nobody means that.
pub(crate) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => single(&mut letters, word.get_or_insert_default())?,
            '"' => double(&mut letters, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(letters.next()?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

fn single(letters: &mut impl Iterator<Item = char>, word: &mut String) -> Option<()> {
    loop {
        match letters.next()? {
            '\'' => return Some(()),
            other => word.push(other),
        }
    }
}

/// A backslash escapes only what has a meaning here; before anything else it is itself.
fn double(letters: &mut impl Iterator<Item = char>, word: &mut String) -> Option<()> {
    loop {
        match letters.next()? {
            '"' => return Some(()),
            '\\' => match letters.next()? {
                escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        let rows: [(&str, Option<&[&str]>); 7] = [
            (
                "test podinfo --namespace test",
                Some(&["test", "podinfo", "--namespace", "test"]),
            ),
            (
                "get pods -o jsonpath='{.items[0].name} x'",
                Some(&["get", "pods", "-o", "jsonpath={.items[0].name} x"]),
            ),
            (r#"a "b \"c\" \d" ''"#, Some(&["a", r#"b "c" \d"#, ""])),
            (r"a\ b", Some(&["a b"])),
            ("  ", Some(&[])),
            ("a 'b", None),
            ("a\\", None),
        ];
        for (text, expected) in rows {
            let expected: Option<Vec<String>> =
                expected.map(|words| words.iter().map(ToString::to_string).collect());
            assert_eq!(split(text), expected, "{text}");
        }
    }
}
