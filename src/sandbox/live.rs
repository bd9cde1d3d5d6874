//! The show in a terminal, at a pace, with keys.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::pace::Pace;
use super::serve::{Guest, Guests};
use super::show::Show;
use super::view::{self, Footer};

/// How often the screen is drawn at most.
const FRAME: Duration = Duration::from_millis(33);

/// What comes in from outside of virtual time.
pub(super) enum Message {
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// Somebody asks the API server or Prometheus.
    Guest(Box<Guest>),
}

/// Whether the audience stays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Stays,
    Leaves,
}

/// The show with its screen.
pub(super) struct Live {
    show: Show,
    pace: Pace,
    inbox: Receiver<Message>,
    guests: Option<Guests>,
    footer: Footer,
    drawn: Option<Instant>,
}

impl Live {
    pub(super) fn new(
        show: Show,
        pace: Pace,
        inbox: Receiver<Message>,
        guests: Option<Guests>,
    ) -> Self {
        let footer = Footer(guests.as_ref().map(Guests::shown));
        Self {
            show,
            pace,
            inbox,
            guests,
            footer,
            drawn: None,
        }
    }

    /// Plays until the audience leaves, and gives the show back.
    ///
    /// # Errors
    /// When the terminal or the cluster refuses.
    pub(super) async fn play(mut self, terminal: &mut DefaultTerminal) -> anyhow::Result<Show> {
        let mut signals = Signals::listen()?;
        self.draw(terminal)?;
        loop {
            if self.attend(terminal).await? == Audience::Leaves || signals.ask_to_end() {
                return Ok(self.show);
            }
            let was_over = self.show.is_over();
            if !self.pace.is_paused {
                self.show.tick().await?;
                self.pace.ticked();
            }
            if self.show.is_over() && !was_over {
                self.pace.settle();
                self.draw(terminal)?;
            }
            if self.drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
                self.draw(terminal)?;
            }
        }
    }

    fn draw(&mut self, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
        self.drawn = Some(Instant::now());
        terminal.draw(|frame| view::draw(frame, &self.show, &self.pace, &self.footer))?;
        Ok(())
    }

    /// Waits until the next tick is due, and sees to whatever comes in meanwhile. Virtual time stands still.
    async fn attend(&mut self, terminal: &mut DefaultTerminal) -> anyhow::Result<Audience> {
        loop {
            let rest = if self.pace.is_paused {
                FRAME
            } else {
                self.pace.rest()
            };
            match self.inbox.recv_timeout(rest) {
                Ok(Message::Key(key)) => {
                    if self.press(key) == Audience::Leaves {
                        return Ok(Audience::Leaves);
                    }
                    self.draw(terminal)?;
                }
                Ok(Message::Resized) => self.draw(terminal)?,
                Ok(Message::Guest(guest)) => {
                    if let Some(guests) = &self.guests {
                        guests.serve(*guest).await;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Ok(Audience::Stays);
                }
            }
        }
    }

    fn press(&mut self, key: KeyEvent) -> Audience {
        if key.kind == KeyEventKind::Release {
            return Audience::Stays;
        }
        let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
        let letter = key.code.as_char();
        match letter {
            Some('c' | 'd') if with_control => return Audience::Leaves,
            Some('q') => return Audience::Leaves,
            Some(' ') => self.pace.is_paused = !self.pace.is_paused,
            Some('+' | '=') => self.pace.faster(),
            Some('-') => self.pace.slower(),
            Some(_) | None => {}
        }
        if key.code == KeyCode::Esc {
            Audience::Leaves
        } else {
            Audience::Stays
        }
    }
}

/// The signals that end a process, held back until what must be put right is put right.
pub(super) struct Signals([Signal; 3]);

impl Signals {
    /// # Errors
    /// When the operating system refuses.
    pub(super) fn listen() -> std::io::Result<Self> {
        let kinds = [
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::interrupt(),
        ];
        let [terminate, hangup, interrupt] = kinds.map(signal);
        Ok(Self([terminate?, hangup?, interrupt?]))
    }

    /// Whether one has come.
    pub(super) fn ask_to_end(&mut self) -> bool {
        let come = |signal: &mut Signal| futures::FutureExt::now_or_never(signal.recv()).is_some();
        self.0.iter_mut().any(come)
    }
}

/// Reads the keyboard until the process ends: reading cannot be called off.
pub(super) fn listen(inbox: Sender<Message>) {
    std::thread::spawn(move || {
        while let Ok(event) = crossterm::event::read() {
            let message = match event {
                Event::Key(key) => Message::Key(key),
                Event::Resize(..) => Message::Resized,
                Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_) => {
                    continue;
                }
            };
            if inbox.send(message).is_err() {
                return;
            }
        }
    });
}
