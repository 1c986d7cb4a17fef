//! A display without a screen: Xvfb, and what a person does at it, by xdotool. Without a window manager there is nobody
//! to ask a window to close, so that one message is written here, in X11's own protocol.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use super::LIMIT;

/// A running Xvfb; it ends when the value is dropped.
pub(crate) struct Display {
    server: Child,
    number: u32,
}

impl Display {
    /// Starts Xvfb on a free number. The error is the reason to skip a test: something is not installed.
    ///
    /// # Panics
    /// If Xvfb is there and does not start.
    pub(crate) fn start() -> Result<Self, String> {
        missing(Command::new("xdotool").arg("version"))?;
        // It writes its number to file descriptor 1 once it can be reached. It would start anew after its last client.
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp", "-noreset"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().map_err(|error| reason(&command, &error))?;
        let stdout = server.stdout.take().expect("stdout is piped");
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line).map(|_| line);
            // Nobody listens any more when the test has failed.
            let _ = sender.send(read);
        });
        let mut display = Self { server, number: 0 };
        let line = receiver.recv_timeout(LIMIT).expect("Xvfb says in time where it is").expect("a pipe can be read");
        display.number = line.trim().parse().unwrap_or_else(|_| panic!("Xvfb gave {line:?} for its number"));
        Ok(display)
    }

    /// What `DISPLAY` is to be.
    pub(crate) fn name(&self) -> String {
        format!(":{}", self.number)
    }

    /// The window of this title, once it is on the screen.
    pub(crate) fn window(&self, title: &str) -> Option<u32> {
        let mut xdotool = self.xdotool(&["search", "--onlyvisible", "--name", &format!("^{title}$")]);
        let output = xdotool.output().expect("xdotool starts");
        // It fails where there is none.
        String::from_utf8_lossy(&output.stdout).lines().next().map(|id| id.parse().expect("a window's number"))
    }

    /// Presses a key with the pointer over the window: without a window manager the keys go there.
    ///
    /// # Panics
    /// If xdotool fails.
    pub(crate) fn press(&self, window: u32, key: &str) {
        let window = window.to_string();
        let status = self.xdotool(&["mousemove", "--window", &window, "20", "20", "key", key]).status();
        assert!(status.expect("xdotool starts").success());
    }

    /// Asks a window to close, as a window manager does when its close button is pressed.
    ///
    /// # Panics
    /// If the server can't be reached or refuses.
    pub(crate) fn close(&self, window: u32) {
        let mut client = Client::connect(self.number).expect("Xvfb can be reached");
        let protocols = client.atom("WM_PROTOCOLS").expect("an atom");
        let delete = client.atom("WM_DELETE_WINDOW").expect("an atom");
        client.send_message(window, protocols, delete).expect("a message is taken");
    }

    fn xdotool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("xdotool");
        command.env("DISPLAY", self.name()).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Takes a window away without asking.
    ///
    /// # Panics
    /// If xdotool fails.
    pub(crate) fn destroy(&self, window: u32) {
        let status = self.xdotool(&["windowclose", &window.to_string()]).status();
        assert!(status.expect("xdotool starts").success());
    }

    /// Goes away under whatever is open, as a display does when its cable is pulled or its user logs out.
    pub(crate) fn vanish(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.vanish();
    }
}

/// The reason to skip where a program does not start.
fn missing(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    output.map(|_| ()).map_err(|error| reason(command, &error))
}

fn reason(command: &Command, error: &Error) -> String {
    let program = command.get_program().to_string_lossy();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{program}: {error}");
    format!("{program} is not installed")
}

/// A client of the X server, as small as can be. The protocol: <https://www.x.org/releases/X11R7.7/doc/xproto/x11protocol.html>.
struct Client(UnixStream);

impl Client {
    fn connect(number: u32) -> std::io::Result<Self> {
        let mut stream = UnixStream::connect(format!("/tmp/.X11-unix/X{number}"))?;
        stream.set_read_timeout(Some(LIMIT))?;
        // Little-endian, protocol 11.0, no authorization.
        stream.write_all(&[b'l', 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
        let mut head = [0; 8];
        stream.read_exact(&mut head)?;
        let mut rest = vec![0; 4 * usize::from(u16::from_le_bytes([head[6], head[7]]))];
        stream.read_exact(&mut rest)?;
        if head[0] == 1 { Ok(Self(stream)) } else { Err(Error::other("the X server refuses the connection")) }
    }

    /// InternAtom.
    fn atom(&mut self, name: &str) -> std::io::Result<u32> {
        let words = 2 + name.len().div_ceil(4);
        let mut request = vec![16, 0, words as u8, 0, name.len() as u8, 0, 0, 0];
        request.extend(name.as_bytes());
        request.resize(4 * words, 0);
        self.0.write_all(&request)?;
        let reply = self.reply()?;
        Ok(u32::from_le_bytes([reply[8], reply[9], reply[10], reply[11]]))
    }

    /// SendEvent of a ClientMessage with one atom, to the client that made the window.
    fn send_message(&mut self, window: u32, kind: u32, data: u32) -> std::io::Result<()> {
        let mut request = vec![25, 0, 11, 0];
        request.extend(window.to_le_bytes());
        request.extend([0; 4]);
        request.extend([33, 32, 0, 0]);
        request.extend([window, kind, data, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
        self.0.write_all(&request)?;
        // GetInputFocus, for its reply: then the event has been sent, or the reply is the error.
        self.0.write_all(&[43, 0, 1, 0])?;
        self.reply().map(|_| ())
    }

    fn reply(&mut self) -> std::io::Result<[u8; 32]> {
        let mut reply = [0; 32];
        self.0.read_exact(&mut reply)?;
        if reply[0] == 1 { Ok(reply) } else { Err(Error::other(format!("the X server answers {reply:?}"))) }
    }
}
