//! The caller's thread: what comes out of the stages is presented, and goes on to the outputs.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use anyhow::Result;
use crossbeam::channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError};

use super::Event;
use super::capture::{DropPolicy, InFlight, MOMENT};
use crate::flow::labelled::Labelled;
use crate::flow::stop::Stop;
use crate::source::Notice;

/// Frames that may wait for the tables: a reader that is slow costs frames, and gets none that is old.
/// Those of a file wait for the recorder no longer.
pub(super) const TABLE_QUEUE: usize = 2;

/// Frames of a live source that may wait for the recorder: a second of video, which a disk may take to wake up.
pub(super) const RECORDER_QUEUE: usize = 32;

/// The most memory that they may take, in bytes: that second at 1280x720, picture and frame.
const RECORDER_QUEUE_BYTES: usize = 256 * 1024 * 1024;

/// What is said when the first frame is lost on its way to the recorder.
const TOO_SLOW: &str = "the recording loses frames: this machine or its disk is too slow for it";

/// What comes to the caller's thread.
pub(super) struct Outcomes<'a> {
    pub(super) labelled: &'a Receiver<Labelled>,
    pub(super) notices: &'a Receiver<Notice>,
    pub(super) warnings: &'a Receiver<String>,
    /// Allows another frame onto its way.
    pub(super) credit: Option<Sender<()>>,
    pub(super) in_flight: &'a InFlight,
}

/// What goes on from there.
pub(super) struct Outlets {
    pub(super) tables: Option<Sender<Arc<Labelled>>>,
    pub(super) recorder: Option<Sender<Arc<Labelled>>>,
    pub(super) drop_policy: DropPolicy,
    /// How many frames the recorder could not take in time.
    pub(super) unrecorded: u64,
}

/// Presents until there is no more, or nobody wants more.
pub(super) fn present_all(
    outcomes: &Outcomes<'_>,
    outlets: &mut Outlets,
    stop: &Stop,
    present: &mut impl FnMut(Event<'_>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    loop {
        let next = outcomes.labelled.recv_timeout(MOMENT);
        // A notice is older than a frame that was taken after it.
        for notice in outcomes.notices.try_iter() {
            // A wish to stop is heard at the next frame or moment.
            let _ = present(Event::Notice(notice))?;
        }
        for warning in outcomes.warnings.try_iter() {
            let _ = present(Event::Warning(warning))?;
        }
        let flow = match next {
            Ok(mut labelled) => {
                let flow = present(Event::Frame(&mut labelled))?;
                let bytes = labelled.frame.rgb.len();
                outlets.send(labelled, present)?;
                outcomes.in_flight.leave(bytes);
                if let Some(credit) = &outcomes.credit {
                    // There is room for each that was taken.
                    let _ = credit.try_send(());
                }
                flow
            }
            Err(RecvTimeoutError::Timeout) => present(Event::Idle)?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        if flow.is_break() {
            stop.request();
            return Ok(());
        }
    }
}

impl Outlets {
    fn send(
        &mut self,
        labelled: Labelled,
        present: &mut impl FnMut(Event<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let labelled = Arc::new(labelled);
        if let Some(tables) = &self.tables {
            send_patiently(tables, Arc::clone(&labelled), present)?;
        }
        let Some(recorder) = &self.recorder else { return self.wait_for_large(&labelled, present) };
        let bytes = (recorder.len() + 1) * memory_of(&labelled);
        if self.drop_policy != DropPolicy::Latest {
            send_patiently(recorder, Arc::clone(&labelled), present)?;
            self.wait_for_large(&labelled, present)?;
        } else if bytes > RECORDER_QUEUE_BYTES || matches!(recorder.try_send(labelled), Err(TrySendError::Full(_))) {
            self.unrecorded += 1;
            if self.unrecorded == 1 {
                let _ = present(Event::Warning(TOO_SLOW.to_owned()))?;
            }
        }
        Ok(())
    }

    /// Of frames so large that no second one has room beside it, none is left to the outputs to be written later.
    fn wait_for_large(
        &self,
        labelled: &Arc<Labelled>,
        present: &mut impl FnMut(Event<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let is_large = self.drop_policy == DropPolicy::Every && InFlight::fills(labelled.frame.rgb.len());
        while is_large && Arc::strong_count(labelled) > 1 {
            thread::sleep(MOMENT);
            let _ = present(Event::Idle)?;
        }
        Ok(())
    }
}

/// Bytes of a frame and of its picture.
fn memory_of(labelled: &Labelled) -> usize {
    labelled.frame.rgb.len() * if labelled.picture.is_some() { 2 } else { 1 }
}

/// Waits until an output has room, and keeps the window alive meanwhile. One that has failed takes nothing and has said why.
fn send_patiently(
    output: &Sender<Arc<Labelled>>,
    mut labelled: Arc<Labelled>,
    present: &mut impl FnMut(Event<'_>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    while let Err(SendTimeoutError::Timeout(back)) = output.send_timeout(labelled, MOMENT) {
        labelled = back;
        // A wish to stop is heard at the next frame, after this one is safe.
        let _ = present(Event::Idle)?;
    }
    Ok(())
}
