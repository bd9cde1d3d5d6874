use super::*;

fn payload(metadata: &[(&str, &str)]) -> Payload {
    let pairs = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Payload {
        name: "podinfo".to_owned(),
        namespace: "test".to_owned(),
        metadata: Some(pairs.collect()),
        ..Payload::default()
    }
}

#[track_caller]
fn refused(metadata: &[(&str, &str)]) -> String {
    Task::parse(&payload(metadata)).unwrap_err().to_string()
}

#[test]
fn what_is_no_task_is_refused_by_name() {
    let refusal = Task::parse(&Payload::default()).unwrap_err();
    assert_eq!(refusal.to_string(), "metadata not found in payload");
    assert_eq!(refused(&[]), "cmd not found in metadata");
    assert_eq!(
        refused(&[("type", "")]),
        "unknown task type \"\": allowed are cmd, bash, helm, helmv3, kubectl, concord, suite, load"
    );
    assert!(refused(&[("type", "ngrinder")]).contains("nGrinder is not supported"));
    assert_eq!(
        refused(&[("type", "helm"), ("cmd", "test 'x")]),
        "the cmd of a helm task has a quote that is not closed: \"test 'x\""
    );
    assert_eq!(
        refused(&[("type", "concord"), ("server", "http://x")]),
        "`org` is required with type concord"
    );
    for file in ["../etc/passwd", "/etc/passwd", ".hidden", "", "a b"] {
        assert_eq!(
            refused(&[("type", "suite"), ("suiteFile", file)]),
            "metadata.suiteFile: must be the name of a file"
        );
    }
}

#[test]
fn a_load_in_metadata_names_everything_that_is_wrong_at_once() {
    let metadata = [
        ("type", "load"),
        ("url", "nowhere"),
        ("rate", "fast"),
        ("duration", "5"),
        ("rates", "1"),
    ];
    let text = refused(&metadata);
    for part in [
        "metadata.rate: \"fast\" must be a number",
        "metadata.rates: must be one of url, rate",
        "metadata.duration: \"5\" must be a duration",
        "metadata.url: \"nowhere\" must be an absolute",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn a_list_of_programs_holds_for_shells_and_for_programs_without_one() {
    let allowed: BTreeSet<_> = ["hey".to_owned()].into();
    let types = TaskType::ALL.into_iter().collect();
    let is_allowed = |metadata: &[(&str, &str)]| {
        let task = Task::parse(&payload(metadata)).unwrap();
        task.is_allowed(&types, Some(&allowed)).is_ok()
    };
    assert!(is_allowed(&[("cmd", "hey http://x")]));
    assert!(!is_allowed(&[("cmd", "rm x")]));
    assert!(!is_allowed(&[("type", "bash"), ("cmd", "hey x; rm x")]));
    assert!(!is_allowed(&[("type", "helm"), ("cmd", "test x")]));
    let task = Task::parse(&payload(&[("cmd", "hey x")])).unwrap();
    let refusal = task.is_allowed(&[TaskType::Suite].into(), None);
    assert_eq!(
        refusal.unwrap_err().to_string(),
        "task type \"cmd\" is not allowed here: allowed are suite"
    );
}
