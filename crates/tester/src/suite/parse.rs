//! From what is written to what is meant; everything that is wrong is told at once.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, Method};
use serde_json::Value;

use super::expect::{Kind, plain};
use super::raw::{RawCheck, RawExpect, RawGrpc, RawLoad, RawRequest, RawRetry, RawSuite};
use super::{
    BodyTemplate, Check, Expect, LoadTemplate, Matcher, RequestTemplate, Retry, Statuses, Suite,
    SuiteError, Work,
};
use crate::duration::{ALLOWED as DURATION, parse_duration};
use crate::grpc::{self, Health};
use crate::json_path::JsonPath;
use crate::load::{CONCURRENCY_MAX, DURATION_MAX, Limits, Percentile, RATE_MAX};
use crate::problem::{Findings, Problem};
use crate::text::{JsonTemplate, Template};
use crate::wire::{Certificate, Protocol};

/// How long a suite may take, unless it says so.
const DEADLINE: Duration = Duration::from_mins(5);
/// How long an answer may take, unless the suite says so.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two tries, unless the check says so.
const EVERY: Duration = Duration::from_secs(1);
/// How many requests of a load may be under way at once, unless it says so.
const CONCURRENCY: usize = 100;
/// The most checks of one suite.
const CHECKS_MAX: usize = 1_000;
/// The longest suite that is read, in bytes: what a ConfigMap may hold.
const LENGTH_MAX: usize = 1 << 20;

impl Suite {
    /// Reads a suite in YAML. `name` is what it is called where it does not say so itself.
    ///
    /// # Errors
    /// Why it is none: its shape, or everything that is wrong in it.
    pub fn parse(text: &str, name: &str) -> Result<Self, SuiteError> {
        if text.len() > LENGTH_MAX {
            let problem = Problem::new("suite", "", "must not be longer than 1 MiB");
            return Err(SuiteError::Meaning(vec![problem]));
        }
        // As everywhere in Kubernetes: `y` and `no` are texts.
        let options = serde_saphyr::options! { strict_booleans: true };
        let raw: RawSuite = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| SuiteError::Shape(first_line(&error.to_string())))?;
        let mut findings = Findings::default();
        let suite = suite(raw, name, &mut findings);
        findings.none_or(suite).map_err(SuiteError::Meaning)
    }
}

/// What is wrong and where; the rest of the text is a drawing of the place.
fn first_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// What holds for every check of a suite.
struct Common {
    base: String,
    headers: Vec<(HeaderName, Template)>,
    timeout: Duration,
    /// Behind the path of a load, the path of its request.
    request_key: &'static str,
}

fn suite(raw: RawSuite, name: &str, findings: &mut Findings) -> Suite {
    let RawSuite {
        name: own_name,
        variables,
        base,
        headers,
        timeout,
        deadline,
        checks,
    } = raw;
    let common = Common {
        base,
        headers: self::headers("headers", headers, findings),
        timeout: duration("timeout", timeout, TIMEOUT, findings),
        request_key: ".request",
    };
    if checks.is_empty() || checks.len() > CHECKS_MAX {
        findings.add("checks", "", format!("must be 1 to {CHECKS_MAX}"));
    }
    let checks = checks.into_iter().enumerate();
    Suite {
        name: if own_name.is_empty() {
            name.to_owned()
        } else {
            own_name
        },
        variables: variables
            .into_iter()
            .map(|(name, value)| (name, plain(&value)))
            .collect(),
        deadline: duration("deadline", deadline, DEADLINE, findings),
        checks: checks
            .filter_map(|(at, raw)| check(at, raw, &common, findings))
            .collect(),
    }
}

