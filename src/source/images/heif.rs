//! HEIC and AVIF by way of the system's `ffmpeg`.
//!
//! Phones store a HEIC as tiles, of which an ffmpeg before 7.1 gives one: so the file is asked how large its picture is, and
//! what has another size is refused. How it is to be turned is asked there, too, because not every ffmpeg does it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use image::metadata::Orientation;
use mp4_atom::{Atom, Decode, FourCC, Header, Imir, Ipco, Ipma, Iprp, Irot, Ispe, Meta, Pitm};

use super::decode::{MAX_FILE_BYTES, turned};
use crate::source::pixels::{Rgb, rgb_len};
use crate::system::files::read_at_most;
use crate::system::programs::{file_url, installed};

/// How the names of such files end.
pub(super) const EXTENSIONS: [&str; 3] = ["avif", "heic", "heif"];

/// What can't be read where there is no ffmpeg.
pub(super) const WITHOUT_FFMPEG: &str = "HEIC and AVIF, which need ffmpeg";

/// What can't be read by the ffmpeg that is there.
pub(super) const BY_THIS_FFMPEG: &str = "HEIC and AVIF that this ffmpeg can't read, which should be 7.1 or newer";

/// Reads the main picture of such a file. The outermost words of an error are one of the two above.
pub(super) fn read(path: &Path) -> Result<Rgb> {
    let ffmpeg = installed("ffmpeg").context(WITHOUT_FFMPEG)?;
    let read = || -> Result<Rgb> {
        let Layout { size, turns } = layout(&read_at_most(path, MAX_FILE_BYTES)?)?;
        let picture = by_ffmpeg(path, &ffmpeg)?;
        let found = (picture.width, picture.height);
        ensure!(found == size, "ffmpeg gave a picture of {found:?}, and the file has one of {size:?}");
        turns.into_iter().try_fold(picture, turned)
    };
    read().context(BY_THIS_FFMPEG)
}

/// What a file says of its main picture.
#[derive(Debug, PartialEq)]
struct Layout {
    /// Width and height as it is stored.
    size: (u32, u32),
    /// What is to be done to it, in this order.
    turns: Vec<Orientation>,
}

/// Finds it in the properties of the main item (ISO/IEC 23008-12, 6.5). Only the boxes that say it are decoded: a few bytes
/// of others can stand for a list of any length.
fn layout(bytes: &[u8]) -> Result<Layout> {
    let missing = "a HEIC or AVIF file without a main picture";
    // Before its boxes stand 4 bytes of version and flags.
    let meta = find(bytes, Meta::KIND).and_then(|meta| meta.get(4..));
    let meta = meta.context("not a HEIC or AVIF picture, or a damaged one")?;
    let main = Pitm::decode_body(&mut find(meta, Pitm::KIND).context(missing)?)?.item_id;
    let iprp = find(meta, Iprp::KIND).context(missing)?;
    let properties: Vec<_> = boxes(find(iprp, Ipco::KIND).context(missing)?).collect();
    let mut size = None;
    let mut turns = Vec::new();
    for (_, mut ipma) in boxes(iprp).filter(|&(kind, _)| kind == Ipma::KIND) {
        let of_all = Ipma::decode_body(&mut ipma)?.item_properties;
        let own = of_all.iter().filter(|item| item.item_id == main).flat_map(|item| &item.associations);
        // They are counted from 1; 0 stands for none.
        for index in own.filter_map(|own| usize::from(own.property_index).checked_sub(1)) {
            let Some(&(kind, mut property)) = properties.get(index) else { continue };
            if kind == Ispe::KIND {
                let Ispe { width, height } = Ispe::decode_body(&mut property)?;
                size = Some((width, height));
            } else if kind == Irot::KIND {
                // Quarters against the clock.
                turns.push(match Irot::decode_body(&mut property)?.angle & 3 {
                    0 => Orientation::NoTransforms,
                    1 => Orientation::Rotate270,
                    2 => Orientation::Rotate180,
                    _ => Orientation::Rotate90,
                });
            } else if kind == Imir::KIND {
                // 0 has the upper and the lower half exchanged, 1 the left and the right one.
                let axis = Imir::decode_body(&mut property)?.axis & 1;
                turns.push(if axis == 0 { Orientation::FlipVertical } else { Orientation::FlipHorizontal });
            }
        }
    }
    Ok(Layout { size: size.context(missing)?, turns })
}

