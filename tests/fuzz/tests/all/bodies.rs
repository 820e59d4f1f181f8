//! The bodies of calls, as far as a whole server takes them.

use std::error::Error as _;

use bytes::{Buf as _, BufMut as _};
use claviger_fuzz::fuzz;
use claviger_integration::{Options, Server};
use http::uri::PathAndQuery;
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

/// Takes bytes for messages.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}

/// The RPC on the first line, then its body. A call that ends without the server's answer has taken
/// its connection along.
#[test]
fn bodies() {
    let runtime = Runtime::new().unwrap();
    let (server, client) = runtime.block_on(Server::prepared(Options::default()));
    let stranger = runtime.block_on(server.tcp());
    fuzz("bodies", |input| {
        let end = input.iter().position(|byte| *byte == b'\n');
        let (rpc, body) = input.split_at(end.unwrap_or_default());
        let body = body.get(1..).unwrap_or_default();
        let rpc = String::from_utf8_lossy(rpc);
        let Ok(path) = format!("/claviger.v1.{rpc}").parse::<PathAndQuery>() else {
            return;
        };
        for caller in [&client, &stranger] {
            let mut grpc = Grpc::new(caller.service());
            let answer = runtime.block_on(async {
                grpc.ready().await.unwrap();
                let request = Request::new(body.to_vec());
                grpc.unary(request, path.clone(), Raw).await
            });
            if let Err(status) = answer {
                assert!(status.source().is_none(), "{rpc}: {status:?}");
            }
        }
    });
}
