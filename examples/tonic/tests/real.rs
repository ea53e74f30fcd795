//! The same service and the same client over the operating system's sockets.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tonic_ledger::adapter::channel;
use tonic_ledger::rpc::{Entry, LedgerClient};

struct Server(Child, String);

impl Server {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ledger-server"));
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
async fn what_was_booked_counts_once_and_is_there_after_a_kill() {
    let directory = std::env::temp_dir().join(format!("tonic-ledger-{}", std::process::id()));
    for start in 1..=3_u64 {
        let server = Server::start(&directory);
        let mut client = LedgerClient::new(channel(&server.1).expect("an address"));
        let mut totals = client.watch().await.expect("it answers");
        let now = totals.message().await.expect("it answers").expect("there is a total");
        assert_eq!(now.total, 5 * (start - 1));
        for _ in 0..2 {
            let entry = Entry { id: format!("entry-{start}"), amount: 5 };
            assert_eq!(client.add(entry).await.expect("it is booked").total, 5 * start);
        }
        let refused = client.add(Entry { id: "two words".to_owned(), amount: 1 }).await.expect_err("it is no id");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
    std::fs::remove_dir_all(directory).expect("it is there");
}
