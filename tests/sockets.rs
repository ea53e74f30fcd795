//! The echo binaries on real sockets, against each other and against peers that behave as the Go programs do.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    missing_docs,
    reason = "these are real processes: their tests need the wall clock and threads"
)]

mod processes;

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use processes::{PATIENCE, Process, read_all, read_line, send, text, udp_socket};

const TCP: &str = env!("CARGO_BIN_EXE_tcp-echo");
const UDP: &str = env!("CARGO_BIN_EXE_udp-echo");

/// A TCP server as in the post: it answers one line of each connection and closes it.
fn go_tcp_server(connections: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            let stream = stream.expect("a client connects");
            let mut line = Vec::new();
            _ = BufReader::new(&stream).read_until(b'\n', &mut line);
            _ = (&stream).write_all(&[b"Echo: ", &line[..]].concat());
        }
    });
    addr
}

/// A UDP server as in the post, which does not answer datagrams for which `loses` is true, by their number.
fn go_udp_server(loses: impl Fn(usize) -> bool + Send + 'static) -> SocketAddr {
    let socket = udp_socket();
    let addr = socket.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        for number in 0.. {
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { return };
            if !loses(number) {
                _ = socket.send_to(&[b"Echo: ", &buffer[..len]].concat(), from);
            }
        }
    });
    addr
}

#[test]
fn a_go_client_gets_its_line_back_over_tcp() {
    let server = Process::serve(TCP, &[]);
    let stream = server.connect();
    (&stream).write_all(b"hello\n").expect("the server reads");
    assert_eq!(text(&read_line(&stream)), "Echo: hello\n");
}

#[test]
fn a_go_client_gets_its_datagram_back_over_udp() {
    let server = Process::serve(UDP, &[]);
    let socket = udp_socket();
    socket.send_to(b"Hello UDP server\n", server.addr).expect("a datagram can be sent");
    let mut buffer = [0; 1024];
    let (len, from) = socket.recv_from(&mut buffer).expect("an answer comes");
    assert_eq!((text(&buffer[..len]).as_str(), from), ("Echo: Hello UDP server\n", server.addr));
}

