use std::cell::Cell;

use indicatif::{ProgressBar, ProgressStyle};

const STYLE: &str = "{msg} [{bar:30}] {pos}/{len} {eta}";

/// How far the walk is. Shows on standard error while that is a terminal that can, and counts in any
/// case.
pub(crate) struct Progress {
    bar: ProgressBar,
    stage: Cell<Option<Stage>>,
}

#[derive(Clone, Copy)]
enum Stage {
    Inspecting,
    Registering,
}

impl Progress {
    pub(crate) fn new() -> Self {
        // Hides itself unless there is a terminal, and on a dumb one.
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            bar,
            stage: Cell::new(None),
        }
    }

    pub(crate) fn inspecting(&self, count: usize) {
        self.begin(Stage::Inspecting, "inspecting", count);
    }

    pub(crate) fn registering(&self, count: usize) {
        self.begin(Stage::Registering, "registering", count);
    }

    fn begin(&self, stage: Stage, message: &'static str, count: usize) {
        self.stage.set(Some(stage));
        self.bar.reset();
        self.bar.set_length(count as u64);
        self.bar.set_message(message);
    }

    /// More has turned up.
    pub(crate) fn more(&self, count: usize) {
        self.bar.inc_length(count as u64);
    }

    pub(crate) fn done_one(&self) {
        self.bar.inc(1);
    }

    /// Takes the bar off the screen.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// How far it got before it was stopped; nothing if it had not begun.
    pub(crate) fn told(&self) -> Option<String> {
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
        Some(match self.stage.get()? {
            Stage::Inspecting => {
                format!("stopped after inspecting {done} of {all}; nothing was registered")
            }
            Stage::Registering => {
                format!(
                    "stopped after {done} of {all} to be registered; run it again for the others"
                )
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_how_far_it_got() {
        let progress = Progress::new();
        let told = || progress.told().unwrap_or_default();
        assert_eq!(told(), "");
        progress.inspecting(2);
        progress.done_one();
        progress.more(3);
        assert!(told().contains("inspecting 1 of 5"));
        progress.registering(4);
        assert!(told().contains("0 of 4 to be registered"));
        progress.done_one();
        assert!(told().contains("1 of 4 to be registered"));
    }
}
