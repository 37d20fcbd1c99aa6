//! What a chain of honest transforms does with rows: masks, repeated rows, rejected rows, columns added and removed.

use arrow::array::{AsArray, BinaryArray, Int64Array};
use arrow::datatypes::Int32Type;

use super::guest::{Guest, column};
use super::*;

const ALL: (u32, [u32; 2]) = (0, [0, 0]);

/// A guest that answers batches of exactly one size: the selection's case and numbers, and the rejected rows.
fn selecting(case: u32, rows: &[u32], rejects: &[u32]) -> Vec<u8> {
    let mut guest = Guest::describing(&["n"], &[], &[], &["why"]);
    let list = if case == 0 { [0, 0] } else { guest.memory.words(rows) };
    let answer = guest.memory.output((case, list), &[], (rejects, &vec![0; rejects.len()]), None);
    guest.answering(answer).build()
}

/// Takes `rows` events through the modules; gives the numbers in column `n` that are left.
fn through(modules: &[Vec<u8>], rows: usize) -> (Vec<i32>, ChainOutput) {
    let modules: Vec<_> = modules.iter().map(|module| (config("step"), module.clone())).collect();
    let chain = link(&modules, events_schema()).unwrap();
    let output = run(&mut chain.instantiate().unwrap(), rows).unwrap();
    assert!(output.failures.is_empty(), "{:?}", output.failures);
    (output.rows.column(2).as_primitive::<Int32Type>().values().to_vec(), output)
}

#[test]
fn each_transform_sees_only_the_rows_that_are_left() {
    // The second one's row numbers count in what the first one left: 1, 3, 4.
    let (left, output) = through(&[selecting(3, &[1, 3, 4], &[]), selecting(3, &[0, 2], &[])], 6);
    assert_eq!((left, output.filtered), (vec![1, 4], 4));
    assert_eq!(output.messages, [1, 4]);
}

#[test]
fn a_rejected_row_leaves_even_when_it_is_kept() {
    let (left, output) = through(&[selecting(3, &[0, 1], &[1, 2])], 4);
    assert_eq!((left, output.filtered), (vec![0], 1));
    let rejected: Vec<_> = output.rejected.iter().map(|r| (r.message, r.reason.as_str(), r.detail.as_str())).collect();
    assert_eq!(rejected, [(1, "why", "a message"), (2, "why", "a message")]);
}

#[test]
fn one_row_may_become_several() {
    let (left, output) = through(&[selecting(4, &[0, 0, 0, 2], &[])], 3);
    assert_eq!((left, output.filtered), (vec![0, 0, 0, 2], 1));
    assert_eq!(output.messages, [0, 0, 0, 2]);
}

#[test]
fn a_row_rejected_after_it_was_repeated_leaves_with_all_its_copies() {
    // 0 0 1 1 2; then the second copy of 0 and both of 1 are rejected.
    let (left, output) = through(&[selecting(4, &[0, 0, 1, 1, 2], &[]), selecting(0, &[], &[1, 2, 3])], 3);
    assert_eq!(left, [2]);
    assert_eq!(output.rejected.iter().map(|rejected| rejected.message).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_row_rejected_and_repeated_at_once_is_rejected() {
    let (left, output) = through(&[selecting(4, &[0, 0, 1], &[0])], 2);
    assert_eq!((left, output.rejected.len()), (vec![1], 1));
}

#[test]
fn no_rows_left_means_no_further_call() {
    let mut never = Guest::describing(&["n"], &[("extra", "l", true)], &[], &[]);
    never.process = "unreachable".to_owned();
    let chain = link(&[(config("none"), selecting(1, &[], &[])), (config("never"), never.build())], events_schema());
    let output = run(&mut chain.unwrap().instantiate().unwrap(), 5).unwrap();
    assert_eq!((output.rows.num_rows(), output.rows.num_columns(), output.filtered), (0, 4, 5));
}

#[test]
fn columns_are_replaced_in_place_added_at_the_end_and_removed() {
    let mut guest = Guest::describing(&[], &[("n", "l", false), ("new", "g", true)], &["auth"], &[]);
    let longs: Vec<u8> = [10_i64, 11].iter().flat_map(|n| n.to_le_bytes()).collect();
    let doubles: Vec<u8> = [0.5_f64, 0.0].iter().flat_map(|n| n.to_le_bytes()).collect();
    let columns = [
        column(2, &guest.memory.list(&longs, 2), None),
        column(4, &guest.memory.list(&doubles, 2), Some(guest.memory.text([0b01]))),
    ];
    let answer = guest.memory.output(ALL, &columns, (&[], &[]), None);
    let chain = link(&[(config("columns"), guest.answering(answer).build())], events_schema()).unwrap();
    let output = run(&mut chain.instantiate().unwrap(), 2).unwrap();
    let fields = vec![
        Field::new("duration", DataType::Float64, true),
        Field::new("n", DataType::Int64, false),
        Field::new("new", DataType::Float64, true),
    ];
    assert_eq!(chain.output_schema().as_ref(), &Schema::new(fields));
    assert_eq!(output.rows.schema(), chain.output_schema());
    assert_eq!(output.rows.column(1).as_ref(), &Int64Array::from(vec![10, 11]));
    assert_eq!(output.rows.column(2).as_ref(), &Float64Array::from(vec![Some(0.5), None]));
}

#[test]
fn what_kafka_says_of_a_row_can_be_read() {
    let reads = ["$topic", "$partition", "$offset", "$timestamp", "$key"];
    let writes = [("t", "u", false), ("p", "i", false), ("o", "l", false), ("ts", "tsu:UTC", true), ("k", "z", true)];
    let modules =
        [(config("kept"), selecting(3, &[1, 2], &[])), (config("echo"), Guest::echoing(&reads, &writes).build())];
    let chain = link(&modules, events_schema()).unwrap();
    let output = run(&mut chain.instantiate().unwrap(), 3).unwrap();
    assert_eq!(output.rejected, []);
    let columns = &output.rows.columns()[3..];
    assert_eq!(columns[0].as_ref(), &StringArray::from(vec!["events"; 2]));
    assert_eq!(columns[1].as_ref(), &Int32Array::from(vec![3; 2]));
    assert_eq!(columns[2].as_ref(), &Int64Array::from(vec![101, 102]));
    let times = arrow::array::TimestampMicrosecondArray::from(vec![1000, 2000]).with_timezone("UTC");
    assert_eq!(columns[3].as_ref(), &times);
    assert_eq!(columns[4].as_ref(), &BinaryArray::from(vec![b"1".as_slice(), b"2"]));
}

#[test]
fn repeated_rows_are_bounded_in_bytes_of_all_columns_not_just_those_read() {
    // Within the bound on rows; but `auth`, which the guest does not read, would grow beyond the limit.
    let module = selecting(4, &[0; 60_000], &[]);
    let mut config = config("large");
    config.limits.output_bytes = 400_000;
    let chain = link(&[(config, module)], events_schema()).unwrap();
    let output = run(&mut chain.instantiate().unwrap(), 1).unwrap();
    assert_eq!(output.rejected.len(), 1);
    assert!(output.rejected[0].detail.contains("grow to"), "{:?}", output.rejected);
}
