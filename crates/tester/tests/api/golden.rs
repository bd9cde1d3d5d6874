//! Suites in virtual time, against answers of a script. A folder a case: `suite.yaml`, `answers.json` (by method and URL, in order, the last
//! one again and again), and what comes of it: `report.txt`, with the line that a hook is told. `BLESS=1` writes it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::Value;
use slipway_tester::suite::{Suite, run};
use slipway_tester::wire::{Answer, Request, SendError, SendErrorKind, Wire};
use slipway_tester::{Variables, parse_duration};
use tokio::time::{Instant, sleep};

#[derive(Clone, Debug, Deserialize)]
struct Scripted {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    refused: bool,
}

struct Script(Mutex<BTreeMap<String, Vec<Scripted>>>);

impl Script {
    fn next(&self, request: &Request) -> Scripted {
        let mut script = self.0.lock().unwrap();
        let answers = script.get_mut(&request.shown());
        let answers = answers.unwrap_or_else(|| panic!("no answer to {}", request.shown()));
        if answers.len() == 1 {
            answers[0].clone()
        } else {
            answers.remove(0)
        }
    }
}

impl Wire for Script {
    async fn send(&self, request: Request) -> Result<Answer, SendError> {
        let sent = Instant::now();
        let Scripted {
            status,
            headers,
            body,
            after,
            refused,
        } = self.next(&request);
        let after = after.map(|text| parse_duration(&text).unwrap());
        sleep(after.unwrap_or_default()).await;
        if refused {
            return Err(SendError::new(SendErrorKind::Connect, "refused"));
        }
        let text = match &body {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            json @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                json.to_string()
            }
        };
        let pairs = headers.into_iter();
        Ok(Answer {
            status,
            headers: pairs
                .map(|(name, value)| {
                    let name: http::HeaderName = name.parse().unwrap();
                    (name, value.parse().unwrap())
                })
                .collect(),
            body: text.into(),
            length: 0,
            latency: sent.elapsed(),
        })
    }
}

async fn outcome(folder: &Path) -> String {
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let suite = match Suite::parse(&read("suite.yaml"), "suite.yaml") {
        Ok(suite) => suite,
        Err(error) => return format!("{}\n", error.to_string().replace("; ", "\n")),
    };
    let script = Script(Mutex::new(
        serde_json::from_str(&read("answers.json")).unwrap(),
    ));
    let given = [("name", "podinfo"), ("namespace", "test")];
    let given: Variables = given
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let report = run(&suite, &given, &Arc::new(script)).await;
    format!("{report}\n{}\n", report.line())
}

#[tokio::test(start_paused = true)]
async fn every_case_comes_out_as_it_stands_in_its_folder() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut count = 0;
    for case in std::fs::read_dir(&cases).unwrap() {
        let folder = case.unwrap().path();
        let got = outcome(&folder).await;
        let file = folder.join("report.txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, &got).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(got, expected, "{}", folder.display());
        count += 1;
    }
    assert!(count > 0, "there is no case in {}", cases.display());
}
