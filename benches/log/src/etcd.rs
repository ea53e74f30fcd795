//! etcd's own protocol: two of its methods, and of their messages what is needed here (`rpc.proto` of etcd 3.4).

use anyhow::Context as _;
use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::client::Grpc;

use tonic::transport::Channel;
use tonic::{IntoRequest as _, Status};
use tonic_prost::ProstCodec;

const PUT: &str = "/etcdserverpb.KV/Put";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

pub struct Client(Grpc<Channel>);

impl Client {
    pub async fn connect(server: &str) -> anyhow::Result<Self> {
        let endpoint = Channel::from_shared(format!("http://{server}"))?.tcp_nodelay(true);
        Ok(Self(Grpc::new(endpoint.connect().await.with_context(|| server.to_owned())?)))
    }

    async fn call<A, B>(&mut self, path: &'static str, request: A) -> anyhow::Result<B>
    where
        A: prost::Message + Send + Sync + 'static,
        B: prost::Message + Default + Send + 'static,
    {
        self.0.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let codec = ProstCodec::<A, B>::default();
        Ok(self.0.unary(request.into_request(), PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    pub async fn put(&mut self, key: String, value: Bytes) -> anyhow::Result<()> {
        let request = PutRequest { key: key.into_bytes().into(), value };
        self.call::<_, PutResponse>(PUT, request).await.map(drop)
    }
}

/// Whether a server leads.
pub async fn leads(server: &str) -> anyhow::Result<bool> {
    let StatusResponse { header, leader } = Client::connect(server).await?.call(STATUS, StatusRequest {}).await?;
    Ok(leader != 0 && header.is_some_and(|header| header.member_id == leader))
}
