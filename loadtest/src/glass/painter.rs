//! Draws the numbers on a display, as an X client of its own.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::code::{Cell, cells};

/// A connection to an X server that draws on the root window of its first screen: what little of the protocol (X11R7.7) that takes.
#[derive(Debug)]
pub(crate) struct Painter {
    stream: UnixStream,
    root: u32,
    /// A light and a dark graphics context.
    pens: [u32; 2],
    width: u16,
    height: u16,
}

impl Painter {
    /// Connects to the display called `name`, like `:7`.
    ///
    /// # Errors
    /// When there is none, or it does not let us in.
    pub(crate) fn connect(name: &str) -> Result<Self> {
        let number = name.strip_prefix(':').with_context(|| format!("{name} is not a display like :7"))?;
        let path = format!("/tmp/.X11-unix/X{number}");
        let mut stream = UnixStream::connect(&path).with_context(|| format!("connecting to {path}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // Little-endian, protocol 11.0, no authorisation.
        stream.write_all(&[b'l', 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
        let setup = read_setup(&mut stream)?;
        let Setup { root, light, dark, width, height, first_id } = Setup::parse(&setup).context("the X server's greeting")?;
        let mut painter = Self { stream, root, pens: [first_id, first_id + 1], width, height };
        for (pen, colour) in painter.pens.into_iter().zip([light, dark]) {
            // CreateGC with a foreground.
            painter.request(55, &[pen, root, 1 << 2, colour])?;
        }
        painter.wait()?;
        Ok(painter)
    }

    /// Draws a number; returns when the display shows it. Nobody sees half of it: the server does nothing for others meanwhile.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) fn draw(&mut self, number: u32) -> Result<()> {
        let cells: Vec<Cell> = cells(self.width.into(), self.height.into(), number).collect();
        let mut requests = Vec::new();
        // GrabServer.
        push_request(&mut requests, 36, &[])?;
        for (pen, light) in self.pens.into_iter().zip([true, false]) {
            let packed = |cell: &Cell| {
                let word = |low: usize, high: usize| low as u32 | (high as u32) << 16;
                [word(cell.x, cell.y), word(cell.width, cell.height)]
            };
            let rectangles = cells.iter().filter(|cell| cell.light == light).flat_map(packed);
            let words: Vec<u32> = [self.root, pen].into_iter().chain(rectangles).collect();
            // PolyFillRectangle.
            push_request(&mut requests, 70, &words)?;
        }
        // UngrabServer.
        push_request(&mut requests, 37, &[])?;
        self.stream.write_all(&requests)?;
        self.wait()
    }

    fn request(&mut self, opcode: u8, words: &[u32]) -> Result<()> {
        let mut request = Vec::new();
        push_request(&mut request, opcode, words)?;
        Ok(self.stream.write_all(&request)?)
    }

    /// Waits until the server has done all that it was asked.
    fn wait(&mut self) -> Result<()> {
        // GetInputFocus: the least request that is answered.
        self.request(43, &[])?;
        let mut answer = [0; 32];
        loop {
            self.stream.read_exact(&mut answer).context("waiting for the X server")?;
            match answer[0] {
                ERROR => bail!("the X server refused request {} with error {}", answer[10], answer[1]),
                REPLY => return Ok(()),
                // Nothing was asked for but what is sent to everyone (MappingNotify).
                _ => {}
            }
        }
    }
}

/// Appends a request to `requests`.
fn push_request(requests: &mut Vec<u8>, opcode: u8, words: &[u32]) -> Result<()> {
    let length = u16::try_from(words.len() + 1).context("a short request")?;
    requests.extend_from_slice(&[opcode, 0]);
    requests.extend_from_slice(&length.to_le_bytes());
    words.iter().for_each(|word| requests.extend_from_slice(&word.to_le_bytes()));
    Ok(())
}

/// What a greeting says that matters here.
#[derive(Debug, Eq, PartialEq)]
struct Setup {
    root: u32,
    light: u32,
    dark: u32,
    width: u16,
    height: u16,
    first_id: u32,
}

impl Setup {
    /// Reads what follows the greeting's first eight bytes.
    fn parse(setup: &[u8]) -> Option<Self> {
        let u16_at = |at: usize| Some(u16::from_le_bytes(*setup.get(at..)?.first_chunk()?));
        let u32_at = |at: usize| Some(u32::from_le_bytes(*setup.get(at..)?.first_chunk()?));
        let (vendor, formats) = (usize::from(u16_at(16)?), usize::from(*setup.get(21)?));
        let screen = 32 + vendor.next_multiple_of(4) + formats * 8;
        Some(Self {
            root: u32_at(screen)?,
            light: u32_at(screen + 8)?,
            dark: u32_at(screen + 12)?,
            width: u16_at(screen + 20)?,
            height: u16_at(screen + 22)?,
            first_id: u32_at(4)?,
        })
    }
}

fn read_setup(stream: &mut UnixStream) -> Result<Vec<u8>> {
    let mut head = [0; 8];
    stream.read_exact(&mut head).context("the X server's greeting")?;
    let mut setup = vec![0; usize::from(u16::from_le_bytes([head[6], head[7]])) * 4];
    stream.read_exact(&mut setup).context("the X server's greeting")?;
    ensure!(head[0] == 1, "the X server lets us not in: {}", String::from_utf8_lossy(&setup).trim_end_matches('\0'));
    Ok(setup)
}

const ERROR: u8 = 0;
const REPLY: u8 = 1;
/// An X server that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::Display;

    /// A greeting with a vendor of five letters and one format.
    fn greeting() -> Vec<u8> {
        let mut setup = vec![0; 32];
        setup[4..8].copy_from_slice(&0x40_0000_u32.to_le_bytes());
        (setup[16], setup[20], setup[21]) = (5, 1, 1);
        setup.extend_from_slice(b"Xvfb!\0\0\0");
        setup.extend_from_slice(&[24, 32, 32, 0, 0, 0, 0, 0]);
        for word in [0x2a_u32, 0x20, 0xff_ffff, 0, 0, 1280 | 720 << 16] {
            setup.extend_from_slice(&word.to_le_bytes());
        }
        setup
    }

    #[tokio::test]
    async fn display_is_drawn_on() {
        let Ok(display) = Display::start((640, 360), None).await else {
            let _ = writeln!(std::io::stderr(), "skipped: Xvfb does not start");
            return;
        };
        let mut painter = Painter::connect(display.name()).unwrap();
        assert_eq!((painter.width, painter.height), (640, 360));
        // The server answers with an error to what it does not understand.
        painter.draw(0xaa_aaaa).unwrap();
        painter.root = 1;
        let error = painter.draw(7).unwrap_err().to_string();
        assert!(error.contains("refused request 70"), "{error}");
        assert!(Painter::connect("localhost:7").is_err());
    }

    #[test]
    fn greeting_names_the_root_and_its_colours() {
        let expected = Setup { root: 0x2a, light: 0xff_ffff, dark: 0, width: 1280, height: 720, first_id: 0x40_0000 };
        assert_eq!(Setup::parse(&greeting()), Some(expected));
        for end in 0..greeting().len() {
            assert_eq!(Setup::parse(&greeting()[..end]), None, "{end} bytes");
        }
    }
}
