//! The list of programs that commands may name.
//!
//! A shell can do anything with `$(…)`, redirections or a variable in the right place. So where there is a list, a command is a chain of
//! simple commands (`|`, `&&`, `||`, `;`, new lines) whose first words are on the list, with quotes, and nothing else of a shell:
//! what is not understood here is refused, never guessed. What a program on the list can do with its arguments is not judged.

use std::collections::BTreeSet;

/// Why a command is not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the command {0:?} is not allowed here: allowed are {1}")]
    Program(String, String),
    #[error("{0:?} is not allowed in a command here, because programs are: quote it")]
    Letter(char),
    #[error("a quote is not closed")]
    OpenQuote,
}

/// Whether every program that the command names is on the list.
pub(crate) fn check(text: &str, allowed: &BTreeSet<String>) -> Result<(), Refused> {
    for program in programs(text)? {
        check_program(&program, allowed)?;
    }
    Ok(())
}

/// Whether this program is on the list.
pub(crate) fn check_program(program: &str, allowed: &BTreeSet<String>) -> Result<(), Refused> {
    if allowed.contains(program) {
        return Ok(());
    }
    let names: Vec<_> = allowed.iter().map(String::as_str).collect();
    let program = crate::text::bounded(program, 60);
    Err(Refused::Program(program, names.join(", ")))
}

/// The first word of every simple command.
fn programs(text: &str) -> Result<Vec<String>, Refused> {
    let mut scan = Scan::default();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => scan.end_word(),
            '\n' | ';' => scan.end_command(),
            '|' => {
                letters.next_if_eq(&'|');
                scan.end_command();
            }
            '&' if letters.next_if_eq(&'&').is_some() => scan.end_command(),
            '\'' => scan.quoted(&mut letters, '\'', &[])?,
            '"' => scan.quoted(&mut letters, '"', &['$', '`', '\\'])?,
            '&' | '$' | '`' | '\\' | '<' | '>' | '(' | ')' | '{' | '}' | '#' | '\0' => {
                return Err(Refused::Letter(letter));
            }
            other => scan.word.get_or_insert_default().push(other),
        }
    }
    scan.end_command();
    Ok(scan.programs)
}

#[derive(Default)]
struct Scan {
    programs: Vec<String>,
    word: Option<String>,
    has_program: bool,
}

impl Scan {
    fn end_word(&mut self) {
        let word = self.word.take();
        if !self.has_program
            && let Some(word) = word
        {
            self.programs.push(word);
            self.has_program = true;
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.has_program = false;
    }

    fn quoted(
        &mut self,
        letters: &mut impl Iterator<Item = char>,
        quote: char,
        refused: &[char],
    ) -> Result<(), Refused> {
        let word = self.word.get_or_insert_default();
        loop {
            match letters.next() {
                None => return Err(Refused::OpenQuote),
                Some(letter) if letter == quote => return Ok(()),
                Some(letter) if refused.contains(&letter) => return Err(Refused::Letter(letter)),
                Some(letter) => word.push(letter),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed() -> BTreeSet<String> {
        ["curl", "grep", "hey"].map(str::to_owned).into()
    }

    #[test]
    fn the_hooks_of_published_manifests_pass() {
        for text in [
            "hey -z 1m -q 5 -c 2 http://frontend-canary.app:9898/",
            "curl -sd 'test' http://frontend-canary.app:9898/token | grep token",
            "hey -z 1m -q 5 -c 2 -H 'Cookie: type=insider' http://frontend.app:9898",
            "curl -s \"http://x/?a=1&b=2\" && hey http://x || grep a;",
            "\ncurl http://x\nhey http://x\n",
        ] {
            assert_eq!(check(text, &allowed()), Ok(()), "{text}");
        }
    }

    #[test]
    fn whatever_would_run_something_else_is_refused() {
        for text in [
            "rm -rf /",
            "hey http://x; rm -rf /",
            "hey http://x | rm",
            "hey http://x && 'rm' x",
            "hey $(rm x)",
            "hey `rm x`",
            "hey \"$(rm x)\"",
            "hey \"`rm x`\"",
            "hey <(rm x)",
            "hey > /etc/passwd",
            "hey & rm x",
            "PATH=/evil hey",
            "h\\ey",
            "{ rm x; }",
            "! rm x",
            "if hey; then rm x; fi",
            "hey # '\nrm x #'",
            "/tmp/hey",
            "hey 'open",
            "eval rm",
            "he\u{a0}y x",
        ] {
            assert!(check(text, &allowed()).is_err(), "{text}");
        }
    }

    /// What bash looks for and does not find among its functions, when nothing but `a` is there to be run.
    fn looked_for(text: &str) -> String {
        let prelude = "a() { :; }; command_not_found_handle() { printf 'FOUND:%s ' \"$1\" >&2; }; PATH=/nonexistent";
        let ran = std::process::Command::new("bash")
            .args(["-c", &format!("{prelude}\n{text}")])
            .current_dir("/proc/self") // where a redirection cannot write
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        let found = told.split("FOUND:").skip(1);
        found.collect()
    }

    #[test]
    fn bash_tells_what_it_looks_for() {
        assert_eq!(looked_for("a x | a"), "");
        assert_eq!(looked_for("a $(rm x)").trim(), "rm");
    }

    /// Pieces of commands, so that many of them pass.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a",
            "a",
            "a ",
            " a ",
            "b",
            " b ",
            " ",
            "'",
            "\"",
            "\\",
            "\n",
            ";",
            "|",
            "||",
            "&",
            "&&",
            "$(b)",
            "`b`",
            "<(b)",
            "(b)",
            "{ b; }",
            "#",
            "!",
            "x=1 ",
            "if ",
            " &b",
            " #'\nb #'",
            "\"`b`\"",
            "\"$(b)\"",
            "$b",
            "'b c'",
            "\"a b\"",
        ]);
        proptest::collection::vec(piece, 1..9).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        // Most are refused at once; of the rest a few hundred are run.
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// The law: where a command passed, bash looks for no program that is not listed.
        #[test]
        fn what_passes_names_listed_programs_only(text in pieces()) {
            if check(&text, &["a".to_owned()].into()).is_ok() {
                let found = looked_for(&text);
                prop_assert_eq!(&found, "", "{:?}", text);
            }
        }
    }
}
