//! Progress bars on long work: on stderr, and only where that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `total` of something; a spinner when the total is 0.
#[must_use]
pub fn bar(what: &'static str, total: u64) -> ProgressBar {
    // indicatif hides itself where stderr is no terminal
    let bar =
        ProgressBar::with_draw_target((total > 0).then_some(total), ProgressDrawTarget::stderr());
    let template = if total > 0 {
        "{prefix:10} [{bar:32}] {human_pos}/{human_len} {per_sec} {eta}"
    } else {
        "{prefix:10} {spinner} {human_pos} {per_sec} {msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what);
    bar
}
