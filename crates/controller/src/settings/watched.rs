//! A layer around every request to the API server: a deadline, and a count.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use tokio::time::timeout;
use tower::{BoxError, Layer, Service};

use crate::record::metrics::{ApiLabels, Metrics};

/// How long the API server may take to begin its answer, its retries included. Watches begin at once and then last for minutes.
const DEADLINE: Duration = Duration::from_secs(30);

/// Makes [`WatchedService`]s.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    metrics: Metrics,
}

impl Watched {
    pub(super) const fn counting(metrics: Metrics) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for Watched {
    type Service = WatchedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WatchedService {
            inner,
            metrics: self.metrics.clone(),
        }
    }
}

/// Gives up on a request without an answer, and counts every one.
#[derive(Debug)]
pub(super) struct WatchedService<S> {
    inner: S,
    metrics: Metrics,
}

impl<S, Q, A> Service<Request<Q>> for WatchedService<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<A>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<A>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (verb, resource) = verb_and_resource(request.method(), request.uri());
        let resource = resource.to_owned();
        let metrics = self.metrics.clone();
        let answer = self.inner.call(request);
        async move {
            let answer = timeout(DEADLINE, answer)
                .await
                .map_err(|_| BoxError::from(format!("no answer within {DEADLINE:?}")))
                .and_then(|answer| answer.map_err(Into::into));
            // 0: no answer came.
            let code = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
            metrics.api_request(&ApiLabels {
                verb,
                resource,
                code,
            });
            answer
        }
        .boxed()
    }
}

/// What Kubernetes' own metrics call the verb, and the plural name of the kind (with `/scale` or `/status`).
fn verb_and_resource<'a>(method: &Method, uri: &'a Uri) -> (&'static str, &'a str) {
    let (resource, is_named) = resource(uri.path());
    let is_watch = uri.query().is_some_and(|query| {
        query
            .split('&')
            .any(|part| matches!(part, "watch=true" | "watch=1"))
    });
    let verb = match (method.as_str(), is_named) {
        ("GET", _) if is_watch => "watch",
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        _ => "other",
    };
    (verb, resource)
}

/// The plural name of the kind in the path, and whether one object is meant. Paths of no object (`/version`, `/apis`) are `discovery`.
fn resource(path: &str) -> (&str, bool) {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let versions = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => return ("discovery", false),
    };
    let mut parts = parts.skip(versions);
    let parts = [(); 4].map(|()| parts.next());
    match parts {
        [None, ..] => ("discovery", false),
        [Some("namespaces"), Some(_), Some(plural), name] | [Some(plural), name, ..] => {
            (plural, name.is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[test]
    fn requests_are_counted_by_what_they_do_to_which_kind() {
        let rows = [
            (
                Method::GET,
                "/apis/apps/v1/namespaces/test/deployments/podinfo",
                ("get", "deployments"),
            ),
            (
                Method::GET,
                "/apis/apps/v1/namespaces/test/deployments?limit=5",
                ("list", "deployments"),
            ),
            (
                Method::GET,
                "/apis/flagger.app/v1beta1/canaries?watch=true",
                ("watch", "canaries"),
            ),
            (
                Method::PATCH,
                "/apis/flagger.app/v1beta1/namespaces/t/canaries/p/status",
                ("patch", "canaries"),
            ),
            (
                Method::POST,
                "/api/v1/namespaces/test/events",
                ("create", "events"),
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/test/services/podinfo",
                ("update", "services"),
            ),
            (
                Method::DELETE,
                "/api/v1/namespaces/test",
                ("delete", "namespaces"),
            ),
            (Method::GET, "/version", ("list", "discovery")),
            (Method::GET, "/apis/apps/v1", ("list", "discovery")),
        ];
        for (method, path, expected) in rows {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(
                verb_and_resource(&method, &uri),
                expected,
                "{method} {path}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_never_answered_fails_and_is_counted() {
        let metrics = Metrics::default();
        let silent = service_fn(|_: Request<()>| async {
            std::future::pending::<()>().await;
            Ok::<_, BoxError>(Response::new(()))
        });
        let request = Request::get("/api/v1/namespaces/test/pods")
            .body(())
            .unwrap();
        let answer = Watched::counting(metrics.clone())
            .layer(silent)
            .oneshot(request)
            .await;
        assert_eq!(answer.unwrap_err().to_string(), "no answer within 30s");
        let text = metrics.encode();
        assert!(
            text.contains(r#"slipway_api_requests_total{verb="list",resource="pods",code="0"} 1"#),
            "{text}"
        );
    }
}
