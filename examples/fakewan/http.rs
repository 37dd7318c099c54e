//! The HTTP server behind the addresses: a thread for each connection, one request each.
//!
//! `/` answers 200 with the body `ok`; `/status/N` another status; `/bytes/N` a body of N bytes;
//! `/slow/MS` waits before it answers; `/redirect/PATH` sends elsewhere; `/cut` closes in the
//! middle of the body.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::time::Duration;

/// Begins to serve on a port that the system chooses, on all addresses of both families; the
/// threads end with the process.
pub fn serve() -> std::io::Result<u16> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(&stream));
        }
    });
    Ok(port)
}

fn answer(stream: &TcpStream) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.set_nodelay(true).ok()?;
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let (word, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let number = || rest.parse::<u64>().unwrap_or(0);
    let (mut status, mut body, mut more) = (200, b"ok".to_vec(), String::new());
    match word {
        "status" => status = number(),
        "bytes" => body = vec![b'x'; usize::try_from(number().min(100_000_000)).ok()?],
        "slow" => std::thread::sleep(Duration::from_millis(number().min(60_000))),
        "redirect" => (status, more) = (302, format!("Location: /{rest}\r\n")),
        _ => {}
    }
    let length = body.len();
    let mut whole = format!(
        "HTTP/1.1 {status} -\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .into_bytes();
    if word == "cut" {
        body.truncate(1);
    }
    whole.extend(body);
    (&*stream).write_all(&whole).ok()
}