fn check(at: usize, raw: RawCheck, common: &Common, findings: &mut Findings) -> Option<Check> {
    let RawCheck {
        name,
        request,
        grpc,
        load,
        expect,
        retry,
        save,
    } = raw;
    let path = format!("checks[{at}]");
    let is_request = request.is_some();
    let work = match (request, grpc, load) {
        (Some(request), None, None) => request_work(&path, request, expect, common, findings),
        (None, Some(grpc), None) => grpc_work(&path, grpc, expect, common, findings),
        (None, None, Some(load)) => load_work(&path, load, expect, common, findings),
        _ => {
            findings.add(&path, "", "must have one of request, grpc, load");
            return None;
        }
    };
    if !is_request && !save.is_empty() {
        findings.add(format!("{path}.save"), "", "is for requests only");
    }
    let retry = retry.map(|retry| self::retry(&path, retry, findings));
    let save = save.into_iter().filter_map(|(name, place)| {
        let path = format!("{path}.save.{name}");
        Some((name, findings.take(&path, &place, JsonPath::parse(&place))?))
    });
    let save = save.collect();
    Some(Check {
        name: if name.is_empty() {
            format!("check {}", at + 1)
        } else {
            name
        },
        work: work?,
        retry,
        save,
    })
}

fn retry(path: &str, raw: RawRetry, findings: &mut Findings) -> Retry {
    let RawRetry { within, every } = raw;
    let within = duration(&format!("{path}.retry.for"), Some(within), EVERY, findings);
    let path = format!("{path}.retry.every");
    let every = duration(&path, every, EVERY, findings);
    if every < Duration::from_millis(10) {
        findings.add(path, "", "must be at least 10ms");
    }
    Retry { within, every }
}

fn request_work(
    path: &str,
    raw: RawRequest,
    expect: RawExpect,
    common: &Common,
    findings: &mut Findings,
) -> Option<Work> {
    let expect = self::expect(&format!("{path}.expect"), expect, findings);
    let request = request(&format!("{path}.request"), raw, common, findings)?;
    Some(Work::Request { request, expect })
}

fn expect(path: &str, raw: RawExpect, findings: &mut Findings) -> Expect {
    let RawExpect {
        status,
        headers,
        json,
        body,
        latency,
        success,
    } = raw;
    if success.is_some() {
        findings.add(format!("{path}.success"), "", "is for loads only");
    }
    Expect {
        status: statuses(path, status, findings),
        headers: expected_headers(path, headers, findings),
        json: json
            .into_iter()
            .filter_map(|(place, value)| {
                let path = format!("{path}.json.{place}");
                let place = findings.take(&path, "", JsonPath::parse(&place));
                Some((place?, matcher(&path, value, Kind::Json, findings)?))
            })
            .collect(),
        body: body.and_then(|it| matcher(&format!("{path}.body"), it, Kind::Text, findings)),
        latency: latency.and_then(|it| one_latency(path, &it, findings)),
    }
}

fn expected_headers(
    path: &str,
    headers: BTreeMap<String, Value>,
    findings: &mut Findings,
) -> Vec<(HeaderName, Matcher)> {
    let read = |(name, value): (String, Value)| {
        let path = format!("{path}.headers.{name}");
        let name = header_name(&path, &name, findings);
        Some((name?, matcher(&path, value, Kind::Text, findings)?))
    };
    headers.into_iter().filter_map(read).collect()
}

fn matcher(path: &str, value: Value, kind: Kind, findings: &mut Findings) -> Option<Matcher> {
    let shown = value.to_string();
    findings.take(path, &shown, Matcher::parse(value, kind))
}

fn statuses(path: &str, value: Option<Value>, findings: &mut Findings) -> Statuses {
    let path = format!("{path}.status");
    value
        .and_then(|value| findings.take(&path, &plain(&value), Statuses::parse(&value)))
        .unwrap_or_default()
}

fn one_latency(path: &str, value: &Value, findings: &mut Findings) -> Option<Duration> {
    let text = plain(value);
    let read = parse_duration(&text).ok_or(DURATION);
    findings.take(&format!("{path}.latency"), &text, read)
}

