//! `--serve`: the API server and Prometheus of the simulated cluster over HTTP on loopback, for kubectl, browsers and curl.
//!
//! Sockets live in real time, on a thread and runtime of their own; the cluster lives in virtual time. A request crosses as a [`Guest`] and is
//! answered between two ticks, where virtual time stands still; the body of a watch goes back piece by piece.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc::Sender;

use anyhow::Context;
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use slipway_sim::{ClientService, World};
use tokio::sync::{mpsc, oneshot};
use tower::ServiceExt;

use super::live::Message;

/// The longest body that a guest may send.
const LONGEST: usize = 4 << 20;

/// Whom a guest wants to see.
#[derive(Clone, Copy, Debug)]
enum Door {
    ApiServer,
    Prometheus,
}

/// A request from outside, and where its answer goes.
pub(super) struct Guest {
    door: Door,
    request: Request<Bytes>,
    answer: oneshot::Sender<Response<mpsc::UnboundedReceiver<Bytes>>>,
}

/// The doors, open until this is dropped; the thread behind them ends with the process.
pub(super) struct Guests {
    world: World,
    api: ClientService,
    kubeconfig: PathBuf,
    prometheus: SocketAddr,
}

impl Guests {
    /// Opens both doors, and writes the kubeconfig that leads to the first.
    ///
    /// # Errors
    /// When there is no port or the file cannot be written.
    pub(super) fn open(world: &World, inbox: &Sender<Message>) -> anyhow::Result<Self> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listen = || -> std::io::Result<std::net::TcpListener> {
            let listener = std::net::TcpListener::bind(loopback)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let (api, prometheus) = (listen()?, listen()?);
        let kubeconfig = write_kubeconfig(api.local_addr()?)?;
        let at = prometheus.local_addr()?;
        let doors = [(Door::ApiServer, api), (Door::Prometheus, prometheus)];
        for (door, listener) in doors {
            let inbox = inbox.clone();
            std::thread::spawn(move || keep_open(door, listener, inbox));
        }
        Ok(Self {
            world: world.clone(),
            api: world.client_service("kubectl"),
            kubeconfig,
            prometheus: at,
        })
    }

    /// Where the doors are, in one line.
    pub(super) fn shown(&self) -> String {
        format!(
            "KUBECONFIG={} kubectl get canaries -w",
            self.kubeconfig.display()
        )
    }

    /// Where Prometheus is.
    pub(super) fn prometheus(&self) -> String {
        format!("http://{}/api/v1/query?query=...", self.prometheus)
    }

    /// Answers a guest, without virtual time passing.
    pub(super) async fn serve(&self, guest: Guest) {
        let (world, api) = (self.world.clone(), self.api.clone());
        tokio::spawn(answer(world, api, guest));
        // The answer, and whoever is woken by what the guest wrote; the clock moves only when all of them wait.
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        // A file that somebody has taken away already is as good as removed.
        std::fs::remove_file(&self.kubeconfig).unwrap_or_default();
    }
}

fn write_kubeconfig(api: SocketAddr) -> anyhow::Result<PathBuf> {
    let name = format!("slipway-sandbox-{}.kubeconfig", std::process::id());
    let path = std::env::temp_dir().join(name);
    let named = |kind: &str, value: serde_json::Value| json!([{"name": "sandbox", kind: value}]);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "sandbox", "preferences": {},
        "clusters": named("cluster", json!({"server": format!("http://{api}")})),
        "users": named("user", json!({})),
        "contexts": named("context", json!({"cluster": "sandbox", "user": "sandbox", "namespace": "app"})),
    });
    let write = || -> std::io::Result<()> {
        // Never through a link that somebody else has put there.
        std::fs::remove_file(&path).or_else(absent_is_fine)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        serde_json::to_writer_pretty(&mut file, &config)?;
        file.write_all(b"\n")
    };
    write().with_context(|| format!("write the kubeconfig {}", path.display()))?;
    Ok(path)
}

fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// Takes guests in, in real time.
fn keep_open(door: Door, listener: std::net::TcpListener, inbox: Sender<Message>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async move {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let inbox = inbox.clone();
            async move { pass_on(door, request, &inbox).await }
        });
        axum::serve(listener, router).await.unwrap_or_default();
    });
}

async fn pass_on(
    door: Door,
    request: axum::extract::Request,
    inbox: &Sender<Message>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LONGEST).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let (answer, answered) = oneshot::channel();
    let guest = Guest {
        door,
        request: Request::from_parts(parts, body),
        answer,
    };
    if inbox.send(Message::Guest(Box::new(guest))).is_err() {
        return plain(StatusCode::SERVICE_UNAVAILABLE);
    }
    let Ok(answer) = answered.await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE);
    };
    answer.map(|pieces| {
        let pieces = stream::unfold(pieces, async |mut pieces| {
            pieces.recv().await.map(|piece| (piece, pieces))
        });
        Body::from_stream(pieces.map(Ok::<_, std::convert::Infallible>))
    })
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Asks the world, and sends what it says until nobody listens any more.
async fn answer(world: World, api: ClientService, guest: Guest) {
    match guest.door {
        Door::ApiServer => {
            if let Ok(answer) = api.oneshot(guest.request.map(Full::new)).await {
                send(answer, guest.answer).await;
            }
        }
        Door::Prometheus => {
            if let Ok(answer) = world.prometheus().respond(guest.request).await {
                send(answer, guest.answer).await;
            }
        }
    }
}

async fn send<B>(answer: Response<B>, to: oneshot::Sender<Response<mpsc::UnboundedReceiver<Bytes>>>)
where
    B: BodyExt<Data = Bytes> + Send,
{
    let (parts, body) = answer.into_parts();
    let (pieces, receiver) = mpsc::unbounded_channel();
    if to.send(Response::from_parts(parts, receiver)).is_err() {
        return;
    }
    let mut body = std::pin::pin!(body);
    loop {
        let frame = tokio::select! {
            biased;
            () = pieces.closed() => return,
            frame = body.frame() => frame,
        };
        let Some(Ok(frame)) = frame else { return };
        if let Ok(data) = frame.into_data()
            && pieces.send(data).is_err()
        {
            return;
        }
    }
}
