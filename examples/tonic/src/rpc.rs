//! The messages, the server and the client, as `ledger.proto` has them:
//!
//! ```proto
//! message Entry { string id = 1; uint64 amount = 2; }
//! message Total { uint64 total = 1; }
//! message Nothing {}
//! service Ledger {
//!   rpc Add(Entry) returns (Total);
//!   rpc Watch(Nothing) returns (stream Total);
//! }
//! ```

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming, client, server};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use crate::service::Ledger;

const ADD: &str = "/ledger.Ledger/Add";
const WATCH: &str = "/ledger.Ledger/Watch";

/// What is booked, once for each id.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// Another for each entry.
    #[prost(string, tag = "1")]
    pub id: String,
    /// What is added.
    #[prost(uint64, tag = "2")]
    pub amount: u64,
}

/// The sum of all that is booked.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Total {
    /// The sum.
    #[prost(uint64, tag = "1")]
    pub total: u64,
}

/// Nothing.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Nothing {}

/// The server.
#[derive(Clone)]
pub struct LedgerServer(pub Ledger);

impl Service<http::Request<Body>> for LedgerServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let ledger = self.0.clone();
        Box::pin(async move {
            let answer = match request.uri().path() {
                ADD => {
                    let add = service_fn(move |request: Request<Entry>| {
                        let ledger = ledger.clone();
                        async move { ledger.add(request.into_inner()).await.map(Response::new) }
                    });
                    server::Grpc::new(ProstCodec::<Total, Entry>::default()).unary(add, request).await
                }
                WATCH => {
                    let watch = service_fn(move |_: Request<Nothing>| {
                        let totals = ledger.watch();
                        async move { Ok::<_, Status>(Response::new(totals)) }
                    });
                    server::Grpc::new(ProstCodec::<Total, Nothing>::default()).server_streaming(watch, request).await
                }
                _ => Status::unimplemented("there is no such method").into_http(),
            };
            Ok(answer)
        })
    }
}

/// The client.
pub struct LedgerClient(client::Grpc<Channel>);

impl LedgerClient {
    /// Over a channel.
    pub fn new(channel: Channel) -> Self {
        Self(client::Grpc::new(channel))
    }

    /// Books an entry.
    pub async fn add(&mut self, entry: Entry) -> Result<Total, Status> {
        self.ready().await?;
        let codec = ProstCodec::<Entry, Total>::default();
        Ok(self.0.unary(Request::new(entry), PathAndQuery::from_static(ADD), codec).await?.into_inner())
    }

    /// The total, and every later one.
    pub async fn watch(&mut self) -> Result<Streaming<Total>, Status> {
        self.ready().await?;
        let codec = ProstCodec::<Nothing, Total>::default();
        let request = Request::new(Nothing {});
        Ok(self.0.server_streaming(request, PathAndQuery::from_static(WATCH), codec).await?.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|error| Status::unavailable(error.to_string()))
    }
}
