//! Where a face's label and panel go.
//!
//! Pure geometry in frame pixels: given what is taken already (faces, labels, panels), it finds a place inside the frame.
//! Nothing ever hides a face, a label or a panel; what has no place is left out.

use super::paint::Rect;

/// How much of a face's height its label may cover at the upper or lower edge, where there is no place beside it.
const EDGE: i32 = 8;

/// A label's place: above the face, below it or beside it, the nearest that is nobody's and inside the frame. A face that
/// leaves no room around it bears its label on its own outermost edge. `None` where there is no place.
pub(super) fn place_label(width: i32, height: i32, face: Rect, frame: Rect, taken: &[Rect]) -> Option<Rect> {
    let free = |place: &Rect| is_free(*place, frame, taken);
    let rect = |(x, y)| Rect { x, y, width, height };
    let (left, right) = (face.x, face.right() - width);
    let (above, below) = (face.y - height, face.bottom());
    // Slid along the frame's edge where the face is there.
    let slid = |x: i32| x.min(frame.right() - width).max(frame.x);
    let near = [above, below].into_iter().flat_map(|y| [left, right, slid(left)].map(|x| (x, y)));
    let sides = [face.y, face.bottom() - height].into_iter().flat_map(|y| [(face.right(), y), (left - width, y)]);
    let steps = || (1..4).flat_map(|step| [step * width / 3, -step * width / 3]);
    let along = [above, below].into_iter().flat_map(|y| steps().map(move |step| (left + step, y)));
    let far = [above - height, below + height].into_iter().flat_map(|y| [left, right, slid(left)].map(|x| (x, y)));
    if let Some(place) = near.chain(sides).chain(along).chain(far).map(rect).find(free) {
        return Some(place);
    }
    // Others' boxes may lie in this one; their labels may not be covered either.
    let others: Vec<Rect> = taken.iter().copied().filter(|other| *other != face).collect();
    let on_edge = [face.y, face.bottom() - height].into_iter().flat_map(|y| [(slid(left), y), (slid(right), y)]);
    let free = |place: &Rect| is_free(*place, frame, &others);
    on_edge.map(rect).filter(|_| height * EDGE <= face.height).find(free)
}

/// A panel's place beside `anchor`, else below or above it, at a distance of `gap`; `None` where it would hide something.
///
/// The anchor is the face, or the face with its label.
pub(super) fn place_panel(size: (i32, i32), gap: i32, anchor: Rect, frame: Rect, taken: &[Rect]) -> Option<Rect> {
    let (width, height) = size;
    let inside = frame.grown(-gap);
    let (right, left) = (anchor.right() + gap, anchor.x - gap - width);
    let (above, below) = (anchor.y - gap - height, anchor.bottom() + gap);
    let (top, bottom) = (anchor.y, anchor.bottom() - height);
    // Beside the anchor the height gives way to the frame's edges, above and below it the side does.
    let rect = |x, y| Rect { x, y, width, height };
    let beside = [(right, top), (left, top), (right, bottom), (left, bottom)];
    let beside = beside.map(|(x, y)| rect(x, y.min(inside.bottom() - height).max(inside.y)));
    let beyond = [below, above].map(|y| rect(anchor.x.min(inside.right() - width).max(inside.x), y));
    beside.into_iter().chain(beyond).find(|place| is_free(*place, inside, taken))
}

/// A strip's place below `anchor`, else above it; `None` where it would hide something.
pub(super) fn place_strip(size: (i32, i32), gap: i32, anchor: Rect, frame: Rect, taken: &[Rect]) -> Option<Rect> {
    let (width, height) = size;
    let x = anchor.x.min(frame.right() - width).max(frame.x);
    let places = [anchor.bottom() + gap / 2, anchor.y - gap / 2 - height].map(|y| Rect { x, y, width, height });
    places.into_iter().find(|place| is_free(*place, frame, taken))
}

