//! How many files the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but part files: brokers, storage, the program itself.
const RESERVED: u64 = 256;

/// What is taken for "as many as we like".
const PLENTY: u64 = 1 << 20;

/// Raises the process's limit of open descriptors as far as it may, and says how many part files fit below it. The
/// usual limit (1,024) is one for programs that use `select`; a table may have a thousand hive partitions open in every
/// topic partition.
pub(super) fn allowed() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(PLENTY).min(PLENTY);
    let current = limit.current.unwrap_or(PLENTY);
    let raised = current < wanted
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).is_ok();
    let descriptors = if raised { wanted } else { current };
    usize::try_from(descriptors.saturating_sub(RESERVED)).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        let allowed = allowed() as u64;
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(PLENTY), limit.maximum.unwrap_or(PLENTY).min(PLENTY));
        assert_eq!(allowed, limit.current.unwrap_or(PLENTY).saturating_sub(RESERVED).max(1));
    }
}
