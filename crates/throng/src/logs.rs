//! Log lines, on the standard error: the standard output is for what scripts read.

use throng_server::config::{LogFormat, Settings};
use tracing_subscriber::EnvFilter;

/// Begins to write them, as the settings say.
pub fn begin(settings: &Settings) {
    let filter = EnvFilter::new(&settings.log_level);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
