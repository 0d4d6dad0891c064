//! Whether a process serves, asked the way a client would: each protocol's smallest question.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How long a process may take for the connection, and then for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
/// `ApiVersions`, version 0, without a client's name: length, call, version, number, name.
const KAFKA_QUESTION: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
/// What a server of the MySQL protocol says first: a packet with number 0, of protocol version 10.
const MYSQL_GREETING_VERSION: u8 = 10;

/// What to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// `GET /readyz` of our processes.
    Readyz,
    /// Whether a database greets.
    Mysql,
    /// `PING`, of servers and sentinels. One that wants a password serves.
    Redis,
    /// Which calls a broker knows.
    Kafka,
    /// `srvr`, which a server answers with its mode when it belongs to a majority.
    Zookeeper,
}

/// Whether the process at this address serves.
pub(crate) fn serves(question: Question, address: &str) -> bool {
    match question {
        Question::Readyz => get(address, "/readyz").is_some_and(|(status, _)| status == 200),
        Question::Mysql => {
            ask(address, &[], 5).is_some_and(|answer| answer.get(3..5) == Some(&[0, MYSQL_GREETING_VERSION]))
        }
        Question::Redis => ask(address, b"PING\r\n", 5)
            .is_some_and(|answer| answer.starts_with(b"+PONG") || answer.starts_with(b"-NOAU")),
        Question::Kafka => ask(address, KAFKA_QUESTION, 10)
            .is_some_and(|answer| answer.get(4..10) == Some(&[0, 0, 0, 1, 0, 0])),
        Question::Zookeeper => ask(address, b"srvr", ANSWER_BYTES_MAX)
            .is_some_and(|answer| String::from_utf8_lossy(&answer).contains("Mode:")),
    }
}

/// The status and the body of a page.
pub(crate) fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = ask(address, request.as_bytes(), ANSWER_BYTES_MAX)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// Sends a question and reads an answer of at most so many bytes.
fn ask(address: &str, question: &[u8], bytes_max: u64) -> Option<Vec<u8>> {
    let address: SocketAddr = address.parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX).ok()?;
    stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
    stream.write_all(question).ok()?;
    let mut answer = Vec::new();
    // What came before the end, or before the time was over, is the answer.
    let _ = stream.take(bytes_max).read_to_end(&mut answer);
    Some(answer)
}

/// Whether somebody listens at this address, so that nobody else can.
pub(crate) fn is_taken(address: &str) -> bool {
    address.parse::<SocketAddr>().is_ok_and(|address| TcpListener::bind(address).is_err())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Answers one connection, after it has said something where `listens`.
    fn server(answer: &'static [u8], listens: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            if listens {
                assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            }
            stream.write_all(answer).unwrap();
        });
        address
    }

    #[test]
    fn only_a_status_of_200_is_ready() {
        let ready = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", true);
        assert!(serves(Question::Readyz, &ready));
        let answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\":200}";
        assert!(!serves(Question::Readyz, &server(answer, true)));
        assert_eq!(get(&server(answer, true), "/readyz").unwrap(), (503, "{\"ready\":200}".to_owned()));
    }

    #[test]
    fn products_are_known_by_their_answers() {
        assert!(serves(Question::Mysql, &server(&[90, 0, 0, 0, 10, b'1'], false)));
        // An error instead of a greeting: too many connections.
        assert!(!serves(Question::Mysql, &server(&[23, 0, 0, 0, 0xff, 16], false)));
        assert!(serves(Question::Redis, &server(b"+PONG\r\n", true)));
        assert!(serves(Question::Redis, &server(b"-NOAUTH Authentication required.\r\n", true)));
        assert!(!serves(Question::Redis, &server(b"-LOADING Redis is loading\r\n", true)));
        assert!(serves(Question::Zookeeper, &server(b"Zookeeper version: 3\nMode: follower\n", true)));
        let minority = b"This ZooKeeper instance is not currently serving requests\n";
        assert!(!serves(Question::Zookeeper, &server(minority, true)));
        assert!(serves(Question::Kafka, &server(&[0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0], true)));
    }

    #[test]
    fn a_port_is_taken_while_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(is_taken(&address));
        drop(listener);
        assert!(!is_taken(&address));
        assert!(!serves(Question::Redis, &address));
    }
}
