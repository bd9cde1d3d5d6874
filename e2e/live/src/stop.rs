//! When a program is asked to end.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// When the handlers cannot be installed.
pub(crate) async fn asked() -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
    Ok(())
}

/// The same for a server's graceful shutdown, which takes no error: without handlers it ends at once.
pub(crate) async fn asked_or_deaf() {
    if let Err(error) = asked().await {
        tracing::error!(%error, "cannot listen for signals");
    }
}
