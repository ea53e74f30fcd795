//! What a request and an answer become on their way through: hop-by-hop headers go, forwarding headers come, and the
//! path is joined to the backend's (RFC 9110, 7.6; RFC 7239).

use std::fmt::Write as _;
use std::net::IpAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, Entry, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE, VIA,
};
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::{Uri, Version};

use super::config::{Forwarding, Origin};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxy-authorization");
const PROXY_AUTHENTICATE: HeaderName = HeaderName::from_static("proxy-authenticate");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers that are about one connection, named in `Connection` or not.
const HOP_BY_HOP: [HeaderName; 8] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHORIZATION, PROXY_AUTHENTICATE, TE, TRANSFER_ENCODING, UPGRADE];

/// The name by which the balancer is known in `Via`.
const PSEUDONYM: &str = "stormglass";

/// Who sent a request, as the balancer sees it.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address.
    pub addr: IpAddr,
    /// The same, as `X-Forwarded-For` has it: written once for all requests of a connection.
    shown: HeaderValue,
}

impl Client {
    /// A client with this address.
    pub fn new(addr: IpAddr) -> Self {
        let shown = HeaderValue::try_from(addr.to_string()).expect("an address is plain");
        Self { addr, shown }
    }
}

/// The protocols that a message asks to switch to, or switches to, if it names them in both of the headers that this
/// takes. HTTP/2 is never among them: its frames would pass unseen, and so would what is smuggled in them.
pub fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    if !asks {
        return None;
    }
    let lines = headers.get_all(UPGRADE).iter();
    let named: Vec<&[u8]> = lines.flat_map(elements).filter(|name| !name.eq_ignore_ascii_case(b"h2c")).collect();
    HeaderValue::from_bytes(&named.join(&b", "[..])).ok().filter(|value| !value.is_empty())
}

/// Whether all protocols that an answer switches to are among those that were asked for (RFC 9110 §7.8).
pub fn offers(asked: &HeaderValue, answered: &HeaderValue) -> bool {
    elements(answered).all(|protocol| elements(asked).any(|asked| asked.eq_ignore_ascii_case(protocol)))
}

/// The elements of a list, empty ones left out.
fn elements(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Whether a list such as that of `Connection` has a token.
fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Headers that `Connection` cannot name away: by them a message is found to end, and whom it is for.
const STAYING: [HeaderName; 2] = [HOST, CONTENT_LENGTH];

/// Takes out what is about the connection that a message came over: what `Connection` names (RFC 9110 §7.6.1), and what
/// always is. What the balancer says of the way that a message took it sets after that, so that nobody can name it away.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if !has_hop_by_hop(headers) {
        return;
    }
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .filter(|name| !STAYING.contains(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Most messages have none, and one look at each of their few headers is cheaper than to look each of eight up.
fn has_hop_by_hop(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| HOP_BY_HOP.contains(name))
}

/// Makes the headers of a request those that its backend gets. The client sent it to `uri`, in this version of HTTP.
pub fn request_headers(headers: &mut HeaderMap, uri: &Uri, version: Version, client: &Client, settings: &Forwarding) {
    let host = set_host(headers, uri);
    if has_hop_by_hop(headers) {
        let takes_trailers = headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
        let upgrade = upgrade_of(headers);
        remove_hop_by_hop(headers);
        if takes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(CONNECTION, HeaderValue::from_static("TE"));
        }
        if let Some(protocol) = upgrade {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, protocol);
        }
    }
    if let Entry::Vacant(entry) = headers.entry(X_FORWARDED_FOR) {
        entry.insert(client.shown.clone());
    } else {
        append(headers, X_FORWARDED_FOR, |text| _ = write!(text, "{}", client.addr));
    }
    let is_trusted = settings.trusted.iter().any(|network| network.contains(client.addr));
    if !(is_trusted && headers.contains_key(X_FORWARDED_HOST)) {
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
    if !(is_trusted && headers.contains_key(X_FORWARDED_PROTO)) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if settings.forwarded {
        append(headers, FORWARDED, |text| forwarded(text, client.addr, &host));
    }
    if settings.via {
        append_via(headers, version);
    }
}

