//! The program's allocator: jemalloc, which gives back what is freed.
//!
//! Encoders are made and freed by the hundred, on worker threads, with buffers of every size between them that live on in
//! the upload queues. glibc's allocator keeps most of that resident; jemalloc returns unused pages after a while.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Read by jemalloc when the process starts. Unused pages go back after half a second (10 s by default): what the budget
/// counts and what is resident then differ by little. Few arenas: the workers and the storage threads, not 4 for each core.
// SAFETY: jemalloc declares `const char *malloc_conf`; the first word of a slice is its pointer, and the text ends with 0.
#[allow(unsafe_code)]
#[unsafe(export_name = "malloc_conf")]
static CONFIGURATION: &[u8] = b"dirty_decay_ms:500,muzzy_decay_ms:0,narenas:4\0";
