//! Real processes. That somebody lives is told by a connection that they hold: it ends when the last of them has ended.

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

async fn never() -> Why {
    std::future::pending().await
}

async fn bash(text: &str, most: usize) -> Finished {
    run(&CommandLine::shell("bash", text), most, never()).await
}

/// A command whose descriptor 3 is the other end of the connection, and what ends it.
async fn holding(text: &str) -> (TcpStream, oneshot::Sender<Why>, JoinHandle<Finished>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = text.replace("HOLD", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}"));
    let (kill, killed) = oneshot::channel();
    let running = tokio::spawn(async move {
        let end = async { killed.await.unwrap() };
        run(&CommandLine::shell("bash", &text), 1024, end).await
    });
    let (held, _) = listener.accept().await.unwrap();
    (held, kill, running)
}

/// Waits until nobody holds the other end.
async fn ends(mut held: TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    held.read_to_end(&mut rest).await.unwrap_or_default();
}

#[tokio::test]
async fn what_a_command_says_and_how_it_ends_is_told() {
    let done = bash("echo out; echo err >&2; echo again", 1024).await;
    assert_eq!(
        (done.output.as_str(), done.error()),
        ("out\nerr\nagain\n", None)
    );
    let done = bash("echo no; exit 3", 1024).await;
    assert_eq!(done.error().as_deref(), Some("exit status 3"));
    let done = bash("kill -9 $$", 1024).await;
    assert_eq!(done.error().as_deref(), Some("signal: killed"));
    let line = CommandLine::shell("no-such-program", "");
    let done = run(&line, 1024, never()).await;
    assert!(done.error().unwrap().starts_with("it cannot be started: "));
}

#[tokio::test]
async fn a_killed_command_takes_its_children_and_their_children_with_it() {
    let text = "HOLD; (sleep 1000 & sleep 1000) & trap '' TERM; wait";
    let (held, kill, running) = holding(text).await;
    kill.send(Why::Timeout(Duration::from_secs(5))).unwrap();
    let done = running.await.unwrap();
    assert_eq!(
        done.error().unwrap(),
        "signal: killed (its timeout of 5s passed; its children were killed with it)"
    );
    ends(held).await;
}

#[tokio::test]
async fn a_command_that_is_dropped_is_killed_with_its_children() {
    let (held, _kill, running) = holding("HOLD; sleep 1000 & sleep 1000").await;
    running.abort();
    ends(held).await;
}

#[tokio::test]
async fn a_command_that_ends_leaves_nothing_behind() {
    // The child does not hold the output, so nobody waits for it.
    let text = "HOLD; sleep 1000 >/dev/null 2>&1 & echo done";
    let (held, _kill, running) = holding(text).await;
    let done = running.await.unwrap();
    assert_eq!((done.output.as_str(), done.error()), ("done\n", None));
    ends(held).await;
}

#[tokio::test]
async fn a_child_that_left_the_group_cannot_delay_the_answer() {
    // It holds the output and cannot be killed with the group; it ends when we hang up.
    let (held, kill, running) = holding("setsid bash -c 'HOLD; cat <&3' & wait").await;
    kill.send(Why::Shutdown).unwrap();
    let done = running.await.unwrap();
    assert_eq!(done.error().unwrap(), "signal: killed (the tester stops)");
    drop(held);
}

#[tokio::test]
async fn of_a_long_output_the_beginning_and_the_end_are_kept() {
    let done = bash("seq 1 200000", 64).await;
    assert_eq!(done.error(), None);
    assert!(done.output.starts_with("1\n2\n3\n"), "{}", done.output);
    assert!(done.output.ends_with("199999\n200000\n"), "{}", done.output);
    assert!(done.output.contains(" bytes left out "), "{}", done.output);
    assert!(done.output.len() < 128, "{}", done.output.len());
}

#[test]
fn an_output_at_its_bound_is_whole() {
    let mut output = Output::new(8);
    output.add("aäöb".as_bytes());
    output.add(b"cd");
    assert_eq!(output.text(), "aäöbcd");
    let mut output = Output::new(8);
    output.add(b"123456789");
    assert_eq!(output.text(), "1234\n… 1 bytes left out …\n6789");
}
