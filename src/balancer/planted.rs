//! The wrong balancers that the checks must catch. Each of them was real, in the code that its line names.
//!
//! A bug is one marked line or a few, all of them absent from a build without the feature `planted-bugs`.

crate::planted_bugs! {
    "balancer":
    /// A POST that a backend may have executed is tried again.
    PostRetried = "post-retried" from "pingora #979, aioduct #79, nginx before 1.9.13",
    /// Round robin shifts the others' turns where a backend is out.
    TurnShifted = "turn-shifted" from "chproxy #82",
    /// An ejected backend is never probed, and so never back.
    EjectedForGood = "ejected-for-good" from "opossum #119",
    /// Where all are down, nobody is asked, however wrong the judgement may be.
    NoPanic = "no-panic" from "aptible/docker-nginx #131",
    /// A kept connection that the backend has closed is not made up for, and carries POSTs too.
    StaleConnection = "stale-connection" from "sozu #1442, h2o #281",
    /// Retries have no budget.
    UnboundedRetries = "unbounded-retries" from "Metastable Failures in Distributed Systems (HotOS 2021)",
    /// What an answer says to the balancer alone is passed on.
    HopByHopLeak = "hop-by-hop-leak" from "Go #46313, vertx-http-proxy #152",
    /// A length that an answer's chunks contradict is passed on, and counts for the client.
    SmuggledLength = "smuggled-length" from "this one, until a test on sockets: hyper's client leaves both to its caller",
    /// Connections that wait for a request are not told of the end.
    DrainForgetsIdle = "drain-forgets-idle" from "wai #853, hyper #2730, hasura #7785",
    /// A client that goes away counts against the backend.
    CancelledCounts = "cancelled-counts" from "wherever a cancelled context reads as an error of the transport",
    /// A half-open backend gets everybody's requests, not one to show how it is.
    HalfOpenFloods = "half-open-floods" from "opossum #119, Polly #254",
    /// A request that failed stays in flight.
    InFlightLeak = "in-flight-leak" from "haproxy #1003",
    /// A backend that returns has its whole share at once.
    SlowStartIgnored = "slow-start-ignored" from "wherever the share is computed once",
    /// A kept connection that was closed in the meantime costs the budget of retries.
    StaleSpendsBudget = "stale-spends-budget" from "this one, until an idle timeout of 2 ms before it lost a third of the GETs",
    /// Any 101 becomes a tunnel, whatever was asked.
    UnaskedTunnel = "unasked-tunnel" from "this one, until a backend switched on a plain GET",
    /// A client that waits for 100 is told to go on before its backend was.
    ContinueAtOnce = "continue-at-once" from "hyper's server, that answers by itself as soon as a body is read",
    /// An answer that comes before its request has gone is taken for the end of the request.
    EarlyAnswerLost = "early-answer-lost" from "this one, until 77 of 120 clients got 502 for the 413 that there was",
    /// The time that a client takes for its upload is its backend's.
    SlowUploadBlamed = "slow-upload-blamed" from "this one, until a client sent a byte a second",
    /// The control: no connection to a backend is ever used twice. Slow, and not wrong.
    PoolUnused = "pool-unused" from "Go's default of two kept connections a host",
}
