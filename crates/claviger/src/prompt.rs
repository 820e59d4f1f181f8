//! Asks for a value on the terminal, which does not show what is typed.
//!
//! It is read key by key: a terminal that hands over lines cuts a long one without a word.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use claviger_core::SecretBytes;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use tokio::signal::unix::SignalKind;

use crate::signals::Signals;
use crate::stop::Stop;

const BACKSPACE: u8 = 0x08;
const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// The rest of a paste may come in pieces. So many tenths of a second without one are its end.
const QUIET: u8 = 1;

/// The signal of Ctrl-C, once a line was typed.
static INTERRUPT: Mutex<Option<Signals>> = Mutex::new(None);

/// Asks for one line of text.
pub(crate) fn ask(noun: &str) -> Result<SecretBytes, Stop> {
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    let mut terminal = terminal.map_err(|error| unread(&error))?;
    let usual = tcgetattr(&terminal).map_err(|error| unread(&error.into()))?;
    let read = read(&mut terminal, &usual, noun);
    // What is left of the input would go to the shell. A terminal that is gone needs nothing.
    tcsetattr(&terminal, OptionalActions::Flush, &usual).ok();
    writeln!(terminal).ok();
    read
}

/// Ends on Ctrl-C after a line was typed, beside the task that sends it.
pub(crate) async fn interrupted() -> Stop {
    poll_fn(|context| {
        let mut interrupt = INTERRUPT.lock().unwrap_or_else(PoisonError::into_inner);
        match interrupt.as_mut() {
            Some(interrupt) => interrupt.poll(context),
            None => Poll::Pending,
        }
    })
    .await;
    Stop::interrupted("interrupted; it is not known whether the value was stored")
}

fn read(terminal: &mut File, usual: &Termios, noun: &str) -> Result<SecretBytes, Stop> {
    // Ctrl-C comes as a key, because its signal would end the process with the terminal still silent.
    let mut silent = usual.clone();
    silent.local_modes -=
        LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
    silent.special_codes[SpecialCodeIndex::VMIN] = 1;
    silent.special_codes[SpecialCodeIndex::VTIME] = 0;
    let set = |terminal: &File, actions, modes: &Termios| {
        tcsetattr(terminal, actions, modes).map_err(|error| unread(&error.into()))
    };
    write!(terminal, "{noun}: ").map_err(|error| unread(&error))?;
    set(terminal, OptionalActions::Flush, &silent)?;
    let line = line(terminal);

    silent.special_codes[SpecialCodeIndex::VMIN] = 0;
    silent.special_codes[SpecialCodeIndex::VTIME] = QUIET;
    let has_rest = set(terminal, OptionalActions::Now, &silent).and_then(|()| drain(terminal));
    let (line, has_rest) = (line?, has_rest?);
    let caught = Signals::catch(&[SignalKind::interrupt()])?;
    *INTERRUPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(caught);
    match (has_rest, str::from_utf8(line.expose())) {
        (true, _) => Err(Stop::usage(format!(
            "the {noun} has more than one line, and nothing was stored; give it in a file \
            (--value-from FILE)"
        ))),
        (false, Err(_)) => Err(Stop::usage(format!(
            "the {noun} is not text (UTF-8), and nothing was stored; give it in a file"
        ))),
        (false, Ok(_)) => Ok(line),
    }
}

/// Whether more came than was read.
fn drain(keys: &mut impl io::Read) -> Result<bool, Stop> {
    let mut has_rest = false;
    while key(keys)?.is_some() {
        has_rest = true;
    }
    Ok(has_rest)
}

/// What is typed until the line ends.
fn line(keys: &mut impl io::Read) -> Result<SecretBytes, Stop> {
    let mut line = Vec::new();
    let mut is_odd = false;
    loop {
        match key(keys)? {
            None => return Err(Stop::failed("the terminal is gone, and nothing was stored")),
            Some(b'\n' | b'\r') => break,
            Some(CTRL_C) => return Err(Stop::interrupted("nothing was stored")),
            Some(CTRL_D) if line.is_empty() => {
                return Err(Stop::failed("nothing was typed, and nothing was stored"));
            }
            Some(CTRL_U) => line.clear(),
            Some(BACKSPACE | DELETE) => {
                // A character has one byte that does not continue it.
                while line.pop().is_some_and(|byte: u8| byte & 0xc0 == 0x80) {}
            }
            Some(key) => {
                is_odd |= key.is_ascii_control() && key != b'\t';
                line.push(key);
            }
        }
    }
    let line = SecretBytes::new(line);
    match is_odd {
        true => Err(Stop::usage(
            "a key was typed that is no character (such as an arrow), and nothing was stored; \
            type it again, or give the value in a file",
        )),
        false => Ok(line),
    }
}

/// The next byte; none at the end.
fn key(keys: &mut impl io::Read) -> Result<Option<u8>, Stop> {
    let mut key = [0];
    let count = keys.read(&mut key).map_err(|error| unread(&error))?;
    let [key] = key;
    Ok((count > 0).then_some(key))
}

fn unread(error: &io::Error) -> Stop {
    Stop::failed(format!(
        "the terminal cannot be read ({error}), and nothing was stored"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(mut keys: &[u8]) -> Result<Vec<u8>, String> {
        let line = line(&mut keys).map_err(|stop| stop.to_string())?;
        Ok(line.into_exposed())
    }

    #[test]
    fn a_line_is_what_was_typed() {
        let long = [b'k'; 5_000];
        let mut with_end = long.to_vec();
        with_end.push(b'\n');
        assert_eq!(typed(&with_end), Ok(long.to_vec()));
        for (keys, expected) in [
            ("key\n", "key"),
            ("key\rmore\n", "key"),
            (" a\tb \n", " a\tb "),
            ("wrong\x15key\n", "key"),
            ("\x7fk\u{20ac}\x7fez\x08y\n", "key"),
            ("\n", ""),
        ] {
            assert_eq!(typed(keys.as_bytes()), Ok(expected.into()), "{keys:?}");
        }
        assert_eq!(typed(b"k\xff\n"), Ok(b"k\xff".to_vec()));
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for (keys, cause) in [
            ("canary", "terminal is gone"),
            ("", "terminal is gone"),
            ("canary\x03", "nothing was stored"),
            ("canary\x1b[D\n", "no character"),
            ("\x04", "nothing was typed"),
            ("canary\x04\n", "no character"),
        ] {
            let said = typed(keys.as_bytes()).unwrap_err();
            assert!(said.contains(cause) && !said.contains("canary"), "{said}");
        }
    }
}
