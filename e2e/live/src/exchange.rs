//! One HTTP exchange over a connection of its own.
//!
//! No connection is kept: a kept one can be closed by the server just when it is used again, and that failure would be ours, not the
//! release's. It also makes every request a new choice for kube-proxy, which balances connections.

use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The largest body that is read, in bytes.
pub(crate) const BODY_LIMIT: usize = 1 << 20;

/// Sends a request to an address (`host:port`) and reads the whole response.
///
/// # Errors
/// When there is no connection, no whole response, or not within `deadline`.
pub(crate) async fn exchange(
    address: &str,
    request: Request<Full<Bytes>>,
    deadline: Duration,
) -> anyhow::Result<Response<Bytes>> {
    tokio::time::timeout(deadline, at_leisure(address, request))
        .await
        .with_context(|| format!("no response within {} ms", deadline.as_millis()))?
}

async fn at_leisure(
    address: &str,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Response<Bytes>> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connect to {address}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .context("handshake")?;
    // It ends when the sender is dropped; its errors are also those of the request.
    tokio::spawn(connection);
    let (head, body) = sender
        .send_request(request)
        .await
        .context("send")?
        .into_parts();
    let body = Limited::new(body, BODY_LIMIT)
        .collect()
        .await
        .map_err(anyhow::Error::from_boxed)
        .context("read the body")?;
    Ok(Response::from_parts(head, body.to_bytes()))
}
