use image::RgbImage;

use super::*;
use crate::network::preprocess::gray_from_rgb;

/// What LiteRT 2.3.0 makes of a square of a picture, placed as in the part, with 0 where it lies outside:
///
/// ```python
/// network = Interpreter(path)                      # ai_edge_litert.interpreter; the file named in weights/README.md
/// network.allocate_tensors()
/// network.set_tensor(0, picture[None] / 127.5 - 1)  # PIL's picture, float32
/// network.invoke()
/// scores, places = …                                # its outputs "classificators" and "regressors"
/// best = scores.argmax(); print(best, scores[best], places[best], scores.sum())
/// ```
struct Expected {
    form: Form,
    picture: &'static [u8],
    at: (f32, f32),
    best: usize,
    score: f32,
    numbers: [f32; NUMBERS],
    sum: f32,
    /// How much may differ: more where a JPEG is decoded, which decoders do differently by a grey level or two.
    tolerance: f32,
}

const LITERT: [Expected; 4] = [
    Expected {
        form: Form::Short,
        picture: include_bytes!("../../../tests/data/face-420.png"),
        at: (-18.0, -33.0),
        best: 683,
        score: 1.69765,
        numbers: [
            -5.422, 10.38, 91.531, 91.542, -22.209, -4.57, 15.641, -4.525, -2.11, 23.511, -3.243, 38.418, -42.99,
            -2.666, 32.89, -1.908,
        ],
        sum: -6928.608,
        tolerance: 1e-3,
    },
    Expected {
        form: Form::Back,
        picture: include_bytes!("../../../tests/data/face-422.png"),
        at: (-80.0, -90.0),
        best: 680,
        score: 1.19994,
        numbers: [
            -16.073, 15.746, 101.224, 101.223, -35.753, -1.961, 6.631, -0.629, -14.057, 28.414, -15.375, 45.087,
            -58.826, 0.925, 26.724, 3.307,
        ],
        sum: -168_286.93,
        tolerance: 1e-3,
    },
    Expected {
        form: Form::Short,
        picture: include_bytes!("../../../tests/data/astronaut.jpg"),
        at: (160.0, 50.0),
        best: 732,
        score: 2.45226,
        numbers: [
            -6.616, 0.162, 101.334, 101.317, -28.092, -20.337, 15.889, -16.792, -8.573, 10.482, -10.302, 28.668,
            -50.36, -16.955, 37.649, -9.407,
        ],
        sum: -5297.27,
        tolerance: 0.2,
    },
    Expected {
        form: Form::Back,
        picture: include_bytes!("../../../tests/data/astronaut.jpg"),
        at: (100.0, -30.0),
        best: 722,
        score: 1.94284,
        numbers: [
            11.74, 7.705, 104.243, 104.242, -9.181, -12.835, 35.498, -11.828, 12.954, 16.011, 11.79, 35.551, -32.551,
            -6.945, 57.488, -5.224,
        ],
        sum: -89_900.92,
        tolerance: 0.2,
    },
];

fn picture(bytes: &[u8]) -> RgbImage {
    image::load_from_memory(bytes).expect("a picture").into_rgb8()
}

fn square(at: (f32, f32), side: u32) -> Part {
    Part { x: at.0, y: at.1, scale: 1.0, width: side, height: side, turn: STRAIGHT }
}

#[test]
fn outputs_are_those_of_litert() {
    for expected in LITERT {
        let side = if expected.form == Form::Short { 128 } else { 256 };
        let mut blaze = BlazeFace::new(expected.form).expect("the network");
        let rgb = picture(expected.picture);
        let gray = gray_from_rgb(&rgb, rgb.width(), rgb.height()).expect("grey");
        blaze.fill(Picture { rgb: &rgb, gray: &gray }, square(expected.at, side)).expect("an input");
        let heads = blaze.net.forward(&blaze.input, side as usize, side as usize).expect("heads");
        let (mut scores, mut places) = (Vec::new(), Vec::new());
        for head in &heads {
            let count = head.channels / (1 + NUMBERS);
            for rows in head.values.chunks_exact(head.channels * head.width) {
                for x in 0..head.width {
                    let at = |channel: usize| rows[channel * head.width + x];
                    scores.extend((0..count).map(at));
                    places.extend(
                        (0..count).map(|g| -> [f32; NUMBERS] { std::array::from_fn(|i| at(count + g * NUMBERS + i)) }),
                    );
                }
            }
        }
        assert_eq!(scores.len(), 896);
        let Expected { best, score, numbers, sum, tolerance, .. } = expected;
        let top = (0..896).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        assert_eq!(top, Some(best));
        assert!((scores[best] - score).abs() < tolerance, "{} instead of {score}", scores[best]);
        for (found, number) in places[best].iter().zip(numbers) {
            assert!((found - number).abs() < 2.0 * tolerance, "{found} instead of {number}");
        }
        let found: f32 = scores.iter().sum();
        assert!((found / sum - 1.0).abs() < tolerance.min(0.01), "{found} instead of {sum}");
    }
}

