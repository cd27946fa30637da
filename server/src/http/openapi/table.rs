//! Every call, as the description tells it. That each is a [`Route`](crate::http::route::Route), and each route a call, a test holds.

use hyper::Method;

use super::{Body, Call, Parameter, Reply, schema, writes};
use crate::http::api;

/// The calls in the order of the specification, ours behind them.
pub(super) fn calls() -> Vec<Call> {
    [inputs(), streams(), rtc(), operation()].concat()
}

fn inputs() -> Vec<Call> {
    const TAG: &str = "inputs";
    let at = |call| format!("/input/devices/virtual/{call}");
    let status = || Reply::json(200, "the status", writes::<api::VirtualInputsStatus>);
    let post = |call, summary| Call::new(Method::POST, at(call), TAG, summary).with(status());
    vec![
        post("configure", "Makes the body the whole input")
            .taking(Body::Json(schema::<api::ConfigureRequest>))
            .refusing(503, "the camera cannot have the canvas, or too many sources hang"),
        post("pause", "Goes black and silent").refusing(400, NOTHING_CONFIGURED),
        post("resume", "Goes live").refusing(400, NOTHING_CONFIGURED),
        post("stop", "Forgets what was configured"),
        Call::new(Method::GET, at("status"), TAG, "The inputs at this moment").with(status()),
        Call::new(Method::POST, at("webrtc/offer"), TAG, "Answers a WebRTC publisher")
            .taking(Body::Json(schema::<api::PublishOffer>))
            .with(Reply::json(200, "the answer", writes::<api::Sdp>))
            .refusing(409, "neither track is configured as webrtc")
            .refusing(503, "there are too many peers"),
        Call::socket(at("socket/video"), TAG, "Takes a publisher's MPEG-TS").refusing(409, "the picture is not configured as socket"),
        Call::socket(at("socket/audio"), TAG, "Takes a publisher's sound").refusing(409, "the sound is not configured as socket"),
        Call::new(Method::GET, at("feed"), TAG, "A page that shows what the camera's source sends")
            .with(Reply::text(200, "the page", "text/html"))
            .asking(Parameter::query("fit", "cover, contain or fill; cover when it is none of them"))
            .asking(Parameter::query("source", "another http(s) or ws(s) URL to show")),
        Call::new(Method::GET, at("feed/socket/info"), TAG, "Where the feed is for scripts")
            .with(Reply::json(200, "where, and what it comes in", writes::<api::FeedInfo>))
            .refusing(409, "there is no video input"),
        Call::socket(at("feed/socket"), TAG, "The feed: a text message with its format, then chunks")
            .refusing(409, "there is no video input"),
    ]
}

fn streams() -> Vec<Call> {
    const TAG: &str = "streams";
    let at = |call| format!("/stream/{call}");
    vec![
        Call::new(Method::POST, at("start"), TAG, "Starts a stream of the display and the speaker")
            .taking(Body::Json(schema::<api::StartRequest>))
            .with(Reply::json(201, "the stream", writes::<api::StreamInfo>))
            .refusing(409, "the id is in use")
            .refusing(503, "there is no display"),
        Call::new(Method::POST, at("stop"), TAG, "Stops a stream: without a body default, or the only one there is")
            .taking(Body::Maybe(schema::<api::StopRequest>))
            .with(Reply::json(200, "it is stopped", writes::<api::Empty>))
            .refusing(404, NO_STREAM),
        Call::new(Method::GET, at("list"), TAG, "Every stream at this moment").with(Reply::json(
            200,
            "the streams",
            writes::<Vec<api::StreamInfo>>,
        )),
        Call::new(Method::POST, at("webrtc/offer"), TAG, "Answers a WebRTC viewer")
            .taking(Body::Json(schema::<api::ViewOffer>))
            .with(Reply::json(200, "the answer", writes::<api::Sdp>))
            .refusing(404, NO_STREAM)
            .refusing(409, "the stream is of another mode")
            .refusing(503, "there are too many peers"),
        Call::socket(at("socket/{id}"), TAG, "The stream as live MPEG-TS")
            .asking(Parameter::stream())
            .refusing(404, NO_STREAM)
            .refusing(409, "the stream is of another mode"),
        Call::new(Method::GET, "/watch/{id}".to_owned(), TAG, "A page that plays the stream")
            .asking(Parameter::stream())
            .refusing(404, "no stream can have this id")
            .with(Reply::text(200, "the page", "text/html")),
    ]
}

fn rtc() -> Vec<Call> {
    const TAG: &str = "webrtc";
    let session = |method: &Method, path: &str, summary| {
        let call = Call::new(method.clone(), path.to_owned(), TAG, summary).asking(Parameter::token());
        let call = if path.contains("{id}") { call.asking(Parameter::stream()) } else { call };
        let call = call.refusing(404, "there is no such session");
        if *method == Method::DELETE {
            return call.with(Reply::nothing(200, "the session is over"));
        }
        call.taking(Body::Text("application/trickle-ice-sdpfrag"))
            .with(Reply::nothing(204, "the candidates are taken"))
            .refusing(412, "the ETag is another's")
            .refusing(415, "the content type is another")
            .refusing(422, "it asks for an ICE restart")
    };
    let offer = |path: &str, summary| {
        Call::new(Method::POST, path.to_owned(), TAG, summary)
            .taking(Body::Text("application/sdp"))
            .with(Reply::text(201, "the answer; Location is the session's", "application/sdp"))
            .refusing(406, "the answer would not be taken")
            .refusing(415, "the content type is another")
            .refusing(503, "there are too many peers")
    };
    vec![
        offer("/whip/camera", "Takes a publisher into camera and microphone (WHIP)"),
        session(&Method::PATCH, "/whip/camera/{token}", "Takes a publisher's further candidates"),
        session(&Method::DELETE, "/whip/camera/{token}", "Ends a publisher's session"),
        offer("/whep/{id}", "Shows any stream to a viewer (WHEP)").asking(Parameter::stream()).refusing(404, NO_STREAM),
        session(&Method::PATCH, "/whep/{id}/{token}", "Takes a viewer's further candidates"),
        session(&Method::DELETE, "/whep/{id}/{token}", "Ends a viewer's session"),
    ]
}

fn operation() -> Vec<Call> {
    const TAG: &str = "operation";
    let get = |path: &str, summary| Call::new(Method::GET, path.to_owned(), TAG, summary);
    let spec = |path: &str, kind| get(path, "This description").with(Reply::text(200, "OpenAPI 3.1", kind));
    vec![
        get("/", "The console: a page that works all this").with(Reply::text(200, "the page", "text/html")),
        get("/livez", "Whether the process serves").with(Reply::json(200, "it does", writes::<api::Empty>)),
        get("/readyz", "Whether it can do what it was configured to do")
            .with(Reply::json(200, "it can", writes::<api::Empty>))
            .refusing(503, "it ends, or the display or the sound server is away"),
        get("/metrics", "Counters for Prometheus").with(Reply::text(200, "the text format 0.0.4", "text/plain")),
        get("/events", "What changes, as server-sent events: input, stream, gone")
            .with(Reply::text(200, "the events", "text/event-stream"))
            .refusing(503, "too many listen"),
        spec("/openapi.json", "application/json"),
        spec("/spec.json", "application/json"),
        spec("/spec.yaml", "application/yaml"),
    ]
}

const NO_STREAM: &str = "no such stream runs";
const NOTHING_CONFIGURED: &str = "nothing is configured";
