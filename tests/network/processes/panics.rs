//! A panic names its host, and who awaits a task is given the panic as an error.

use stormglass::sim::{Host, HostResult, Outcome, Setup, Verdict};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{ms, note, notes, simulate};

fn run<R: Future<Output = HostResult> + 'static>(life: impl Fn(Host) -> R + Copy + Send + Sync + 'static) -> Outcome {
    simulate(1, "duration = '1s'", move |setup: &mut Setup<'_>| {
        setup.process("n1", life);
        setup.process_workload("n2", async |host: Host| {
            sleep(ms(500)).await;
            host.events.work(1);
            Ok(())
        });
    })
}

fn found(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Verdict::Panic(finding) => finding.message.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_names_its_host() {
    let outcome = run(async |_| {
        sleep(ms(100)).await;
        panic!("the root of it")
    });
    assert!(found(&outcome).starts_with("n1 panicked: the root of it ("), "{}", found(&outcome));
    let outcome = run(async |_| {
        tokio::spawn(async {
            sleep(ms(100)).await;
            panic!("a task of it")
        });
        std::future::pending().await
    });
    assert!(found(&outcome).starts_with("n1 panicked: a task of it ("), "{}", found(&outcome));
    assert!(found(&outcome).ends_with("in a task that nobody awaits"), "{}", found(&outcome));
    let outcome = run(|_| -> std::future::Pending<HostResult> { panic!("before it began") });
    assert!(found(&outcome).starts_with("n1 panicked: before it began ("), "{}", found(&outcome));
}

#[test]
fn who_awaits_the_task_is_given_an_error() {
    let outcome = run(async |host: Host| {
        let task = tokio::spawn(async {
            sleep(ms(100)).await;
            panic!("it is seen to")
        });
        let error = task.await.map(|(): ()| ()).expect_err("it panicked");
        assert_eq!(*error.into_panic().downcast::<&str>().expect("a text"), "it is seen to");
        note(&host.events, "saw to it", 1);
        let mut tasks = JoinSet::new();
        tasks.spawn(async { sleep(ms(10)).await });
        tasks.spawn(async { panic!("one of two") });
        while let Some(ended) = tasks.join_next().await {
            note(&host.events, "joined", u64::from(ended.is_err()));
        }
        std::future::pending().await
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(notes(&outcome, "saw to it"), [(ms(100), 1)]);
    assert_eq!(notes(&outcome, "joined"), [(ms(100), 1), (ms(110), 0)]);
}

#[test]
fn a_panic_that_another_leads_to_is_the_first() {
    let outcome = run(async |_| {
        let task = tokio::spawn(async { panic!("the cause") });
        task.await.map(|(): ()| ()).expect("the task is well");
        Ok(())
    });
    assert!(found(&outcome).starts_with("n1 panicked: the cause ("), "{}", found(&outcome));
}

#[test]
fn a_process_may_outlive_the_panics_of_its_tasks() {
    let outcome = simulate(1, "duration = '1s'", |setup| {
        setup.process("n1", async |host: Host| {
            let supervisor = tokio::spawn(async {
                let task = tokio::spawn(async { panic!("in life nobody minds") });
                task.await.map(|(): ()| ()).is_err()
            });
            note(&host.events, "supervised", u64::from(supervisor.await?));
            std::future::pending().await
        });
        setup.outlives_panics("n1");
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(outcome.counter("panics"), 1);
    assert_eq!(notes(&outcome, "supervised"), [(ms(0), 1)]);
}
