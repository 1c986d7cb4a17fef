//! Results as they come, for programs that react to them: Open Sound Control 1.0 over UDP.
//!
//! Owns the messages, which `emocam help data` documents. A frame with its faces is one bundle, an event a message of its
//! own. Nothing here waits, and nothing ends the run: datagrams may be lost on their way in any case, and whoever listens may
//! come later. That nobody seems to listen is told once.

use std::io::{ErrorKind, Result as IoResult};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::ops::ControlFlow;

use anyhow::{Context, Result, anyhow};
use rosc::{OscBundle, OscMessage, OscPacket, OscTime, OscType, encoder};

use super::table::seconds;
use super::{Ending, Sink};
use crate::flow::emotion::Prediction;
use crate::flow::frame::Frame;
use crate::flow::labelled::{Labelled, Mark};

/// A time tag that says "at once": receivers would take that of a frame, which is past, as one that comes late.
const AT_ONCE: OscTime = OscTime { seconds: 0, fractional: 1 };

/// Sends what was found in each frame to an address.
pub struct OscSink {
    socket: UdpSocket,
    address: SocketAddr,
    /// As the user names it.
    name: String,
    is_connected: bool,
    warning: Option<String>,
    has_warned: bool,
}

impl OscSink {
    /// Finds the address of `HOST:PORT`, and nobody is asked whether somebody listens there. Of a name with several addresses
    /// the first of the older kind is taken: who listens at `localhost` listens at 127.0.0.1, as a rule.
    ///
    /// # Errors
    /// When there is no such host, or the system gives no socket.
    pub fn open(name: &str) -> Result<Self> {
        let known: Vec<SocketAddr> =
            name.to_socket_addrs().with_context(|| format!("{name} can't be found (expected HOST:PORT)"))?.collect();
        let address = known.iter().find(|address| address.is_ipv4()).or(known.first()).copied();
        let address = address.with_context(|| format!("{name} has no address"))?;
        let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            // An address may be that of all machines in a network.
            if address.is_ipv4() { socket.set_broadcast(true).map(|()| socket) } else { Ok(socket) }
        });
        let socket = socket.with_context(|| format!("nothing can be sent to {name}"))?;
        Ok(Self { socket, address, name: name.to_owned(), is_connected: false, warning: None, has_warned: false })
    }

    fn send(&mut self, packet: &OscPacket) -> Result<()> {
        let bytes = encoder::encode(packet).map_err(|error| anyhow!("a result can't be written as OSC: {error:?}"))?;
        let mut sent = self.try_send(&bytes);
        if sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            // That was the answer to an earlier one.
            self.warn("nobody listens there yet");
            sent = self.try_send(&bytes);
        }
        if let Err(error) = sent
            && error.kind() != ErrorKind::ConnectionRefused
        {
            self.warn(&error.to_string());
        }
        Ok(())
    }

    fn try_send(&mut self, bytes: &[u8]) -> IoResult<()> {
        // Where there is no way to a machine now there may be one later. Only who is connected hears that nobody listens.
        if !self.is_connected {
            self.socket.connect(self.address)?;
            self.is_connected = true;
        }
        self.socket.send(bytes).map(drop)
    }

    fn warn(&mut self, what: &str) {
        if !std::mem::replace(&mut self.has_warned, true) {
            self.warning = Some(format!("OSC to {}: {what}; what is sent meanwhile is lost", self.name));
        }
    }
}

impl Sink for OscSink {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        self.mark(&labelled.events)?;
        self.send(&bundle(labelled))?;
        Ok(ControlFlow::Continue(()))
    }

    fn mark(&mut self, marks: &[Mark]) -> Result<()> {
        for mark in marks {
            let arguments = vec![OscType::String(mark.text.clone()), OscType::Double(seconds(mark.time))];
            self.send(&message("/emocam/event", arguments))?;
        }
        Ok(())
    }

    fn warnings(&mut self) -> Vec<String> {
        self.warning.take().into_iter().collect()
    }

    fn finish(&mut self, _ending: Ending) -> Result<()> {
        Ok(())
    }
}

fn message(address: &str, args: Vec<OscType>) -> OscPacket {
    OscPacket::Message(OscMessage { addr: address.to_owned(), args })
}

/// A frame, then its faces.
fn bundle(labelled: &Labelled) -> OscPacket {
    let frame = &labelled.frame;
    let first = message(
        "/emocam/frame",
        vec![
            whole(frame.id),
            OscType::Double(seconds(frame.pts)),
            whole(labelled.predictions.len() as u64),
            whole(frame.width.into()),
            whole(frame.height.into()),
        ],
    );
    let faces = labelled.predictions.iter().map(|prediction| face(prediction, frame));
    OscPacket::Bundle(OscBundle { timetag: AT_ONCE, content: [first].into_iter().chain(faces).collect() })
}

fn face(prediction: &Prediction, frame: &Frame) -> OscPacket {
    let (face, width, height) = (prediction.face, frame.width as f32, frame.height as f32);
    let place = [face.x / width, face.y / height, face.width / width, face.height / height];
    let before = [whole(prediction.id)].into_iter().chain(place.map(number));
    let label = [OscType::String(prediction.label().name().to_owned()), number(prediction.confidence())];
    let probabilities = prediction.probabilities.iter().map(|(_, probability)| number(probability));
    message("/emocam/face", before.chain(label).chain(probabilities).collect())
}

