use super::*;

const FRAME: f32 = 1.0 / 30.0;

fn face(x: f32, score: f32) -> Found {
    Found { face: FaceBox { x, y: 50.0, width: 80.0, height: 80.0, score }.into(), may_be_new: score >= 3.0 }
}

fn step(tracks: &mut Tracks, found: Vec<Found>) -> Vec<TrackedFace> {
    tracks.advance(FRAME);
    tracks.update(found, FRAME);
    tracks.faces().tracked
}

fn ids(faces: &[TrackedFace]) -> Vec<u64> {
    faces.iter().map(|face| face.id).collect()
}

#[test]
fn two_faces_that_cross_keep_their_ids() {
    let mut tracks = Tracks::new(16);
    for i in 0..90 {
        let (left, right) = (i as f32 * 6.0, 540.0 - i as f32 * 6.0);
        // The one in front hides the other while they overlap by half.
        let found =
            if (left - right).abs() < 50.0 { vec![face(right, 6.0)] } else { vec![face(left, 6.0), face(right, 5.9)] };
        let faces = step(&mut tracks, found);
        if i > 2 && (left - right).abs() > 120.0 {
            assert_eq!(ids(&faces), [0, 1], "frame {i}");
            assert!((faces[0].face.x - left).abs() < 20.0, "frame {i}: {faces:?}, {left}");
        }
    }
}

#[test]
fn a_hand_over_the_face_makes_no_new_id_and_a_face_that_is_gone_is_dropped() {
    let mut tracks = Tracks::new(16);
    (0..30).for_each(|_| drop(step(&mut tracks, vec![face(100.0, 6.0)])));
    let shown = (0..28).filter(|_| !step(&mut tracks, vec![]).is_empty()).count();
    assert!((3..=15).contains(&shown), "gone after {shown} frames");
    assert_eq!(ids(&step(&mut tracks, vec![face(110.0, 6.0)])), [0]);
    (0..90).for_each(|_| drop(step(&mut tracks, vec![])));
    assert_eq!(ids(&step(&mut tracks, vec![face(110.0, 6.0)])), [1], "after three seconds it is somebody else");
}

#[test]
fn weak_boxes_begin_nothing_and_do_not_keep_a_face_for_ever() {
    let mut tracks = Tracks::new(16);
    assert!(step(&mut tracks, vec![face(100.0, 2.9)]).is_empty());
    step(&mut tracks, vec![face(100.0, 3.1)]);
    let shown = (0..60).filter(|_| !step(&mut tracks, vec![face(100.0, 1.05)]).is_empty()).count();
    assert!((5..40).contains(&shown), "{shown}");
}

#[test]
fn what_was_hidden_as_doubtful_needs_certainty_to_come_back() {
    let mut tracks = Tracks::new(16);
    step(&mut tracks, vec![face(100.0, 5.0)]);
    // A weak box while it is shown, and a better one from the closer look while it is not.
    let mut shown = 0;
    for _ in 0..120 {
        let score = if tracks.shown_places().is_empty() { 2.9 } else { 1.1 };
        shown += usize::from(!step(&mut tracks, vec![face(100.0, score)]).is_empty());
    }
    assert!(shown < 15, "{shown} frames");
    for _ in 0..70 {
        step(&mut tracks, vec![]);
    }
    assert_eq!(ids(&step(&mut tracks, vec![face(100.0, 5.0)])), [1]);
}

#[test]
fn faces_that_come_back_keep_to_the_limit() {
    let mut tracks = Tracks::new(2);
    step(&mut tracks, vec![face(0.0, 5.0), face(200.0, 5.0)]);
    (0..10).for_each(|_| drop(step(&mut tracks, vec![])));
    step(&mut tracks, vec![face(400.0, 5.0), face(600.0, 5.0)]);
    for _ in 0..5 {
        let faces = step(&mut tracks, [0.0, 200.0, 400.0, 600.0].map(|x| face(x, 5.0)).to_vec());
        assert_eq!(faces.len(), 2, "{faces:?}");
    }
}

#[test]
fn faces_are_followed_at_three_frames_a_second() {
    let mut tracks = Tracks::new(16);
    for i in 0..10 {
        tracks.advance(0.33);
        assert_eq!(tracks.shown_places().len(), if i == 0 { 0 } else { 2 }, "frame {i}");
        tracks.update(vec![face(100.0 + i as f32, 5.0), face(300.0, 5.0)], 0.33);
        assert_eq!(ids(&tracks.faces().tracked), [0, 1]);
    }
}

#[test]
fn of_too_many_faces_the_largest_are_kept_and_the_rest_is_counted() {
    let mut tracks = Tracks::new(16);
    let crowd: Vec<Found> = (0..50)
        .map(|i| {
            let (x, y, side) = ((i % 10) as f32 * 100.0, (i / 10) as f32 * 100.0, 40.0 + i as f32);
            Found { face: FaceBox { x, y, width: side, height: side, score: 5.0 }.into(), may_be_new: true }
        })
        .collect();
    for _ in 0..5 {
        tracks.advance(FRAME);
        tracks.update(crowd.clone(), FRAME);
        let faces = tracks.faces();
        assert_eq!((faces.tracked.len(), faces.ignored), (16, 34));
        assert!(faces.tracked.iter().all(|face| face.face.width > 40.0 + 32.0), "{faces:?}");
    }
    // A much larger one takes the place of the smallest.
    let mut found = crowd.clone();
    found.push(Found {
        face: FaceBox { x: 2000.0, y: 0.0, width: 300.0, height: 300.0, score: 5.0 }.into(),
        may_be_new: true,
    });
    tracks.advance(FRAME);
    tracks.update(found, FRAME);
    assert!(tracks.faces().tracked.iter().any(|face| face.face.width == 300.0));
    assert_eq!(tracks.faces().tracked.len(), 16);
}

#[test]
fn one_face_is_never_shown_twice() {
    let mut tracks = Tracks::new(16);
    (0..10).for_each(|_| drop(step(&mut tracks, vec![face(100.0, 6.0), face(250.0, 6.0)])));
    for i in 0..30 {
        // The second one slides onto the first and is not found any more.
        let found =
            if i < 12 { vec![face(100.0, 6.0), face(250.0 - 12.0 * i as f32, 5.0)] } else { vec![face(100.0, 6.0)] };
        let faces = step(&mut tracks, found);
        let pairs = faces.iter().enumerate().flat_map(|(i, a)| faces[i + 1..].iter().map(move |b| (a, b)));
        assert!(pairs.into_iter().all(|(a, b)| overlap(&a.face, &b.face) < 0.6), "frame {i}: {faces:?}");
    }
}

#[test]
fn overlap_of_equal_apart_and_half_boxes() {
    let at = |x| FaceBox { x, y: 0.0, width: 2.0, height: 2.0, score: 0.0 };
    assert_eq!((overlap(&at(0.0), &at(0.0)), overlap(&at(0.0), &at(5.0))), (1.0, 0.0));
    assert!((overlap(&at(0.0), &at(1.0)) - 1.0 / 3.0).abs() < 1e-6);
}
