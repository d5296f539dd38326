//! Standard error: log lines, progress and messages. Callers never wait: lines go into one bounded
//! buffer, and a dedicated thread writes them. A line is dropped and counted if the buffer is full
//! or the write fails.

use std::io::{self, Write, stderr};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::descriptor;

/// Maximum number of lines in the buffer.
const MAX_LINES: usize = 8_192;
/// Maximum number of bytes in the buffer.
const MAX_BYTES: usize = 4 * 1_024 * 1_024;
/// Time that a process waits at its exit until the buffer is written.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_millis(800);
/// Interval at which a flush checks whether the buffer is empty.
const FLUSH_CHECK_INTERVAL: Duration = Duration::from_millis(2);
/// Interval at which the number of lost lines is published as a metric.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);
/// Name of the metric of lost lines.
const LOST_METRIC: &str = "bakehouse_log_lines_lost_total";

/// Buffer of the process, created with the first line.
static BUFFER: OnceLock<Buffer> = OnceLock::new();
/// Number of lines in the buffer, including the one that is being written.
static LINES: AtomicUsize = AtomicUsize::new(0);
/// Number of bytes of these lines.
static BYTES: AtomicUsize = AtomicUsize::new(0);
/// Number of lines written since the start.
static WRITTEN: AtomicU64 = AtomicU64::new(0);
/// Number of lines lost since the start.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Buffer, and the thread that writes it.
struct Buffer {
    queue: NonBlocking,
    /// Guard of the thread. It is never dropped: on drop it prints to standard output if the thread
    /// does not end.
    #[expect(dead_code, reason = "the thread ends when it is dropped")]
    worker: WorkerGuard,
}

/// Writes a message and a line break.
pub(crate) fn line(text: &str) {
    submit(format!("{text}\n").as_bytes());
}

/// Waits until the buffer is written, or `timeout` has passed.
pub(crate) fn flush(timeout: Duration) {
    let deadline = Instant::now() + timeout;
    while LINES.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
        std::thread::sleep(FLUSH_CHECK_INTERVAL);
    }
}

/// Publishes the number of lost lines as a metric, and logs it once lines are written again. Runs
/// until it is dropped.
pub(crate) async fn publish_losses() {
    let (mut reported, mut written) = (0, 0);
    let mut ticks = tokio::time::interval(PUBLISH_INTERVAL);
    loop {
        ticks.tick().await;
        let lost = LOST.load(Ordering::Relaxed);
        // Looked up each time: a handle from before the recorder's installation has no effect.
        metrics::counter!(LOST_METRIC).absolute(lost);
        let written_before = std::mem::replace(&mut written, WRITTEN.load(Ordering::Relaxed));
        // Only once lines are written again: otherwise this line would be lost as well.
        if lost > reported && written > written_before {
            let lines = lost - reported;
            reported = lost;
            tracing::warn!(
                lines,
                "log lines were lost: standard error was blocked or failed"
            );
        }
    }
}

/// Writer of log lines that never fails and never blocks.
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        submit(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Adds a line to the buffer, or drops it if the buffer is full.
fn submit(line: &[u8]) {
    let lines = LINES.fetch_add(1, Ordering::AcqRel);
    let bytes = BYTES.fetch_add(line.len(), Ordering::AcqRel);
    // An empty buffer accepts a line of any length.
    let is_full = lines >= MAX_LINES || (lines > 0 && bytes + line.len() > MAX_BYTES);
    if is_full {
        remove(line.len());
        LOST.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let buffer = BUFFER.get_or_init(|| {
        let builder = NonBlockingBuilder::default()
            .buffered_lines_limit(MAX_LINES)
            .thread_name("log-writer");
        let (queue, worker) = builder.finish(StderrWriter {
            is_line_incomplete: false,
        });
        Buffer { queue, worker }
    });
    // The queue has room, because the check above has counted its lines.
    let _ = buffer.queue.clone().write(line);
}

/// Subtracts a line of this length from the counts.
fn remove(length: usize) {
    BYTES.fetch_sub(length, Ordering::AcqRel);
    LINES.fetch_sub(1, Ordering::AcqRel);
}

/// Writer of the buffer's lines to standard error, in the buffer's thread.
struct StderrWriter {
    /// True if the last line was written only in part.
    is_line_incomplete: bool,
}

impl StderrWriter {
    fn write_line(&mut self, line: &[u8]) -> Result<(), descriptor::WriteError> {
        let stderr = stderr();
        if self.is_line_incomplete {
            descriptor::write_all(stderr.as_fd(), b"\n")?;
            self.is_line_incomplete = false;
        }
        descriptor::write_all(stderr.as_fd(), line)
    }
}

impl Write for StderrWriter {
    /// Writes the whole line, or counts it as lost.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.write_line(line) {
            Ok(()) => WRITTEN.fetch_add(1, Ordering::Relaxed),
            Err(failed) => {
                self.is_line_incomplete |= failed.written > 0;
                LOST.fetch_add(1, Ordering::Relaxed)
            }
        };
        remove(line.len());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