#[test]
fn the_astronaut_s_face_is_found_where_it_is_at_any_size_and_over_the_edge() {
    let rgb = picture(include_bytes!("../../../tests/data/astronaut.jpg"));
    let gray = gray_from_rgb(&rgb, rgb.width(), rgb.height()).expect("grey");
    let whole = Picture { rgb: &rgb, gray: &gray };
    // Her right eye, as seen on the picture, and the distance of the eyes.
    let (eye, distance) = ([204.0, 108.0], 45.0);
    let back = Part { x: -64.0, y: -64.0, scale: 2.5, width: 256, height: 256, turn: STRAIGHT };
    for (form, part) in [
        (Form::Back, back),
        (Form::Back, Part { width: 224, height: 320, x: -20.5, ..back }),
        (Form::Short, Part { x: 130.0, y: -20.0, scale: 1.5, width: 128, height: 128, turn: STRAIGHT }),
        (Form::Short, Part { x: 130.0, y: -20.0, scale: 1.5, width: 128, height: 128, turn: [0.8, 0.6] }),
        (Form::Short, Part { x: 130.0, y: -20.0, scale: 1.5, width: 128, height: 128, turn: [0.6, -0.8] }),
        (Form::Short, Part { x: 150.25, y: 30.0, scale: 1.1, width: 160, height: 128, turn: STRAIGHT }),
    ] {
        let faces = BlazeFace::new(form).and_then(|mut blaze| blaze.look(whole, part, 0.5)).expect("faces");
        let [face] = &faces[..] else { panic!("{faces:?} in {part:?}") };
        let points = face.points.expect("points");
        let off = (points.right_eye[0] - eye[0]).hypot(points.right_eye[1] - eye[1]);
        assert!(off < 0.2 * distance, "{points:?} in {part:?}");
    }
    let grey = Part { x: 600.0, y: 0.0, scale: 1.0, width: 128, height: 128, turn: STRAIGHT };
    let faces = BlazeFace::new(Form::Short).and_then(|mut blaze| blaze.look(whole, grey, 0.5));
    assert!(faces.expect("nothing but the border").is_empty());
}

#[test]
fn weights_of_the_wrong_shape_are_refused_and_named() {
    let refused = |bytes: &[u8]| match BlazeFace::from_bytes(Form::Short, bytes) {
        Ok(_) => panic!("taken"),
        Err(error) => format!("{error:#}"),
    };
    refused(b"no weights at all");
    refused(&WEIGHTS[..WEIGHTS.len() / 2]);
    let mut tensors = tensors_of(&SafeTensors::deserialize(WEIGHTS).expect("a file")).expect("tensors");
    let bytes = |tensors: &crate::network::model::Tensors| safetensors::serialize(tensors, None).expect("bytes");
    BlazeFace::from_bytes(Form::Short, &bytes(&tensors)).map(|_| ()).expect("unchanged");
    let kernel = tensors["short.blocks.03.depth.weight"].narrow(0, 1, 30).and_then(|x| x.contiguous()).expect("a part");
    tensors.insert("short.blocks.03.depth.weight".into(), kernel);
    let text = refused(&bytes(&tensors));
    assert!(text.contains("[30, 3, 3]"), "{text}");
    tensors.remove("short.blocks.03.depth.weight");
    let text = refused(&bytes(&tensors));
    assert!(text.contains("short.blocks.03.depth.weight: expected, but not there"), "{text}");
}