/// The boxes in `bytes`, one after the other: kind and content. Ends early where one reaches over the end.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = (FourCC, &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::decode(&mut bytes).ok()?;
        let (content, after) = bytes.split_at_checked(header.size.unwrap_or(bytes.len()))?;
        bytes = after;
        Some((header.kind, content))
    })
}

fn find(bytes: &[u8], kind: FourCC) -> Option<&[u8]> {
    boxes(bytes).find(|&(found, _)| found == kind).map(|(_, content)| content)
}

/// The picture as it is stored.
fn by_ffmpeg(path: &Path, ffmpeg: &Path) -> Result<Rgb> {
    let mut command = Command::new(ffmpeg);
    command
        .args(["-nostdin", "-v", "quiet", "-protocol_whitelist", "file", "-noautorotate", "-i"])
        .arg(file_url(path))
        .args(["-frames:v", "1", "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "pipe:1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // Ctrl-C in a terminal goes to a whole process group. This one decides for itself when its child ends.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().with_context(|| format!("cannot start {}", ffmpeg.display()))?;
    let picture = child.stdout.take().context("ffmpeg has no output").and_then(|out| read_ppm(BufReader::new(out)));
    if picture.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    child.wait()?;
    picture.context("ffmpeg gave no whole picture")
}

/// Reads what ffmpeg writes: `P6`, the size, the largest value, each on a line, and RGB8.
fn read_ppm(mut out: impl BufRead) -> Result<Rgb> {
    let mut line = || -> Result<String> {
        let mut line = String::new();
        out.by_ref().take(64).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let (kind, size, most) = (line()?, line()?, line()?);
    ensure!(kind == "P6" && most == "255", "expected a PPM of 8 bits, found {kind:?} and {most:?}");
    let (width, height) = size.split_once(' ').context("a PPM without a size")?;
    let (width, height) = (width.parse()?, height.parse()?);
    let mut pixels: Arc<[u8]> = std::iter::repeat_n(0, rgb_len(width, height)?).collect();
    out.read_exact(Arc::make_mut(&mut pixels))?;
    Ok(Rgb { width, height, pixels })
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Any, Encode, Hdlr, Iloc, PropertyAssociation, PropertyAssociations};

    use super::*;

    /// A file of two items, the second of which is the main one, with these properties in this order.
    fn file(properties: &[u16]) -> Vec<u8> {
        let all = [
            Any::Ispe(Ispe { width: 512, height: 512 }),
            Any::Ispe(Ispe { width: 4032, height: 3024 }),
            Any::Irot(Irot { angle: 3 }),
            Any::Imir(Imir { axis: 1 }),
            Any::Irot(Irot { angle: 1 }),
        ];
        let item = |item_id, properties: &[u16]| {
            let of = |&property_index: &u16| PropertyAssociation { essential: true, property_index };
            PropertyAssociations { item_id, associations: properties.iter().map(of).collect() }
        };
        let ipma = Ipma { item_properties: vec![item(1, &[1]), item(2, properties)] };
        let mut meta = Meta { hdlr: Hdlr { handler: b"pict".into(), name: String::new() }, items: Vec::new() };
        meta.push(Pitm { item_id: 2 });
        meta.push(Iprp { ipco: Ipco { properties: all.to_vec() }, ipma: vec![ipma] });
        let mut bytes = b"\0\0\0\x10ftypheic\0\0\0\0".to_vec();
        meta.encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_main_picture_says_its_size_and_how_it_is_turned() {
        let size = (4032, 3024);
        assert_eq!(layout(&file(&[2])).unwrap(), Layout { size, turns: vec![] });
        let turns = vec![Orientation::Rotate90, Orientation::FlipHorizontal];
        assert_eq!(layout(&file(&[2, 3, 4, 0, 99])).unwrap(), Layout { size, turns });
        assert_eq!(layout(&file(&[5, 2])).unwrap(), Layout { size, turns: vec![Orientation::Rotate270] });
        let error = |bytes: &[u8]| format!("{:#}", layout(bytes).unwrap_err());
        assert!(error(&file(&[3])).contains("without a main picture"));
        let whole = file(&[2, 3]);
        assert!((0..whole.len()).all(|len| error(&whole[..len]).contains("not a HEIC or AVIF picture")));
        assert!(error(b"ftypheic").contains("not a HEIC or AVIF picture"));
        // Whatever a byte is, there is an answer.
        for (at, value) in (0..whole.len()).flat_map(|at| [0, 1, 0x7F, 0x80, 0xFF].map(|value| (at, value))) {
            let mut damaged = whole.clone();
            damaged[at] = value;
            let _ = layout(&damaged);
        }
    }

    /// A picture of 64x32, white on the left, black on the right, as AVIF; or a word on why the test is skipped.
    fn avif(folder: &Path) -> Option<Vec<u8>> {
        let path = folder.join("plain.avif");
        let filter = "color=white:size=64x32,drawbox=x=32:w=32:h=32:t=fill:color=black";
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "quiet", "-f", "lavfi", "-i", filter, "-frames:v", "1", "-c:v", "libaom-av1"]);
        let made = command.args(["-still-picture", "1", "-cpu-used", "8"]).arg(&path).status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: there is no ffmpeg that writes AVIF");
            return None;
        }
        Some(std::fs::read(path).unwrap())
    }

    /// The same file with other properties; what they describe moves by as much as they grow.
    fn changed(bytes: &[u8], change: impl FnOnce(&mut Iprp)) -> Vec<u8> {
        let start = bytes.windows(4).position(|kind| kind == b"meta").unwrap() - 4;
        let mut rest = &bytes[start..];
        let mut meta = Meta::decode(&mut rest).unwrap();
        change(meta.get_mut::<Iprp>().unwrap());
        let encoded = |meta: &Meta| {
            let mut bytes = Vec::new();
            meta.encode(&mut bytes).unwrap();
            bytes
        };
        let grown = (start + encoded(&meta).len() + rest.len() - bytes.len()) as u64;
        for item in &mut meta.get_mut::<Iloc>().unwrap().item_locations {
            item.extents.iter_mut().for_each(|extent| extent.offset += grown);
        }
        [&bytes[..start], &encoded(&meta), rest].concat()
    }

    #[test]
    fn an_avif_is_shown_as_it_says_and_in_part_it_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let Some(plain) = avif(folder.path()) else { return };
        let path = folder.path().join("photo.avif");
        let read_as = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(&path)
        };
        let picture = read_as(&plain).unwrap();
        assert_eq!((picture.width, picture.height), (64, 32));
        assert!(picture.pixels[0] > 250 && picture.pixels[3 * 63] < 5);

        // A quarter against the clock: what was left is below.
        let turned = read_as(&changed(&plain, |Iprp { ipco, ipma }| {
            ipco.properties.push(Any::Irot(Irot { angle: 1 }));
            let property_index = ipco.properties.len() as u16;
            ipma[0].item_properties[0].associations.push(PropertyAssociation { essential: true, property_index });
        }));
        let turned = turned.unwrap();
        assert_eq!((turned.width, turned.height), (32, 64));
        assert!(turned.pixels[0] < 5 && turned.pixels[3 * 32 * 63] > 250);

        let tile = read_as(&changed(&plain, |Iprp { ipco, .. }| {
            for property in &mut ipco.properties {
                if let Any::Ispe(ispe) = property {
                    ispe.width *= 2;
                }
            }
        }));
        let error = format!("{:#}", tile.err().unwrap());
        assert!(error.starts_with(BY_THIS_FFMPEG) && error.contains("(64, 32)"), "{error}");
        assert!(read_as(&plain[..plain.len() - 20]).is_err());
    }

    #[test]
    fn a_picture_from_ffmpeg_is_read_whole_or_not_at_all() {
        let Rgb { width, height, pixels } = read_ppm(&b"P6\n2 1\n255\nabcdef"[..]).unwrap();
        assert_eq!((width, height, &*pixels), (2, 1, &b"abcdef"[..]));
        for wrong in ["", "P6\n2 1\n255\nabcde", "P5\n2 1\n255\nab", "P6\n99999 99999\n255\n", "P6\n2\n255\nabc"] {
            assert!(read_ppm(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }
}
