//! The line between the harness and the first process of a container: a unix socket in the pod's
//! folder. Orders go in, answers and changes come out, each a line of JSON.
//!
//! The harness listens and the container connects, so the connection itself says that the container
//! is up, and its end says that the other side is gone.

use std::{collections::VecDeque, fs::File, io, os::fd::AsRawFd, path::Path};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
};

use crate::{
    history::ProcessChange,
    supervise::{Order, Request},
};

const SOCKET: &str = "control.sock";

/// What comes out of a container.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::runtime) enum Said {
    /// What its supervisor saw.
    Changed(ProcessChange),
    /// The answer to the oldest order that has none.
    Answered(Result<(), String>),
}

/// One end of the line.
pub(in crate::runtime) struct Line {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

/// The harness's end. The container does not have to be there yet.
pub(in crate::runtime) fn listen(folder: &Path) -> io::Result<UnixListener> {
    let open = File::open(folder)?;
    // The address of a unix socket has 108 bytes at most; the folder's own path may be longer.
    UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd()))
}

/// The container's end.
pub(in crate::runtime) async fn connect(folder: &Path) -> io::Result<Line> {
    Ok(Line::new(UnixStream::connect(folder.join(SOCKET)).await?))
}

impl Line {
    pub(in crate::runtime) fn new(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        Self { lines: BufReader::new(read).lines(), write }
    }

    /// Carries orders into the container, and what it says out of it, until either side ends.
    pub(in crate::runtime) async fn carry(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut changed: impl FnMut(ProcessChange),
    ) -> io::Result<()> {
        let mut asked = VecDeque::new();
        loop {
            tokio::select! {
                request = requests.recv() => {
                    let Some((order, answer)) = request else { return Ok(()) };
                    say(&mut self.write, &order).await?;
                    asked.push_back(answer);
                }
                line = self.lines.next_line() => {
                    let Some(line) = line? else { return Ok(()) };
                    match serde_json::from_str(&line)? {
                        Said::Changed(change) => changed(change),
                        Said::Answered(done) => {
                            let answer: Option<oneshot::Sender<_>> = asked.pop_front();
                            // Whoever asked may have given up waiting.
                            let _ = answer.map(|answer| answer.send(done));
                        }
                    }
                }
            }
        }
    }

    /// Hands orders to a supervisor, one after another, and says what it answers and sees, until the
    /// harness ends or nobody is left who sees anything.
    pub(in crate::runtime) async fn obey(
        mut self,
        supervisor: &mpsc::Sender<Request>,
        mut changes: mpsc::UnboundedReceiver<ProcessChange>,
    ) -> io::Result<()> {
        let mut doing: Option<oneshot::Receiver<Result<(), String>>> = None;
        loop {
            tokio::select! {
                // What led to an answer is said before it.
                biased;
                change = changes.recv() => match change {
                    Some(change) => say(&mut self.write, &Said::Changed(change)).await?,
                    // Nothing will change any more.
                    None => break,
                },
                done = async { doing.as_mut().expect("guarded").await }, if doing.is_some() => {
                    doing = None;
                    let done = done.unwrap_or_else(|_| Err("its supervisor has ended".into()));
                    say(&mut self.write, &Said::Answered(done)).await?;
                }
                line = self.lines.next_line(), if doing.is_none() => {
                    let Some(line) = line? else { return Ok(()) };
                    let order: Order = serde_json::from_str(&line)?;
                    let (answer, done) = oneshot::channel();
                    // A supervisor that is gone drops the answer, too.
                    let _ = supervisor.send((order, answer)).await;
                    doing = Some(done);
                }
            }
        }
        match doing {
            Some(done) => {
                let done = done.await.unwrap_or_else(|_| Err("its supervisor has ended".into()));
                say(&mut self.write, &Said::Answered(done)).await
            }
            None => Ok(()),
        }
    }
}

async fn say(write: &mut OwnedWriteHalf, said: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    write.write_all(&line).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped(last_words: &str) -> ProcessChange {
        ProcessChange::Exited { code: Some(0), signal: None, asked: true, last_words: last_words.into() }
    }

    #[tokio::test]
    async fn each_order_gets_its_own_answer_after_what_led_to_it() {
        let (harness, container) = UnixStream::pair().expect("a pair");
        let (supervisor, mut orders) = mpsc::channel::<Request>(4);
        let (say, changes) = mpsc::unbounded_channel();
        let supervising = async move {
            while let Some((order, answer)) = orders.recv().await {
                say.send(stopped(&format!("{order:?}"))).expect("somebody listens");
                answer.send(Err(format!("{order:?}"))).expect("somebody waits");
            }
        };
        let (requests, carried) = mpsc::channel(4);
        let (seen, mut changed) = mpsc::unbounded_channel();
        let carrying = Line::new(harness).carry(carried, move |change| seen.send(change).expect("room"));
        let asking = async move {
            let asked = [Order::Stop, Order::Kill, Order::Start].map(|order| {
                let (answer, done) = oneshot::channel();
                requests.try_send((order, answer)).expect("room");
                (order, done)
            });
            for (order, done) in asked {
                assert_eq!(done.await, Ok(Err(format!("{order:?}"))));
                assert_eq!(changed.try_recv(), Ok(stopped(&format!("{order:?}"))));
            }
        };
        let obeying = async move { Line::new(container).obey(&supervisor, changes).await };
        let (carried, obeyed, (), ()) = tokio::join!(carrying, obeying, supervising, asking);
        carried.expect("an end without error");
        obeyed.expect("an end without error");
    }

    #[tokio::test]
    async fn an_order_to_a_container_that_is_gone_has_no_answer() {
        let (harness, container) = UnixStream::pair().expect("a pair");
        drop(container);
        let (requests, carried) = mpsc::channel(4);
        let (answer, done) = oneshot::channel();
        requests.try_send((Order::Stop, answer)).expect("room");
        // Whether the line is found to be at its end, or broken, is a matter of timing.
        let _ = Line::new(harness).carry(carried, drop).await;
        assert!(done.await.is_err());
        assert!(requests.is_closed());
    }

    #[tokio::test]
    async fn the_path_of_a_folder_may_be_longer_than_a_socket_address() {
        let base = tempfile::tempdir().expect("a folder");
        let folder = base.path().join("x".repeat(120));
        std::fs::create_dir(&folder).expect("room");
        listen(&folder).expect("a socket");
        assert!(folder.join(SOCKET).exists());
    }
}