fn request(
    path: &str,
    raw: RawRequest,
    common: &Common,
    findings: &mut Findings,
) -> Option<RequestTemplate> {
    let RawRequest {
        url,
        method,
        headers,
        body,
        json,
        protocol,
        insecure,
        timeout: own_timeout,
    } = raw;
    if body.is_some() && json.is_some() {
        findings.add(format!("{path}.json"), "", "must not stand beside body");
    }
    let has_body = body.is_some() || json.is_some();
    let mut all_headers = common.headers.clone();
    if json.is_some() {
        all_headers.push((
            http::header::CONTENT_TYPE,
            Template::literal("application/json"),
        ));
    }
    all_headers.extend(self::headers(&format!("{path}.headers"), headers, findings));
    let body = self::body(path, body, json, findings);
    // All are read before one may be missing: everything that is wrong is told at once.
    let method = self::method(path, method, has_body, findings);
    let url = self::url(path, &url, &common.base, findings);
    let timeout = format!("{path}.timeout");
    let timeout = duration(&timeout, own_timeout, common.timeout, findings);
    Some(RequestTemplate {
        method: method?,
        url: url?,
        headers: all_headers,
        body: body?,
        protocol,
        certificate: certificate(insecure),
        timeout,
    })
}

const fn certificate(insecure: bool) -> Certificate {
    if insecure {
        Certificate::Any
    } else {
        Certificate::Verified
    }
}

fn body(
    path: &str,
    text: Option<String>,
    json: Option<Value>,
    findings: &mut Findings,
) -> Option<BodyTemplate> {
    if let Some(json) = json {
        let read = JsonTemplate::parse(json).map(BodyTemplate::Json);
        return findings.take(&format!("{path}.json"), "", read);
    }
    let text = text.unwrap_or_default();
    let read = Template::parse(&text).map(BodyTemplate::Text);
    findings.take(&format!("{path}.body"), &text, read)
}

fn method(
    path: &str,
    method: Option<String>,
    has_body: bool,
    findings: &mut Findings,
) -> Option<Method> {
    let usual = if has_body { "POST" } else { "GET" };
    let method = method.unwrap_or_else(|| usual.to_owned());
    let read = Method::from_bytes(method.to_uppercase().as_bytes());
    let read = read.map_err(|_| "must be a method such as GET or POST");
    findings.take(&format!("{path}.method"), &method, read)
}

fn url(path: &str, url: &str, base: &str, findings: &mut Findings) -> Option<Template> {
    let path = format!("{path}.url");
    let joined = if url.starts_with('/') && !base.is_empty() {
        format!("{}{url}", base.trim_end_matches('/'))
    } else {
        url.to_owned()
    };
    let starts = ["http://", "https://", "${"];
    if !starts.iter().any(|it| joined.starts_with(it)) {
        let allowed = "must be an absolute http or https URL, or a path behind the suite's base";
        findings.add(&path, url, allowed);
        return None;
    }
    findings.take(&path, &joined, Template::parse(&joined))
}

fn headers(
    path: &str,
    raw: BTreeMap<String, Value>,
    findings: &mut Findings,
) -> Vec<(HeaderName, Template)> {
    let read = |(name, value): (String, Value)| {
        let path = format!("{path}.{name}");
        let (name, text) = (header_name(&path, &name, findings), plain(&value));
        let value = findings.take(&path, &text, Template::parse(&text));
        Some((name?, value?))
    };
    raw.into_iter().filter_map(read).collect()
}

fn header_name(path: &str, name: &str, findings: &mut Findings) -> Option<HeaderName> {
    let read = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "must be the name of a header");
    findings.take(path, name, read)
}

