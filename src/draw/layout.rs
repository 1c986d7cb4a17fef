//! Where a face's label and panel go.
//!
//! Pure geometry in frame pixels: given what is taken already (faces, labels, panels), it finds a place inside the frame.
//! A label always gets one, a panel only where it hides nothing.

use super::paint::Rect;

/// A label's place: above the face, else below it, else over its edge; the one that hides least of what is `taken`.
///
/// The label is `width` by `height` and no larger than the frame.
pub(super) fn place_label(width: i32, height: i32, face: Rect, frame: Rect, taken: &[Rect]) -> Rect {
    let (above, below) = (face.y - height, face.bottom());
    let (left, right) = (face.x, face.right() - width);
    let corners =
        [(left, above), (left, below), (right, above), (right, below), (left, face.y), (left, below - height)];
    let mut best: Option<(i64, Rect)> = None;
    for (x, y) in corners {
        let place = Rect { x, y, width, height }.moved_into(frame);
        let hidden = hidden_area(place, taken);
        if best.is_none_or(|(least, _)| hidden < least) {
            best = Some((hidden, place));
        }
    }
    best.map_or(Rect { x: frame.x, y: frame.y, width, height }, |(_, place)| place)
}

/// A panel's place beside `anchor`, else below or above it, at a distance of `gap`; `None` where it would hide something.
///
/// The anchor is the face, or the face with its label.
pub(super) fn place_panel(
    width: i32,
    height: i32,
    gap: i32,
    anchor: Rect,
    frame: Rect,
    taken: &[Rect],
) -> Option<Rect> {
    let inside = frame.grown(-gap);
    let (right, left) = (anchor.right() + gap, anchor.x - gap - width);
    let (above, below) = (anchor.y - gap - height, anchor.bottom() + gap);
    let (top, bottom) = (anchor.y, anchor.bottom() - height);
    // Beside the anchor the height gives way to the frame's edges, above and below it the side does.
    let beside = [(right, top), (left, top), (right, bottom), (left, bottom)].map(|(x, y)| Rect {
        x,
        y: y.min(inside.bottom() - height).max(inside.y),
        width,
        height,
    });
    let beyond = [(anchor.x, below), (anchor.x, above)].map(|(x, y)| Rect {
        x: x.min(inside.right() - width).max(inside.x),
        y,
        width,
        height,
    });
    beside.into_iter().chain(beyond).find(|place| place.is_inside(inside) && hidden_area(*place, taken) == 0)
}

fn hidden_area(place: Rect, taken: &[Rect]) -> i64 {
    taken
        .iter()
        .filter_map(|other| place.intersection(*other))
        .map(|shared| i64::from(shared.width) * i64::from(shared.height))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Rect = Rect { x: 0, y: 0, width: 640, height: 480 };

    fn rect(x: i32, y: i32, width: i32, height: i32) -> Rect {
        Rect { x, y, width, height }
    }

    #[test]
    fn a_label_goes_above_below_or_over_the_face_in_this_order() {
        let label = |face| place_label(90, 20, face, FRAME, &[face]);
        assert_eq!(label(rect(200, 100, 150, 150)), rect(200, 80, 90, 20));
        assert_eq!(label(rect(200, 0, 150, 150)), rect(200, 150, 90, 20));
        assert_eq!(label(rect(0, 0, 640, 480)), rect(0, 0, 90, 20));
    }

    #[test]
    fn labels_of_neighbours_do_not_overlap() {
        let faces = [rect(100, 100, 60, 60), rect(165, 100, 60, 60)];
        let first = place_label(90, 20, faces[0], FRAME, &faces);
        let second = place_label(90, 20, faces[1], FRAME, &[faces[0], faces[1], first]);
        assert_eq!(first.intersection(second), None);
    }

    #[test]
    fn labels_of_faces_anywhere_stay_in_the_frame() {
        for x in (-50..640).step_by(30) {
            for y in (-50..480).step_by(30) {
                let Some(face) = rect(x, y, 100, 100).intersection(FRAME) else { continue };
                assert!(place_label(90, 20, face, FRAME, &[face]).is_inside(FRAME), "{face:?}");
            }
        }
    }

    #[test]
    fn a_panel_takes_the_side_with_room() {
        let panel = |face| place_panel(120, 130, 8, face, FRAME, &[face]);
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
        assert_eq!(place_panel(120, 130, 8, face, FRAME, &[face, other]), Some(rect(72, 100, 120, 130)));
    }
}
