//! Tests of what is heard of live runs.

use super::*;
use crate::balancer::file::File;
use crate::check::balancer::digest;
use crate::rng::Seed;
use crate::script::Script;

fn of(rest: &str) -> Result<Processes, ScriptError> {
    let text = format!("about = 'x'\nsystem = 'balancer'\nduration = '60s'\n[balancer]\nbackends = 2\n{rest}");
    let script = Script::parse("x.toml", &text).expect("a script");
    processes(&Setup::built(&super::super::Balancer, &script, Seed(3)).expect("it is valid"))
}

fn tell(witness: &mut dyn Witness, t_ns: u64, host: &str, told: &Told) -> Heard {
    let line = Line { fact: Some(told.clone()), ..Line::named(t_ns, "told", Vec::new()) };
    let line = serde_json::to_string(&line).expect("JSON");
    witness.line(host, (Duration::from_nanos(t_ns), t_ns), &line).expect("it tells something")
}

fn request(is_post: bool) -> Request {
    let (client, id) = ("c1".to_owned(), "c1.0/0".to_owned());
    Request { client, id, is_post, body: Some(digest(b"")), upgrade: None }
}

fn executes(method: &str) -> Told {
    Told::Executes { method: method.to_owned(), id: "c1.0/0".to_owned(), body: digest(b"") }
}

fn end(is_mine: bool) -> Told {
    let end = End::Answered { status: 200, backend: Some("b1".to_owned()), is_mine };
    Told::Ends { request: request(true), took: Duration::from_millis(7), end }
}

#[test]
fn the_balancer_has_its_settings_and_its_backends_in_a_file_and_asks_when_they_are_there() {
    let hosts =
        of("[balancer.settings]\npolicy = 'peak-ewma'\nchecks = { path = '/healthz' }").expect("it can be had").hosts;
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["balancer", "b1", "b2", "c1", "c2"]);
    assert!(hosts[0].last && !hosts[1].last && hosts[3].workload);
    let text = &hosts[0].files[0].1;
    let (file, config) = File::parse("balancer.toml", text).expect("it is one");
    let there: Vec<String> = config.backends.iter().map(|backend| backend.origin.to_string()).collect();
    assert_eq!(there, ["http://b1:8081", "http://b2:8081"]);
    assert_eq!((config.checks.map(|checks| checks.path), file.listen), (Some("/healthz".to_owned()), None), "{text}");
    assert_eq!(
        hosts[1].arguments[1..],
        ["b1", "--script={dir}/script.toml", "--seed=3", "--incarnation={incarnation}", "--since-us={since}"]
    );
}

#[test]
fn a_post_that_runs_twice_is_found_in_whatever_order_it_is_heard() {
    let mut witness = of("").expect("it can be had").witness;
    tell(&mut *witness, 3, "b1", &executes("POST"));
    let heard = tell(&mut *witness, 9, "c1", &end(true));
    assert_eq!(heard.counts, [("answers", 1), ("answers by b1", 1)]);
    assert_eq!((heard.work, heard.time), (1, Some(("latency", Duration::from_millis(7)))));
    assert_eq!(tell(&mut *witness, 1, "c1", &Told::Sends(request(true))).counts, [("requests", 1)]);
    tell(&mut *witness, 5, "b2", &executes("POST"));
    let Judgement { breach, times, notes, .. } = witness.judge(&Ending::default());
    assert_eq!(breach.map(|breach| breach.invariant).as_deref(), Some("a POST runs at most once"));
    assert_eq!(times, [("latency before", Duration::from_millis(7))]);
    assert!(notes[0].starts_with("not checked live"), "{notes:?}");
}

#[test]
fn an_answer_of_another_is_found_and_an_own_one_is_not() {
    for is_mine in [true, false] {
        let mut witness = of("").expect("it can be had").witness;
        tell(&mut *witness, 1, "c1", &Told::Sends(request(true)));
        tell(&mut *witness, 2, "b1", &executes("POST"));
        tell(&mut *witness, 3, "c1", &end(is_mine));
        let found = witness.judge(&Ending::default()).breach;
        assert_eq!(
            found.map(|breach| breach.invariant == "an answer belongs to its request"),
            (!is_mine).then_some(true)
        );
    }
}

#[test]
fn what_the_balancer_tells_is_counted_and_says_who_is_avoided() {
    let mut witness = of("").expect("it can be had").witness;
    let mut say = |event: &str| {
        let line: Line<()> = Line::named(1, event, [("backend", "b2".into())]);
        let line = serde_json::to_string(&line).expect("JSON");
        let heard = witness.line("balancer", (Duration::ZERO, 1), &line).expect("it tells an event");
        (heard.name, heard.counts, witness.holds("avoiding"))
    };
    assert_eq!(say("asks"), (Some("asks"), vec![], false));
    assert_eq!(say("ejected"), (Some("ejected"), vec![("ejections", 1)], true));
    assert_eq!(say("unhealthy").1, [("found unhealthy", 1)]);
    assert!(say("readmitted").2 && !say("healthy").2);
}

#[test]
fn what_is_not_to_be_had_is_refused_with_its_line() {
    for (rest, place, reason) in [
        ("smugglers = 1", "x.toml:6:", "smugglers are simulated only"),
        ("[[step]]\nat = '1s'\nbalancer = { load = 3.0 }", "x.toml:8:", "nobody tells a real balancer"),
        ("[[step]]\nat = '1s'\nkill = '@busiest'", "x.toml:6:", "how busy backends are"),
    ] {
        let Err(error) = of(rest) else { panic!("{rest} is not refused") };
        let text = error.to_string();
        assert!(text.contains(place) && text.contains(reason), "{text}");
    }
}

#[test]
fn service_that_does_not_come_back_makes_a_run_say_nothing_and_no_pass() {
    let script = "[[step]]\nat = '1s'\nkill = 'b1'\n[expect]\nrecovers_within = '1s'";
    let mut witness = of(script).expect("it can be had").witness;
    tell(&mut *witness, 1, "c1", &Told::Sends(request(true)));
    let end = Ending { healed: Some(Duration::from_secs(2)), ..Ending::default() };
    let Judgement { breach, doubt, .. } = witness.judge(&end);
    assert!(breach.is_none() && doubt.is_some_and(|doubt| doubt.starts_with("service comes back: 0 requests")));
}