#[test]
fn our_tcp_client_talks_to_a_server_that_answers_one_line_a_connection() {
    let output = send(TCP, go_tcp_server(1), &["hello"], b"");
    assert_eq!(text(&output.stdout), "Echo: hello\n", "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));

    let output = send(TCP, go_tcp_server(100), &["--pipeline", "4"], b"one\ntwo\nthree\nfour\nfive\nsix\n");
    let expected = "Echo: one\nEcho: two\nEcho: three\nEcho: four\nEcho: five\nEcho: six\n";
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn our_udp_client_talks_to_a_server_that_loses_first_tries() {
    let addr = go_udp_server(|number| number % 2 == 0);
    let output = send(UDP, addr, &["--timeout", "100ms", "Hello UDP server", "again"], b"");
    assert_eq!(text(&output.stdout), "Echo: Hello UDP server\nEcho: again\n");
    assert!(text(&output.stderr).contains("2 sent, 2 answered, 2 retried, 0 lost (0 %)"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn losses_and_times_are_printed_as_ping_does() {
    let addr = go_udp_server(|number| number == 1);
    let output = send(UDP, addr, &["--timeout", "100ms", "--retries", "0", "--count", "4", "x"], b"");
    let stderr = text(&output.stderr);
    assert_eq!(text(&output.stdout), "Echo: x\n".repeat(3), "{stderr}");
    assert!(stderr.contains(&format!("8 bytes from {addr}: seq=0 time=")), "{stderr}");
    assert!(stderr.contains("4 sent, 3 answered, 1 lost (25 %), time "), "{stderr}");
    assert!(stderr.contains("rtt min/avg/max/mdev = "), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn any_bytes_come_back_over_tcp() {
    let server = Process::serve(TCP, &["--prefix", ""]);
    let mut sent: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    sent.extend_from_slice(b"\n\n\0\n\xff\xfe\r\n");
    let stream = server.connect();
    let writer = stream.try_clone().expect("a stream can be shared");
    let bytes = sent.clone();
    let writing = thread::spawn(move || {
        (&writer).write_all(&bytes).expect("the server reads");
        writer.shutdown(Shutdown::Write).expect("the connection is open");
    });
    assert_eq!(read_all(&stream), sent);
    writing.join().expect("all is written");
}

#[test]
fn any_bytes_go_through_our_client() {
    let server = Process::serve(TCP, &[]);
    let lines: Vec<Vec<u8>> = (0..500_u32).map(|n| [&n.to_le_bytes()[..], b"\xff\0"].concat()).collect();
    let lines: Vec<_> = lines.into_iter().filter(|line| !line.contains(&b'\n')).collect();
    let stdin = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect::<Vec<u8>>();
    let expected = lines.iter().flat_map(|line| [b"Echo: ", &line[..], b"\n"].concat()).collect::<Vec<u8>>();
    let output = send(TCP, server.addr, &["--pipeline", "16"], &stdin);
    assert_eq!(output.stdout, expected, "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_last_line_without_a_newline_comes_back_without_one() {
    let server = Process::serve(TCP, &[]);
    let stream = server.connect();
    (&stream).write_all(b"one\ntwo").expect("the server reads");
    stream.shutdown(Shutdown::Write).expect("the connection is open");
    assert_eq!(text(&read_all(&stream)), "Echo: one\nEcho: two");
}

#[test]
fn many_clients_are_served_at_once() {
    let server = Process::serve(TCP, &[]);
    let streams: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for round in 0..5 {
        for (number, mut stream) in streams.iter().enumerate() {
            stream.write_all(format!("{number} in {round}\n").as_bytes()).expect("the server reads");
        }
        for (number, stream) in streams.iter().enumerate() {
            assert_eq!(text(&read_line(stream)), format!("Echo: {number} in {round}\n"));
        }
    }
}

#[test]
fn a_line_above_the_limit_gets_an_error_line_and_then_the_end() {
    let server = Process::serve(TCP, &[]);
    for tail in [vec![], b"\nmore\n".to_vec(), vec![b'y'; 1_000_000]] {
        let stream = server.connect();
        let writer = stream.try_clone().expect("a stream can be shared");
        let bytes = [b"first\n", &vec![b'x'; 65_537][..], &tail].concat();
        // The server may stop reading before all is written.
        let writing = thread::spawn(move || _ = (&writer).write_all(&bytes));
        assert_eq!(text(&read_all(&stream)), "Echo: first\nerror: line longer than 65536 bytes\n");
        drop(stream);
        writing.join().expect("writing ends");
    }
    let stream = server.connect();
    let line = [&vec![b'x'; 65_536][..], b"\n"].concat();
    (&stream).write_all(&line).expect("the server reads");
    assert_eq!(read_line(&stream), [b"Echo: ", &line[..]].concat());
}

#[test]
fn our_client_shows_the_error_line() {
    let server = Process::serve(TCP, &["--max-line", "10"]);
    let output = send(TCP, server.addr, &["short", "much longer than that"], b"");
    let stderr = text(&output.stderr);
    assert_eq!(text(&output.stdout), "Echo: short\n");
    assert!(stderr.contains(r#"answered something else: "error: line longer than 10 bytes""#), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = Process::serve(TCP, &["--idle-timeout", "300ms"]);
    let (idle, busy) = (server.connect(), server.connect());
    let started = Instant::now();
    for _ in 0..8 {
        (&busy).write_all(b"x\n").expect("the server reads");
        assert_eq!(read_line(&busy), b"Echo: x\n");
        thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(read_all(&idle), b"");
    assert_eq!(read_all(&busy), b"");
    assert!(started.elapsed() >= Duration::from_millis(700), "the busy one was closed after {:?}", started.elapsed());
}

#[test]
fn one_connection_too_many_gets_an_error_line() {
    let server = Process::serve(TCP, &["--max-connections", "2"]);
    let streams = [server.connect(), server.connect()];
    for mut stream in &streams {
        stream.write_all(b"x\n").expect("the server reads");
        assert_eq!(read_line(stream), b"Echo: x\n");
    }
    let refused = server.connect();
    // Even if it has sent something, which the server never reads.
    _ = (&refused).write_all(b"x\n");
    assert_eq!(text(&read_all(&refused)), "error: more than 2 connections\n");
    drop(streams);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stream = server.connect();
        (&stream).write_all(b"x\n").expect("the server reads");
        if read_line(&stream) == b"Echo: x\n" {
            break;
        }
        assert!(Instant::now() < deadline, "the places were not free again");
    }
}

#[test]
fn a_client_that_does_not_read_costs_little_and_stops_nobody_else() {
    let server = Process::serve(TCP, &[]);
    let before_kib = server.memory_kib();
    let greedy = server.connect();
    greedy.set_write_timeout(Some(Duration::from_millis(300))).expect("a stream has timeouts");
    let batch = b"0123456789\n".repeat(10_000);
    let mut written = 0_usize;
    while written < 256 << 20 {
        match (&greedy).write(&batch) {
            Ok(bytes) => written += bytes,
            Err(_) => break,
        }
    }
    assert!(written < 256 << 20, "the server took {written} bytes without writing any");
    let grown_kib = server.memory_kib().saturating_sub(before_kib);
    assert!(grown_kib < 4096, "the server grew by {grown_kib} KiB");
    let stream = server.connect();
    (&stream).write_all(b"hello\n").expect("the server reads");
    assert_eq!(text(&read_line(&stream)), "Echo: hello\n");
}

#[test]
fn sigterm_ends_the_server_after_its_answers() {
    let mut server = Process::serve(TCP, &[]);
    let (idle, half, busy) = (server.connect(), server.connect(), server.connect());
    (&half).write_all(b"no newline yet").expect("the server reads");
    let lines = b"x\n".repeat(100_000);
    let reader = busy.try_clone().expect("a stream can be shared");
    let reading = thread::spawn(move || read_all(&reader));
    (&busy).write_all(&lines).expect("the server reads");
    server.signal("TERM");
    assert_eq!(read_all(&idle), b"");
    assert_eq!(read_all(&half), b"");
    assert_eq!(reading.join().expect("reading ends").len(), 100_000 * b"Echo: x\n".len());
    drop((idle, half, busy));
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("100000 lines answered on 3 connections"), "{stderr}");
    assert!(TcpStream::connect_timeout(&server.addr, PATIENCE).is_err());
}

#[test]
fn what_has_arrived_when_the_server_is_told_to_stop_is_answered() {
    let mut server = Process::serve(TCP, &["--max-connections", "2"]);
    let accepted = server.connect();
    (&accepted).write_all(b"x\n").expect("the server reads");
    assert_eq!(read_line(&accepted), b"Echo: x\n");
    // While it stands still, its kernel takes connections and lines for it, and it finds them together with the signal.
    server.signal("STOP");
    let (waiting, refused) = (server.connect(), server.connect());
    for mut stream in [&accepted, &waiting, &refused] {
        stream.write_all(b"y\nno newline yet").expect("the kernel takes it");
    }
    server.signal("TERM");
    server.signal("CONT");
    assert_eq!(text(&read_all(&accepted)), "Echo: y\n");
    assert_eq!(text(&read_all(&waiting)), "Echo: y\n");
    assert_eq!(text(&read_all(&refused)), "error: more than 2 connections\n");
    drop((accepted, waiting, refused));
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("3 lines answered on 2 connections, 1 refused\n"), "{stderr}");
}

/// Sends for twice the time that a silent client is given.
fn keep_sending(mut stream: &TcpStream) {
    for _ in 0..20 {
        stream.write_all(b"more\n").expect("the server takes it, for the connection is not over");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_client_that_goes_on_sending_gets_its_answers_at_the_end() {
    let mut server = Process::serve(TCP, &[]);
    let stream = server.connect();
    let lines = b"x\n".repeat(100_000);
    (&stream).write_all(&lines).expect("the server reads");
    server.signal("TERM");
    keep_sending(&stream);
    let answers = read_all(&stream).len() / b"Echo: x\n".len();
    drop(stream);
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains(&format!("{answers} lines answered on 1 connections\n")), "{answers}: {stderr}");
}

#[test]
fn a_client_that_goes_on_sending_learns_why_its_connection_ends() {
    let server = Process::serve(TCP, &["--max-line", "10", "--max-connections", "1"]);
    let talkative = server.connect();
    (&talkative).write_all(b"longer than that\n").expect("the server reads");
    let refused = server.connect();
    thread::scope(|scope| {
        scope.spawn(|| keep_sending(&refused));
        keep_sending(&talkative);
    });
    assert_eq!(text(&read_all(&talkative)), "error: line longer than 10 bytes\n");
    assert_eq!(text(&read_all(&refused)), "error: more than 1 connections\n");
}

#[test]
fn a_client_that_does_not_read_delays_the_end_to_the_deadline_only() {
    let mut server = Process::serve(TCP, &["--drain-timeout", "300ms"]);
    let greedy = server.connect();
    greedy.set_write_timeout(Some(Duration::from_millis(200))).expect("a stream has timeouts");
    let batch = b"0123456789\n".repeat(10_000);
    while (&greedy).write_all(&batch).is_ok() {}
    let started = Instant::now();
    server.signal("INT");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("1 cut off"), "{stderr}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn the_largest_datagram_comes_back_and_a_larger_answer_is_not_cut() {
    let socket = udp_socket();
    let mut buffer = vec![0; 70_000];
    let largest: Vec<u8> = (0..65_507_u32).map(|n| n.to_le_bytes()[0]).collect();

    let plain = Process::serve(UDP, &["--prefix", ""]);
    socket.send_to(&largest, plain.addr).expect("the largest datagram can be sent");
    let (len, _) = socket.recv_from(&mut buffer).expect("an answer comes");
    assert_eq!(buffer[..len], largest);

    let mut server = Process::serve(UDP, &[]);
    socket.send_to(&largest, server.addr).expect("the largest datagram can be sent");
    socket.send_to(&largest[..65_501], server.addr).expect("a large datagram can be sent");
    let (len, _) = socket.recv_from(&mut buffer).expect("an answer comes");
    assert_eq!(buffer[..len], [b"Echo: ", &largest[..65_501]].concat());
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("1 datagrams answered of 2, 1 too long to answer"), "{stderr}");
    assert!(stderr.contains("an answer is longer than 65507 bytes and is not sent"), "{stderr}");
}

#[test]
fn any_datagram_comes_back_the_empty_one_too() {
    let server = Process::serve(UDP, &[]);
    let socket = udp_socket();
    let mut buffer = [0; 1024];
    for payload in [&b""[..], b"\0", b"\xff\xfe\n\n"] {
        socket.send_to(payload, server.addr).expect("a datagram can be sent");
        let (len, _) = socket.recv_from(&mut buffer).expect("an answer comes");
        assert_eq!(buffer[..len], [b"Echo: ", payload].concat());
    }
}

#[test]
fn our_udp_client_gives_a_message_up_that_no_datagram_carries() {
    let server = Process::serve(UDP, &[]);
    let stdin = [&vec![b'x'; 70_000][..], b"\nshort\n"].concat();
    let output = send(UDP, server.addr, &[], &stdin);
    assert_eq!(text(&output.stdout), "Echo: short\n");
    assert!(text(&output.stderr).contains("70001 bytes is more than a datagram carries"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn our_tcp_client_waits_no_longer_than_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    let started = Instant::now();
    let output = send(TCP, addr, &["--timeout", "200ms", "--retries", "1", "hello"], b"");
    assert!((400..5000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    let stderr = text(&output.stderr);
    assert!(stderr.contains("no answer in time"), "{stderr}");
    assert!(stderr.contains("1 sent, 0 answered, 1 retried, 1 lost (100 %)"), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_rate_spaces_messages() {
    let server = Process::serve(TCP, &[]);
    let started = Instant::now();
    let output = send(TCP, server.addr, &["--rate", "20", "--count", "5", "x"], b"");
    assert_eq!(text(&output.stdout), "Echo: x\n".repeat(5));
    assert!((200..5000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[test]
fn sigint_ends_the_client_with_the_statistics_so_far() {
    let server = Process::serve(TCP, &[]);
    let child = Command::new(TCP)
        .args(["send", "--to", &server.addr.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let mut client = Process { child, addr: server.addr };
    // Stdin stays open: a person is about to type the next line.
    let mut stdin = client.child.stdin.take().expect("stdin is piped");
    stdin.write_all(b"hello\n").expect("the client reads");
    let mut line = String::new();
    BufReader::new(client.child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("an answer comes");
    assert_eq!(line, "Echo: hello\n");
    client.signal("INT");
    let (code, stderr) = client.end();
    assert!(stderr.contains("1 sent, 1 answered, 0 lost (0 %)"), "{stderr}");
    assert_eq!(code, Some(0));
    drop(stdin);
}

#[test]
fn a_closed_stdout_ends_the_client_without_a_panic() {
    let server = Process::serve(TCP, &[]);
    let child = Command::new(TCP)
        .args(["send", "--to", &server.addr.to_string(), "--rate", "100", "--count", "10000", "x"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let mut client = Process { child, addr: server.addr };
    drop(client.child.stdout.take());
    let (code, stderr) = client.end();
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn errors_name_the_address_and_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = taken.local_addr().expect("it is bound").to_string();
    let output = Command::new(TCP).args(["serve", "--listen", &addr]).output().expect("it starts");
    let stderr = text(&output.stderr);
    assert!(stderr.contains(&format!("cannot listen on {addr}: ")), "{stderr}");
    assert!(stderr.contains("choose another one"), "{stderr}");
    assert_eq!(output.status.code(), Some(1));

    drop(taken);
    let output = send(TCP, addr.parse().expect("an address"), &["hello"], b"");
    let stderr = text(&output.stderr);
    assert!(stderr.contains(&format!("cannot connect to {addr}: connection refused")), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn bad_usage_is_exit_code_2() {
    for (binary, arguments) in [
        (TCP, &["send"][..]),
        (TCP, &["serve", "--idle-timeout", "soon"]),
        (TCP, &["serve", "--max-line", "-1"]),
        (TCP, &["send", "--to", "127.0.0.1:1", "--rate", "0", "x"]),
        (TCP, &["send", "--to", "127.0.0.1:1", "--pipeline", "0", "x"]),
        (TCP, &["send", "--to", "127.0.0.1:1", "--count", "0", "x"]),
        (UDP, &["send", "--to", "127.0.0.1:1", "--timeout", "0s", "x"]),
        (UDP, &["serve", "--max-line", "5"]),
        (UDP, &[]),
    ] {
        let output = Command::new(binary).args(arguments).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty());
    }
}
