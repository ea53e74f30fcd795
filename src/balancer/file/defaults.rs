//! What holds where a file says nothing: the defaults of [`config`] and [`policy`], as the file would have them.

use std::time::Duration;

use super::span::Span;
use super::{Checks, Ejection, File, Headers, Limits, PolicyName, Retries, SlowStart, Timeouts};
use crate::balancer::{config, policy};

impl Default for File {
    fn default() -> Self {
        let settings = policy::Settings::default();
        Self {
            listen: None,
            admin: None,
            policy: PolicyName::default(),
            backend_in_flight_max: settings.in_flight_max,
            panic_percent: settings.panic_percent,
            backend: Vec::new(),
            checks: Checks::default(),
            ejection: Ejection::default(),
            slow_start: SlowStart::default(),
            retries: Retries::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            forwarding: Headers::default(),
        }
    }
}

impl Default for Checks {
    fn default() -> Self {
        let (asked, judged) = (config::Checks::default(), policy::Checks::default());
        Self {
            enabled: true,
            path: asked.path,
            interval: Span(judged.interval),
            timeout: Span(asked.timeout),
            healthy_threshold: judged.healthy_threshold,
            unhealthy_threshold: judged.unhealthy_threshold,
        }
    }
}

impl Default for Ejection {
    fn default() -> Self {
        let (ejection, rate) = (policy::Ejection::default(), policy::FailureRate::default());
        Self {
            consecutive_failures: ejection.consecutive_failures.unwrap_or(0),
            failure_percent: rate.percent,
            window: Span(rate.window),
            requests_min: rate.requests_min,
            time_base: Span(ejection.time_base),
            time_max: Span(ejection.time_max),
            forgiven_after: Span(ejection.forgiven_after),
            ejected_percent_max: ejection.ejected_percent_max,
            check_readmits: ejection.check_readmits,
        }
    }
}

impl Default for SlowStart {
    fn default() -> Self {
        let slow = policy::SlowStart::default();
        Self { window: Span(slow.window), share_percent_min: slow.share_percent_min }
    }
}

impl Default for Retries {
    fn default() -> Self {
        let (retries, budget) = (config::Retries::default(), policy::Budget::default());
        Self {
            attempts_max: retries.attempts_max,
            backoff_base: Span(Duration::from_millis(25)),
            backoff_max: Span(Duration::from_millis(250)),
            budget_percent: budget.percent,
            budget_window: Span(budget.window),
            budget_floor_per_second: budget.floor_per_second,
            on_503: retries.on_503,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let times = config::Timeouts::default();
        Self {
            connect: Span(times.connect),
            head: Span(times.head),
            idle: Span(times.idle),
            upload: Span(times.upload),
            expect: Span(times.expect),
            answer: Span(times.answer),
            request: Span(times.request),
            keep_alive: Span(times.keep_alive),
            pool: Span(times.pool),
            linger: Span(times.linger),
            drain: Span(times.drain),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let limits = config::Limits::default();
        Self {
            connections_max: limits.connections_max,
            in_flight_max: limits.in_flight_max,
            pool_max: limits.pool_max,
            head_bytes_max: limits.head_bytes_max,
            headers_max: limits.headers_max,
            target_bytes_max: limits.target_bytes_max,
            body_bytes_max: limits.body_bytes_max,
            upload_bytes_per_second_min: limits.upload_bytes_per_second_min,
            answer_head_bytes_max: limits.answer_head_bytes_max,
            answer_headers_max: limits.answer_headers_max,
        }
    }
}
