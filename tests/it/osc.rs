//! What `live --osc` sends, as a program hears it that listens.

use std::net::UdpSocket;
use std::sync::mpsc::channel;
use std::thread;

use rosc::{OscMessage, OscPacket, OscType, decoder};

use crate::common::{LIMIT, assert_exit, emocam, fail, parsed_lines, start, text};

/// Messages of one datagram, in order.
fn messages(packet: OscPacket) -> Vec<OscMessage> {
    match packet {
        OscPacket::Message(message) => vec![message],
        OscPacket::Bundle(bundle) => bundle.content.into_iter().flat_map(messages).collect(),
    }
}

#[test]
fn a_listener_hears_each_frame_and_its_faces() {
    let listener = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    listener.set_read_timeout(Some(LIMIT)).expect("a socket");
    let address = listener.local_addr().expect("an address").to_string();
    let (sender, datagrams) = channel();
    // Aside, so that no queue of the system overflows. It ends with the last frame.
    thread::spawn(move || {
        let mut bytes = vec![0; 65_536];
        while let Ok(length) = listener.recv(&mut bytes) {
            let (_, packet) = decoder::decode_udp(&bytes[..length]).expect("OSC");
            if sender.send(messages(packet)).is_err() {
                break;
            }
        }
    });
    let mut command = emocam();
    command.args("live demo --headless --frames 20 -o - --osc".split(' ')).arg(address);
    let output = start(&mut command).finish(LIMIT);
    assert_exit(&output, 0, &["20 frames"]);
    let lines = parsed_lines(&text(&output.stdout));
    for line in lines {
        let datagram = datagrams.recv_timeout(LIMIT).expect("a datagram for each frame");
        let [frame, faces @ ..] = &datagram[..] else { panic!("an empty bundle") };
        let known = line["faces"].as_array().expect("faces");
        assert_eq!(frame.addr, "/emocam/frame");
        assert_eq!(
            frame.args,
            [
                OscType::Int(line["frame"].as_i64().expect("a number") as i32),
                OscType::Double(line["time_s"].as_f64().expect("a time")),
                OscType::Int(known.len() as i32),
                OscType::Int(640),
                OscType::Int(480),
            ]
        );
        assert_eq!(faces.len(), known.len());
        for (face, known) in faces.iter().zip(known) {
            assert_eq!((face.addr.as_str(), face.args.len()), ("/emocam/face", 14));
            assert_eq!(face.args[5], OscType::String(known["emotion"].as_str().expect("a name").to_owned()));
            let [OscType::Float(x), OscType::Float(confidence)] = [1, 6].map(|at| face.args[at].clone()) else {
                panic!("{face:?}")
            };
            assert!((f64::from(x) * 640.0 - known["box"]["x"].as_f64().expect("x")).abs() <= 0.51, "{face:?} {known}");
            let known = known["confidence"].as_f64().expect("a confidence");
            assert!((f64::from(confidence) - known).abs() < 1e-4, "{face:?}");
        }
    }
}

#[test]
fn without_a_listener_the_run_goes_on_and_without_an_address_it_does_not_begin() {
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let mut command = emocam();
    command.args("live demo --headless --frames 20 --osc".split(' ')).arg(free.to_string());
    let output = start(&mut command).finish(LIMIT);
    let told = if cfg!(target_os = "linux") { "nobody listens there yet" } else { "20 frames" };
    assert_exit(&output, 0, &["20 frames", told]);
    assert!(text(&output.stderr).matches("OSC to").count() <= 1);
    for name in ["127.0.0.1", "no such host:9000", "127.0.0.1:0x1"] {
        fail(emocam().args(["live", "demo", "--headless", "--osc", name]), 1, &["--osc", name, "HOST:PORT"]);
    }
}
