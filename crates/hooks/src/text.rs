//! Text from outside, made fit for an event or a chat.

/// The text on one line, without control characters, and of at most so many characters; a cut is marked by `…`.
pub(crate) fn bounded(text: &str, characters: usize) -> String {
    let line = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    cut(&line.collect::<Vec<_>>().join(" "), characters)
}

/// The text as it is, but of at most so many characters; a cut is marked by `…`.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some(_) => text
            .chars()
            .take(characters.saturating_sub(1))
            .chain(['…'])
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_one_bounded_line() {
        assert_eq!(bounded(" a\r\n\tb\u{0}c  ", 10), "a b c");
        assert_eq!(bounded("abcde", 5), "abcde");
        assert_eq!(bounded("äbcdef", 5), "äbcd…");
        assert_eq!(bounded("", 5), "");
    }

    #[test]
    fn a_cut_keeps_lines() {
        assert_eq!(cut("a\nb", 3), "a\nb");
        assert_eq!(cut("a\nbc", 3), "a\n…");
    }
}
