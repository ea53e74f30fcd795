//! The same service and the same client over the operating system's sockets.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use axum_kv::client::Client;

struct Server(Child, String);

impl Server {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kv-server"));
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
async fn what_was_acknowledged_is_there_after_a_kill() {
    let directory = std::env::temp_dir().join(format!("axum-kv-{}", std::process::id()));
    for start in 0..3_u64 {
        let server = Server::start(&directory);
        let mut client = Client::new(&server.1);
        let read = client.get("key").await.expect("it answers");
        assert_eq!(read, (start > 0).then(|| (start, format!("value {start}"))));
        client.put("key", start + 1, &format!("value {}", start + 1)).await.expect("it is written");
    }
    std::fs::remove_dir_all(directory).expect("it is there");
}