/// Whether a place is inside the frame and hides nothing.
fn is_free(place: Rect, frame: Rect, taken: &[Rect]) -> bool {
    place.is_inside(frame) && !taken.iter().any(|other| place.intersection(*other).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Rect = Rect { x: 0, y: 0, width: 640, height: 480 };

    fn rect(x: i32, y: i32, width: i32, height: i32) -> Rect {
        Rect { x, y, width, height }
    }

    #[test]
    fn a_label_goes_above_below_or_onto_the_edge_in_this_order() {
        let label = |face| place_label(90, 20, face, FRAME, &[face]);
        assert_eq!(label(rect(200, 100, 150, 150)), Some(rect(200, 80, 90, 20)));
        assert_eq!(label(rect(200, 0, 150, 150)), Some(rect(200, 150, 90, 20)));
        assert_eq!(label(rect(0, 0, 640, 480)), Some(rect(0, 0, 90, 20)));
        assert_eq!(place_label(90, 20, rect(0, 0, 95, 100), rect(0, 0, 95, 100), &[rect(0, 0, 95, 100)]), None);
    }

    #[test]
    fn labels_of_faces_anywhere_stay_in_the_frame_and_off_the_face() {
        for x in (-50..640).step_by(30) {
            for y in (-50..480).step_by(30) {
                let Some(face) = rect(x, y, 100, 100).intersection(FRAME) else { continue };
                let label = place_label(90, 20, face, FRAME, &[face]).expect("room");
                assert!(label.is_inside(FRAME) && label.intersection(face).is_none(), "{face:?}");
            }
        }
    }

    /// Crowds, by a generator of its own, so that they are the same on each machine.
    #[test]
    fn in_a_crowd_no_label_hides_a_face_or_another_label() {
        let mut state = 7u64;
        let mut random = |end: i32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % end as u64) as i32
        };
        // Faces and labels, among few and among many.
        let mut seen = [[0, 0], [0, 0]];
        for _ in 0..2000 {
            let frame =
                [(320, 240), (640, 480), (1280, 720), (480, 640)].map(|(w, h)| rect(0, 0, w, h))[random(4) as usize];
            let faces: Vec<Rect> = (0..1 + random(16))
                .filter_map(|_| {
                    let side = 20 + random(frame.height / 3);
                    rect(random(frame.width) - side / 2, random(frame.height) - side / 2, side, side)
                        .intersection(frame)
                })
                .collect();
            let mut taken = faces.clone();
            for face in &faces {
                let Some(label) = place_label(80, 18, *face, frame, &taken) else { continue };
                assert!(label.is_inside(frame));
                let others = taken.iter().filter(|other| *other != face);
                assert_eq!(others.filter_map(|other| label.intersection(*other)).next(), None, "{face:?} in {faces:?}");
                let on_face = label.intersection(*face).map_or(0, |shared| shared.height);
                assert!(on_face * EDGE <= face.height);
                taken.push(label);
                seen[usize::from(faces.len() > 4)][1] += 1;
            }
            seen[usize::from(faces.len() > 4)][0] += faces.len();
        }
        let [few, many] = seen;
        assert!(few[1] * 100 > few[0] * 95 && many[1] * 4 > many[0] * 3, "faces and labels: {seen:?}");
    }

    #[test]
    fn a_panel_takes_the_side_with_room() {
        let panel = |face| place_panel((120, 130), 8, face, FRAME, &[face]);
        assert_eq!(panel(rect(200, 100, 150, 150)), Some(rect(358, 100, 120, 130)));
        assert_eq!(panel(rect(480, 100, 150, 150)), Some(rect(352, 100, 120, 130)));
        // The side is kept and the height gives way.
        assert_eq!(panel(rect(200, 400, 80, 80)), Some(rect(288, 342, 120, 130)));
        assert_eq!(panel(rect(20, 20, 600, 300)), Some(rect(20, 328, 120, 130)));
        assert_eq!(panel(rect(20, 160, 600, 300)), Some(rect(20, 22, 120, 130)));
        assert_eq!(panel(rect(20, 20, 600, 440)), None);
    }

    #[test]
    fn a_panel_does_not_hide_another_face() {
        let (face, other) = (rect(200, 100, 150, 150), rect(400, 100, 150, 150));
        assert_eq!(place_panel((120, 130), 8, face, FRAME, &[face, other]), Some(rect(72, 100, 120, 130)));
    }
}
