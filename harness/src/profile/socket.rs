//! The sockets that servers have in their folders, at which they can be told things.

use std::{fs::File, io, os::fd::AsRawFd, path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// What comes after a line break is a part of the answer, if it comes at once.
const REST: Duration = Duration::from_millis(50);

/// Connects to a socket of a folder.
pub(super) async fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let open = File::open(folder)?;
    // The address of a unix socket has 108 bytes at most; the folder's own path may be longer.
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", open.as_raw_fd())).await
}

/// Says something there, and gives the answer.
pub(super) async fn ask(folder: &Path, name: &str, words: &str) -> io::Result<String> {
    let mut stream = connect(folder, name).await?;
    stream.write_all(words.as_bytes()).await?;
    let mut answer = Vec::new();
    // Some go on after a line break; some reload at once, and cut the connection.
    while !answer.ends_with(b"\n") && matches!(stream.read_buf(&mut answer).await, Ok(1..)) {}
    let _ = timeout(REST, stream.read_to_end(&mut answer)).await;
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_reached_however_long_the_path_of_its_folder_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("deep".repeat(40));
        std::fs::create_dir(&deep).expect("a folder");
        let open = File::open(&deep).expect("open");
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/admin.sock", open.as_raw_fd()));
        let listener = listener.expect("a socket");
        let answer = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.read_exact(&mut [0; 6]).await.expect("a question");
            stream.write_all(b"+OK\r\n").await.expect("written");
        };
        let (said, ()) = tokio::join!(ask(&deep, "admin.sock", "PING\r\n"), answer);
        assert_eq!(said.expect("an answer"), "+OK");
    }
}