/// Makes the headers of an answer those that the client gets.
pub fn answer_headers(headers: &mut HeaderMap, version: Version, settings: &Forwarding) {
    remove_hop_by_hop(headers);
    if settings.via {
        append_via(headers, version);
    }
}

/// Whether all who read an answer find it to end at the same place: by one length, or by chunks alone. hyper would take
/// the chunks where there is a length too, and what is left of it would be passed on as if it held.
pub fn ends_in_one_place(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (lengths.next(), codings.next()) {
        (None, None) => true,
        (Some(length), None) => lengths.next().is_none() && length.as_bytes().iter().all(u8::is_ascii_digit),
        (None, Some(coding)) => codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

fn append_via(headers: &mut HeaderMap, version: Version) {
    let version = if version == Version::HTTP_10 { "1.0" } else { "1.1" };
    append(headers, VIA, |text| _ = write!(text, "{version} {PSEUDONYM}"));
}

/// `for=192.0.2.43;host="example.org";proto=http`; an IPv6 address stands in brackets and quotes (RFC 7239, 6).
fn forwarded(text: &mut String, addr: IpAddr, host: &HeaderValue) {
    match addr {
        IpAddr::V4(addr) => _ = write!(text, "for={addr}"),
        IpAddr::V6(addr) => _ = write!(text, "for=\"[{addr}]\""),
    }
    if let Ok(host) = host.to_str() {
        let _ = write!(text, ";host=\"{}\"", host.replace(['"', '\\'], ""));
    }
    text.push_str(";proto=http");
}

/// Adds an element to a list, which becomes one line.
fn append(headers: &mut HeaderMap, name: HeaderName, element: impl FnOnce(&mut String)) {
    let mut text = String::new();
    for value in headers.get_all(&name) {
        text.push_str(&String::from_utf8_lossy(value.as_bytes()));
        text.push_str(", ");
    }
    element(&mut text);
    let Ok(value) = HeaderValue::try_from(text) else { return };
    match headers.entry(name) {
        Entry::Occupied(mut entry) => _ = entry.insert(value),
        Entry::Vacant(entry) => _ = entry.insert(value),
    }
}

/// The path and query that the backend is asked for: as they came, below the backend's own path, with one `/` between.
pub fn target(origin: &Origin, uri: &Uri) -> Uri {
    let asked = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if origin.base_path.is_empty() || asked == "*" {
        return match uri.path_and_query() {
            Some(path) => Uri::from(path.clone()),
            None => Uri::from_static("/"),
        };
    }
    // An absolute URI may have a query and no path, which is the path / (RFC 9110, 4.2.3).
    let joined = format!("{}/{}", origin.base_path, asked.strip_prefix('/').unwrap_or(asked));
    Uri::try_from(joined).unwrap_or_else(|_| Uri::from_static("/"))
}

/// Makes `Host` say whom a request is for: the target's authority, where it has one (RFC 9112, 3.2.2), else as it is.
fn set_host(headers: &mut HeaderMap, uri: &Uri) -> HeaderValue {
    let of_target = uri.authority().map(Authority::as_str).and_then(|authority| HeaderValue::from_str(authority).ok());
    match (of_target, headers.get(HOST)) {
        (None, Some(host)) => host.clone(),
        (of_target, _) => {
            let host = of_target.unwrap_or_else(|| HeaderValue::from_static(""));
            headers.insert(HOST, host.clone());
            host
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn shown(map: &HeaderMap) -> Vec<String> {
        map.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    fn asked(headers: &[(&str, &str)]) -> Vec<String> {
        let mut map = map(headers);
        let client = Client::new("192.0.2.7".parse().unwrap());
        let uri = Uri::from_static("/");
        request_headers(&mut map, &uri, Version::HTTP_11, &client, &Forwarding::default());
        shown(&map)
    }

    const ADDED: [&str; 3] = ["x-forwarded-for: 192.0.2.7", "x-forwarded-host: a.example", "x-forwarded-proto: http"];

    fn with(first: &[&str]) -> Vec<String> {
        first.iter().chain(&ADDED).map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn what_is_about_the_connection_goes() {
        let headers = [
            ("host", "a.example"),
            ("connection", "close, X-Own"),
            ("connection", "keep-alive"),
            ("x-own", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ];
        assert_eq!(asked(&headers), with(&["host: a.example", "accept: */*"]));
        let mut answer =
            map(&[("connection", "x-secret"), ("x-secret", "1"), ("keep-alive", "timeout=5"), ("etag", "1")]);
        answer_headers(&mut answer, Version::HTTP_11, &Forwarding::default());
        assert_eq!(shown(&answer), ["etag: 1"]);
    }

    #[test]
    fn an_answer_ends_by_a_length_or_by_chunks() {
        for good in [&[][..], &[("content-length", "12")], &[("transfer-encoding", "Chunked")]] {
            assert!(ends_in_one_place(&map(good)), "{good:?}");
        }
        for bad in [
            [("content-length", "5"), ("content-length", "5")],
            [("content-length", "5, 5"), ("etag", "1")],
            [("content-length", "5"), ("transfer-encoding", "chunked")],
            [("transfer-encoding", "gzip, chunked"), ("etag", "1")],
            [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            [("transfer-encoding", "identity"), ("etag", "1")],
        ] {
            assert!(!ends_in_one_place(&map(&bad)), "{bad:?}");
        }
    }

    #[test]
    fn a_client_cannot_take_out_what_is_set_here() {
        let headers = [
            ("host", "a.example"),
            ("connection", "x-forwarded-for, host, x-forwarded-host"),
            ("x-forwarded-for", "10.0.0.1"),
        ];
        let sent = asked(&headers);
        assert_eq!(sent[0], "host: a.example");
        assert!(sent.contains(&"x-forwarded-for: 192.0.2.7".to_owned()), "what it names is its own: {sent:?}");
        assert!(sent.contains(&"x-forwarded-host: a.example".to_owned()), "{sent:?}");
    }

    #[test]
    fn addresses_are_appended_and_the_rest_is_set() {
        let headers = [
            ("host", "a.example"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-host", "evil"),
        ];
        let sent = asked(&headers);
        assert!(sent.contains(&"x-forwarded-for: 10.0.0.1, 10.0.0.2, 192.0.2.7".to_owned()), "{sent:?}");
        assert!(sent.contains(&"x-forwarded-host: a.example".to_owned()), "{sent:?}");
    }

    #[test]
    fn what_a_trusted_proxy_says_of_its_client_stays() {
        let said = [
            ("host", "inner.example"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.example"),
        ];
        let behind = |addr: &str, said: &[(&str, &str)]| {
            let mut headers = map(said);
            let trusted = vec!["10.0.0.0/8".parse().unwrap()];
            let settings = Forwarding { trusted, ..Forwarding::default() };
            let (client, uri) = (Client::new(addr.parse().unwrap()), Uri::from_static("/"));
            request_headers(&mut headers, &uri, Version::HTTP_11, &client, &settings);
            shown(&headers)[1..].to_vec()
        };
        let expected = |addr: &str, proto: &str, host: &str| {
            let own = [("for", format!("203.0.113.9, {addr}")), ("proto", proto.to_owned()), ("host", host.to_owned())];
            own.map(|(name, value)| format!("x-forwarded-{name}: {value}")).to_vec()
        };
        assert_eq!(behind("10.1.2.3", &said), expected("10.1.2.3", "https", "a.example"));
        assert_eq!(behind("192.0.2.7", &said), expected("192.0.2.7", "http", "inner.example"), "it is not trusted");
        let nothing = behind("10.1.2.3", &said[..1]);
        assert!(nothing.contains(&"x-forwarded-proto: http".to_owned()), "it has said nothing: {nothing:?}");
    }

    #[test]
    fn a_switch_is_to_what_was_asked_for() {
        let asks = |lines: &[(&str, &str)]| upgrade_of(&map(lines)).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(asks(&[("connection", "Upgrade"), ("upgrade", "a, h2c"), ("upgrade", "b/2")]).unwrap(), "a, b/2");
        assert_eq!(asks(&[("connection", "Upgrade"), ("upgrade", "h2c")]), None);
        assert_eq!(asks(&[("upgrade", "websocket")]), None);
        let offers = |asked, answered| offers(&HeaderValue::from_static(asked), &HeaderValue::from_static(answered));
        assert!(offers("websocket", "WebSocket") && offers("a, b/2", "b/2") && offers("a, b", "b, a"));
        assert!(!offers("websocket", "foo") && !offers("a", "a, b") && !offers("b/2", "b"));
    }

    #[test]
    fn trailers_and_upgrades_are_asked_for_on_the_own_behalf() {
        let sent = asked(&[("host", "a.example"), ("te", "trailers, deflate")]);
        assert!(sent.contains(&"te: trailers".to_owned()) && sent.contains(&"connection: TE".to_owned()), "{sent:?}");
        let sent = asked(&[("host", "a.example"), ("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert!(sent.contains(&"upgrade: websocket".to_owned()), "{sent:?}");
        assert!(sent.contains(&"connection: Upgrade".to_owned()), "{sent:?}");
        let sent = asked(&[("host", "a.example"), ("upgrade", "websocket")]);
        assert!(!sent.iter().any(|line| line.starts_with("upgrade")), "{sent:?}");
    }

    #[test]
    fn forwarded_and_via_are_for_those_who_ask() {
        let mut headers = map(&[("via", "1.0 fred")]);
        let client = Client::new("2001:db8::1".parse().unwrap());
        let settings = Forwarding { forwarded: true, via: true, ..Forwarding::default() };
        let uri = Uri::from_static("http://a.example:80/");
        request_headers(&mut headers, &uri, Version::HTTP_10, &client, &settings);
        assert_eq!(headers[VIA], "1.0 fred, 1.0 stormglass");
        assert_eq!(headers[FORWARDED], "for=\"[2001:db8::1]\";host=\"a.example:80\";proto=http");
    }

    #[test]
    fn paths_are_joined_with_one_slash_and_stay_as_they_came() {
        let target = |base: &str, asked: &str| {
            let origin = Origin::parse(&format!("http://b.example:81{base}")).unwrap();
            super::target(&origin, &asked.parse().unwrap()).to_string()
        };
        assert_eq!(target("", "/a%2Fb//c?x=%zz"), "/a%2Fb//c?x=%zz");
        assert_eq!(target("/", "/a"), "/a");
        assert_eq!(target("/base", "/a?b"), "/base/a?b");
        assert_eq!(target("/base/", "/a"), "/base/a");
        assert_eq!(target("/base", "http://a.example/x/"), "/base/x/");
        assert_eq!(target("/base", "http://a.example"), "/base/");
        assert_eq!(target("", "http://a.example?q"), "/?q");
        assert_eq!(target("/base", "http://a.example?q"), "/base/?q");
        assert_eq!(target("/base", "*"), "*");
    }

    #[test]
    fn the_authority_of_the_target_wins_over_host() {
        let mut headers = map(&[("host", "b.example")]);
        assert_eq!(set_host(&mut headers, &Uri::from_static("/x")), "b.example");
        assert_eq!(set_host(&mut headers, &Uri::from_static("http://a.example/x")), "a.example");
        assert_eq!(headers[HOST], "a.example");
    }
}