/// All receivers know 32 bits, which are enough for two years of frames.
fn whole(value: u64) -> OscType {
    OscType::Int(i32::try_from(value).unwrap_or(i32::MAX))
}

/// What is no number is 0, as in tables.
fn number(value: f32) -> OscType {
    OscType::Float(if value.is_finite() { value } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rosc::decoder::decode_udp;

    use super::*;
    use crate::sink::tests::{labelled, prediction};

    /// A listener that gives up after a while, and what sends to it.
    fn pair(host: &str) -> (UdpSocket, OscSink) {
        let listener = UdpSocket::bind((host, 0)).expect("a socket");
        listener.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        let sink = OscSink::open(&listener.local_addr().expect("an address").to_string()).expect("an address");
        (listener, sink)
    }

    fn heard(listener: &UdpSocket) -> OscPacket {
        let mut bytes = [0; 65_536];
        let length = listener.recv(&mut bytes).expect("a datagram in time");
        let (rest, packet) = decode_udp(&bytes[..length]).expect("OSC");
        assert!(rest.is_empty());
        packet
    }

    fn mark(text: &str) -> Mark {
        Mark { text: text.to_owned(), time: Duration::from_millis(1250), at: Instant::now() }
    }

    #[test]
    fn a_frame_is_a_bundle_and_an_event_a_message() {
        for host in ["127.0.0.1", "::1"] {
            // Not every machine has the newer kind.
            if UdpSocket::bind((host, 0)).is_err() {
                continue;
            }
            let (listener, mut sink) = pair(host);
            let mut face = prediction(3, [160.0, -48.0, 320.0, f32::NAN], 9.0, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
            face.turned = true;
            let mut frame = labelled(7, 500_000_000, 640, 480, vec![face]);
            frame.events = vec![mark("begin")];
            let _ = sink.write(&frame).expect("nothing ends the run");
            let event = vec![OscType::String("begin".into()), OscType::Double(1.25)];
            assert_eq!(heard(&listener), message("/emocam/event", event));
            let frame = [OscType::Int(7), OscType::Double(0.5), OscType::Int(1), OscType::Int(640), OscType::Int(480)];
            let floats = |values: &[f32]| values.iter().copied().map(OscType::Float).collect::<Vec<_>>();
            let mut face = vec![OscType::Int(3)];
            face.extend(floats(&[0.25, -0.1, 0.5, 0.0]));
            face.extend([OscType::String("Happy".into()), OscType::Float(1.0)]);
            face.extend(floats(&[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]));
            let content = vec![message("/emocam/frame", frame.to_vec()), message("/emocam/face", face)];
            assert_eq!(heard(&listener), OscPacket::Bundle(OscBundle { timetag: AT_ONCE, content }));
            sink.mark(&[mark("last")]).expect("nothing ends the run");
            assert!(matches!(heard(&listener), OscPacket::Message(it) if it.args[0] == OscType::String("last".into())));
            assert!(sink.warnings().is_empty());
        }
    }

    #[test]
    fn nobody_who_listens_is_told_once_and_who_comes_later_is_heard() {
        let (listener, mut sink) = pair("127.0.0.1");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let mut warnings = Vec::new();
        for id in 0..100 {
            let _ = sink.write(&labelled(id, 0, 8, 8, vec![])).expect("nothing ends the run");
            warnings.extend(sink.warnings());
        }
        // Other systems than Linux need not say so.
        if cfg!(target_os = "linux") {
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(
                warnings[0].contains(&address.to_string()) && warnings[0].contains("nobody listens"),
                "{warnings:?}"
            );
        }
        let listener = UdpSocket::bind(address).expect("the port is free again");
        listener.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        for id in 0..2 {
            let _ = sink.write(&labelled(id, 0, 8, 8, vec![])).expect("nothing ends the run");
        }
        heard(&listener);
    }

    #[test]
    fn a_crowd_fits_into_a_datagram_and_what_does_not_ends_nothing() {
        let (listener, mut sink) = pair("127.0.0.1");
        let crowd = |faces| vec![prediction(u64::MAX, [0.0; 4], 1.0, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]); faces];
        let _ = sink.write(&labelled(0, 0, 8, 8, crowd(256))).expect("nothing ends the run");
        let OscPacket::Bundle(bundle) = heard(&listener) else { panic!("no bundle") };
        assert_eq!(bundle.content.len(), 257);
        let _ = sink.write(&labelled(0, 0, 8, 8, crowd(2560))).expect("nothing ends the run");
        assert_eq!(sink.warnings().len(), 1);
    }

    #[test]
    fn an_address_that_is_none_is_an_error_that_names_it() {
        for name in ["127.0.0.1", "127.0.0.1:99999", "no such host:9000", ""] {
            let error = format!("{:#}", OscSink::open(name).err().expect(name));
            assert!(error.contains(name) && error.contains("HOST:PORT"), "{error}");
        }
    }
}
