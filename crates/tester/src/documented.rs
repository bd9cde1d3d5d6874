//! The page `docs/tester.md`: every suite in it is one, every hook in it a task.

use serde_json::Value;

use crate::payload::Payload;
use crate::suite::Suite;
use crate::task::Task;

const PAGE: &str = include_str!("../../../docs/tester.md");

fn blocks() -> impl Iterator<Item = &'static str> {
    let blocks = PAGE.split("```yaml\n").skip(1);
    blocks.filter_map(|rest| rest.split("```").next())
}

#[test]
fn every_yaml_of_the_page_is_a_suite_or_hooks_that_are_tasks() {
    let (mut suites, mut hooks) = (0, 0);
    for block in blocks() {
        let value: Value = serde_saphyr::from_str(block).unwrap();
        if value.get("checks").is_some() {
            Suite::parse(block, "page").unwrap();
            suites += 1;
            continue;
        }
        for hook in value["webhooks"].as_array().unwrap() {
            let metadata = serde_json::from_value(hook["metadata"].clone()).unwrap();
            let payload = Payload {
                metadata: Some(metadata),
                ..Payload::default()
            };
            Task::parse(&payload).unwrap();
            hooks += 1;
        }
    }
    assert!(suites > 0 && hooks > 5, "{suites} suites, {hooks} hooks");
}
