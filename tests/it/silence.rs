//! The pipeline while no frame comes: news are heard, marks are kept, and a window can be closed.

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use emocam::flow::frame::Frame;
use emocam::flow::labelled::{Losses, Mark};
use emocam::flow::stop::Stop;
use emocam::pipeline::{DropPolicy, Event, Stages, run};
use emocam::sink::{OutputOptions, SinkSpec};
use emocam::source::{Next, Notice, Source, SourceInfo};
use serde_json::{Value, json};

use crate::common::{frames_of, json_lines, temporary_folder};
use crate::stages::*;

/// A camera that delivers one frame and then has news, and nothing else for ever.
struct Quiet {
    info: SourceInfo,
    polls: u32,
}

impl Source for Quiet {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        unreachable!("the pipeline does not wait for frames")
    }

    fn poll(&mut self) -> Result<Next> {
        self.polls += 1;
        Ok(match self.polls {
            1 => Next::Frame(frame(0)),
            2 | 3 => Next::Waiting(Some(Notice { text: format!("news {}", self.polls), since: Instant::now() })),
            _ => {
                thread::sleep(Duration::from_millis(1));
                Next::Waiting(None)
            }
        })
    }
}

#[test]
fn news_of_a_quiet_camera_come_in_order_and_it_can_be_left() {
    let heard = within_limit(|| {
        let mut source = Quiet { info: SourceInfo { live: true, ..Default::default() }, polls: 0 };
        let stages = Stages {
            source: &mut source,
            make_detect: || Ok(detect),
            classify,
            faces_a_frame: None,
            frames_at_once: 1,
            tables: Vec::new(),
            recorders: Vec::new(),
            needs_outputs: true,
        };
        let stop = Stop::default();
        let mut heard = Vec::new();
        let (losses, result) = run(stages, DropPolicy::Latest, &stop, |event| {
            match event {
                Event::Frame(annotated) => heard.push(format!("frame {}", annotated.frame.id)),
                Event::Notice(notice) => heard.push(notice.text),
                Event::Warning(warning) => heard.push(warning),
                Event::Idle | Event::End(_) => {}
            }
            // As Ctrl-C does, while no frame comes.
            if heard.len() == 3 {
                stop.request();
            }
            Ok(ControlFlow::Continue(()))
        });
        result.expect("no failure");
        assert_eq!(losses, Losses::default());
        heard
    });
    // The news pass the frame, which takes its way through the stages.
    assert!(heard.contains(&"frame 0".into()), "{heard:?}");
    let news: Vec<_> = heard.into_iter().filter(|heard| heard.starts_with("news")).collect();
    assert_eq!(news, ["news 2", "news 3"]);
}

/// What is marked while a camera gives no frame any more is not lost: a line of its own, at the end, that is no frame.
#[test]
fn what_was_marked_after_the_last_frame_is_written_at_the_end() {
    let folder = temporary_folder();
    let path = |name: &str| folder.path().join(name);
    let specs = [
        SinkSpec::Jsonl(path("o.jsonl")),
        SinkSpec::Csv(path("o.csv")),
        SinkSpec::Summary(path("o.json")),
        SinkSpec::Video(path("o.mp4")),
    ];
    let options = OutputOptions { live: true, wall_clock: true, ..OutputOptions::default() };
    let mut tables = specs.iter().map(|spec| spec.open(options)).collect::<Result<Recorders>>().expect("outputs");
    let recorders = tables.split_off(3);
    within_limit(move || {
        let mut source = Quiet { info: SourceInfo { live: true, ..Default::default() }, polls: 0 };
        let stages = Stages {
            source: &mut source,
            make_detect: || Ok(detect),
            classify,
            faces_a_frame: None,
            frames_at_once: 1,
            tables,
            recorders,
            needs_outputs: true,
        };
        let stop = Stop::default();
        let at = Instant::now();
        let mark = |text: &str, seconds| Mark { text: text.to_owned(), time: Duration::from_secs(seconds), at };
        let (_, result) = run(stages, DropPolicy::Latest, &stop, |event| {
            match event {
                Event::Frame(annotated) => {
                    annotated.events = vec![mark("a, b", 1)];
                    stop.request();
                }
                Event::End(marks) => *marks = vec![mark("c", 2), mark("d", 3)],
                Event::Notice(_) | Event::Warning(_) | Event::Idle => {}
            }
            Ok(ControlFlow::Continue(()))
        });
        result.expect("no failure");
    });
    let lines = json_lines(&path("o.jsonl"));
    let [frame, last] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&frame["frame"], &frame["events"][0]["event"]), (&0.into(), &"a, b".into()));
    assert_eq!((&last["frame"], &last["time_s"], &last["faces"]), (&Value::Null, &2.0.into(), &json!([])));
    let events = last["events"].as_array().expect("a list");
    assert_eq!(events.iter().map(|event| &event["event"]).collect::<Vec<_>>(), ["c", "d"]);
    assert_eq!(events[1]["time_s"], 3.0);
    assert!(frame["events"].as_array().expect("a list").iter().chain(events).all(|event| event["time"].is_string()));

    let mut table = csv::Reader::from_path(path("o.csv")).expect("a table");
    let rows: Vec<_> = table.records().map(|row| row.expect("a row")).collect();
    let cells: Vec<_> = rows.iter().map(|row| [&row[0], &row[1], &row[2], &row[33]]).collect();
    assert_eq!(cells, [["0", "0", "0", ""], ["0", "1", "", "a, b"], ["", "2", "", "c"], ["", "3", "", "d"]]);
    let summary: Value = serde_json::from_slice(&std::fs::read(path("o.json")).expect("a summary")).expect("JSON");
    assert_eq!((&summary["frames"], summary["events"].as_array().map(Vec::len)), (&1.into(), Some(3)));
    assert_eq!(frames_of(&path("o.mp4")), 1);
}
