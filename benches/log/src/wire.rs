//! openraft's messages over TCP: one connection a peer, a frame a message, a question and its answer by turns.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use openraft::Raft;
use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::storage::Types;

#[derive(Serialize, Deserialize)]
enum Ask {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<u64>),
}

pub struct Network(pub Arc<BTreeMap<u64, String>>);

/// The way to a peer.
pub struct Peer {
    address: String,
    stream: Option<TcpStream>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, (): &()) -> Peer {
        Peer { address: self.0[&target].clone(), stream: None }
    }
}

async fn write(stream: &mut TcpStream, what: &impl Serialize) -> io::Result<()> {
    let mut frame = vec![0; 4];
    frame = postcard::to_extend(what, frame).map_err(io::Error::other)?;
    let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    stream.write_all(&frame).await
}

async fn read<T: DeserializeOwned>(stream: &mut TcpStream) -> io::Result<T> {
    let length = stream.read_u32_le().await?;
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await?;
    postcard::from_bytes(&frame).map_err(io::Error::other)
}

impl Peer {
    async fn ask<T: DeserializeOwned>(&mut self, ask: &Ask) -> Result<T, Unreachable> {
        let asked = async {
            let mut stream = match self.stream.take() {
                Some(stream) => stream,
                None => {
                    let stream = TcpStream::connect(&self.address).await?;
                    stream.set_nodelay(true)?;
                    stream
                }
            };
            write(&mut stream, ask).await?;
            let answer = read(&mut stream).await?;
            self.stream = Some(stream);
            Ok(answer)
        };
        asked.await.map_err(|error: io::Error| Unreachable::new(&error))
    }
}

type Answer<T, E = RaftError<u64>> = Result<T, RPCError<u64, (), E>>;

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Answer<AppendEntriesResponse<u64>> {
        Ok(self.ask(&Ask::Append(rpc)).await?)
    }

    async fn vote(&mut self, rpc: VoteRequest<u64>, _: RPCOption) -> Answer<VoteResponse<u64>> {
        Ok(self.ask(&Ask::Vote(rpc)).await?)
    }

    async fn install_snapshot(
        &mut self,
        _: InstallSnapshotRequest<Types>,
        _: RPCOption,
    ) -> Answer<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>> {
        Err(Unreachable::new(&io::Error::other("no log is compacted here")).into())
    }
}

/// Answers peers for as long as the node lives.
pub async fn serve(raft: Raft<Types>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(raft.clone(), stream));
    }
}

async fn answer(raft: Raft<Types>, mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        match read(&mut stream).await? {
            Ask::Append(rpc) => write(&mut stream, &raft.append_entries(rpc).await?).await?,
            Ask::Vote(rpc) => write(&mut stream, &raft.vote(rpc).await?).await?,
        }
    }
}
