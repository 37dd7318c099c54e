//! The terminal: keys and signals come in, frames go out, and whatever happens it is left as it was
//! found.

use std::io::{self, stdout};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::top::model::Frame;
use crate::cli::top::reading::Reader;
use crate::cli::top::screen::{Asked, Key, Screen};
use crate::cli::top::view::{self, Means, Paint};
use crate::cli::{Failure, color};
use crate::draw::heat::Glyphs;

/// From one reading to the next.
const EVERY: Duration = Duration::from_secs(1);

/// Has it left when the thread that holds this ends, by a panic too.
struct Guard(Sender<Input>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(Input::Leave);
    }
}

/// What comes in.
enum Input {
    Frame(Box<Frame>),
    Key(Key),
    /// The window has another size.
    Size,
    Leave,
    Suspend,
}

/// Shows it until it is left.
///
/// # Errors
/// When the terminal cannot be used, or the system gives no thread.
pub fn run(reader: Reader) -> Result<(), Failure> {
    let (inputs, taken) = channel();
    let opened = Arc::new(Mutex::new(None));
    let (more, again) = channel();
    let reading = (Guard(inputs.clone()), Arc::clone(&opened));
    thread("reading", move || read(reader, &reading.0.0, &reading.1, &again))?;
    let signals = inputs.clone();
    thread("signals", move || listen(&signals))?;
    let means = Means {
        paint: if color::is_shown() { Paint::Colours } else { Paint::None },
        glyphs: if color::has_unicode() { Glyphs::Unicode } else { Glyphs::Ascii },
    };
    // It takes the terminal back when it panics, too.
    let terminal = ratatui::try_init().map_err(|error| unusable(&error))?;
    let keys = thread("keys", move || hear(&inputs));
    let shown = keys.and_then(|()| {
        show(terminal, &taken, means, |open| {
            if let Ok(mut opened) = opened.lock()
                && opened.as_deref() != open
            {
                *opened = open.map(str::to_owned);
                let _ = more.send(());
            }
        })
    });
    ratatui::restore();
    shown
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|error| Failure::Could(format!("the system gives no thread: {error}")))
}

fn unusable(error: &io::Error) -> Failure {
    Failure::Could(format!("the terminal cannot be used ({error}): --plain needs none"))
}

/// Reads once a second, and at once when another probe is opened.
fn read(
    mut reader: Reader,
    inputs: &Sender<Input>,
    opened: &Mutex<Option<String>>,
    again: &Receiver<()>,
) {
    loop {
        let open = opened.lock().ok().and_then(|opened| opened.clone());
        let frame = reader.frame(open.as_deref());
        if inputs.send(Input::Frame(Box::new(frame))).is_err() {
            return;
        }
        if let Err(std::sync::mpsc::RecvTimeoutError::Disconnected) = again.recv_timeout(EVERY) {
            return;
        }
    }
}

/// Ends, and Ctrl-Z sent by another, come as signals.
fn listen(inputs: &Sender<Input>) {
    let Ok(runtime) = crate::cli::runtime() else { return };
    let _ = runtime.block_on(async {
        let (mut term, mut int) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hup = signal(SignalKind::hangup())?;
        let mut stop = signal(SignalKind::from_raw(Signal::SIGTSTP as i32))?;
        loop {
            let input = tokio::select! {
                _ = term.recv() => Input::Leave,
                _ = int.recv() => Input::Leave,
                _ = hup.recv() => Input::Leave,
                _ = stop.recv() => Input::Suspend,
            };
            if inputs.send(input).is_err() {
                return io::Result::Ok(());
            }
        }
    });
}

fn hear(inputs: &Sender<Input>) {
    loop {
        let input = match event::read() {
            Ok(Event::Key(pressed)) if pressed.kind != KeyEventKind::Release => {
                key(pressed).map(Input::Key)
            }
            Ok(Event::Resize(..)) => Some(Input::Size),
            Ok(_) => None,
            // The terminal is gone.
            Err(_) => Some(Input::Leave),
        };
        let is_end = matches!(input, Some(Input::Leave));
        if input.is_some_and(|input| inputs.send(input).is_err()) || is_end {
            return;
        }
    }
}

fn key(pressed: KeyEvent) -> Option<Key> {
    if pressed.modifiers.contains(KeyModifiers::CONTROL) {
        return match pressed.code {
            KeyCode::Char('c') => Some(Key::Interrupt),
            KeyCode::Char('z') => Some(Key::Suspend),
            KeyCode::Char('l') => Some(Key::Redraw),
            _ => None,
        };
    }
    Some(match pressed.code {
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

fn show(
    mut terminal: DefaultTerminal,
    taken: &Receiver<Input>,
    means: Means,
    open: impl Fn(Option<&str>),
) -> Result<(), Failure> {
    let mut screen = Screen::default();
    let mut frame: Option<Box<Frame>> = None;
    while let Ok(first) = taken.recv() {
        // All that has come is taken before it is drawn: a key that is held draws no backlog.
        let mut draws = Asked::Draw;
        for input in std::iter::once(first).chain(std::iter::from_fn(|| taken.try_recv().ok())) {
            let asked = match (input, &frame) {
                (Input::Frame(new), _) => {
                    frame = Some(new);
                    Asked::Draw
                }
                (Input::Key(key), Some(frame)) => screen.key(key, frame),
                (Input::Key(Key::Interrupt | Key::Char('q')) | Input::Leave, _) => Asked::Leave,
                (Input::Suspend, _) => Asked::Suspend,
                (Input::Size, _) => Asked::Redraw,
                (Input::Key(_), None) => Asked::Draw,
            };
            match asked {
                Asked::Leave => return Ok(()),
                Asked::Suspend => {
                    suspend(&mut terminal).map_err(|error| unusable(&error))?;
                    draws = Asked::Redraw;
                }
                Asked::Redraw => draws = Asked::Redraw,
                Asked::Draw => {}
            }
        }
        open(screen.open());
        let Some(frame) = &frame else { continue };
        if draws == Asked::Redraw {
            redraw(&mut terminal).map_err(|error| unusable(&error))?;
        }
        let drawn = execute!(stdout(), BeginSynchronizedUpdate)
            .and_then(|()| {
                terminal.draw(|buffer| view::draw(&mut screen, frame, means, buffer)).map(drop)
            })
            .and_then(|()| execute!(stdout(), EndSynchronizedUpdate));
        drawn.map_err(|error| unusable(&error))?;
    }
    Ok(())
}

/// Gives the terminal back and stops, as every program does by Ctrl-Z; takes it again when it is
/// continued.
fn suspend(terminal: &mut DefaultTerminal) -> io::Result<()> {
    ratatui::restore();
    kill(Pid::this(), Signal::SIGSTOP)?;
    *terminal = ratatui::try_init()?;
    Ok(())
}

/// Has the next frame drawn as a whole. `clear` would ask the terminal where its cursor is, and the
/// thread that hears the keys would hear the answer.
fn redraw(terminal: &mut DefaultTerminal) -> io::Result<()> {
    let size = terminal.size()?;
    terminal.resize(ratatui::layout::Rect::from(size))
}
