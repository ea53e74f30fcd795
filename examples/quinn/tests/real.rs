//! The same service and the same client over the operating system's sockets.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use quinn_records::client::Client;

struct Server(Child, String);

impl Server {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_records-server"));
        command.arg("127.0.0.1:0").arg(directory).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says where it is");
        let addr = line.trim().strip_prefix("listening at ").expect("it says where it is").to_owned();
        Self(child, addr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it was killed");
    }
}

#[tokio::test]
async fn what_was_kept_counts_once_and_is_there_after_a_kill() {
    let directory = std::env::temp_dir().join(format!("quinn-records-{}", std::process::id()));
    for start in 1..=3_u64 {
        let server = Server::start(&directory);
        let certificate = std::fs::read(directory.join("certificate.der")).expect("it is there");
        let mut client = Client::new(&server.1, certificate.into()).await.expect("a client");
        assert_eq!(client.keep(&format!("record {start}")).await.expect("it is kept"), start);
        assert_eq!(client.keep("record 1").await.expect("it is kept"), start);
    }
    std::fs::remove_dir_all(directory).expect("it is there");
}
