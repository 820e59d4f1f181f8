//! Our answers beside those of the server that the gRPC library makes: the same in all that is sent.

use std::collections::BTreeMap;
use std::pin::pin;

use claviger_access::Call;
use claviger_broker::Broker;
use claviger_core::Coordinate;
use claviger_proto::v1::daemon_service_server::{DaemonService, DaemonServiceServer};
use claviger_proto::v1::{GetStatusRequest, GetStatusResponse};
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use prost::Message as _;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::*;
use crate::secret_service::get_secret;

type Answer = std::result::Result<GetStatusResponse, Status>;

/// Answers so.
struct Library(Answer);

#[tonic::async_trait]
impl DaemonService for Library {
    async fn get_status(
        &self,
        _: tonic::Request<GetStatusRequest>,
    ) -> std::result::Result<tonic::Response<GetStatusResponse>, Status> {
        self.0.clone().map(tonic::Response::new)
    }
}

/// All that is sent of an answer.
#[derive(Debug, PartialEq)]
struct Sent {
    status: StatusCode,
    headers: HeaderMap,
    is_only_headers: bool,
    data: Vec<Bytes>,
    trailers: Vec<HeaderMap>,
}

impl Sent {
    async fn of<B: Body<Data = Bytes>>(answer: Response<B>) -> Self {
        let (parts, body) = answer.into_parts();
        let mut sent = Self {
            status: parts.status,
            headers: parts.headers,
            is_only_headers: body.is_end_stream(),
            data: Vec::new(),
            trailers: Vec::new(),
        };
        let mut body = pin!(body);
        while let Some(frame) = body.frame().await {
            match frame.ok().expect("a frame").into_data() {
                Ok(data) => sent.data.push(data),
                Err(frame) => sent.trailers.push(frame.into_trailers().unwrap()),
            }
        }
        sent
    }

    fn take_details(&mut self) -> String {
        let details = Status::from_header_map(&self.headers).unwrap();
        self.headers.remove(Status::GRPC_STATUS_DETAILS).unwrap();
        let details = details.get_error_details();
        let metadata = &details.error_info().unwrap().metadata;
        let metadata: BTreeMap<_, _> = metadata.iter().collect();
        format!("{metadata:?} {:?}", details.request_info())
    }

    async fn by_the_library(answer: Answer) -> Self {
        let request = Request::post("/claviger.v1.DaemonService/GetStatus");
        let message = Bytes::from_static(&[0; 5]);
        let request = request.body(TonicBody::new(Full::new(message))).unwrap();
        let mut server = DaemonServiceServer::new(Library(answer));
        Self::of(tower::Service::call(&mut server, request).await.unwrap()).await
    }
}

#[tokio::test]
async fn an_answer_of_any_length_is_sent_as_the_library_does() {
    for bytes in [0, 1, 127, 128, 32 * 1024, 3 * 1024 * 1024] {
        let message = GetStatusResponse {
            version: "v".repeat(bytes),
            ..Default::default()
        };
        let framed = framed(&message).unwrap();
        let capacity = framed.try_into_mut().map(|framed| framed.capacity());
        assert_eq!(capacity, Ok(message.encoded_len() + 5), "no more than it");
        let ours = Outgoing::message(self::framed(&message).unwrap());
        let ours = Sent::of(ours).await;
        assert_eq!(ours, Sent::by_the_library(Ok(message)).await);
    }
}

#[tokio::test]
async fn a_refusal_is_sent_as_the_library_does() {
    for reason in Reason::ALL {
        for remedy in ["", "ü%\n\u{1}", &"long ".repeat(2000)] {
            let id = Uid::random();
            let error = Error::new(*reason)
                .with(Detail::Resource, "projects/acme")
                .with(Detail::Vault, "aws-eu")
                .with(Detail::Remedy, Coordinate(remedy));
            let mut ours = Sent::of(refusal(&error, id)).await;
            let mut theirs = Sent::by_the_library(Err(status_of(&error, id))).await;
            // The details are a map's, in any order.
            assert_eq!(ours.take_details(), theirs.take_details(), "{reason}");
            assert_eq!(ours, theirs, "{reason}");
        }
    }
}

#[test]
fn what_need_not_wait_needs_no_timer() {
    // Without a runtime, where there is none.
    let late = Instant::now();
    let done = by(late, pin!(async { Ok(7) })).now_or_never();
    assert_eq!(done.unwrap().unwrap(), 7);
}

#[test]
fn what_waits_for_the_others_of_its_turn_needs_no_timer() {
    // Without a clock: whoever makes a timer panics.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let in_turn = async {
        yield_now().await;
        Ok(7)
    };
    let done = runtime.block_on(by(Instant::now(), pin!(in_turn)));
    assert_eq!(done.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_asked_when_it_is_woken_and_at_its_end() {
    let began = Instant::now();
    let mut asked = 0;
    let endless = poll_fn(|_| {
        asked += 1;
        Poll::<Result<()>>::Pending
    });
    let time = Duration::from_secs(3);
    let late = by(began + time, pin!(endless)).await.unwrap_err();
    assert_eq!(late.reason(), Reason::DeadlineExceeded);
    assert_eq!((began.elapsed(), asked), (time, 3), "once more in its turn");
}

/// How large the future is that such a function makes.
fn bytes_of<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
    size_of::<F>()
}

/// A call's future is copied on its way into the task that it is, and wiped with it; so is the
/// handler's, into its box.
#[test]
fn the_futures_of_a_read_are_small() {
    type Asked = &'static mut Request<Incoming>;
    let call = bytes_of(|doorway: &'static Doorway, row, asked: Asked| doorway.call(row, asked));
    assert!(call <= 768, "{call}");
    type Called = &'static Arc<Call>;
    let broker =
        bytes_of(|broker: &'static Broker, call: Called, get| broker.get_secret(call, get));
    // Besides what is read with: the call, the request, and what is made of them.
    assert!(broker <= 768, "{broker}");
    let handler = bytes_of(get_secret) - broker;
    assert!(handler <= 256, "{handler}");
}
