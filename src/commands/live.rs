//! `emocam live`: a camera, or what stands for one, labelled as it comes.

use anyhow::{Context, Result, ensure};
use emocam::flow::stop::Stop;
use emocam::measure::stats::Stats;
use emocam::pipeline::DropPolicy;
use emocam::sink::{Input, OscSink, OutputOptions, SinkSpec, Variables};
use emocam::source::{CameraOptions, LoopingSource, Source, SourceSpec, list_cameras, switching};

use super::job::Job;
use super::setup::{
    Threads, check_outputs, check_part, classifier, finish, inputs, job, options_of, record, to_hide, upright,
};
use crate::cli::Live;
use crate::view::keys::Controls;
use crate::view::lines::Lines;
use crate::view::tell::notice;
use crate::view::{StatusView, View, WindowView, find_display};

/// Runs until the source ends, the window is closed, or someone asks for the end.
pub(super) fn run(arguments: &Live, stop: &Stop) -> Result<()> {
    let common = &arguments.common;
    let spec = arguments.source.clone().map(SourceSpec::or_camera_name).transpose()?;
    check_source_options(arguments, spec.as_ref())?;
    spec.iter().try_for_each(|spec| check_part(common, spec))?;
    let mut classifier = classifier(&common.dials, Threads::Half)?;
    let options = options_of(common, true);
    let variables = variables(spec.as_ref());
    let outputs: Vec<SinkSpec> = common.all_outputs().iter().map(|output| output.of_input(&variables)).collect();
    check_outputs(&outputs, options, common, spec.as_ref(), &inputs(&spec, common))?;
    let osc = arguments.osc.as_deref().map(OscSink::open).transpose().context("--osc")?;
    let view = if arguments.headless {
        View::Status(StatusView::default())
    } else {
        match find_display() {
            Ok(display) => View::Window(Box::new(WindowView::on(display))),
            Err(reason) => {
                notice(&format!("{reason:#}; running without a window"));
                View::Status(StatusView::default())
            }
        }
    };
    let camera = CameraOptions { format: arguments.camera_format, no_reconnect: arguments.no_reconnect };
    // Without a window nobody could watch the demo a second time.
    let source = live_source(spec.as_ref(), &camera, view.draws())?;
    let (source, switch) = switching(source, camera);
    let mut source = upright(source, common);
    notice(&source.info().name);
    let input = spec.as_ref().map_or_else(|| Input::named(&source.info().name), Input::of);
    let record = record("live", common, classifier.prior())?.of(vec![input]);
    let is_live = source.info().live;
    let drop_policy = if is_live { DropPolicy::Latest } else { DropPolicy::EveryInRealTime };
    let mut job = Job {
        outputs: &outputs,
        options: OutputOptions { record: Some(&record), wall_clock: is_live, ..options },
        excerpt: common.excerpt(),
        frames: common.frames,
        faces_a_frame: arguments.labels,
        controls: Controls { look: common.look(), ..Controls::new(arguments.mirror, common.privacy, is_live) },
        unsure_below: common.unsure,
        osc,
        switch,
        // A video on standard input is no text.
        lines: if spec == Some(SourceSpec::Stdin) { None } else { Lines::of_standard_input() },
        ..job(source.as_mut(), drop_policy, &common.dials, spec.as_ref())
    };
    if common.privacy.is_some() {
        job.search = to_hide(job.search, &common.dials);
    }
    let mut stats = Stats::new();
    let outcome = job.run(&mut classifier, view, &stop.child(), &mut stats);
    let record = record.ended(outcome.is_ok());
    outcome.and(finish(&stats, common, &record))
}

/// What a source is called in the names of outputs.
fn variables(spec: Option<&SourceSpec>) -> Variables {
    let name = match spec {
        Some(SourceSpec::CameraIndex(index)) => format!("camera{index}").into(),
        Some(SourceSpec::CameraPath(path)) => path.file_name().unwrap_or_default().to_os_string(),
        Some(spec) => spec.stem().unwrap_or_default().to_os_string(),
        None => "camera".into(),
    };
    Variables { name, ..Variables::default() }
}

/// Refuses options that would do nothing.
fn check_source_options(arguments: &Live, spec: Option<&SourceSpec>) -> Result<()> {
    if let Some(spec) = spec.filter(|spec| !spec.is_camera()) {
        ensure!(arguments.camera_format.is_none(), "--camera-format is for cameras, and {spec} is none");
        ensure!(!arguments.no_reconnect, "--no-reconnect is for cameras, and {spec} is none");
        ensure!(
            arguments.labels.is_none() || !spec.is_pictures(),
            "--labels is for motion: of {spec} every face is labelled"
        );
    }
    Ok(())
}

/// The named source, or the first camera that opens, or the demo.
fn live_source(spec: Option<&SourceSpec>, camera: &CameraOptions, repeat_demo: bool) -> Result<Box<dyn Source>> {
    let demo = || -> Result<Box<dyn Source>> {
        if repeat_demo { Ok(Box::new(LoopingSource::open(SourceSpec::Demo)?)) } else { SourceSpec::Demo.open() }
    };
    match spec {
        Some(SourceSpec::Demo) => return demo(),
        Some(spec) => return spec.open_with(camera),
        None => {}
    }
    let cameras = match list_cameras() {
        Ok(cameras) => cameras,
        Err(error) => {
            notice(&format!("{error:#}"));
            Vec::new()
        }
    };
    let mut reason = "no camera was found";
    for found in cameras {
        match SourceSpec::CameraIndex(found.index).open_with(camera) {
            Ok(source) => return Ok(source),
            Err(error) => notice(&format!("{error:#}")),
        }
        reason = "no camera can be opened";
    }
    notice(&format!("{reason}; showing the demo inside the program instead"));
    demo()
}
