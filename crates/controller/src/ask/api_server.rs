//! Questions of metric providers to the API server: as who the controller is there, within the limits of every other call.

use http::{Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::Client;
use kube::client::Body;
use tokio::time::timeout;

use crate::http::{HttpError, HttpErrorKind, Limits};

/// Sends a request whose URL is a path, and reads the whole answer, whatever its status.
///
/// The client knows server, certificates and credentials: of the limits, the deadline and the length of the body hold.
pub(super) async fn send(
    client: &Client,
    request: Request<Vec<u8>>,
    limits: &Limits,
) -> Result<Response<Vec<u8>>, HttpError> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let failed = |kind, cause: &str| HttpError::new(kind, &method, &uri, cause);
    let exchange = async {
        let answer = client.send(request.map(Body::from)).await;
        let (head, body) = answer
            .map_err(|error| failed(HttpErrorKind::Connect, &error.to_string()))?
            .into_parts();
        let body = Limited::new(body, limits.body_bytes).collect().await;
        let body = body.map_err(|error| {
            let kind = if error.is::<LengthLimitError>() {
                HttpErrorKind::TooLarge
            } else {
                HttpErrorKind::Broken
            };
            failed(kind, &error.to_string())
        })?;
        Ok(Response::from_parts(head, body.to_bytes().to_vec()))
    };
    match timeout(limits.timeout, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(failed(
            HttpErrorKind::Timeout,
            &format!("no whole answer within {:?}", limits.timeout),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use super::*;

    /// A client of an API server that answers every request so.
    fn answering(status: u16, body: &'static str) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| async move {
            assert_eq!(request.uri().path(), "/apis/x");
            let mut answer = Response::new(Body::from(body.as_bytes().to_vec()));
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
            Ok::<_, Infallible>(answer)
        });
        Client::new(service, "test")
    }

    fn question() -> Request<Vec<u8>> {
        Request::get("/apis/x").body(Vec::new()).unwrap()
    }

    #[tokio::test]
    async fn every_status_is_an_answer() {
        for status in [200, 403, 404] {
            let client = answering(status, "said");
            let answer = send(&client, question(), &Limits::default()).await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.body()[..]),
                (status, &b"said"[..])
            );
        }
    }

    #[tokio::test]
    async fn a_longer_body_than_the_limit_is_refused() {
        let limits = |body_bytes| Limits {
            body_bytes,
            ..Limits::default()
        };
        let client = answering(200, "1234");
        assert!(send(&client, question(), &limits(4)).await.is_ok());
        let refused = send(&client, question(), &limits(3)).await.unwrap_err();
        assert_eq!(refused.kind, HttpErrorKind::TooLarge, "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_answers_is_not_waited_for_beyond_the_deadline() {
        let service = tower::service_fn(|_: Request<Body>| async {
            std::future::pending::<()>().await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        let client = Client::new(service, "test");
        let limits = Limits {
            timeout: Duration::from_secs(5),
            ..Limits::default()
        };
        let late = send(&client, question(), &limits).await.unwrap_err();
        assert_eq!(late.kind, HttpErrorKind::Timeout, "{late}");
    }
}