fn grpc_work(
    path: &str,
    raw: RawGrpc,
    expect: RawExpect,
    common: &Common,
    findings: &mut Findings,
) -> Option<Work> {
    let RawGrpc {
        url,
        service,
        insecure,
        timeout,
    } = raw;
    let expected = format!("{path}.expect");
    let path = format!("{path}.grpc");
    let whole = format!("{}{}", url.trim_end_matches('/'), grpc::PATH);
    let latency = expect.latency.as_ref();
    let latency = latency.and_then(|it| one_latency(&expected, it, findings));
    let service = findings.take(
        &format!("{path}.service"),
        &service,
        Template::parse(&service),
    );
    let timeout = duration(
        &format!("{path}.timeout"),
        timeout,
        common.timeout,
        findings,
    );
    let request = RequestTemplate {
        method: Method::POST,
        url: self::url(&path, &whole, "", findings)?,
        headers: common.headers.clone(),
        body: BodyTemplate::Text(Template::literal("")),
        protocol: Protocol::Http2,
        certificate: certificate(insecure),
        timeout,
    };
    Some(Work::Grpc {
        request,
        service: service?,
        expect: health(&expected, expect, findings)?,
        latency,
    })
}

fn health(path: &str, raw: RawExpect, findings: &mut Findings) -> Option<Health> {
    let RawExpect {
        status,
        headers,
        json,
        body,
        latency: _,
        success,
    } = raw;
    if !headers.is_empty() || !json.is_empty() || body.is_some() || success.is_some() {
        findings.add(path, "", "of a gRPC check has status and latency only");
    }
    let word = status.map_or_else(|| Health::Serving.as_str().to_owned(), |it| plain(&it));
    let allowed = "must be one of UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN";
    findings.take(
        &format!("{path}.status"),
        &word,
        Health::parse(&word).ok_or(allowed),
    )
}

fn load_work(
    path: &str,
    raw: RawLoad,
    expect: RawExpect,
    common: &Common,
    findings: &mut Findings,
) -> Option<Work> {
    let expected = format!("{path}.expect");
    let RawExpect {
        status,
        headers,
        json,
        body,
        latency,
        success,
    } = expect;
    if !headers.is_empty() || !json.is_empty() || body.is_some() {
        findings.add(
            &expected,
            "",
            "of a load has status, success and latency only",
        );
    }
    let status = statuses(&expected, status, findings);
    let limits = limits(&expected, success, latency, findings);
    let load = load(&format!("{path}.load"), raw, status, common, findings)?;
    Some(Work::Load { load, limits })
}

fn limits(
    path: &str,
    success: Option<f64>,
    latency: Option<Value>,
    findings: &mut Findings,
) -> Limits {
    let success = success.unwrap_or(100.0);
    if !(0.0..=100.0).contains(&success) {
        let allowed = "must be a percentage, 0 to 100";
        findings.add(format!("{path}.success"), &success.to_string(), allowed);
    }
    let latency = match latency {
        None => BTreeMap::new(),
        Some(Value::Object(fields)) => fields.into_iter().collect(),
        Some(other) => {
            let allowed = "of a load must be a map such as p99: 500ms";
            findings.add(format!("{path}.latency"), &plain(&other), allowed);
            BTreeMap::new()
        }
    };
    let read = |(name, value): (String, Value)| {
        let (path, text) = (format!("{path}.latency.{name}"), plain(&value));
        let percentile = findings.take(&path, "", Percentile::parse(&name));
        let most = findings.take(&path, &text, parse_duration(&text).ok_or(DURATION));
        Some((percentile?, most?))
    };
    let latency = latency.into_iter().filter_map(read).collect();
    Limits { success, latency }
}

fn load(
    path: &str,
    raw: RawLoad,
    status: Statuses,
    common: &Common,
    findings: &mut Findings,
) -> Option<LoadTemplate> {
    let RawLoad {
        request,
        rate,
        duration,
        concurrency,
    } = raw;
    if !(rate > 0.0 && rate <= RATE_MAX) {
        let allowed = format!("must be above 0 and at most {RATE_MAX} requests a second");
        findings.add(format!("{path}.rate"), &rate.to_string(), allowed);
    }
    let written = duration.clone();
    let duration = self::duration(&format!("{path}.duration"), Some(duration), EVERY, findings);
    if duration.is_zero() || duration > DURATION_MAX {
        let allowed = "must be longer than 0s and at most 24h";
        findings.add(format!("{path}.duration"), &written, allowed);
    }
    let concurrency = concurrency.unwrap_or(CONCURRENCY);
    if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
        let allowed = format!("must be 1 to {CONCURRENCY_MAX}");
        findings.add(
            format!("{path}.concurrency"),
            &concurrency.to_string(),
            allowed,
        );
    }
    Some(LoadTemplate {
        request: self::request(
            &format!("{path}{}", common.request_key),
            request,
            common,
            findings,
        )?,
        rate,
        duration,
        concurrency,
        status,
    })
}

