//! Clients that say word for word what their script has them say, and hear what it has them hear.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::check::balancer::Request;
use crate::net::Net;
use crate::script::{ByteSize, TimeSpan};
use crate::sim::net::SimNet;
use crate::sim::{Host, HostResult};

use super::PORT;
use super::fleet::Fleet;

type Stream = <SimNet as Net>::Stream;

const INVARIANT: &str = "a conversation goes as it is written";

/// How long something may take that is to be heard.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is sent at a time of a body.
const PIECE_BYTES: u64 = 16 << 10;

/// A conversation with the balancer, held again and again: each of them over a connection of its own.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Talk {
    /// The time between two of them.
    #[serde(default = "quarter_second")]
    every: TimeSpan,
    /// How many there are; left out, as many as there is time for.
    #[serde(default)]
    times: Option<u64>,
    /// What is done, in this order.
    does: Vec<Deed>,
}

fn quarter_second() -> TimeSpan {
    TimeSpan(Duration::from_millis(250))
}

/// One thing that is done in a conversation.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a text to send, or a table with one of `upload`, `pause`, `silent`, `hear`, `read` and `ends`"
)]
enum Deed {
    /// This is sent, word for word. `{id}` is the name of a request, and another one in each text.
    Say(String),
    /// Something else.
    Other(Other),
}

/// One thing that is done and not said.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Other {
    /// So many bytes of a body are sent, until they are not taken any more or there is an answer.
    upload: Option<ByteSize>,
    /// With `upload`: the time between two bytes; left out, they go as fast as they are taken.
    each: Option<TimeSpan>,
    /// Nothing is done for so long.
    pause: Option<TimeSpan>,
    /// Nothing may come for so long.
    silent: Option<TimeSpan>,
    /// A message comes that begins with this: a head, and the body whose length it says.
    hear: Option<String>,
    /// These bytes come, and are all of what comes until then.
    read: Option<String>,
    /// The connection ends in order; what comes before it belongs to the message that was heard last.
    ends: bool,
    /// With `hear` or `ends`: what the message has in it, in whatever case.
    has: Vec<String>,
    /// With `hear` or `ends`: what it must not have.
    lacks: Vec<String>,
    /// With `hear`: it comes after so long at the earliest, from the beginning of the conversation.
    after: Option<TimeSpan>,
    /// With `hear`: and at the latest after so long.
    within: Option<TimeSpan>,
}

/// One conversation that is being held.
struct Held<'a> {
    fleet: &'a Fleet,
    host: &'a Host,
    name: String,
    stream: Stream,
    began: Instant,
    requests: Cell<u64>,
    /// The request that was sent last.
    id: String,
    heard: Vec<u8>,
    /// The message that was heard last.
    message: String,
}

/// The life of a client of this kind.
pub(super) async fn talk(fleet: Rc<Fleet>, host: Host, talk: Talk) -> HostResult {
    let end = Instant::now() + fleet.options.load_for();
    let mut next = Instant::now();
    for number in 0..talk.times.unwrap_or(u64::MAX) {
        sleep_until(next).await;
        next = Instant::now() + talk.every.0;
        if next >= end && number > 0 {
            break;
        }
        let name = format!("{}.{}/{number}", host.name, host.incarnation);
        match hold(&fleet, &host, &name, &talk.does).await {
            Ok(()) => {
                host.events.count("conversations", 1);
                host.events.work(1);
            }
            Err(text) => host.events.violation(INVARIANT, format!("{name}: {text}")),
        }
    }
    sleep(fleet.options.settle()).await;
    Ok(())
}

async fn hold(fleet: &Fleet, host: &Host, name: &str, deeds: &[Deed]) -> Result<(), String> {
    let stream = host.net.connect(&format!("balancer:{PORT}")).await.map_err(|error| error.to_string())?;
    let (began, requests) = (Instant::now(), Cell::new(0));
    let name = name.to_owned();
    let (id, heard, message) = (String::new(), Vec::new(), String::new());
    let mut held = Held { fleet, host, name, stream, began, requests, id, heard, message };
    for (n, deed) in deeds.iter().enumerate() {
        let done = match deed {
            Deed::Say(text) => held.say(text).await,
            Deed::Other(other) => held.does(other).await,
        };
        done.map_err(|text| format!("deed {}: {text}", n + 1))?;
    }
    Ok(())
}

