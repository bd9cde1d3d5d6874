//! The terminal, as every live view has it: keys, signals, colours.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Span;
use ratatui::widgets::{Block, BorderType};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The side that serves.
pub(crate) const OLD: Color = Color::Blue;
/// The side that is new.
pub(crate) const NEW: Color = Color::Yellow;
/// What went well.
pub(crate) const GOOD: Color = Color::Green;
/// What did not.
pub(crate) const BAD: Color = Color::Red;
/// What is there, and of no concern.
pub(crate) const QUIET: Color = Color::DarkGray;

/// What comes from the keyboard and the window.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input {
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
}

/// Reads the keyboard until nobody wants it any more, or the process ends: reading cannot be called off.
pub(crate) fn listen(send: impl Fn(Input) -> bool + Send + 'static) {
    std::thread::spawn(move || {
        while let Ok(event) = crossterm::event::read() {
            let input = match event {
                Event::Key(key) => Input::Key(key),
                Event::Resize(..) => Input::Resized,
                Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_) => {
                    continue;
                }
            };
            if !send(input) {
                return;
            }
        }
    });
}

/// Whether a key was pressed, not let go.
pub(crate) fn is_pressed(key: KeyEvent) -> bool {
    key.kind != KeyEventKind::Release
}

/// Whether whoever pressed this key wants to leave: q, Esc, Ctrl-C, Ctrl-D.
pub(crate) fn leaves(key: KeyEvent) -> bool {
    let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code.as_char() {
        Some('c' | 'd') if with_control => true,
        Some('q') => true,
        Some(_) | None => key.code == KeyCode::Esc,
    }
}

/// The signals that end a process, held back until what must be put right is put right.
pub(crate) struct Signals([Signal; 3]);

impl Signals {
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let kinds = [
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::interrupt(),
        ];
        let [terminate, hangup, interrupt] = kinds.map(signal);
        Ok(Self([terminate?, hangup?, interrupt?]))
    }

    /// Whether one has come.
    pub(crate) fn ask_to_end(&mut self) -> bool {
        let come = |signal: &mut Signal| futures::FutureExt::now_or_never(signal.recv()).is_some();
        self.0.iter_mut().any(come)
    }

    /// Waits for one.
    pub(crate) async fn come(&mut self) {
        let [terminate, hangup, interrupt] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// A frame with a title.
pub(crate) fn block(title: &str) -> Block<'static> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().fg(QUIET))
        .title(Span::from(format!(" {title} ")).bold())
}

/// How many cells of a bar a share fills: at least one, where it is anything.
pub(crate) fn cells(percent: f64, width: usize) -> usize {
    let width = u32::try_from(width).map_or(0.0, f64::from);
    let cells = (percent.clamp(0.0, 100.0) * width / 100.0).ceil();
    // A number of cells of a terminal prints as a whole one.
    format!("{cells:.0}").parse().unwrap_or(0)
}
