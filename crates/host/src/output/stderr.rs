//! Standard error: log lines, progress and messages. No caller waits for it: lines go into
//! one bounded buffer that a thread of its own writes. A line that finds the buffer full, or
//! that cannot be written, is lost and counted.

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
/// Maximum time that the end of a process waits for the buffer to be written.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_millis(800);
/// Interval at which a flush checks whether the buffer is empty.
const FLUSH_CHECK_INTERVAL: Duration = Duration::from_millis(2);
/// Interval at which lost lines are published as a metric.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);
/// Metric of lost lines.
const LOST_METRIC: &str = "bakehouse_log_lines_lost_total";

/// The process's buffer, made with its first line.
static BUFFER: OnceLock<Buffer> = OnceLock::new();
/// Lines in the buffer; the one being written counts.
static LINES: AtomicUsize = AtomicUsize::new(0);
/// Bytes of those lines.
static BYTES: AtomicUsize = AtomicUsize::new(0);
/// Lines that were written.
static WRITTEN: AtomicU64 = AtomicU64::new(0);
/// Lines that were lost.
static LOST: AtomicU64 = AtomicU64::new(0);

/// The buffer and its writing thread.
struct Buffer {
    queue: NonBlocking,
    /// Never dropped: its drop prints to standard output when the thread is stuck.
    #[expect(dead_code, reason = "the thread ends when it is dropped")]
    worker: WorkerGuard,
}

/// Adds a message to the buffer, as a line of its own.
pub(crate) fn line(text: &str) {
    submit(format!("{text}\n").as_bytes());
}

/// Waits until the buffer is written, for `limit` at most.
pub(crate) fn flush(limit: Duration) {
    let until = Instant::now() + limit;
    while LINES.load(Ordering::Acquire) > 0 && Instant::now() < until {
        std::thread::sleep(FLUSH_CHECK_INTERVAL);
    }
}

/// Publishes lost lines as a metric, and logs that there were some as soon as lines are
/// written again. Runs until it is dropped.
pub(crate) async fn publish_losses() {
    let (mut reported, mut written) = (0, 0);
    let mut ticks = tokio::time::interval(PUBLISH_INTERVAL);
    loop {
        ticks.tick().await;
        let lost = LOST.load(Ordering::Relaxed);
        // A handle from before the recorder was installed would count nothing.
        metrics::counter!(LOST_METRIC).absolute(lost);
        let written_before = std::mem::replace(&mut written, WRITTEN.load(Ordering::Relaxed));
        // Not while nothing can be written: the message itself would be lost, and counted.
        if lost > reported && written > written_before {
            let lines = lost - reported;
            reported = lost;
            tracing::warn!(lines, "log lines were lost: nobody read them in time");
        }
    }
}

/// A writer of log lines that never fails and never blocks.
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

/// Adds bytes to the buffer; where they do not fit, they are lost.
fn submit(line: &[u8]) {
    let lines = LINES.fetch_add(1, Ordering::AcqRel);
    let bytes = BYTES.fetch_add(line.len(), Ordering::AcqRel);
    // A line longer than the buffer is taken while there is no other.
    let is_full = lines >= MAX_LINES || (lines > 0 && bytes + line.len() > MAX_BYTES);
    if is_full {
        leave(line.len());
        LOST.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let buffer = BUFFER.get_or_init(|| {
        let builder = NonBlockingBuilder::default()
            .buffered_lines_limit(MAX_LINES)
            .thread_name("log-writer");
        let (queue, worker) = builder.finish(StderrWriter { is_cut: false });
        Buffer { queue, worker }
    });
    // There is room for it, by the count above.
    let _ = buffer.queue.clone().write(line);
}

/// Removes a line of this length from the counts.
fn leave(length: usize) {
    BYTES.fetch_sub(length, Ordering::AcqRel);
    LINES.fetch_sub(1, Ordering::AcqRel);
}

/// The end of the buffer, in its thread.
struct StderrWriter {
    /// True if the last line was written in part.
    is_cut: bool,
}

impl StderrWriter {
    fn put(&mut self, line: &[u8]) -> Result<(), descriptor::WriteError> {
        let stderr = stderr();
        if self.is_cut {
            descriptor::write_all(stderr.as_fd(), b"\n")?;
            self.is_cut = false;
        }
        descriptor::write_all(stderr.as_fd(), line)
    }
}

impl Write for StderrWriter {
    /// Takes the whole line, written or lost.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.put(line) {
            Ok(()) => WRITTEN.fetch_add(1, Ordering::Relaxed),
            Err(failed) => {
                self.is_cut |= failed.written > 0;
                LOST.fetch_add(1, Ordering::Relaxed)
            }
        };
        leave(line.len());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
