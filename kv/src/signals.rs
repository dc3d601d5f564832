//! What ends the program from outside.

use std::io::Read as _;

use tokio::sync::oneshot;

/// Completes when the process is asked to end: by SIGTERM, SIGINT or, where there are no such
/// signals, Ctrl-C.
pub async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        if let (Ok(mut terminate), Ok(mut interrupt)) = signals {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            return;
        }
    }
    // No handler can be set up: then the signal ends the process by itself.
    if tokio::signal::ctrl_c().await.is_err() {
        core::future::pending::<()>().await;
    }
}

/// Completes when standard input ends: when the process that holds its other end is gone, however
/// that came to be.
pub async fn parent_gone() {
    let (gone, waiting) = oneshot::channel();
    // A thread of its own: a read of standard input cannot be cancelled.
    let watcher = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut bytes = [0; 64];
        let mut input = std::io::stdin().lock();
        while input.read(&mut bytes).is_ok_and(|len| len > 0) {}
        // Nobody waits any more when the process ends by itself.
        let _ = gone.send(());
    });
    if watcher.is_err() || waiting.await.is_err() {
        core::future::pending::<()>().await;
    }
}
