//! The program of the services here: it keeps a diary in its data folder, and answers questions on
//! its health port, a line each.

use std::{fs, io::Write, net::SocketAddr, path::Path};

use notafter::{
    multicall::Program,
    service::{BUNDLE_FILE, Config, HEALTH_PORT, PROGRAM},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
};

pub const DIARY: &str = "diary";

pub const PROGRAMS: [Program; 2] = [
    Program { name: "diarist", main: diarist, foreign: false },
    Program { name: "orphan", main: orphan, foreign: false },
];

#[expect(clippy::needless_pass_by_value, reason = "the shape of a program")]
fn diarist(config: Config) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(live(&config)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}: {error}", config.service);
            1
        }
    }
}

/// Becomes two: one that ends at once, and its child, which ends only then.
fn orphan(_: Config) -> u8 {
    if std::env::var_os("NOTAFTER_TEST_CHILD").is_none() {
        let itself = std::process::Command::new("/proc/self/exe").env("NOTAFTER_TEST_CHILD", "1").spawn();
        return u8::from(itself.is_err());
    }
    let parent = || fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let is_first =
        |stat: &str| stat.rsplit(')').next().is_some_and(|rest| rest.split(' ').nth(2) == Some("1"));
    while !is_first(&parent()) {
        std::thread::yield_now();
    }
    0
}

async fn live(config: &Config) -> std::io::Result<()> {
    let diary = config.data.join(DIARY);
    let (mut reload, mut end) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
    let listener = TcpListener::bind(config.health).await?;
    write(&diary, "begins")?;
    loop {
        tokio::select! {
            _ = reload.recv() => write(&diary, "reloads")?,
            _ = end.recv() => return write(&diary, "ends"),
            asked = listener.accept() => {
                let mut stream = asked?.0;
                let here = stream.local_addr()?;
                let mut question = String::new();
                BufReader::new(&mut stream).read_line(&mut question).await?;
                let answer = answer(config, here, question.trim()).await.unwrap_or_else(|error| error.to_string());
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
}

async fn answer(config: &Config, here: SocketAddr, question: &str) -> std::io::Result<String> {
    match question.split_once(' ').unwrap_or((question, "")) {
        ("who", _) => Ok(format!("{} {} {}", config.service, here.ip(), started()?)),
        ("bundle", _) => fs::read_to_string(config.mounts["main"].join(BUNDLE_FILE)),
        ("call", name) => {
            let (host, _) = config.known[name].rsplit_once(':').expect("host:port");
            ask(TcpStream::connect((host, HEALTH_PORT)).await?, "who").await
        }
        ("orphan", _) => {
            let mut command = std::process::Command::new("/proc/self/exe");
            Ok(command.env(PROGRAM, "orphan").status()?.to_string())
        }
        ("zombies", _) => Ok(zombies().to_string()),
        (other, _) => Ok(format!("what is `{other}`?")),
    }
}

/// Asks one question.
pub async fn ask(mut stream: TcpStream, question: &str) -> std::io::Result<String> {
    stream.write_all(format!("{question}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// When this process was started; in a container its id may be the same after a restart.
fn started() -> std::io::Result<String> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    Ok(format!("{}/{}", std::process::id(), stat.split(' ').nth(21).unwrap_or_default()))
}

fn zombies() -> usize {
    let stats = fs::read_dir("/proc").into_iter().flatten().flatten();
    stats
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
        .count()
}

fn write(diary: &Path, line: &str) -> std::io::Result<()> {
    writeln!(fs::OpenOptions::new().create(true).append(true).open(diary)?, "{line}")
}
