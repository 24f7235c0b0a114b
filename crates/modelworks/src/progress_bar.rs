//! Shows a pull: a bar with rate and time left on a terminal, a few lines in a log.

use std::{io::IsTerminal, time::Duration};

use catalog::{Progress, Pull, Stage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Redraws each second.
const REDRAWS: u8 = 8;

/// Runs a pull to its end and shows how far it is.
pub async fn watch(label: &str, pull: Pull) -> Result<catalog::Name, catalog::Error> {
    let mut progress = pull.progress();
    let bar = bar(label);
    let mut finished = std::pin::pin!(pull);
    let mut failed = 0;
    loop {
        tokio::select! {
            result = &mut finished => {
                bar.finish_and_clear();
                return result;
            }
            changed = progress.changed() => {
                let now = progress.borrow_and_update().clone();
                show(&bar, label, &now, &mut failed);
                if changed.is_err() {
                    let result = finished.await;
                    bar.finish_and_clear();
                    return result;
                }
            }
        }
    }
}

fn bar(label: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(REDRAWS)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_prefix(label.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn show(bar: &ProgressBar, label: &str, now: &Progress, failed: &mut usize) {
    for attempt in now.failed.iter().skip(*failed) {
        bar.println(format!("{label}: {} failed: {}", attempt.source, attempt.reason));
    }
    *failed = now.failed.len();
    let template = if now.total.is_some() && matches!(now.stage, Stage::Downloading | Stage::Checking) {
        "{prefix}  {bar:30}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left"
    } else {
        "{spinner} {prefix}  {msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(match now.stage {
        Stage::Starting | Stage::Finished => String::new(),
        Stage::Waiting => "waits for another process that pulls it".to_owned(),
        Stage::Asking => format!("asks {}", now.source),
        Stage::Downloading => format!("comes from {}", now.source),
        Stage::Checking => "is being checked".to_owned(),
    });
    if let Some(total) = now.total {
        bar.set_length(total);
    }
    bar.set_position(now.done);
}
