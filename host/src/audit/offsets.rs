//! Arithmetic of offset ranges: what is covered, where nothing is, where something is twice. Pure.

use super::report::OffsetRange;

/// Ranges in order, joined where they touch or overlap.
pub(super) fn union(ranges: &[OffsetRange]) -> Vec<OffsetRange> {
    let mut sorted: Vec<OffsetRange> = ranges.iter().filter(|range| range.start < range.next).copied().collect();
    sorted.sort_unstable();
    let mut joined: Vec<OffsetRange> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.next => last.next = last.next.max(range.next),
            _ => joined.push(range),
        }
    }
    joined
}

/// Offsets between the first and the last that no range covers.
pub(super) fn gaps(ranges: &[OffsetRange]) -> Vec<OffsetRange> {
    let joined = union(ranges);
    let between = joined.iter().zip(joined.iter().skip(1));
    between.map(|(before, after)| OffsetRange { start: before.next, next: after.start }).collect()
}

/// Offsets that more than one range covers.
pub(super) fn overlaps(ranges: &[OffsetRange]) -> Vec<OffsetRange> {
    let mut sorted: Vec<OffsetRange> = ranges.iter().filter(|range| range.start < range.next).copied().collect();
    sorted.sort_unstable();
    let mut found = Vec::new();
    let mut reached = i64::MIN;
    for range in sorted {
        if range.start < reached {
            found.push(OffsetRange { start: range.start, next: range.next.min(reached) });
        }
        reached = reached.max(range.next);
    }
    union(&found)
}

/// What of `ranges` none of `explained` covers.
pub(super) fn without(ranges: &[OffsetRange], explained: &[OffsetRange]) -> Vec<OffsetRange> {
    let explained = union(explained);
    let mut left = Vec::new();
    for range in ranges {
        let mut start = range.start;
        for known in explained.iter().filter(|known| known.next > range.start && known.start < range.next) {
            if known.start > start {
                left.push(OffsetRange { start, next: known.start });
            }
            start = start.max(known.next);
        }
        if start < range.next {
            left.push(OffsetRange { start, next: range.next });
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(pairs: &[(i64, i64)]) -> Vec<OffsetRange> {
        pairs.iter().map(|&(start, next)| OffsetRange { start, next }).collect()
    }

    #[test]
    fn ranges_are_joined_and_compared() {
        let chain = ranges(&[(0, 10), (10, 20), (25, 30), (18, 19)]);
        assert_eq!(union(&chain), ranges(&[(0, 20), (25, 30)]));
        assert_eq!(gaps(&chain), ranges(&[(20, 25)]));
        assert_eq!(overlaps(&chain), ranges(&[(18, 19)]));
        assert_eq!(
            without(&ranges(&[(0, 10), (12, 14)]), &ranges(&[(3, 5), (13, 20)])),
            ranges(&[(0, 3), (5, 10), (12, 13)])
        );
        assert_eq!(union(&ranges(&[(5, 5)])), []);
    }

    fn any_ranges() -> impl Strategy<Value = Vec<OffsetRange>> {
        let range = (0_i64..40, 0_i64..12).prop_map(|(start, length)| OffsetRange { start, next: start + length });
        prop::collection::vec(range, 0..8)
    }

    fn count(ranges: &[OffsetRange], offset: i64) -> usize {
        ranges.iter().filter(|range| (range.start..range.next).contains(&offset)).count()
    }

    proptest! {
        #[test]
        fn each_offset_is_where_it_belongs(some in any_ranges(), others in any_ranges()) {
            let (joined, holes, twice) = (union(&some), gaps(&some), overlaps(&some));
            let left = without(&joined, &others);
            for offset in -1..60 {
                let times = count(&some, offset);
                prop_assert_eq!(count(&joined, offset), times.min(1));
                prop_assert_eq!(count(&twice, offset), usize::from(times > 1));
                let inside = joined.first().is_some_and(|first| first.start <= offset)
                    && joined.last().is_some_and(|last| offset < last.next);
                prop_assert_eq!(count(&holes, offset), usize::from(inside && times == 0));
                prop_assert_eq!(count(&left, offset), usize::from(times > 0 && count(&others, offset) == 0));
            }
        }
    }
}
