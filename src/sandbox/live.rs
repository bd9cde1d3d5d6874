//! The show in a terminal, at a pace, with keys.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crossterm::event::KeyEvent;
use ratatui::DefaultTerminal;

use super::pace::Pace;
use super::serve::{Guest, Guests};
use super::show::Show;
use super::view::{self, Footer};
use crate::screen::{Input, Signals, is_pressed, leaves};

/// How often the screen is drawn at most.
const FRAME: Duration = Duration::from_millis(33);

/// What comes in from outside of virtual time.
pub(super) enum Message {
    /// A key, or another size of the terminal.
    Input(Input),
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
                Ok(Message::Input(Input::Key(key))) => {
                    if self.press(key) == Audience::Leaves {
                        return Ok(Audience::Leaves);
                    }
                    self.draw(terminal)?;
                }
                Ok(Message::Input(Input::Resized)) => self.draw(terminal)?,
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
        if !is_pressed(key) {
            return Audience::Stays;
        }
        if leaves(key) {
            return Audience::Leaves;
        }
        match key.code.as_char() {
            Some(' ') => self.pace.is_paused = !self.pace.is_paused,
            Some('+' | '=') => self.pace.faster(),
            Some('-') => self.pace.slower(),
            Some(_) | None => {}
        }
        Audience::Stays
    }
}
