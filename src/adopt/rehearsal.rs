//! A way to the API server on which nothing that is written stays: every write is a dry run, and noted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use http::{Method, Request, Uri};
use kube::client::Body;
use serde_json::Value;
use slipway_controller::http::{Http, HttpError, HttpErrorKind, Limits};
use tower::{BoxError, Layer, Service};

/// A write that was tried.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tried {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// What was sent; null where it is no JSON.
    pub(crate) body: Value,
}

/// Everything that was tried, in order; a handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<Tried>>>);

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Vec<Tried>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> Vec<Tried> {
        self.lock().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }
}

/// Makes every write of a client a dry run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rehearsed {
    pub(crate) notes: Notes,
}

impl<S> Layer<S> for Rehearsed {
    type Service = Rehearsal<S>;

    fn layer(&self, inner: S) -> Rehearsal<S> {
        Rehearsal {
            inner,
            notes: self.notes.clone(),
        }
    }
}

/// See [`Rehearsed`].
#[derive(Clone, Debug)]
pub(crate) struct Rehearsal<S> {
    inner: S,
    notes: Notes,
}

impl<S> Service<Request<Body>> for Rehearsal<S>
where
    S: Service<
            Request<Body>,
            Response: Send,
            Error: Into<BoxError> + 'static,
            Future: Send + 'static,
        >,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let request = if request.method() == Method::GET {
            Ok(request)
        } else {
            rehearsed(request, &self.notes)
        };
        match request {
            Ok(request) => self.inner.call(request).map_err(Into::into).boxed(),
            Err(error) => async { Err(error) }.boxed(),
        }
    }
}

/// The same request as a dry run, which is noted.
fn rehearsed(request: Request<Body>, notes: &Notes) -> Result<Request<Body>, BoxError> {
    let (mut parts, body) = request.into_parts();
    // What kube sends is in memory as a whole.
    let bytes = body.collect_bytes().now_or_never();
    let bytes = bytes.ok_or("the body of a write is not in memory")??;
    notes.lock().push(Tried {
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    });
    parts.uri = dry(&parts.uri)?;
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// The same address, as a dry run.
fn dry(uri: &Uri) -> Result<Uri, BoxError> {
    let mut parts = uri.clone().into_parts();
    let path = uri.path();
    let query = uri.query().map_or_else(String::new, |it| format!("{it}&"));
    parts.path_and_query = Some(format!("{path}?{query}dryRun=All").try_into()?);
    Ok(Uri::from_parts(parts)?)
}

/// Nobody: hooks are not called and Prometheus is not asked in a rehearsal.
#[derive(Debug)]
pub(crate) struct Nobody;

#[async_trait]
impl Http for Nobody {
    async fn send(
        &self,
        request: Request<Vec<u8>>,
        _: &Limits,
    ) -> Result<http::Response<Vec<u8>>, HttpError> {
        let why = "nobody is called in a rehearsal";
        Err(HttpError::new(
            HttpErrorKind::Broken,
            request.method(),
            request.uri(),
            why,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_is_a_dry_run() {
        let rows = [
            ("/api/v1/x", "/api/v1/x?dryRun=All"),
            (
                "https://server/apis/a/b?fieldManager=slipway",
                "https://server/apis/a/b?fieldManager=slipway&dryRun=All",
            ),
        ];
        for (given, expected) in rows {
            assert_eq!(dry(&given.parse().unwrap()).unwrap().to_string(), expected);
        }
    }
}
