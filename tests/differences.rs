//! The page about Flagger keeps in step with the list that the comparison with Flagger's recordings goes by.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test may fail as the test does"
)]

use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Words with one space between, however lines are broken.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The value of each line `reason = "…"`.
fn reasons(list: &str) -> Vec<String> {
    let lines = list
        .lines()
        .filter_map(|line| line.strip_prefix("reason = \""));
    lines
        .map(|rest| words(rest.trim_end_matches('"')))
        .collect()
}

#[test]
fn every_difference_of_the_traces_is_told_on_the_page_in_the_same_words() {
    let page = words(&read("docs/flagger-differences.md"));
    let reasons = reasons(&read("e2e/flagger/differences.toml"));
    assert!(!reasons.is_empty());
    let untold: Vec<&String> = reasons
        .iter()
        .filter(|reason| !page.contains(*reason))
        .collect();
    assert!(
        untold.is_empty(),
        "docs/flagger-differences.md does not say: {untold:#?}"
    );
}

#[test]
fn every_flag_whose_default_differs_is_told_on_the_page() {
    let page = read("docs/flagger-differences.md");
    let settings = read("crates/controller/src/settings.rs");
    let rows: Vec<&str> = settings
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `-"))
        .collect();
    assert!(!rows.is_empty());
    let untold: Vec<&&str> = rows
        .iter()
        .filter(|row| !page.contains(&format!("| `-{row}")))
        .collect();
    assert!(
        untold.is_empty(),
        "docs/flagger-differences.md does not say: {untold:#?}"
    );
}
