//! Sends each request to the pod that the table picks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, body};
use http::{HeaderValue, StatusCode, Uri, header};
use http_body_util::Full;
use tokio::sync::watch;

use super::metrics::Metrics;
use super::table::{Nobody, ServiceName, Table, Turn};
use crate::exchange;

/// How long a pod may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What every request needs.
pub(super) struct Proxy {
    pub(super) table: watch::Receiver<Arc<Table>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) turn: Turn,
}

/// Serves every path.
pub(super) fn router(proxy: Arc<Proxy>) -> Router {
    Router::new().fallback(forward).with_state(proxy)
}

async fn forward(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let mut response = match service_of(&request) {
        Some(service) => proxy.forward(&service, request).await,
        None => (StatusCode::BAD_REQUEST, "the Host is SERVICE.NAMESPACE").into_response(),
    };
    response.headers_mut().insert(
        header::VIA,
        HeaderValue::from_static("1.1 linkerd-traffic-double"),
    );
    response
}

impl Proxy {
    async fn forward(&self, service: &ServiceName, request: Request) -> Response {
        let table = Arc::clone(&self.table.borrow());
        let endpoint = match table.pick(service, &self.turn) {
            Ok(endpoint) => endpoint,
            Err(nobody) => {
                return (StatusCode::SERVICE_UNAVAILABLE, nobody.to_string()).into_response();
            }
        };
        let started = Instant::now();
        let response = match relay(&endpoint.address.to_string(), request).await {
            Ok(response) => response,
            Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
        };
        self.metrics.count(
            &service.0,
            &endpoint.deployment,
            response.status(),
            started.elapsed(),
        );
        response
    }
}

async fn relay(address: &str, request: Request) -> anyhow::Result<Response> {
    let (mut head, body) = request.into_parts();
    head.uri = head
        .uri
        .path_and_query()
        .map_or_else(|| Ok(Uri::from_static("/")), |path| path.as_str().parse())?;
    let body = Full::new(body::to_bytes(body, exchange::BODY_LIMIT).await?);
    let mut response =
        exchange::exchange(address, http::Request::from_parts(head, body), DEADLINE).await?;
    // Said of the connection to the pod, not of the one to the user.
    response.headers_mut().remove(header::CONNECTION);
    Ok(response.map(body::Body::from))
}

/// `web.test`, `web.test:80` and `web.test.svc.cluster.local` are the Service web of the namespace test.
fn service_of(request: &Request) -> Option<ServiceName> {
    let named = request
        .uri()
        .authority()
        .map(|authority| authority.as_str().to_owned());
    let host = named.or_else(|| {
        Some(
            request
                .headers()
                .get(header::HOST)?
                .to_str()
                .ok()?
                .to_owned(),
        )
    })?;
    let mut labels = host.split(':').next()?.split('.');
    let (service, namespace) = (labels.next()?, labels.next()?);
    Some((namespace.to_owned(), service.to_owned()))
}

impl std::fmt::Display for Nobody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoWeight => write!(f, "linkerd-traffic-double: the TrafficSplit has no weight"),
            Self::NotReady((namespace, service)) => write!(
                f,
                "linkerd-traffic-double: no ready pod of {service}.{namespace}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn the_service_is_read_from_the_address_or_the_host() {
        let ask = |uri: &str, host: &str| {
            service_of(
                &http::Request::builder()
                    .uri(uri)
                    .header(header::HOST, host)
                    .body(Body::empty())
                    .unwrap(),
            )
        };
        let web = Some(("test".to_owned(), "web".to_owned()));
        assert_eq!(ask("http://web.test:80/", "other"), web);
        assert_eq!(ask("/token", "web.test.svc.cluster.local"), web);
        assert_eq!(ask("/", "web"), None);
    }
}
