//! A user: requests at a fixed pace whatever the answers, so that a slow server does not slow the measurement down (no coordinated
//! omission). The log has one line a response; it is the truth about what users saw.

mod report;

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use axum::body::Bytes;
use http::{HeaderMap, Request, Uri, header};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;

use crate::{args, exchange, stop};
use report::{Record, Side};

/// Beyond this many requests in flight a request fails without being sent.
const IN_FLIGHT: u32 = 2000;

/// Whom to ask, and how often.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The address to ask for, as `http://app.test/`.
    #[arg(long)]
    url: Uri,
    /// The HTTP proxy to send requests to, as `http://127.0.0.1:15007`.
    #[arg(long)]
    proxy: Option<Uri>,
    /// The `Host` header, where it is not the address's.
    #[arg(long)]
    host: Option<String>,
    /// Further headers, `name: value`.
    #[arg(long)]
    header: Vec<String>,
    /// Requests a second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long; SIGTERM ends it earlier.
    #[arg(long, default_value = "60s", value_parser = args::duration)]
    duration: Duration,
    /// How long a response may take.
    #[arg(long, default_value = "5s", value_parser = args::duration)]
    timeout: Duration,
    /// The file for one JSON line a response.
    #[arg(long)]
    out: PathBuf,
}

/// What every request needs.
struct Aim {
    address: String,
    target: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

/// Sends requests for the duration, then prints the summary as JSON.
///
/// # Errors
/// When the arguments do not make sense or the log cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let aim = Arc::new(Aim::new(&args)?);
    let (records, received) = mpsc::channel();
    let log = std::fs::File::create(&args.out)
        .with_context(|| format!("create {}", args.out.display()))?;
    let writer = std::thread::spawn(move || report::write(&log, &received));
    tokio::select! {
        () = send(&aim, args.rate, args.duration, &records) => {}
        asked = stop::asked() => asked?,
    }
    drop(records);
    // The writer ends with the last request in flight, which has its own deadline.
    let summary = tokio::task::spawn_blocking(|| writer.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the log's writer panicked"))??;
    report::print(&summary)
}

async fn send(aim: &Arc<Aim>, rate: u32, duration: Duration, records: &mpsc::Sender<Record>) {
    let slots = Arc::new(Semaphore::new(
        usize::try_from(IN_FLIGHT).unwrap_or(usize::MAX),
    ));
    let end = Instant::now() + duration;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while ticks.tick().await.into_std() < end {
        let (aim, records) = (Arc::clone(aim), records.clone());
        let slot = Arc::clone(&slots).try_acquire_owned();
        tokio::spawn(async move {
            let record = match slot {
                Ok(_slot) => aim.ask().await,
                Err(_) => Record::failed(
                    now(),
                    "too many requests in flight".to_owned(),
                    Duration::ZERO,
                ),
            };
            // The writer is gone only if the log cannot be written, and then the run fails.
            records.send(record).ok();
        });
    }
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

impl Aim {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let authority = args
            .url
            .authority()
            .with_context(|| format!("--url {}: no host", args.url))?;
        let via = args.proxy.as_ref().unwrap_or(&args.url);
        let host = via
            .host()
            .with_context(|| format!("--proxy {via}: no host"))?;
        let path = args.url.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = HeaderMap::new();
        headers.insert(
            header::HOST,
            args.host
                .as_deref()
                .unwrap_or(authority.as_str())
                .parse()
                .context("--host")?,
        );
        for line in &args.header {
            let (name, value) = line
                .split_once(':')
                .with_context(|| format!("--header {line}: no colon"))?;
            headers.append(
                http::HeaderName::try_from(name.trim())?,
                value.trim().parse()?,
            );
        }
        Ok(Self {
            address: format!("{host}:{}", via.port_u16().unwrap_or(80)),
            // A proxy is asked for the whole address, a server for the path.
            target: if args.proxy.is_some() {
                args.url.clone()
            } else {
                path.parse()?
            },
            headers,
            timeout: args.timeout,
        })
    }

    async fn ask(&self) -> Record {
        let (at, started) = (now(), Instant::now());
        let mut request = Request::new(Full::<Bytes>::default());
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        match exchange::exchange(&self.address, request, self.timeout).await {
            Ok(response) => Record::answered(at, &response, started.elapsed()),
            Err(error) => Record::failed(at, format!("{error:#}"), started.elapsed()),
        }
    }
}

impl Side {
    /// A pod of a primary says so in its name.
    fn of(pod: &str) -> Self {
        if pod.contains("-primary-") {
            Self::Primary
        } else {
            Self::Canary
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn aim(arguments: &[&str]) -> Aim {
        let line = ["client", "--out", "log"].iter().chain(arguments);
        Aim::new(&Line::try_parse_from(line).unwrap().args).unwrap()
    }

    #[test]
    fn a_server_is_asked_for_the_path_and_a_proxy_for_the_whole_address() {
        let direct = aim(&["--url", "http://app.test:8080/token?x=1"]);
        assert_eq!(
            (direct.address.as_str(), direct.target.to_string().as_str()),
            ("app.test:8080", "/token?x=1")
        );
        let proxied = aim(&[
            "--url",
            "http://app.test/",
            "--proxy",
            "http://127.0.0.1:15007",
            "--header",
            "cookie: a=b",
        ]);
        assert_eq!(
            (
                proxied.address.as_str(),
                proxied.target.to_string().as_str()
            ),
            ("127.0.0.1:15007", "http://app.test/")
        );
        assert_eq!(proxied.headers[header::HOST], "app.test");
        assert_eq!(proxied.headers[header::COOKIE], "a=b");
    }
}