impl Held<'_> {
    async fn say(&mut self, text: &str) -> Result<(), String> {
        let mut text = text.to_owned();
        if text.contains("{id}") {
            self.requests.set(self.requests.get() + 1);
            self.id = format!("{}.{}", self.name, self.requests.get());
            text = text.replace("{id}", &self.id);
            self.sends(&text);
        }
        self.stream.write_all(text.as_bytes()).await.map_err(|error| format!("cannot say it: {error}"))
    }

    /// Tells the check of a request.
    fn sends(&self, text: &str) {
        let mut lines = text.lines().map(str::to_ascii_lowercase);
        let is_http_11 = text.lines().next().is_some_and(|line| line.ends_with(" HTTP/1.1"));
        let may_switch = is_http_11 && !text.starts_with("HEAD ");
        let asked = Request {
            client: self.host.name.clone(),
            id: self.id.clone(),
            is_post: text.starts_with("POST "),
            body: None,
            upgrade: lines.find_map(|line| line.strip_prefix("upgrade:").map(|is| is.trim().to_owned())),
        };
        let asked = Request { upgrade: asked.upgrade.filter(|_| may_switch), ..asked };
        self.fleet.sends(&self.host.events, &asked);
    }

    async fn does(&mut self, other: &Other) -> Result<(), String> {
        if let Some(pause) = other.pause {
            sleep(pause.0).await;
        }
        if let Some(bytes) = other.upload {
            self.upload(bytes.0, other.each).await;
        }
        if let Some(silent) = other.silent {
            let more = timeout(silent.0, self.more()).await;
            if more.is_ok() || !self.heard.is_empty() {
                return Err(format!("hears `{}`, and nothing was to come", String::from_utf8_lossy(&self.heard)));
            }
        }
        if let Some(begin) = &other.hear {
            let heard = timeout(PATIENCE, self.hear()).await;
            heard.map_err(|_| format!("hears nothing, and `{begin}` was to come"))??;
            self.judge(begin, other)?;
        }
        if let Some(expected) = &other.read {
            let read = timeout(PATIENCE, self.read(expected.len())).await;
            let read = read.map_err(|_| format!("hears nothing, and `{expected}` was to come"))??;
            if read != *expected {
                return Err(format!("hears `{read}`, and `{expected}` was to come"));
            }
        }
        if other.ends {
            let ended = timeout(PATIENCE, async {
                while self.more().await? {}
                Ok::<_, std::io::Error>(())
            })
            .await;
            ended
                .map_err(|_| "the connection stays open, and was to end".to_owned())?
                .map_err(|error| error.to_string())?;
            self.message += &String::from_utf8_lossy(&std::mem::take(&mut self.heard));
            self.has_and_lacks(other)?;
        }
        Ok(())
    }

    /// Sends a body until it is sent, is not taken, or is answered.
    async fn upload(&mut self, bytes: u64, each: Option<TimeSpan>) {
        self.fleet.check.borrow_mut().uploads(&self.id, true);
        let piece = vec![b'x'; usize::try_from(PIECE_BYTES).expect("a few KiB")];
        let (mut left, size) = (bytes, if each.is_some() { 1 } else { PIECE_BYTES });
        while left > 0 && self.heard.is_empty() {
            if let Some(each) = each
                && timeout(each.0, self.more()).await.is_ok()
            {
                // An answer, or the end.
                break;
            }
            let next = usize::try_from(left.min(size)).expect("a few KiB");
            if self.stream.write_all(&piece[..next]).await.is_err() {
                break;
            }
            left -= next as u64;
        }
        self.fleet.check.borrow_mut().uploads(&self.id, false);
    }

    async fn more(&mut self) -> std::io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.heard).await? > 0)
    }

    async fn read(&mut self, bytes: usize) -> Result<String, String> {
        while self.heard.len() < bytes {
            if !self.more().await.map_err(|error| error.to_string())? {
                break;
            }
        }
        let rest = self.heard.split_off(bytes.min(self.heard.len()));
        Ok(String::from_utf8_lossy(&std::mem::replace(&mut self.heard, rest)).into_owned())
    }

    /// Reads a message: a head, and the body whose length it says.
    async fn hear(&mut self) -> Result<(), String> {
        let head = loop {
            if let Some(end) = self.heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break self.read(end + 4).await?;
            }
            match self.more().await {
                Ok(true) => {}
                Ok(false) => {
                    return Err(format!("the connection ends after `{}`", String::from_utf8_lossy(&self.heard)));
                }
                Err(error) => return Err(format!("after `{}`: {error}", String::from_utf8_lossy(&self.heard))),
            }
        };
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let body = self.read(length.unwrap_or(0)).await?;
        self.message = head + &body;
        Ok(())
    }

    fn judge(&self, begin: &str, other: &Other) -> Result<(), String> {
        let status = self.message.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let seen = (self.host.events.now(), self.host.events.next_record());
        let breach = self.fleet.check.borrow_mut().heard(seen, &self.id, status);
        breach.into_iter().for_each(|breach| self.host.events.breach(breach));
        if !self.message.starts_with(begin) {
            return Err(format!("hears `{}`, and `{begin}` was to come", self.message));
        }
        let passed = self.began.elapsed();
        if other.after.is_some_and(|after| passed < after.0) || other.within.is_some_and(|within| passed > within.0) {
            return Err(format!("hears `{begin}` after {passed:?}"));
        }
        self.has_and_lacks(other)
    }

    fn has_and_lacks(&self, other: &Other) -> Result<(), String> {
        let message = self.message.to_ascii_lowercase();
        let holds = |part: &String| message.contains(&part.to_ascii_lowercase());
        if let Some(missing) = other.has.iter().find(|part| !holds(part)) {
            return Err(format!("`{missing}` is not in `{}`", self.message));
        }
        match other.lacks.iter().find(|part| holds(part)) {
            Some(there) => Err(format!("`{there}` is in `{}`", self.message)),
            None => Ok(()),
        }
    }
}

impl Talk {
    /// Says what makes no sense of it.
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.does.is_empty() {
            return Err("expected something that it `does`".to_owned());
        }
        if self.every.0.is_zero() {
            return Err("expected more than 0 for `every`".to_owned());
        }
        let does_nothing = |deed: &Deed| matches!(deed, Deed::Other(other) if *other == Other::default());
        if self.does.iter().any(does_nothing) {
            return Err(
                "expected one of `upload`, `pause`, `silent`, `hear`, `read` and `ends` in each deed".to_owned()
            );
        }
        Ok(())
    }
}
