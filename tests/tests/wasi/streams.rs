//! Standard streams.

use crate::case::case;

#[test]
pub(crate) fn every_byte_passes_through_standard_output() {
    case("every_byte_passes_through_standard_output").each(|kind, ended| {
        ended.assert_code(0);
        assert!(ended.stdout.iter().copied().eq(0..=u8::MAX), "{kind:?}: {:?}", ended.stdout);
    });
}

#[test]
pub(crate) fn megabyte_passes_through_standard_output() {
    case("megabyte_passes_through_standard_output").prints(&"m".repeat(1 << 20));
}

#[test]
pub(crate) fn both_output_streams_are_apart() {
    case("both_output_streams_are_apart").each(|kind, ended| {
        let told = (ended.code, ended.out(), ended.err());
        assert_eq!(told, (0, "out 0\nout 1\nout 2\n", "err 0\nerr 1\nerr 2\n"), "{kind:?}");
    });
}

#[test]
pub(crate) fn standard_input_ends_once_and_for_all() {
    let name = "standard_input_ends_once_and_for_all";
    case(name).prints("0 bytes, then 0\n");
    case(name).input(b"\0\xff\r\n").prints("4 bytes, then 0\n");
}

#[test]
pub(crate) fn lines_of_standard_input_arrive() {
    case("lines_of_standard_input_arrive").input(b"one\r\n\ntwo").prints("\"one\"\n\"\"\n\"two\"\n");
}

#[test]
pub(crate) fn pipes_are_no_terminals() {
    case("pipes_are_no_terminals").prints("false false false\n");
}