fn duration(
    path: &str,
    text: Option<String>,
    usual: Duration,
    findings: &mut Findings,
) -> Duration {
    let Some(text) = text else { return usual };
    let read = parse_duration(&text).ok_or(DURATION);
    findings.take(path, &text, read).unwrap_or(usual)
}

/// The keys of a load in the metadata of a hook, besides `header.NAME`.
const LOAD_KEYS: &str = "must be one of url, rate, duration, method, body, header.NAME, protocol, insecure, timeout, concurrency, \
    status, success, p50, p90, p95, p99, p99.9, max, wait";

/// The load that the metadata of a hook means, and what it is held to.
pub(crate) fn load_from_pairs<'a>(
    pairs: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(LoadTemplate, Limits), Vec<Problem>> {
    let mut findings = Findings::default();
    let mut raw = RawPairs::default();
    for (key, value) in pairs {
        raw.add(key, value, &mut findings);
    }
    let common = Common {
        base: String::new(),
        headers: Vec::new(),
        timeout: TIMEOUT,
        request_key: "",
    };
    let status = statuses("metadata", raw.status, &mut findings);
    let latency = Some(Value::Object(raw.latency));
    let limits = limits("metadata", raw.success, latency, &mut findings);
    let load_raw = RawLoad {
        request: raw.request,
        rate: raw.rate.unwrap_or_default(),
        duration: raw.duration.unwrap_or_default(),
        concurrency: raw.concurrency,
    };
    let load = load("metadata", load_raw, status, &common, &mut findings);
    match load {
        Some(load) => findings.none_or((load, limits)),
        None => findings.none_or(()).and(Err(Vec::new())),
    }
}

#[derive(Default)]
struct RawPairs {
    request: RawRequest,
    rate: Option<f64>,
    duration: Option<String>,
    concurrency: Option<usize>,
    status: Option<Value>,
    success: Option<f64>,
    latency: serde_json::Map<String, Value>,
}

impl RawPairs {
    fn add(&mut self, key: &str, value: &str, findings: &mut Findings) {
        let path = format!("metadata.{key}");
        let text = || value.to_owned();
        if let Some(name) = key.strip_prefix("header.") {
            self.request.headers.insert(name.to_owned(), text().into());
            return;
        }
        match key {
            "url" => self.request.url = text(),
            "method" => self.request.method = Some(text()),
            "body" => self.request.body = Some(text()),
            "timeout" => self.request.timeout = Some(text()),
            "insecure" => self.request.insecure = value == "true",
            "protocol" => {
                let read = serde_json::from_value(text().into());
                let read = read.map_err(|_| "must be one of auto, http1, http2");
                self.request.protocol = findings.take(&path, value, read).unwrap_or_default();
            }
            "rate" => self.rate = number(&path, value, findings),
            "duration" => self.duration = Some(text()),
            "concurrency" => {
                let read = value.trim().parse().map_err(|_| "must be a whole number");
                self.concurrency = findings.take(&path, value, read);
            }
            "status" => {
                let each = value.split(',').map(|it| Value::from(it.trim()));
                self.status = Some(each.collect());
            }
            "success" => self.success = number(&path, value, findings),
            name if Percentile::parse(name).is_ok() => {
                self.latency.insert(name.to_owned(), text().into());
            }
            _ => findings.add(path, "", LOAD_KEYS),
        }
    }
}

fn number(path: &str, value: &str, findings: &mut Findings) -> Option<f64> {
    let read = value.trim().parse().map_err(|_| "must be a number");
    findings.take(path, value, read)
}
